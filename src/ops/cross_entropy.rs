//! Cross-entropy of logits: `shaders/cross_entropy.wgsl`.

mod operation;

use crate::device::{Call, Kernel, MAX_INPUTS, Recording, Tensor, kernel};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::ops::{expect_shape, grid, put, reduce, same_shape, size};

pub(crate) use operation::{gradient, history};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    target_cols: u32,
    scale: f32,
    accumulate: u32,
    nan: f32,
    last_slot: u32,
}

pub(crate) static FORWARD: Kernel =
    kernel!("cross_entropy", "forward", [256, 1, 1], Params, inputs: 2, outputs: 1, step: true, forward_reference);
pub(crate) static BOTH: Kernel =
    kernel!("cross_entropy", "both", [256, 1, 1], Params, inputs: 3, outputs: 2, step: true, both_reference);
pub(crate) static BACKWARD: Kernel =
    kernel!("cross_entropy", "backward", [64, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference);

/// Rows that one workgroup adds.
const BLOCK: usize = 256;
/// An invocation goes up to five times through a row, and some drivers end its loops silently after 65,535 rounds in all.
const MAX_CLASSES: usize = 13_000;

fn check([rows, classes]: Shape, target: Shape) -> Result<()> {
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(Error::shape(
            "cross_entropy",
            format!("logits of {classes} classes; it takes 2 to {MAX_CLASSES} (for one logit use BceWithLogits)"),
        ));
    }
    if target != [rows, 1] && target != [rows, classes] {
        return Err(Error::shape(
            "cross_entropy",
            format!(
                "the logits are {rows} x {classes} but the target is {} x {}; it takes {rows} x 1 class numbers or \
                 {rows} x {classes} probabilities",
                target[0], target[1]
            ),
        ));
    }
    Ok(())
}

fn params(logits: &Tensor, target: &Tensor, scale: f32, accumulate: bool) -> Params {
    Params {
        rows: size(logits.rows()),
        cols: size(logits.cols()),
        target_cols: size(target.cols()),
        scale,
        accumulate: accumulate.into(),
        nan: f32::NAN,
        last_slot: 0,
    }
}

/// `loss[min(step, loss.len() - 1)] = -scale * sum of t log_softmax(z)`, with logits z [n, c], loss [1, 1] or [1, steps] for a
/// history of one loss a step, and targets t: probabilities [n, c], or class numbers [n, 1] from 0. A number that is no
/// class gives NaN. Probabilities need not sum to 1.
///
/// # Errors
/// Other shapes; one class, or more than 13,000.
pub fn forward(recording: &mut Recording, [logits, target]: [&Tensor; 2], scale: f32, loss: &Tensor) -> Result<()> {
    sum_blocks(recording, &FORWARD, scale, &[logits, target], loss, None)
}

/// [`forward`] and [`backward`] in one dispatch.
///
/// # Errors
/// See [`forward`].
pub fn both(
    recording: &mut Recording,
    [logits, target, d_loss]: [&Tensor; 3],
    scale: f32,
    [loss, gradient]: [&Tensor; 2],
) -> Result<()> {
    same_shape("cross_entropy", &[("the logits", logits), ("the gradient", gradient)])?;
    expect_shape("cross_entropy", "the loss's gradient", d_loss, [1, 1], "as the loss")?;
    sum_blocks(recording, &BOTH, scale, &[logits, target, d_loss], loss, Some(gradient))
}

/// Pushes a kernel that leaves a sum for each block, and the sum of these where there are several.
fn sum_blocks(
    recording: &mut Recording,
    kernel: &'static Kernel,
    scale: f32,
    inputs: &[&Tensor],
    loss: &Tensor,
    gradient: Option<&Tensor>,
) -> Result<()> {
    let (logits, target) = (inputs[0], inputs[1]);
    check(logits.shape(), target.shape())?;
    expect_shape("cross_entropy", "loss", loss, [1, loss.cols()], "to hold a sum, or one a step")?;
    let mut push = |sums: &Tensor, last_slot: usize| {
        let outputs: Vec<_> = [sums].into_iter().chain(gradient).collect();
        let params = Params { last_slot: size(last_slot), ..params(logits, target, scale, false) };
        recording.push(kernel, grid(logits.rows(), BLOCK), params, inputs, &outputs, 20 * logits.len() as u64)
    };
    if logits.rows() <= BLOCK {
        return push(loss, loss.len() - 1);
    }
    let partial = Tensor::zeros(logits.device(), 1, logits.rows().div_ceil(BLOCK))?;
    push(&partial, 0)?;
    reduce::sum(recording, &partial, 1.0, loss)
}

