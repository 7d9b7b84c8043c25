//! Products of an ensemble's members side by side, bit-identical to `quick.rs` for each of them.

use std::hint::black_box;

use super::quick::finish;
use super::reference::plus;
use super::{BIAS, DERIVATIVE, Params};
use crate::device::{Call, LaneCall, Lanes, MEMBERS, Values};
use crate::ops::Activation;
use crate::simd::{Activate, End, Level, Matrix, element, multiply_members, widest};

/// small, direct, direct4, tiled, wide.
pub(super) fn product(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    let [Values::Own(a), Values::Own(b), extra, ..] = call.inputs else { return call.one_by_one(cpu) };
    let extra = match extra {
        Values::Own(extra) => extra,
        Values::Shared([]) => &[],
        Values::Shared(_) => return call.one_by_one(cpu),
    };
    if params.parts != 1 {
        return call.one_by_one(cpu);
    }
    let [out, kept, ..] = call.outputs;
    let Params { m, n, k, a_row, a_col, b_row, b_col, .. } = params;
    let [m, n, k, a_row, a_col, b_row, b_col] = [m, n, k, a_row, a_col, b_row, b_col].map(|x| x as usize);
    let a = Matrix { values: &a[params.a_start as usize..], row: a_row, col: a_col };
    let b = Matrix { values: &b[params.b_start as usize..], row: b_row, col: b_col };
    let (c, behind) = out.split_at_mut(m * n);
    if params.sums_at != 0 {
        row_sums(&params, a.values, &mut behind[params.sums_at as usize - m * n..][..m]);
    }
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    let relu = activation == Activation::ReLU && params.keep == 0;
    let activate = match params.extra_is {
        DERIVATIVE if relu => Activate::ReluDerivative(&extra[..m * n]),
        DERIVATIVE => Activate::Nothing,
        _ if relu => Activate::Relu,
        _ => Activate::Nothing,
    };
    let bias = if params.extra_is == BIAS { &extra[..n] } else { &[] };
    let end = End { alpha: params.alpha, beta: params.beta, bias, activate };
    multiply_members(Level::best(), [m, n, k], a, b, c, end);
    if !relu {
        finish(&params, activation, c.as_flattened_mut(), extra.as_flattened(), kept.as_flattened_mut());
    }
}

/// The sums of A's rows, scaled and added like the product.
fn row_sums(params: &Params, a: &[Lanes], sums: &mut [Lanes]) {
    let [k, row, col] = [params.k, params.a_row, params.a_col].map(|n| n as usize);
    let (alpha, beta) = (params.alpha, params.beta);
    widest(
        #[inline(always)]
        || {
            // Several at a time, as an addition has to wait for the one before. The compiler must not see through to what
            // comes after: it would move numbers within the vectors at every step to have them in place for that.
            let (fours, rest) = sums.as_chunks_mut::<4>();
            let first = 4 * fours.len();
            for (i, to) in fours.iter_mut().enumerate() {
                put(to, black_box(some_sums(&a[4 * i * row..], [row, col], k)), alpha, beta);
            }
            for (i, to) in rest.iter_mut().enumerate() {
                let sums = black_box(some_sums(&a[(first + i) * row..], [row, col], k));
                put(std::array::from_mut(to), sums, alpha, beta);
            }
        },
    );
}

#[inline(always)]
fn some_sums<const ROWS: usize>(a: &[Lanes], [row, col]: [usize; 2], k: usize) -> [[f64; MEMBERS]; ROWS] {
    let mut sums = [[0.0; MEMBERS]; ROWS];
    for p in 0..k {
        element();
        for (i, sums) in sums.iter_mut().enumerate() {
            for (sum, a) in sums.iter_mut().zip(&a[i * row + p * col]) {
                *sum += f64::from(*a);
            }
        }
    }
    sums
}

#[inline(always)]
fn put<const ROWS: usize>(to: &mut [Lanes; ROWS], sums: [[f64; MEMBERS]; ROWS], alpha: f32, beta: f32) {
    for (to, sum) in to.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        *to = plus(alpha * *sum as f32, beta, *to);
    }
}
