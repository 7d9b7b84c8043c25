//! What the kernels of `shaders/matmul.wgsl` compute, element by element: the oracle of the tests, also for the CPU
//! path's faster functions.

use super::{BIAS, DERIVATIVE, Params};
use crate::device::Call;
use crate::ops::Activation;

/// small, direct, direct4, tiled, wide.
pub(super) fn product(mut call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, ..] = call.inputs;
    let (m, n) = (params.m as usize, params.n as usize);
    let element = |x: &[f32], [start, row, col]: [u32; 3], i: usize, j: usize| {
        x[start as usize + i * row as usize + j * col as usize]
    };
    for part in 0..params.parts {
        let (first, end) = if params.parts == 1 {
            (0, params.k)
        } else {
            (part * params.part_k, params.k.min((part + 1) * params.part_k))
        };
        for at in 0..m * n {
            let mut sum = 0.0;
            for p in first as usize..end as usize {
                let a = element(a, [params.a_start, params.a_row, params.a_col], at / n, p);
                let b = element(b, [params.b_start, params.b_row, params.b_col], p, at % n);
                sum = a.mul_add(b, sum);
            }
            if params.parts == 1 {
                let value = plus(params.alpha * sum, params.beta, call.outputs[0][at]);
                finish(&params, value, at, &mut call);
            } else {
                call.outputs[0][part as usize * m * n + at] = sum;
            }
        }
    }
    if params.sums_at != 0 && params.parts == 1 {
        for i in 0..m {
            let mut sum = 0.0;
            for p in 0..params.k as usize {
                sum += f64::from(element(a, [params.a_start, params.a_row, params.a_col], i, p));
            }
            let place = &mut call.outputs[0][params.sums_at as usize + i];
            *place = plus(params.alpha * sum as f32, params.beta, *place);
        }
    }
}

pub(super) fn add_parts(mut call: Call<'_>) {
    let params: Params = call.params();
    let [parts, ..] = call.inputs;
    let outputs = params.m as usize * params.n as usize;
    for at in 0..outputs {
        let mut value = plus(0.0, params.beta, call.outputs[0][at]);
        for part in 0..params.k as usize {
            value += params.alpha * parts[part * outputs + at];
        }
        finish(&params, value, at, &mut call);
    }
}

/// `value + beta * before`; with a beta of 0 it does not matter what was there.
#[inline(always)]
pub(super) fn plus(value: f32, beta: f32, before: f32) -> f32 {
    if beta == 0.0 { value } else { value + beta * before }
}

/// The epilogue.
fn finish(params: &Params, mut value: f32, at: usize, call: &mut Call<'_>) {
    let [_, _, extra, ..] = call.inputs;
    let [out, kept, ..] = &mut call.outputs;
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    if params.extra_is == DERIVATIVE {
        out[at] = value * activation.derivative(extra[at]);
        return;
    }
    if params.extra_is == BIAS {
        value += extra[at % params.n as usize];
    }
    if params.keep != 0 {
        kept[at] = value;
    }
    out[at] = activation.apply(value);
}
