//! What the kernels of `shaders/matmul.wgsl` compute, on the CPU: matrixmultiply, and loops for what comes after.

use std::ops::Range;

use super::{BIAS, DERIVATIVE, Params};
use crate::device::Call;
use crate::ops::Activation;
use crate::ops::elementary::sum_columns;

/// small, direct, tiled, wide.
pub(super) fn product(call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, extra, ..] = call.inputs;
    let [out, kept, ..] = call.outputs;
    let outputs = params.m as usize * params.n as usize;
    if params.parts != 1 {
        let plain = Params { alpha: 1.0, beta: 0.0, ..params };
        for (part, sums) in out.chunks_exact_mut(outputs).enumerate() {
            let first = part as u32 * params.part_k;
            multiply(&plain, first..params.k.min(first + params.part_k), a, b, sums);
        }
        return;
    }
    let (c, behind) = out.split_at_mut(outputs);
    if params.sums_at != 0 {
        let sums = &mut behind[params.sums_at as usize - outputs..][..params.m as usize];
        row_sums(&params, &a[params.a_start as usize..], sums);
    }
    multiply(&params, 0..params.k, a, b, c);
    finish(&params, c, extra, kept);
}

pub(super) fn add_parts(call: Call<'_>) {
    let params: Params = call.params();
    let [parts, _, extra, ..] = call.inputs;
    let [c, kept, ..] = call.outputs;
    for value in c.iter_mut() {
        *value = if params.beta == 0.0 { 0.0 } else { params.beta * *value };
    }
    for part in parts.chunks_exact(c.len()).take(params.k as usize) {
        for (value, sum) in c.iter_mut().zip(part) {
            *value += params.alpha * sum;
        }
    }
    finish(&params, c, extra, kept);
}

/// `c = alpha * a b + beta * c` over a stretch of k.
#[expect(unsafe_code, reason = "matrixmultiply takes pointers")]
fn multiply(params: &Params, k: Range<u32>, a: &[f32], b: &[f32], c: &mut [f32]) {
    let a = &a[(params.a_start + k.start * params.a_col) as usize..];
    let b = &b[(params.b_start + k.start * params.b_row) as usize..];
    let (m, n, k) = (params.m as usize, params.n as usize, k.len());
    let last = |rows: usize, row: u32, cols: usize, col: u32| (rows - 1) * row as usize + (cols - 1) * col as usize;
    let fits = last(m, params.a_row, k, params.a_col) < a.len()
        && last(k, params.b_row, n, params.b_col) < b.len()
        && c.len() == m * n;
    assert!(fits, "matmul checks its shapes before it records");
    // SAFETY: the elements that sgemm reaches through the strides lie within the slices, as just checked; c overlaps
    // neither a nor b, being borrowed mutably. With beta = 0 sgemm does not read c.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            params.alpha,
            a.as_ptr(),
            params.a_row as isize,
            params.a_col as isize,
            b.as_ptr(),
            params.b_row as isize,
            params.b_col as isize,
            params.beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

/// What comes after the product.
fn finish(params: &Params, c: &mut [f32], extra: &[f32], kept: &mut [f32]) {
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    if params.extra_is == DERIVATIVE {
        activation.multiply_by_derivative(c, extra);
        return;
    }
    if params.extra_is == BIAS {
        for row in c.chunks_exact_mut(params.n as usize) {
            for (c, bias) in row.iter_mut().zip(extra) {
                *c += bias;
            }
        }
    }
    if params.keep != 0 {
        kept.copy_from_slice(c);
    }
    if activation != Activation::Identity {
        activation.apply_to(c);
    }
}

/// The sums of A's rows, scaled and added like the product.
fn row_sums(params: &Params, a: &[f32], sums: &mut [f32]) {
    let [rows, k] = [params.m, params.k].map(|n| n as usize);
    let (row, col) = (params.a_row as usize, params.a_col as usize);
    let mut store = |at: usize, sum: f32| {
        let before = if params.beta == 0.0 { 0.0 } else { params.beta * sums[at] };
        sums[at] = params.alpha * sum + before;
    };
    if row == 1 {
        // A transpose, as in a backward pass: its columns are neighbours in memory.
        sum_columns(&a[..(k - 1) * col + rows], col, rows, store);
    } else {
        for i in 0..rows {
            let terms = a[i * row..].iter().step_by(col).take(k);
            store(i, terms.map(|a| f64::from(*a)).sum::<f64>() as f32);
        }
    }
}
