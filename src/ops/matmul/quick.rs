//! A fast version of `reference.rs` with bit-identical results: products with vector instructions, on several threads
//! if they are large; loops for the epilogue.

use std::cell::Cell;

use super::reference::plus;
use super::{BIAS, DERIVATIVE, Params};
use crate::device::Call;
use crate::ops::Activation;
use crate::ops::elementary::sum_columns;
use crate::simd::{self, Activate, End, Level, Matrix, widest};

/// small, direct, direct4, tiled, wide.
pub(super) fn product(call: Call<'_>) {
    let params: Params = call.params();
    let threads = simd::worth(2 * params.m as usize * params.n as usize * params.k as usize);
    product_by(Level::best(), threads, call);
}

pub(super) fn product_by(level: Level, threads: usize, call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, extra, ..] = call.inputs;
    let [out, kept, ..] = call.outputs;
    let outputs = params.m as usize * params.n as usize;
    let by =
        Multiplication { level, threads, params, a: &a[params.a_start as usize..], b: &b[params.b_start as usize..] };
    if params.parts != 1 {
        for (part, sums) in out.chunks_exact_mut(outputs).enumerate().take(params.parts as usize) {
            let first = part * params.part_k as usize;
            let end = (params.k as usize).min(first + params.part_k as usize);
            by.run(first, end - first, sums, End { alpha: 1.0, beta: 0.0, bias: &[], activate: Activate::Nothing });
        }
        return;
    }
    let (c, behind) = out.split_at_mut(outputs);
    if params.sums_at != 0 {
        let sums = &mut behind[params.sums_at as usize - outputs..][..params.m as usize];
        row_sums(&params, by.a, sums);
    }
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    let narrow = by.is_narrow();
    let relu = activation == Activation::ReLU && params.keep == 0 && !narrow;
    let activate = match params.extra_is {
        DERIVATIVE if relu => Activate::ReluDerivative(&extra[..outputs]),
        DERIVATIVE => Activate::Nothing,
        _ if relu => Activate::Relu,
        _ => Activate::Nothing,
    };
    let bias = if params.extra_is == BIAS { &extra[..params.n as usize] } else { &[] };
    let end = End { alpha: params.alpha, beta: params.beta, bias, activate };
    if narrow {
        by.run_turned(c, end);
    } else {
        by.run(0, params.k as usize, c, end);
    }
    if !relu {
        finish(&params, activation, c, extra, kept);
    }
}

struct Multiplication<'a> {
    level: Level,
    threads: usize,
    params: Params,
    a: &'a [f32],
    b: &'a [f32],
}

impl Multiplication<'_> {
    /// A stretch of k.
    fn run(&self, first: usize, k: usize, c: &mut [f32], end: End<'_>) {
        let Params { m, n, a_row, a_col, b_row, b_col, .. } = self.params;
        let [m, n, a_row, a_col, b_row, b_col] = [m, n, a_row, a_col, b_row, b_col].map(|x| x as usize);
        let a = Matrix { values: &self.a[first * a_col..], row: a_row, col: a_col };
        let b = Matrix { values: &self.b[first * b_row..], row: b_row, col: b_col };
        simd::multiply(self.level, self.threads, [m, n, k], a, b, c, end);
    }

    /// Whether the output has rows too short for a vector, and its transpose has long ones that need no transposed factor.
    fn is_narrow(&self) -> bool {
        let Params { m, n, a_row, .. } = self.params;
        a_row == 1 && n <= 4 && (16..=1 << 14).contains(&m)
    }

    /// The same by way of the transpose, without an activation.
    fn run_turned(&self, c: &mut [f32], end: End<'_>) {
        thread_local! {
            static TURNED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
        }
        let Params { m, n, k, a_row, a_col, b_row, b_col, .. } = self.params;
        let [m, n, k, a_row, a_col, b_row, b_col] = [m, n, k, a_row, a_col, b_row, b_col].map(|x| x as usize);
        let a = Matrix { values: self.b, row: b_col, col: b_row };
        let b = Matrix { values: self.a, row: a_col, col: a_row };
        let mut turned = TURNED.take();
        if turned.len() < m * n {
            turned.resize(m * n, 0.0);
        }
        let plain = End { alpha: end.alpha, beta: 0.0, bias: &[], activate: Activate::Nothing };
        simd::multiply(self.level, self.threads, [n, m, k], a, b, &mut turned[..m * n], plain);
        for (j, turned) in turned[..m * n].chunks_exact(m).enumerate() {
            let bias = end.bias.get(j).copied();
            for (value, c) in turned.iter().zip(c[j..].iter_mut().step_by(n)) {
                let value = plus(*value, end.beta, *c);
                *c = bias.map_or(value, |bias| value + bias);
            }
        }
        TURNED.set(turned);
    }
}

pub(super) fn add_parts(call: Call<'_>) {
    let params: Params = call.params();
    let [parts, _, extra, ..] = call.inputs;
    let [c, kept, ..] = call.outputs;
    widest(
        #[inline(always)]
        || {
            c.iter_mut().for_each(|value| *value = plus(0.0, params.beta, *value));
            for part in parts.chunks_exact(c.len()).take(params.k as usize) {
                for (value, sum) in c.iter_mut().zip(part) {
                    *value += params.alpha * sum;
                }
            }
            if params.extra_is == BIAS {
                for row in c.chunks_exact_mut(params.n as usize) {
                    row.iter_mut().zip(extra).for_each(|(value, bias)| *value += bias);
                }
            }
        },
    );
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    finish(&params, activation, c, extra, kept);
}

/// What comes after the product and its bias.
pub(super) fn finish(params: &Params, activation: Activation, c: &mut [f32], extra: &[f32], kept: &mut [f32]) {
    if params.keep != 0 {
        kept.copy_from_slice(c);
    }
    if params.extra_is == DERIVATIVE {
        widest(
            #[inline(always)]
            || activation.multiply_by_derivative(c, extra),
        );
    } else if activation != Activation::Identity {
        widest(
            #[inline(always)]
            || activation.apply_to(c),
        );
    }
}

/// The sums of A's rows, scaled and added like the product.
fn row_sums(params: &Params, a: &[f32], sums: &mut [f32]) {
    let [rows, k, row, col] = [params.m, params.k, params.a_row, params.a_col].map(|n| n as usize);
    let (alpha, beta) = (params.alpha, params.beta);
    let mut store = |at: usize, sum: f32| sums[at] = plus(alpha * sum, beta, sums[at]);
    if row == 1 && col >= rows {
        // A transpose, as in a backward pass: its columns are neighbours in memory.
        widest(
            #[inline(always)]
            || sum_columns(&a[..(k - 1) * col + rows], col, rows, &mut store),
        );
        return;
    }
    for i in 0..rows {
        let terms = a[i * row..].iter().step_by(col).take(k);
        store(i, terms.fold(0.0, |sum, a| sum + f64::from(*a)) as f32);
    }
}
