//! Vectors of x86-64.

use std::arch::x86_64::*;

use super::vector::{Vector, transpose_rest};

#[target_feature(enable = "avx2,fma")]
pub(super) fn with_avx2(work: impl FnOnce()) {
    work();
}

#[target_feature(enable = "avx2,fma,avx512f")]
pub(super) fn with_avx512(work: impl FnOnce()) {
    work();
}

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// The first lanes: how many, and a mask of them.
#[derive(Clone, Copy)]
pub(super) struct Part {
    lanes: usize,
    mask: __m256i,
}

// SAFETY of all blocks: the trait asks the caller for the instructions and for valid pointers; masked lanes are neither
// read nor written.
impl Vector for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 6;
    type Part = Part;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> Part {
        // SAFETY: see above.
        unsafe {
            let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            Part { lanes, mask: _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes as i32), numbers) }
        }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: Part) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_maskload_ps(from, part.mask) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, self.0) };
    }

    /// By halves: AMD's processors take long for a masked store.
    #[inline(always)]
    unsafe fn store_part(self, mut to: *mut f32, part: Part) {
        // SAFETY: see above; together the stores write `part.lanes` lanes.
        unsafe {
            if part.lanes == 8 {
                return _mm256_storeu_ps(to, self.0);
            }
            let mut rest = _mm256_castps256_ps128(self.0);
            if part.lanes & 4 != 0 {
                _mm_storeu_ps(to, rest);
                rest = _mm256_extractf128_ps::<1>(self.0);
                to = to.add(4);
            }
            if part.lanes & 2 != 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
                rest = _mm_movehl_ps(rest, rest);
                to = to.add(2);
            }
            if part.lanes & 1 != 0 {
                _mm_store_ss(to, rest);
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_fmadd_ps(self.0, other.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let negative = _mm256_cmp_ps::<_CMP_LE_OQ>(self.0, _mm256_setzero_ps());
            Self(_mm256_andnot_ps(negative, self.0))
        }
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_setzero_ps());
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            Self(_mm256_or_ps(_mm256_and_ps(positive, _mm256_set1_ps(1.0)), _mm256_and_ps(nan, self.0)))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: see above.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        let whole = if rows == 8 { cols / 8 * 8 } else { 0 };
        // SAFETY: see above.
        unsafe {
            for p in (0..whole).step_by(8) {
                let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * from_row + p)));
                for (i, r) in transpose8(r).into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((p + i) * to_row), r);
                }
            }
            transpose_rest(from, from_row, rows, whole..cols, to, to_row);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = r;
    let pairs = |x, y| (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
    let ((a, b), (c, d), (e, f), (g, h)) = (pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h));
    let fours = |x, y| (_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y));
    let ((a0, a1), (a2, a3), (e0, e1), (e2, e3)) = (fours(a, c), fours(b, d), fours(e, g), fours(f, h));
    let low = |x, y| _mm256_permute2f128_ps::<0x20>(x, y);
    let high = |x, y| _mm256_permute2f128_ps::<0x31>(x, y);
    [low(a0, e0), low(a1, e1), low(a2, e2), low(a3, e3), high(a0, e0), high(a1, e1), high(a2, e2), high(a3, e3)]
}

#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

// SAFETY of all blocks: as above.
impl Vector for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 13;
    type Part = __mmask16;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> __mmask16 {
        ((1u32 << lanes) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: __mmask16) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_maskz_loadu_ps(part, from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, part: __mmask16) {
        // SAFETY: see above.
        unsafe { _mm512_mask_storeu_ps(to, part, self.0) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, other.0, sum.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let negative = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(!negative, self.0))
        }
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps());
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            Self(_mm512_mask_mov_ps(_mm512_maskz_mov_ps(positive, _mm512_set1_ps(1.0)), nan, self.0))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: see above.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    /// By vectors of eight, twice.
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        // SAFETY: see above.
        unsafe {
            Avx2::transpose(from, from_row, rows.min(8), cols, to, to_row);
            let behind = from.wrapping_add(8 * from_row);
            Avx2::transpose(behind, from_row, rows.saturating_sub(8), cols, to.add(8), to_row);
        }
    }
}
