//! exp, log and tanh for the CPU path, without branches and calls, so that a loop over them is vectorised; sums,
//! likewise.
//!
//! They are made of additions, multiplications and divisions, each rounded, and so give the same bits on every processor,
//! with or without fused instructions, one by one or in vectors. Their errors are stated in units in the last place, over all
//! of f32.
//!
//! exp comes from `exp(x) = 2^n exp(r)` with a whole number n and |r| <= log(2) / 2, and a polynomial for `exp(r) - 1`.

use std::f32::consts::LOG2_E;

use crate::device::{self, MEMBERS};
use crate::simd::element;

/// log(2) as a sum: 15 bits of it, of which multiples by n are exact, and the rest.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// Adding it rounds a small number to a whole one, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// `(exp(r) - 1 - r) / r²` as a polynomial, by a minimax fit: 1.4e-8 of r is left.
const EXP: [f32; 5] = [0.5, 0.166_665_43, 0.041_666_28, 0.008_366_611, 0.001_394_649_9];
/// Numerator and denominator of `tanh(x) / x` as polynomials of x² from the linear term on, by a minimax fit up to 9.02: 3e-8
/// of it is left. All terms are positive, so that little is lost to rounding.
const TANH: [[f32; 4]; 2] = [
    [0.133_797_14, 0.003_494_03, 2.058_340_6e-5, 1.331_898_9e-8],
    [0.467_130_27, 0.025_871_055, 3.283_085_2e-4, 7.761_98e-7],
];

/// x, or `low` where it is smaller; NaN of a NaN. In this form it is one instruction, as is [`at_most`].
#[inline(always)]
fn at_least(x: f32, low: f32) -> f32 {
    if low > x { low } else { x }
}

/// x, or `high` where it is larger; NaN of a NaN.
#[inline(always)]
fn at_most(x: f32, high: f32) -> f32 {
    if high < x { high } else { x }
}

/// n, and exp(r) - 1.
#[inline(always)]
fn parts(x: f32) -> (i32, f32) {
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let q = r * r;
    // In pairs, which wait for each other less than term by term.
    let p = (EXP[4] * q + (EXP[3] * r + EXP[2])) * q + (EXP[1] * r + EXP[0]);
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, p * q + r)
}

/// 2^n, for n from -126 to 127.
#[inline(always)]
fn power_of_2(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// exp(x), to 1.1 units in the last place.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinity.
    let (n, p) = parts(at_most(at_least(x, -105.0), 90.0));
    // In two factors, as 2^n alone may be too small or too large for a number that the result still fits.
    let half = n >> 1;
    (1.0 + p) * power_of_2(half) * power_of_2(n - half)
}

/// exp(x) - 1, to 2 units in the last place, for x up to 87.
#[inline(always)]
pub(super) fn exp_m1(x: f32) -> f32 {
    let (n, p) = parts(at_most(at_least(x, -80.0), 87.0));
    let power = power_of_2(n);
    power * p + (power - 1.0)
}

/// tanh(x), to 5 units in the last place, and never beyond 1.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let [above, below] = TANH;
    let x = at_most(at_least(x, -9.02), 9.02);
    let q = x * x;
    let above = (((above[3] * q + above[2]) * q + above[1]) * q + above[0]) * q + 1.0;
    let below = (((below[3] * q + below[2]) * q + below[1]) * q + below[0]) * q + 1.0;
    at_most(at_least(x * above / below, -1.0), 1.0)
}

/// The bits of sqrt(1/2).
const SQRT_HALF: u32 = 0x3f35_04f3;

/// log(1 + x) for x from 0 to 1e38, to 3 units in the last place.
#[inline(always)]
pub(super) fn ln_1p(x: f32) -> f32 {
    // 1 + x = 2^k (1 + f) with f from sqrt(1/2) - 1 to sqrt(2) - 1, and without rounding 1 + x.
    let k = ((1.0 + x).to_bits().wrapping_sub(SQRT_HALF) as i32) >> 23;
    let power = power_of_2(-k);
    let f = x * power - (1.0 - power);
    // 2 artanh(s): the next term of the series is below 3e-9 of the sum.
    let s = f / (2.0 + f);
    let q = s * s;
    let p = q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    let k = k as f32;
    k * LN_2[0] + (k * LN_2[1] + 2.0 * (s + s * p))
}

