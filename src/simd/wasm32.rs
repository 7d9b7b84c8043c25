//! Vectors of WebAssembly, where the crate is compiled for them: `-Ctarget-feature=+simd128`. With `+relaxed-simd` they multiply
//! and add in one rounding on every processor that can (all browsers' engines take its instruction then), and the bits are
//! those of the other levels.

use std::arch::wasm32::*;

use super::vector::{Vector, transpose_rest};

#[derive(Clone, Copy)]
pub(super) struct Simd128(v128);

// SAFETY of all blocks: the trait asks the caller for valid pointers; lanes behind a part are neither read nor written.
impl Vector for Simd128 {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    type Part = usize;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> usize {
        lanes
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(f32x4_splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { v128_load(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: usize) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            match part {
                1 => v128_load32_zero(from.cast()),
                2 => v128_load64_zero(from.cast()),
                3 => v128_load32_lane::<2>(v128_load64_zero(from.cast()), from.add(2).cast()),
                _ => v128_load(from.cast()),
            }
        })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { v128_store(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, part: usize) {
        // SAFETY: see above.
        unsafe {
            match part {
                1 => v128_store32_lane::<0>(self.0, to.cast()),
                2 => v128_store64_lane::<0>(self.0, to.cast()),
                3 => {
                    v128_store64_lane::<0>(self.0, to.cast());
                    v128_store32_lane::<2>(self.0, to.add(2).cast());
                }
                _ => v128_store(to.cast(), self.0),
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(f32x4_relaxed_madd(self.0, other.0, sum.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(f32x4_add(f32x4_mul(self.0, other.0), sum.0))
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(v128_andnot(self.0, f32x4_le(self.0, f32x4_splat(0.0))))
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        let zero = f32x4_splat(0.0);
        let below = v128_andnot(self.0, f32x4_le(self.0, zero));
        Self(v128_bitselect(f32x4_splat(1.0), below, f32x4_gt(self.0, zero)))
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        let whole = if rows == 4 { cols / 4 * 4 } else { 0 };
        // SAFETY: see above.
        unsafe {
            for p in (0..whole).step_by(4) {
                let [a, b, c, d] = std::array::from_fn(|i| v128_load(from.add(i * from_row + p).cast()));
                let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
                let (ab2, cd2) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
                let columns = [
                    i64x2_shuffle::<0, 2>(ab, cd),
                    i64x2_shuffle::<1, 3>(ab, cd),
                    i64x2_shuffle::<0, 2>(ab2, cd2),
                    i64x2_shuffle::<1, 3>(ab2, cd2),
                ];
                for (i, column) in columns.into_iter().enumerate() {
                    v128_store(to.add((p + i) * to_row).cast(), column);
                }
            }
            transpose_rest(from, from_row, rows, whole..cols, to, to_row);
        }
    }
}

/// Two of them: the eight members of a unit.
#[derive(Clone, Copy)]
pub(super) struct Pair(Simd128, Simd128);

// SAFETY of all blocks: handed on; the second half is four numbers further.
impl Vector for Pair {
    const LANES: usize = 8;
    const ROWS: usize = 2;
    type Part = usize;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> usize {
        lanes
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(Simd128::splat(x), Simd128::splat(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        unsafe { Self(Simd128::load(from), Simd128::load(from.add(4))) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: usize) -> Self {
        // SAFETY: see above.
        unsafe {
            let second = if part > 4 { Simd128::load_part(from.add(4), part - 4) } else { Simd128::splat(0.0) };
            Self(Simd128::load_part(from, part.min(4)), second)
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe {
            self.0.store(to);
            self.1.store(to.add(4));
        }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, part: usize) {
        // SAFETY: see above.
        unsafe {
            self.0.store_part(to, part.min(4));
            if part > 4 {
                self.1.store_part(to.add(4), part - 4);
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(self.0.add(other.0), self.1.add(other.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(self.0.mul(other.0), self.1.mul(other.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(self.0.mul_add(other.0, sum.0), self.1.mul_add(other.1, sum.1)) }
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: see above.
        unsafe { Self(self.0.relu(), self.1.relu()) }
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        // SAFETY: see above.
        unsafe { Self(self.0.relu_derivative(), self.1.relu_derivative()) }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        // SAFETY: handed on.
        unsafe { transpose_rest(from, from_row, rows, 0..cols, to, to_row) };
    }
}
