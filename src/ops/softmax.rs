//! Softmax and its logarithm over each row: `shaders/softmax.wgsl`.

mod operation;

use crate::device::{Call, Kernel, Recording, Tensor, kernel};
use crate::error::{Error, Result};
use crate::ops::{grid, put, same_shape, size};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    log: u32,
    accumulate: u32,
}

pub(crate) static FORWARD: Kernel =
    kernel!("softmax", "forward", [64, 1, 1], Params, inputs: 1, outputs: 1, step: false, forward_reference);
pub(crate) static BACKWARD: Kernel =
    kernel!("softmax", "backward", [64, 1, 1], Params, inputs: 2, outputs: 1, step: false, backward_reference);

/// Columns of a row: its 64 invocations go through it three times, in fewer than 65,535 rounds in all.
const MAX_COLS: usize = 64 * 20_000;

fn params(x: &Tensor, log: bool, accumulate: bool) -> Result<Params> {
    if x.cols() > MAX_COLS {
        return Err(Error::shape("softmax", format!("{} columns; it takes at most {MAX_COLS}", x.cols())));
    }
    Ok(Params { rows: size(x.rows()), cols: size(x.cols()), log: log.into(), accumulate: accumulate.into() })
}

/// `out[r, c] = exp(x[r, c]) / (sum over the row of exp(x))`, or with `log` its logarithm; both have one shape.
///
/// # Errors
/// Different shapes; more than 1,280,000 columns.
pub fn forward(recording: &mut Recording, x: &Tensor, log: bool, out: &Tensor) -> Result<()> {
    same_shape("softmax", &[("x", x), ("out", out)])?;
    let params = params(x, log, false)?;
    recording.push(&FORWARD, grid(x.rows(), 1), params, &[x], &[out], 20 * x.len() as u64)
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
    recording.push(&BACKWARD, grid(y.rows(), 1), params, &[y, dy], &[dx], 10 * y.len() as u64)
}

fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let cols = params.cols as usize;
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for (out, x) in out.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
        let largest = x.iter().fold(f32::NEG_INFINITY, |largest, x| largest.max(*x));
        let sum: f32 = x.iter().map(|x| (x - largest).exp()).sum();
        for (out, x) in out.iter_mut().zip(x) {
            *out = if params.log != 0 { x - largest - sum.ln() } else { (x - largest).exp() / sum };
        }
    }
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let cols = params.cols as usize;
    let [y, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for ((dx, y), dy) in dx.chunks_exact_mut(cols).zip(y.chunks_exact(cols)).zip(dy.chunks_exact(cols)) {
        let log = params.log != 0;
        let sum: f32 = dy.iter().zip(y).map(|(dy, y)| if log { *dy } else { dy * y }).sum();
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            put(dx, if log { dy - y.exp() * sum } else { y * (dy - sum) }, params.accumulate != 0);
        }
    }
}