/// x between -bound and bound; NaN of a NaN. Unlike `f32::clamp` it takes any bound.
#[inline(always)]
pub(super) fn clip(x: f32, bound: f32) -> f32 {
    // In this form each is one instruction.
    let x = if x > bound { bound } else { x };
    if x < -bound { -bound } else { x }
}

/// The larger of two numbers; NaN if one of them is, unlike `f32::max`.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Numbers that are added up side by side: as many as fill a few vectors.
const LANES: usize = 16;

/// The sum of `term(a, b)` over pairs of elements, rounded once: f64 has digits enough for everything before. The order
/// of additions depends on the length alone.
#[inline(always)]
pub(super) fn sum_of_pairs(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let len = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..len].as_chunks::<LANES>(), b[..len].as_chunks::<LANES>());
    let mut lanes = [0f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += f64::from(term(*a, *b));
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f64::from(term(*a, *b));
    }
    // A fold from 0, as `sum` begins with -0.
    lanes.iter().fold(0.0, |sum, lane| sum + lane) as f32
}

/// [`sum_of_pairs`] of each member's elements.
#[inline(always)]
pub(super) fn sum_of_pairs_by_member(
    a: &[device::Lanes],
    b: &[device::Lanes],
    term: impl Fn(f32, f32) -> f32,
) -> device::Lanes {
    let mut lanes = [[0f64; MEMBERS]; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            element();
            for (member, sum) in lane.iter_mut().enumerate() {
                *sum += f64::from(term(a[member], b[member]));
            }
        }
    }
    std::array::from_fn(|member| lanes.iter().fold(0.0, |sum, lane| sum + lane[member]) as f32)
}

/// The sum of `term` over all elements: see [`sum_of_pairs`].
#[inline(always)]
pub(super) fn sum_of(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    sum_of_pairs(x, x, |x, _| term(x))
}

/// The sums of the columns of a matrix, of which `x` holds the rows, a `stride` apart: `put(column, sum)`.
#[inline(always)]
pub(super) fn sum_columns(x: &[f32], stride: usize, cols: usize, mut put: impl FnMut(usize, f32)) {
    let mut done = 0;
    // As many at once as fill a few vectors. The last of these begin earlier, and find some sums a second time.
    macro_rules! by {
        ($($lanes:literal)*) => {
            $(while done < cols && cols >= $lanes {
                let first = done.min(cols - $lanes);
                let sums = sum_some::<$lanes>(x, stride, first);
                for (i, sum) in sums.into_iter().enumerate().skip(done - first) {
                    put(first + i, sum as f32);
                }
                done = first + $lanes;
            })*
        };
    }
    by!(16 8 4 1);
}

