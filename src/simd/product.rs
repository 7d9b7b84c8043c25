//! Matrix products of any size, tile by tile in registers. B is read where it lies if its rows lie in one piece, else in
//! panels that are transposed first; A is read where it lies. Every output is its sum over k in order.

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;

use super::Level;
#[cfg(target_arch = "aarch64")]
use super::aarch64::Neon;
#[cfg(not(target_feature = "simd128"))]
use super::lanes::Lanes;
use super::vector::Vector;
#[cfg(target_feature = "simd128")]
use super::wasm32::Simd128;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{Avx2, Avx512, with_avx2, with_avx512};

/// A factor: element (i, j) is `values[i * row + j * col]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T = f32> {
    pub(crate) values: &'a [T],
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl<T> Matrix<'_, T> {
    pub(super) fn has(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.row + (cols - 1) * self.col < self.values.len()
    }
}

/// What comes after a sum, while it is in a register.
#[derive(Clone, Copy)]
pub(crate) struct End<'a, T = f32> {
    /// Scales the sum.
    pub(crate) alpha: f32,
    /// Scales what was there, which is then added; it is not read with 0.
    pub(crate) beta: f32,
    /// Added to each row; none where empty.
    pub(crate) bias: &'a [T],
    pub(crate) activate: Activate<'a, T>,
}

/// The last of it.
#[derive(Clone, Copy)]
pub(crate) enum Activate<'a, T = f32> {
    Nothing,
    /// 0 where it is at most 0.
    Relu,
    /// Times the derivative of ReLU, computed from its values.
    ReluDerivative(&'a [T]),
}

/// `c = a b` and what comes after it, with c [m, n], a [m, k], b [k, n], none of them empty, on this many threads. The
/// bits depend neither on their number nor on the level (see [`Level`]).
pub(crate) fn multiply(
    level: Level,
    threads: usize,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    end: End<'_>,
) {
    let fits = m.min(n).min(k) > 0 && a.has(m, k) && b.has(k, n) && c.len() == m * n;
    let at = if let Activate::ReluDerivative(at) = end.activate { at } else { &*c };
    assert!(fits && at.len() == m * n && (end.bias.is_empty() || end.bias.len() == n), "matmul checks its shapes");
    let job = Job { n, k, a, b, c: c.as_mut_ptr(), end };
    // Where B is transposed, panels are shared out, each of which is then transposed once.
    let (shared, step) = if b.col == 1 { (m, 1) } else { (n, 32) };
    let share = shared.div_ceil(threads).next_multiple_of(step);
    let part = |first: usize| {
        let range = first..shared.min(first + share);
        // SAFETY: the matrices have these elements, as just checked; parts write apart from each other, and c, which is
        // borrowed mutably until all are done, overlaps nothing that is read.
        unsafe { if b.col == 1 { job.run(level, range, 0..n) } else { job.run(level, 0..m, range) } }
    };
    super::pool::share(threads, shared.div_ceil(share), &|i| part(i * share));
}

#[derive(Clone, Copy)]
struct Job<'a> {
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    c: *mut f32,
    end: End<'a>,
}

// SAFETY: `c` is the only part that is not shared by its type; `multiply` has threads write to elements of their own.
unsafe impl Sync for Job<'_> {}

/// Floats from a matrix's first row to its last from which on its rows are far apart: then they fall on few of a cache's lines.
const FAR: usize = 4096;
/// What is larger is not copied.
const MOST: usize = 1 << 21;

