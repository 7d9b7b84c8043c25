//! Products of many matrices of one shape at once: each element is a vector, with a matrix in every lane. Nothing is
//! packed, and no tail is masked. Every output is its sum over k in order, as in `product.rs`.

use super::Level;
#[cfg(not(target_feature = "simd128"))]
use super::lanes::Lanes;
use super::product::{Activate, End, Matrix};
use super::vector::Vector;
#[cfg(target_feature = "simd128")]
use super::wasm32::Pair;
#[cfg(target_arch = "x86_64")]
use super::x86_64::{Avx2, with_avx2};

/// Members that go side by side, on every processor: what AVX2 has, and half of what AVX-512 has, which is as fast on
/// some processors and nearly so on others.
pub(crate) const MEMBERS: usize = 8;
type Element = [f32; MEMBERS];

/// The most rows and columns of a tile, whose sums stay in registers.
const ROWS: usize = 4;
const COLS: usize = 3;

/// [`multiply`](super::multiply) of each member's matrices.
pub(crate) fn multiply_members(
    level: Level,
    [m, n, k]: [usize; 3],
    a: Matrix<'_, Element>,
    b: Matrix<'_, Element>,
    c: &mut [Element],
    end: End<'_, Element>,
) {
    let fits = m.min(n).min(k) > 0 && a.has(m, k) && b.has(k, n) && c.len() == m * n;
    let at = if let Activate::ReluDerivative(at) = end.activate { at } else { &*c };
    assert!(fits && at.len() == m * n && (end.bias.is_empty() || end.bias.len() == n), "matmul checks its shapes");
    let job = Job { m, n, k, a, b, c: c.as_mut_ptr(), end };
    // SAFETY: the matrices have these elements, as just checked; `level` is the processor's.
    unsafe {
        match level {
            #[cfg(not(target_feature = "simd128"))]
            Level::Rounded => job.run::<Lanes<false, MEMBERS>>(),
            #[cfg(not(target_feature = "simd128"))]
            Level::Fused => job.run::<Lanes<true, MEMBERS>>(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => job.run::<Lanes<true, MEMBERS>>(),
            #[cfg(target_feature = "simd128")]
            Level::Simd128 => job.run::<Pair>(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => with_avx2(
                #[inline(always)]
                || job.run::<Avx2>(),
            ),
        }
    }
}

#[derive(Clone, Copy)]
struct Job<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a, Element>,
    b: Matrix<'a, Element>,
    c: *mut Element,
    end: End<'a, Element>,
}

/// For loops over elements, whose body is a loop over members: has the compiler make vectors of members, as they lie in
/// memory, and not of elements, which takes many shuffles.
#[inline(always)]
pub(crate) fn element() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// Members' numbers, element by element.
pub(crate) fn interleave(members: [&[f32]; MEMBERS], to: &mut [Element]) {
    let [a, b, c, d, e, f, g, h] = members.map(|values| &values[..to.len()]);
    for (i, to) in to.iter_mut().enumerate() {
        *to = [a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]];
    }
}

/// A member's numbers, out of those of all.
pub(crate) fn take_lane(from: &[Element], lane: usize, to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from[lane]);
}

/// Rows or columns, shared out evenly to tiles.
#[derive(Clone, Copy)]
struct Tiles {
    count: usize,
    each: usize,
    /// How many tiles have one more.
    longer: usize,
}

impl Tiles {
    /// Of at most `most`.
    fn new(len: usize, most: usize) -> Self {
        let count = len.div_ceil(most);
        Self { count, each: len / count, longer: len % count }
    }

    /// Where it begins, and its length.
    #[inline(always)]
    fn at(self, tile: usize) -> (usize, usize) {
        (tile * self.each + tile.min(self.longer), self.each + usize::from(tile < self.longer))
    }
}

impl Job<'_> {
    /// All tiles. The smaller factor is gone through again and again, from the first cache, the other one once.
    ///
    /// # Safety
    /// V's instructions must be the processor's, and the matrices must have the elements.
    #[inline(always)]
    unsafe fn run<V: Vector>(&self) {
        let (rows, cols) = (Tiles::new(self.m, ROWS), Tiles::new(self.n, COLS));
        let by_rows = self.n <= self.m;
        let (outer, inner) = if by_rows { (rows, cols) } else { (cols, rows) };
        for turn in 0..outer.count {
            for tile in 0..inner.count {
                // To and fro: what the last tile read is still in the first cache.
                let tile = if turn % 2 == 0 { tile } else { inner.count - 1 - tile };
                let (outer, inner) = (outer.at(turn), inner.at(tile));
                let ((i, rows), (j, cols)) = if by_rows { (outer, inner) } else { (inner, outer) };
                // SAFETY: handed on.
                unsafe { self.one::<V>([i, j], [rows, cols]) };
            }
        }
    }

    /// # Safety
    /// See [`Job::run`].
    #[inline(always)]
    unsafe fn one<V: Vector>(&self, [i, j]: [usize; 2], size: [usize; 2]) {
        macro_rules! sizes {
            ($($rows:literal x $cols:literal)*) => {
                match size {
                    $([$rows, $cols] => self.tile::<V, $rows, $cols>(i, j),)*
                    _ => {}
                }
            };
        }
        // SAFETY: handed on.
        unsafe { sizes!(1 x 1 1 x 2 1 x 3 2 x 1 2 x 2 2 x 3 3 x 1 3 x 2 3 x 3 4 x 1 4 x 2 4 x 3) };
    }

    /// The outputs from (i, j) on.
    ///
    /// # Safety
    /// See [`Job::run`].
    #[inline(always)]
    unsafe fn tile<V: Vector, const ROWS: usize, const COLS: usize>(&self, i: usize, j: usize) {
        const { assert!(V::LANES == MEMBERS) };
        let Self { n, k, end, .. } = *self;
        let load = |from: *const Element| {
            // SAFETY: only called with elements that are there.
            unsafe { V::load(from.cast()) }
        };
        // SAFETY: all elements are there, by the caller's word. Pointers that are not read may go beyond.
        unsafe {
            let mut sums = [[V::splat(0.0); COLS]; ROWS];
            let mut a = self.a.values.as_ptr().add(i * self.a.row);
            let mut b = self.b.values.as_ptr().add(j * self.b.col);
            for _ in 0..k {
                let terms: [V; COLS] = std::array::from_fn(|c| load(b.add(c * self.b.col)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = load(a.add(r * self.a.row));
                    for (sum, term) in sums.iter_mut().zip(terms) {
                        *sum = factor.mul_add(term, *sum);
                    }
                }
                a = a.wrapping_add(self.a.col);
                b = b.wrapping_add(self.b.row);
            }
            let c = self.c.add(i * n + j);
            if end.alpha != 1.0 {
                for sum in sums.as_flattened_mut() {
                    *sum = sum.mul(V::splat(end.alpha));
                }
            }
            if end.beta != 0.0 {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (col, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(V::splat(end.beta).mul(load(c.add(r * n + col))));
                    }
                }
            }
            if !end.bias.is_empty() {
                let bias: [V; COLS] = std::array::from_fn(|col| load(end.bias.as_ptr().add(j + col)));
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
                        for (col, sum) in sums.iter_mut().enumerate() {
                            *sum = sum.mul(load(at.add(r * n + col)).relu_derivative());
                        }
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (col, sum) in sums.into_iter().enumerate() {
                    sum.store(c.add(r * n + col).cast());
                }
            }
        }
    }
}