/// The sums of this many columns.
#[inline(always)]
fn sum_some<const COLS: usize>(x: &[f32], stride: usize, first: usize) -> [f64; COLS] {
    let mut sums = [0.0; COLS];
    for row in x.chunks(stride) {
        if let Some(row) = row.get(first..).and_then(<[f32]>::first_chunk::<COLS>) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::{exp, exp_m1, ln_1p, sum_columns, sum_of, tanh};
    use crate::simd::{Level, compiled_for};

    /// The largest error in units in the last place over the whole range of f32, of which every 997th number is taken.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, range: RangeInclusive<f32>) -> f64 {
        let mut worst: f64 = 0.0;
        for x in (0..=u32::MAX).step_by(if cfg!(miri) { 9_999_991 } else { 997 }).map(f32::from_bits) {
            if !range.contains(&x) {
                continue;
            }
            let (value, exact) = (f(x), exact(f64::from(x)));
            let rounded = exact as f32;
            let ulp = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
            let error = (f64::from(value) - exact).abs() / ulp;
            assert!(error.is_finite(), "{x}: {value}, {exact}");
            worst = worst.max(error);
        }
        worst
    }

    #[test]
    fn errors_are_as_told() {
        let all = f32::NEG_INFINITY..=f32::INFINITY;
        let errors = [
            worst(exp, f64::exp, f32::NEG_INFINITY..=88.722),
            worst(exp_m1, f64::exp_m1, f32::NEG_INFINITY..=87.0),
            worst(tanh, f64::tanh, all),
            worst(ln_1p, f64::ln_1p, 0.0..=1e38),
        ];
        let told = [1.1, 2.0, 5.0, 3.0];
        assert!(errors.iter().zip(told).all(|(error, told)| *error <= told), "{errors:?}");
    }

    /// One by one as in vectors of any width: nothing is fused or reordered.
    #[test]
    fn every_level_gives_the_same_bits() {
        let step = if cfg!(miri) { 99_999_989 } else { 9973 };
        let x: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
        macro_rules! check {
            ($($f:ident)*) => {
                $(
                    let expected: Vec<u32> = x.iter().map(|x| $f(*x).to_bits()).collect();
                    for level in Level::alike() {
                        let mut values = x.clone();
                        compiled_for(
                            level,
                            #[inline(always)]
                            || values.iter_mut().for_each(|x| *x = $f(*x)),
                        );
                        let same = values.iter().zip(&expected).all(|(value, expected)| value.to_bits() == *expected);
                        assert!(same, "{} by {level:?}", stringify!($f));
                    }
                )*
            };
        }
        check!(exp exp_m1 tanh ln_1p);
    }

    #[test]
    fn sums_are_rounded_once() {
        for len in [0, 1, 15, 16, 17, 4096, 66_049] {
            let x: Vec<f32> = (0..len).map(|i| 0.1 + (i % 7) as f32).collect();
            let exact: f64 = x.iter().map(|x| f64::from(*x)).sum();
            assert_eq!(sum_of(&x, |x| x), exact as f32, "{len}");
            for cols in [1, 3, 16, 25, 40] {
                let rows = len / cols;
                let mut seen = 0;
                sum_columns(&x[..rows * cols], cols, cols, |col, sum| {
                    let exact: f64 = x[..rows * cols].iter().skip(col).step_by(cols).map(|x| f64::from(*x)).sum();
                    assert_eq!((col, sum), (seen, exact as f32), "{len} in {cols} columns");
                    seen += 1;
                });
                assert_eq!(seen, cols);
            }
        }
    }

    #[test]
    fn ends_are_right() {
        assert_eq!(
            [exp(f32::NEG_INFINITY), exp(f32::INFINITY), exp(-104.0), exp(89.0)],
            [0.0, f32::INFINITY, 0.0, f32::INFINITY]
        );
        assert_eq!([exp(0.0), exp_m1(0.0), exp_m1(-1e9), tanh(0.0)], [1.0, 0.0, -1.0, 0.0]);
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(9.5), tanh(-1e-30)], [1.0, -1.0, 1.0, -1e-30]);
        assert_eq!([tanh(1e-45), tanh(-1e-39), exp(1e-45), exp_m1(-1e-45)], [1e-45, -1e-39, 1.0, -1e-45]);
        assert_eq!([tanh(-0.0), exp_m1(-0.0)].map(f32::to_bits), [(-0.0f32).to_bits(), 0]);
        let of_nan = [exp(f32::NAN), exp_m1(f32::NAN), tanh(f32::NAN), ln_1p(f32::NAN), ln_1p(-f32::NAN)];
        assert!(of_nan.iter().all(|value| value.is_nan()));
        assert_eq!([ln_1p(0.0), ln_1p(1e-30)], [0.0, 1e-30]);
        // Smaller than any normal number, and still a number.
        assert!((exp(-100.0) / 3.78e-44 - 1.0).abs() < 0.02);
    }
}
