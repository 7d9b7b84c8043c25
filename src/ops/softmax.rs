//! Softmax and its logarithm over each row: `shaders/softmax.wgsl`.

pub(crate) mod operation;

use crate::device::{Call, Cut, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::elementary::{self, larger, sum_of, sum_of_pairs};
use crate::ops::{GROUP, grid, longest_loop, put, same_shape, size};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        log: u32,
        accumulate: u32,
    }
}

const SHADER: Shader =
    shader!(["common/grid", "common/lanes", "common/numbers", "common/elementary", "softmax"], shared: [GROUP]);

pub(crate) static FORWARD: Kernel =
    kernel!("softmax", "forward", SHADER, [GROUP, 1, 1], Params, inputs: 1, outputs: 1, step: false, forward_reference)
        .cut(Cut::by_rows);
pub(crate) static BACKWARD: Kernel = kernel!("softmax", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, backward_reference).cut(Cut::by_rows);

/// Columns of a row, through which its workgroup goes three times.
const MAX_COLS: usize = GROUP * longest_loop(3);

fn params(x: &Tensor, log: bool, accumulate: bool) -> Result<Params> {
    if x.cols() > MAX_COLS {
        return Err(Error::shape("softmax", format!("{} columns; it takes at most {MAX_COLS}", x.cols())));
    }
    Ok(Params { rows: size(x.rows()), cols: size(x.cols()), log: log.into(), accumulate: accumulate.into() })
}

/// A workgroup per row, however short, costs as much as some thousand elements for each time that its invocations add up.
fn work(x: &Tensor, each: usize, reductions: usize) -> u64 {
    (each * x.len() + 4096 * reductions * x.rows()) as u64
}

/// `out[r, c] = exp(x[r, c]) / (sum over the row of exp(x))`, or with `log` its logarithm; both have one shape.
///
/// # Errors
/// Different shapes; more than 1,344,000 columns.
pub fn forward(recording: &mut Recording, x: &Tensor, log: bool, out: &Tensor) -> Result<()> {
    same_shape("softmax", &[("x", x), ("out", out)])?;
    let params = params(x, log, false)?;
    recording.push(&FORWARD, grid(x.rows(), 1), params, &[x], &[out], work(x, 20, 3))
}

/// The gradient of x, or `dx += ...` with `accumulate`, where y is [`forward`]'s output; all have one shape.
///
/// # Errors
/// See [`forward`].
pub fn backward(
    recording: &mut Recording,
    [y, dy]: [&Tensor; 2],
    log: bool,
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    same_shape("softmax backward", &[("y", y), ("dy", dy), ("dx", dx)])?;
    let params = params(y, log, accumulate)?;
    recording.push(&BACKWARD, grid(y.rows(), 1), params, &[y, dy], &[dx], work(y, 10, 1))
}

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let cols = params.cols as usize;
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for (out, x) in out.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        let largest = x.iter().fold(f32::NEG_INFINITY, |largest, x| larger(largest, *x));
        // The largest, of equals one, counts as 1 apart from the others: their sum would lose its digits in 1 + it.
        let others = sum_of(x, |x| if x == largest { 0.0 } else { elementary::exp(x - largest) });
        let rest = (sum_of(x, |x| if x == largest { 1.0 } else { 0.0 }) - 1.0) + others;
        let log_sum = elementary::ln_1p(rest);
        for (out, x) in out.iter_mut().zip(x) {
            let shifted = x - largest;
            *out = if params.log != 0 { shifted - log_sum } else { elementary::exp(shifted) / (1.0 + rest) };
        }
    }
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let cols = params.cols as usize;
    let [y, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for ((dx, y), dy) in dx.chunks_exact_mut(cols).zip(y.chunks_exact(cols)).zip(dy.chunks_exact(cols)) {
        let log = params.log != 0;
        let sum = if log { sum_of(dy, |dy| dy) } else { sum_of_pairs(dy, y, |dy, y| dy * y) };
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            put(dx, if log { dy - elementary::exp(*y) * sum } else { y * (dy - sum) }, params.accumulate != 0);
        }
    }
}
