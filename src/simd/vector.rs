//! The operations that a product needs on a vector of f32.

use std::ops::Range;

/// Some f32 side by side, in a register.
///
/// # Safety
/// All functions are inlined into functions that are compiled for the instructions they use, and must be called only where
/// the processor has those. Pointers must be valid for the lanes that are read or written: all of them, or the first
/// `part` ones.
pub(super) trait Vector: Copy {
    /// How many.
    const LANES: usize;
    /// The most rows of a tile of two vectors, so that sums, factors and all stay in registers.
    const ROWS: usize;
    /// The first `lanes` lanes.
    type Part: Copy;

    unsafe fn part(lanes: usize) -> Self::Part;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The other lanes are 0.
    unsafe fn load_part(from: *const f32, part: Self::Part) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_part(self, to: *mut f32, part: Self::Part);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * other + sum`
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self;
    /// 0 where it is at most 0, else itself, NaN included.
    unsafe fn relu(self) -> Self;
    /// The derivative of [`relu`](Self::relu), computed from its value: 1, 0, or NaN of a NaN.
    unsafe fn relu_derivative(self) -> Self;
    /// Asks for what is there to be brought into the first cache. It may be any pointer.
    #[inline(always)]
    unsafe fn prefetch(_from: *const f32) {}
    /// `to[p, i] = from[i, p]` for i below `rows`, at most as many as there are lanes, and p below `cols`; rows of both lie
    /// `from_row` and `to_row` apart.
    unsafe fn transpose(from: *const f32, from_row: usize, rows: usize, cols: usize, to: *mut f32, to_row: usize);
}

/// [`Vector::transpose`], number by number, for p in `cols`.
///
/// # Safety
/// See there.
#[inline(always)]
pub(super) unsafe fn transpose_rest(
    from: *const f32,
    from_row: usize,
    rows: usize,
    cols: Range<usize>,
    to: *mut f32,
    to_row: usize,
) {
    for i in 0..rows {
        for p in cols.clone() {
            // SAFETY: both are within what the caller vouches for.
            unsafe { to.add(p * to_row + i).write(from.add(i * from_row + p).read()) };
        }
    }
}
