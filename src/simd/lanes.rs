//! Vectors as arrays: for processors without their own file here, and as a reference for the others.

use super::vector::{Vector, transpose_rest};

/// Some numbers; `FUSED`: multiplied and added in one rounding.
#[derive(Clone, Copy)]
pub(super) struct Lanes<const FUSED: bool, const N: usize = 4>([f32; N]);

impl<const FUSED: bool, const N: usize> Lanes<FUSED, N> {
    #[inline(always)]
    fn each(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<const FUSED: bool, const N: usize> Vector for Lanes<FUSED, N> {
    const LANES: usize = N;
    const ROWS: usize = 6;
    type Part = usize;

    #[inline(always)]
    unsafe fn part(lanes: usize) -> usize {
        lanes
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; N])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the trait.
        Self(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, part: usize) -> Self {
        // SAFETY: see the trait; lanes behind the part are not read.
        Self(std::array::from_fn(|i| if i < part { unsafe { from.add(i).read() } } else { 0.0 }))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the trait.
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) };
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, part: usize) {
        for (i, x) in self.0.into_iter().enumerate().take(part) {
            // SAFETY: see the trait; lanes behind the part are not written.
            unsafe { to.add(i).write(x) };
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        if FUSED {
            Self(std::array::from_fn(|i| self.0[i].mul_add(other.0[i], sum.0[i])))
        } else {
            Self(std::array::from_fn(|i| self.0[i] * other.0[i] + sum.0[i]))
        }
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        self.each(|x| if x <= 0.0 { 0.0 } else { x })
    }

    #[inline(always)]
    unsafe fn relu_derivative(self) -> Self {
        self.each(|x| {
            if x > 0.0 {
                1.0
            } else if x <= 0.0 {
                0.0
            } else {
                x
            }
        })
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize) {
        // SAFETY: handed on.
        unsafe { transpose_rest(from, from_row, rows, 0..cols, to, to_row) };
    }
}
