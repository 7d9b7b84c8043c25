//! Cross-entropy of logits: `shaders/cross_entropy.wgsl`.

mod operation;
mod rows;

use std::cell::Cell;

use crate::device::{
    CHUNK_ROWS, Call, Cut, Dispatch, Kernel, Lanes, MAX_INPUTS, MEMBERS, Recording, Shader, Share, Tensor, kernel,
    params, shader,
};
use crate::error::{Error, Result};
use crate::graph::Shape;
use crate::ops::{GROUP, LOAD, expect_shape, grid, longest_loop, put, reduce, same_shape, size, work_of_rows};
use crate::simd::interleave;
pub(crate) use operation::{called, gradient, history, is_gradient};
use rows::Rows;

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

pub(crate) static FORWARD: Kernel = kernel!("cross_entropy", "forward", SHADER, [BLOCK, 1, 1], Params, inputs: 2, outputs: 1, step: true, forward_reference).cut(cut).lanes(rows::forward);
pub(crate) static BOTH: Kernel =
    kernel!("cross_entropy", "both", SHADER, [BLOCK, 1, 1], Params, inputs: 3, outputs: 2, step: true, both_reference)
        .cut(cut)
        .lanes(rows::both);
pub(crate) static BACKWARD: Kernel = kernel!("cross_entropy", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference).cut(Cut::by_rows);

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
        recording.push(kernel, grid(logits.rows(), BLOCK), params, inputs, &outputs, work(logits))
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
    let inputs = [logits, target, d_loss];
    recording.push(&BACKWARD, grid(logits.rows(), GROUP), params, &inputs, &[gradient], work(logits))
}

fn work(logits: &Tensor) -> u64 {
    work_of_rows(logits.rows(), 5 * LOAD * logits.cols())
}

/// The loss of a row of logits, and its gradient.
pub(crate) fn row_loss(z: &[f32], t: &[f32]) -> (f32, Vec<f32>) {
    let alike = |values: &[f32]| values.iter().map(|value| [*value; MEMBERS]).collect::<Vec<_>>();
    let (z, t) = (alike(z), alike(t));
    let rows = Rows::new(&z, &t);
    let mut slopes = vec![0.0; z.len()];
    rows.slopes(|j, slope| slopes[j] = slope[0]);
    (rows.losses()[0] as f32, slopes)
}

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [sums, ..] = call.outputs;
    run(&params, call.inputs, Some(&mut sums[call.step.min(params.last_slot as usize)..]), None);
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [gradient, ..] = call.outputs;
    run(&params, call.inputs, None, Some(gradient));
}

#[inline(always)]
fn both_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [sums, gradient, ..] = call.outputs;
    run(&params, call.inputs, Some(&mut sums[call.step.min(params.last_slot as usize)..]), Some(gradient));
}

thread_local! {
    /// Eight rows of logits and targets, interleaved: kept from call to call.
    static SCRATCH: Cell<Vec<Lanes>> = const { Cell::new(Vec::new()) };
}

/// The sum of each block of rows, and the gradient, as far as they are wanted. Eight rows go side by side; each row's numbers
/// are those that it has alone, and a block's losses are added in their order.
#[inline(always)]
fn run(
    params: &Params,
    [logits, target, d_loss, ..]: [&[f32]; MAX_INPUTS],
    sums: Option<&mut [f32]>,
    mut gradient: Option<&mut [f32]>,
) {
    let [classes, target_cols] = [params.cols, params.target_cols].map(|cols| cols as usize);
    let count = logits.len() / classes;
    let mut scratch = SCRATCH.take();
    scratch.resize(classes + target_cols, [0.0; MEMBERS]);
    let mut sums = sums.map(|sums| sums.iter_mut());
    for start in (0..count).step_by(BLOCK) {
        let end = count.min(start + BLOCK);
        let mut total = 0f64;
        for first in (start..end).step_by(MEMBERS) {
            let last = end.min(first + MEMBERS) - 1;
            // Idle lanes repeat the last row.
            let row: [usize; MEMBERS] = std::array::from_fn(|lane| last.min(first + lane));
            let (z, t) = scratch.split_at_mut(classes);
            interleave(row.map(|row| &logits[row * classes..][..classes]), z);
            interleave(row.map(|row| &target[row * target_cols..][..target_cols]), t);
            let rows = Rows::new(z, t);
            if sums.is_some() {
                rows.losses()[..=last - first].iter().for_each(|loss| total += loss);
            }
            if let Some(gradient) = &mut gradient {
                let (factor, gradient) =
                    (d_loss[0] * params.scale, &mut gradient[first * classes..(last + 1) * classes]);
                rows.slopes(|j, slopes| {
                    for (gradient, slope) in gradient.chunks_exact_mut(classes).zip(slopes) {
                        put(&mut gradient[j], factor * slope, params.accumulate != 0);
                    }
                });
            }
        }
        if let Some(sum) = sums.as_mut().and_then(Iterator::next) {
            *sum = params.scale * total as f32;
        }
    }
    SCRATCH.set(scratch);
}
