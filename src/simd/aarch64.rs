//! Vectors of AArch64, which all its processors have.

use std::arch::aarch64::*;

use super::vector::{Vector, transpose_rest};

#[derive(Clone, Copy)]
pub(super) struct Neon(float32x4_t);

// SAFETY of all blocks: the trait asks the caller for valid pointers; lanes behind a part are neither read nor written.
impl Vector for Neon {
    const LANES: usize = 4;
    const ROWS: usize = 12;
    type Part = usize;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> usize {
        lanes
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: usize) -> Self {
        if part == 4 {
            // SAFETY: see above.
            return unsafe { Self::load(from) };
        }
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(part) {
            // SAFETY: see above.
            *lane = unsafe { from.add(i).read() };
        }
        // SAFETY: the array has four lanes.
        unsafe { Self::load(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { vst1q_f32(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, part: usize) {
        if part == 4 {
            // SAFETY: see above.
            return unsafe { self.store(to) };
        }
        let mut lanes = [0.0; 4];
        // SAFETY: the array has four lanes.
        unsafe { self.store(lanes.as_mut_ptr()) };
        for (i, lane) in lanes.into_iter().enumerate().take(part) {
            // SAFETY: see above.
            unsafe { to.add(i).write(lane) };
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vfmaq_f32(sum.0, self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let negative = vclezq_f32(self.0);
            Self(vbslq_f32(negative, vdupq_n_f32(0.0), self.0))
        }
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let below = Self(vbslq_f32(vclezq_f32(self.0), vdupq_n_f32(0.0), self.0)).0;
            Self(vbslq_f32(vcgtzq_f32(self.0), vdupq_n_f32(1.0), below))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        // SAFETY: handed on.
        unsafe { transpose_rest(from, from_row, rows, 0..cols, to, to_row) };
    }
}
