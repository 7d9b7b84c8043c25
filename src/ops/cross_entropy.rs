//! Cross-entropy of logits: `shaders/cross_entropy.wgsl`.

mod operation;

use crate::device::{
    CHUNK_ROWS, Call, Cut, Dispatch, Kernel, MAX_INPUTS, Recording, Shader, Share, Tensor, kernel, params, shader,
};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::ops::elementary::{exp, sum_of};
use crate::ops::metrics::{argmax, class};
use crate::ops::{GROUP, expect_shape, grid, longest_loop, put, reduce, same_shape, size};
pub(crate) use operation::{gradient, history};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        target_cols: u32,
        scale: f32,
        accumulate: u32,
        last_slot: u32,
    }
}

const SHADER: Shader = shader!(["common/grid", "common/step", "common/lanes", "common/numbers", "common/class", "common/elementary", "cross_entropy"], shared: [GROUP, BLOCK]);

pub(crate) static FORWARD: Kernel = Kernel {
    cut,
    ..kernel!("cross_entropy", "forward", SHADER, [BLOCK, 1, 1], Params, inputs: 2, outputs: 1, step: true, forward_reference)
};
pub(crate) static BOTH: Kernel = Kernel {
    cut,
    ..kernel!("cross_entropy", "both", SHADER, [BLOCK, 1, 1], Params, inputs: 3, outputs: 2, step: true, both_reference)
};
pub(crate) static BACKWARD: Kernel = Kernel {
    cut: Cut::by_rows,
    ..kernel!("cross_entropy", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference)
};

/// Rows that one workgroup adds.
const BLOCK: usize = CHUNK_ROWS;
/// An invocation goes up to five times through a row.
const MAX_CLASSES: usize = longest_loop(5);

/// There is one sum for each chunk of rows.
fn cut(dispatch: &Dispatch) -> Option<Cut> {
    let rows = dispatch.inputs[0].rows();
    let share = |tensor: &Tensor| if tensor.rows() == rows { Share::Rows(tensor.cols()) } else { Share::Whole };
    let inputs = dispatch.inputs.iter().map(share).collect();
    let outputs = [Share::Piece(1), Share::Rows(dispatch.inputs[0].cols())][..dispatch.outputs.len()].to_vec();
    Cut::chunks(rows, inputs, outputs)
}

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
        last_slot: 0,
    }
}

/// `loss[min(step, loss.len() - 1)] = -scale * sum of t log_softmax(z)`, with logits z [n, c], loss [1, 1] or [1,
/// steps] for a history of one loss per step, and targets t: probabilities [n, c], or class numbers [n, 1] from 0. A
/// number that is no class gives NaN. Probabilities need not sum to 1.
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
    recording.push(&BACKWARD, grid(logits.rows(), GROUP), params, &[logits, target, d_loss], &[gradient], work)
}

/// A row relative to its largest logit, whose exponential is 1.
struct Row {
    largest: f32,
    /// The index of the largest; of equals, the first.
    at: usize,
    /// The sum of the other exponentials, apart: what is left of a confident row would be lost in 1 + rest.
    rest: f32,
}

impl Row {
    fn new(z: &[f32]) -> Self {
        let at = argmax(z);
        let largest = z[at];
        let exps = |z: &[f32]| sum_of(z, |z| exp(z - largest));
        let rest = exps(&z[..at]) + exps(&z[at + 1..]);
        // A NaN that is the largest is not among the rest.
        Self { largest, at, rest: if largest.is_nan() { largest } else { rest } }
    }
}

/// The target of class j, from a row of probabilities or a class number.
fn target_at(target: &[f32], classes: usize, j: usize) -> f32 {
    match target {
        [number] => class(*number, classes).map_or(f32::NAN, |class| f32::from(u8::from(class == j))),
        probabilities => probabilities[j],
    }
}

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [logits, target, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    put_sums(&params, logits, target, &mut sums[call.step.min(params.last_slot as usize)..]);
}

#[inline(always)]
fn put_sums(params: &Params, logits: &[f32], target: &[f32], sums: &mut [f32]) {
    let (classes, target_cols) = (params.cols as usize, params.target_cols as usize);
    let row_loss = |(z, t): (&[f32], &[f32])| {
        let row = Row::new(z);
        let log_sum = row.rest.ln_1p();
        let terms = z.iter().enumerate().map(|(j, z)| (target_at(t, classes, j), log_sum - (z - row.largest)));
        // 0 times an infinite logarithm counts as 0.
        terms.filter(|(t, _)| *t != 0.0).map(|(t, minus_log)| f64::from(t * minus_log)).sum::<f64>()
    };
    let blocks = logits.chunks(BLOCK * classes).zip(target.chunks(BLOCK * target_cols));
    for (sum, (logits, target)) in sums.iter_mut().zip(blocks) {
        let rows = logits.chunks_exact(classes).zip(target.chunks_exact(target_cols));
        *sum = params.scale * rows.map(row_loss).sum::<f64>() as f32;
    }
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [gradient, ..] = call.outputs;
    put_gradient(&params, call.inputs, gradient);
}

#[inline(always)]
fn put_gradient(params: &Params, inputs: [&[f32]; MAX_INPUTS], gradient: &mut [f32]) {
    let (classes, target_cols) = (params.cols as usize, params.target_cols as usize);
    let [logits, target, d_loss, ..] = inputs;
    let factor = d_loss[0] * params.scale;
    let rows = logits.chunks_exact(classes).zip(target.chunks_exact(target_cols));
    for (gradient, (z, t)) in gradient.chunks_exact_mut(classes).zip(rows) {
        let row = Row::new(z);
        let total = (0..classes).map(|j| f64::from(target_at(t, classes, j))).sum::<f64>() as f32;
        for (j, (gradient, z)) in gradient.iter_mut().zip(z).enumerate() {
            // softmax * total - t. Subtracted are the shares of the others, which are exact where they are small.
            let (e, t) = (exp(z - row.largest), target_at(t, classes, j));
            let others = if j == row.at { row.rest } else { 1.0 + row.rest - e };
            let slope = (e * (total - t) - others * t) / (1.0 + row.rest);
            put(gradient, factor * slope, params.accumulate != 0);
        }
    }
}

#[inline(always)]
fn both_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [logits, target, ..] = call.inputs;
    let [sums, gradient, ..] = call.outputs;
    put_sums(&params, logits, target, &mut sums[call.step.min(params.last_slot as usize)..]);
    put_gradient(&params, call.inputs, gradient);
}