thread_local! {
    /// A's rows in the order in which tiles take them, kept from product to product.
    static COPY: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// A panel of B, kept from product to product.
    static PANEL: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl Job<'_> {
    /// These rows and columns of the output.
    ///
    /// # Safety
    /// The level must be the processor's, the matrices must have the elements, and nobody else may touch these of c.
    unsafe fn run(&self, level: Level, rows: Range<usize>, cols: Range<usize>) {
        // SAFETY: handed on.
        unsafe {
            if self.a.row == 1 && (FAR..MOST).contains(&(self.k * self.a.col)) && cols.len() > 64 {
                self.run_at::<true>(level, rows, cols);
            } else {
                self.run_at::<false>(level, rows, cols);
            }
        }
    }

    /// The same, with A copied or not: functions of their own, as they are compiled to better code.
    ///
    /// # Safety
    /// See [`Job::run`]; if `COPIED`, A's rows must be neighbours.
    unsafe fn run_at<const COPIED: bool>(&self, level: Level, rows: Range<usize>, cols: Range<usize>) {
        // SAFETY: handed on.
        unsafe {
            match level {
                #[cfg(not(target_feature = "simd128"))]
                Level::Fused => self.block::<Lanes<true>, COPIED>(rows, cols),
                #[cfg(not(target_feature = "simd128"))]
                Level::Rounded => self.block::<Lanes<false>, COPIED>(rows, cols),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => self.block::<Neon, COPIED>(rows, cols),
                #[cfg(target_feature = "simd128")]
                Level::Simd128 => self.block::<Simd128, COPIED>(rows, cols),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => with_avx2(
                    #[inline(always)]
                    || self.block::<Avx2, COPIED>(rows, cols),
                ),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => with_avx512(
                    #[inline(always)]
                    || self.block::<Avx512, COPIED>(rows, cols),
                ),
            }
        }
    }

    /// # Safety
    /// See [`Job::run`].
    #[inline(always)]
    unsafe fn block<V: Vector, const COPIED: bool>(&self, rows: Range<usize>, cols: Range<usize>) {
        let width = 2 * V::LANES;
        // Rows far apart are slow to reach again and again.
        let packed = self.b.col != 1 || (self.k * self.b.row >= FAR && rows.len() > 4 * V::ROWS);
        let mut panel = if packed { PANEL.take() } else { Vec::new() };
        if packed && panel.len() < self.k * width + 16 {
            panel.resize(self.k * width + 16, 0.0);
        }
        let mut copy = Vec::new();
        if COPIED {
            copy = COPY.take();
            if copy.len() < self.k * rows.len() + V::LANES {
                copy.resize(self.k * rows.len() + V::LANES, 0.0);
            }
            // SAFETY: the caller's word for the elements; the copy is as long as it must be.
            unsafe { self.copy::<V>(rows.clone(), copy.as_mut_ptr()) };
        }
        let a = if COPIED { copy.as_ptr() } else { self.a.values.as_ptr() };
        let skip = panel.as_ptr().align_offset(64).min(16);
        let mut j = cols.start;
        while j < cols.end {
            let wide = (cols.end - j).min(width);
            let vectors = wide.div_ceil(V::LANES);
            // SAFETY: the caller's word for the elements from column j on; the panel is as long as it must be.
            unsafe {
                let part = V::part(wide - (vectors - 1) * V::LANES);
                let from = self.b.values.as_ptr().add(j * self.b.col);
                let b = if packed {
                    let to = panel.as_mut_ptr().add(skip);
                    self.pack::<V>(from, wide, part, to);
                    (to.cast_const(), width)
                } else {
                    (from, self.b.row)
                };
                self.panel::<V, COPIED>(a, rows.clone(), j, vectors, b, part);
            }
            j += wide;
        }
        if packed {
            PANEL.set(panel);
        }
        if COPIED {
            COPY.set(copy);
        }
    }

    /// A's rows, tile by tile: a tile's numbers for each k are neighbours.
    ///
    /// # Safety
    /// A's rows must be neighbours and there, and `to` have room for a vector more than they are.
    #[inline(always)]
    unsafe fn copy<V: Vector>(&self, rows: Range<usize>, mut to: *mut f32) {
        let mut from = self.a.values.as_ptr().wrapping_add(rows.start);
        for count in even(rows.len(), V::ROWS) {
            for p in 0..self.k {
                for first in (0..count).step_by(V::LANES) {
                    // SAFETY: by the caller's word. What a store writes too much is behind the end, or written again: later,
                    // as all go by rising places.
                    unsafe {
                        let part = V::part((count - first).min(V::LANES));
                        V::load_part(from.add(p * self.a.col + first), part).store(to.add(p * count + first));
                    }
                }
            }
            (from, to) = (from.wrapping_add(count), to.wrapping_add(self.k * count));
        }
    }

    /// So many columns of B, as rows of two vectors.
    ///
    /// # Safety
    /// `from` must begin these columns, and `to` have room.
    #[inline(always)]
    unsafe fn pack<V: Vector>(&self, from: *const f32, wide: usize, part: V::Part, to: *mut f32) {
        let width = 2 * V::LANES;
        // SAFETY: by the caller's word.
        unsafe {
            if self.b.col != 1 {
                for first in (0..wide).step_by(V::LANES) {
                    let there = (wide - first).min(V::LANES);
                    V::transpose(from.add(first * self.b.col), self.b.col, there, self.k, to.add(first), width);
                }
                return;
            }
            for p in 0..self.k {
                let (mut from, mut to) = (from.add(p * self.b.row), to.add(p * width));
                if wide > V::LANES {
                    V::load(from).store(to);
                    (from, to) = (from.add(V::LANES), to.add(V::LANES));
                }
                V::load_part(from, part).store(to);
            }
        }
    }

    /// One or two vectors of columns, of all these rows.
    ///
    /// # Safety
    /// See [`Job::run`]; a has the copy if `COPIED`, and b comes with its distance of rows.
    #[inline(always)]
    unsafe fn panel<V: Vector, const COPIED: bool>(
        &self,
        a: *const f32,
        rows: Range<usize>,
        j: usize,
        vectors: usize,
        b: (*const f32, usize),
        part: V::Part,
    ) {
        let most = if vectors == 1 && !COPIED { (2 * V::ROWS).min(13) } else { V::ROWS };
        let mut i = rows.start;
        for count in even(rows.len(), most) {
            let a = if COPIED { a.wrapping_add((i - rows.start) * self.k) } else { a };
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match (count, vectors) {
                        $(
                            ($rows, 1) if !COPIED || $rows <= V::ROWS => self.tile::<V, $rows, 1, COPIED>(a, i, j, b, part),
                            ($rows, 2) if $rows <= V::ROWS => self.tile::<V, $rows, 2, COPIED>(a, i, j, b, part),
                        )*
                        _ => {}
                    }
                };
            }
            // SAFETY: handed on.
            unsafe { tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13) };
            i += count;
        }
    }

    /// The outputs from (i, j) on: so many rows of so many vectors, of the last of which a part is there.
    ///
    /// # Safety
    /// See [`Job::panel`]; a begins the tile's rows if `COPIED`, else all.
    #[inline(always)]
    unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize, const COPIED: bool>(
        &self,
        a: *const f32,
        i: usize,
        j: usize,
        (mut b, b_row): (*const f32, usize),
        part: V::Part,
    ) {
        // SAFETY: all elements are there, by the caller's word. Pointers that are not read may go beyond.
        unsafe {
            let load = |from: *const f32, v: usize| {
                let from = from.add(v * V::LANES);
                if v + 1 == VECTORS { V::load_part(from, part) } else { V::load(from) }
            };
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            let Self { n, end, .. } = *self;
            let c = self.c.add(i * n + j);
            let Matrix { row, col, .. } = self.a;
            let (mut a, row, col) = if COPIED { (a, 1, ROWS) } else { (a.wrapping_add(i * row), row, col) };
            if COPIED {
                // The outputs come into the cache meanwhile.
                for r in 0..ROWS {
                    V::prefetch(c.wrapping_add(r * n));
                    V::prefetch(c.wrapping_add(r * n + VECTORS * V::LANES - 1));
                }
            }
            // A pointer of its own for the rows from the seventh on, of which the compiler does not know where it comes from:
            // it would compute the rows' pointers one from the other, and the last would come late.
            let mut later = a.wrapping_add(6 * row);
            if ROWS > 6 && VECTORS == 1 {
                later = black_box(later);
            }
            for _ in 0..self.k {
                let terms: [V; VECTORS] = std::array::from_fn(|v| load(b, v));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(if r < 6 { *a.add(r * row) } else { *later.add((r - 6) * row) });
                    for (sum, term) in sums.iter_mut().zip(terms) {
                        *sum = factor.mul_add(term, *sum);
                    }
                }
                (a, later) = (a.wrapping_add(col), later.wrapping_add(col));
                b = b.wrapping_add(b_row);
            }
            if end.alpha != 1.0 {
                for sum in sums.as_flattened_mut() {
                    *sum = sum.mul(V::splat(end.alpha));
                }
            }
            if end.beta != 0.0 {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(V::splat(end.beta).mul(load(c.add(r * n), v)));
                    }
                }
            }
            if !end.bias.is_empty() {
                let bias: [V; VECTORS] = std::array::from_fn(|v| load(end.bias.as_ptr().add(j), v));
                for sums in &mut sums {
                    for (sum, bias) in sums.iter_mut().zip(bias) {
                        *sum = sum.add(bias);
                    }
                }
            }
            match end.activate {
                Activate::Nothing => {}
                Activate::Relu => {
                    for sum in sums.as_flattened_mut() {
                        *sum = sum.relu();
                    }
                }
                Activate::ReluDerivative(at) => {
                    let at = at.as_ptr().add(i * n + j);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = sum.mul(load(at.add(r * n), v).relu_derivative());
                        }
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    let to = c.add(r * n + v * V::LANES);
                    if v + 1 == VECTORS { sum.store_part(to, part) } else { sum.store(to) }
                }
            }
        }
    }
}

/// `len` shared out evenly to blocks of at most `most`, so that none has a lone row left: how long each is.
#[inline(always)]
fn even(len: usize, most: usize) -> impl Iterator<Item = usize> {
    let (len, blocks) = (len as u32, (len as u32).div_ceil(most as u32));
    let (each, longer) = (len / blocks, len % blocks);
    (0..blocks).map(move |block| (each + u32::from(block < longer)) as usize)
}