/// `gradient = d_loss * scale * (softmax(z) * (sum of t) - t)`, or `gradient += ...` with `accumulate`; d_loss
/// [1, 1], gradient [n, c].
///
/// # Errors
/// See [`forward`].
pub fn backward(
    recording: &mut Recording,
    [logits, target, d_loss]: [&Tensor; 3],
    scale: f32,
    gradient: &Tensor,
    accumulate: bool,
) -> Result<()> {
    check(logits.shape(), target.shape())?;
    same_shape("cross_entropy backward", &[("the logits", logits), ("the gradient", gradient)])?;
    expect_shape("cross_entropy backward", "the loss's gradient", d_loss, [1, 1], "as the loss")?;
    let params = params(logits, target, scale, accumulate);
    let work = 20 * logits.len() as u64;
    recording.push(&BACKWARD, grid(logits.rows(), 64), params, &[logits, target, d_loss], &[gradient], work)
}

/// log(sum of exp(z)), relative to the largest z.
fn log_sum_exp(z: &[f32]) -> f32 {
    let largest = z.iter().fold(f32::NEG_INFINITY, |largest, z| largest.max(*z));
    largest + z.iter().map(|z| (z - largest).exp()).sum::<f32>().ln()
}

/// The target of class j, from a row of probabilities or a class number.
fn target_at(target: &[f32], classes: usize, j: usize) -> f32 {
    match target {
        [class] if *class < 0.0 || *class >= classes as f32 || class.fract() != 0.0 => f32::NAN,
        [class] => f32::from(u8::from(*class as usize == j)),
        probabilities => probabilities[j],
    }
}

fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [logits, target, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    put_sums(&params, logits, target, &mut sums[call.step.min(params.last_slot as usize)..]);
}

fn put_sums(params: &Params, logits: &[f32], target: &[f32], sums: &mut [f32]) {
    let (classes, target_cols) = (params.cols as usize, params.target_cols as usize);
    let row_loss = |(z, t): (&[f32], &[f32])| {
        let normaliser = log_sum_exp(z);
        let terms = z.iter().enumerate().map(|(j, z)| (target_at(t, classes, j), normaliser - z));
        // 0 times an infinite logarithm counts as 0.
        terms.filter(|(t, _)| *t != 0.0).map(|(t, minus_log)| t * minus_log).sum::<f32>()
    };
    let blocks = logits.chunks(BLOCK * classes).zip(target.chunks(BLOCK * target_cols));
    for (sum, (logits, target)) in sums.iter_mut().zip(blocks) {
        let rows = logits.chunks_exact(classes).zip(target.chunks_exact(target_cols));
        *sum = params.scale * rows.map(row_loss).sum::<f32>();
    }
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [gradient, ..] = call.outputs;
    put_gradient(&params, call.inputs, gradient);
}

fn put_gradient(params: &Params, inputs: [&[f32]; MAX_INPUTS], gradient: &mut [f32]) {
    let (classes, target_cols) = (params.cols as usize, params.target_cols as usize);
    let [logits, target, d_loss, ..] = inputs;
    let factor = d_loss[0] * params.scale;
    let rows = logits.chunks_exact(classes).zip(target.chunks_exact(target_cols));
    for (gradient, (z, t)) in gradient.chunks_exact_mut(classes).zip(rows) {
        let normaliser = log_sum_exp(z);
        let total: f32 = (0..classes).map(|j| target_at(t, classes, j)).sum();
        for (j, (gradient, z)) in gradient.iter_mut().zip(z).enumerate() {
            let slope = (z - normaliser).exp() * total - target_at(t, classes, j);
            put(gradient, factor * slope, params.accumulate != 0);
        }
    }
}

fn both_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [logits, target, ..] = call.inputs;
    let [sums, gradient, ..] = call.outputs;
    put_sums(&params, logits, target, &mut sums[call.step.min(params.last_slot as usize)..]);
    put_gradient(&params, call.inputs, gradient);
}
