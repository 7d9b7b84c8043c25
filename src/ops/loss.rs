//! Elementwise losses: `shaders/loss.wgsl`.

mod combine;
mod lanes;
mod operation;

use crate::device::{
    CHUNK_ROWS, Call, Constants, Cut, Dispatch, Kernel, Recording, Shader, Share, Tensor, kernel, params, shader,
};
use crate::error::{Error, Result};
use crate::ops::activation::sigmoid;
use crate::ops::elementary::{clip, exp, ln_1p, sum_of_pairs};
use crate::ops::reduce::{self, BLOCK, LANES};
use crate::ops::{Activation, GROUP, LOAD, expect_shape, grid, put, same_shape, size};
pub(crate) use operation::{called, derivative, gradient, history, is_gradient};

/// How a loss reduces the errors of a batch of n samples (rows) with c outputs (columns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduction {
    /// The mean over all n c elements (cross-entropy: over the samples): PyTorch's default.
    #[default]
    Mean,
    /// The sum over all elements.
    Sum,
    /// The sum over the outputs, the mean over the samples: sum / n.
    SampleMean,
    /// The mean over the outputs, the sum over the samples: sum / c.
    OutputMean,
}

impl Reduction {
    /// What the sum over all elements is multiplied by.
    ///
    /// ```
    /// use wgrad::ops::Reduction;
    /// assert_eq!(Reduction::SampleMean.scale(4, 2), 0.25);
    /// ```
    pub fn scale(self, samples: usize, outputs: usize) -> f32 {
        match self {
            // Exact as long as it can be counted.
            Self::Mean => 1.0 / (samples as f64 * outputs as f64) as f32,
            Self::Sum => 1.0,
            Self::SampleMean => 1.0 / samples as f32,
            Self::OutputMean => 1.0 / outputs as f32,
        }
    }
}

/// The error of one prediction p with its target t.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Elementwise {
    /// `(p - t)²`.
    Squared,
    /// `|p - t|`; its derivative at 0 is 0.
    Absolute,
    /// Huber 1964: `(p - t)² / 2` up to a difference of delta, then `delta (|p - t| - delta / 2)`.
    Huber {
        /// Where the parabola turns into a line; positive.
        delta: f32,
    },
    /// Binary cross-entropy of a logit p with a probability t: `-t log σ(p) - (1 - t) log(1 - σ(p))`, computed as
    /// `max(p, 0) - p t + log(1 + exp(-|p|))`, which stays finite, in a form that keeps small losses' digits.
    BceWithLogits,
    /// The quantile (pinball) loss: `quantile (t - p)` below the target, `(1 - quantile) (p - t)` above it; its derivative
    /// at 0 is 0.
    Quantile {
        /// Between 0 and 1: the share of targets that the prediction is to be above.
        quantile: f32,
    },
}

impl Elementwise {
    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Squared => 0,
            Self::Absolute => 1,
            Self::Huber { .. } => 2,
            Self::BceWithLogits => 3,
            Self::Quantile { .. } => 5,
        }
    }

    /// The number that the error depends on.
    pub(crate) fn constant(self) -> f32 {
        match self {
            Self::Huber { delta } => delta,
            Self::Quantile { quantile } => quantile,
            _ => 0.0,
        }
    }

    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                Err(Error::input("huber", format!("a delta of {delta}; give a positive number")))
            }
            Self::Quantile { quantile } if !(quantile > 0.0 && quantile < 1.0) => {
                Err(Error::input("quantile", format!("a quantile of {quantile}; give a number between 0 and 1")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn from_kind(kind: u32, constant: f32) -> Self {
        match kind {
            0 => Self::Squared,
            1 => Self::Absolute,
            3 => Self::BceWithLogits,
            5 => Self::Quantile { quantile: constant },
            // An unknown number gives NaN, as in the shader.
            _ => Self::Huber { delta: if kind == 2 { constant } else { f32::NAN } },
        }
    }

    /// The error.
    #[inline(always)]
    pub fn error(self, p: f32, t: f32) -> f32 {
        let e = p - t;
        match self {
            Self::Squared => e * e,
            Self::Absolute => e.abs(),
            Self::Huber { delta } if e.abs() <= delta => 0.5 * e * e,
            Self::Huber { delta } => delta * (e.abs() - 0.5 * delta),
            Self::BceWithLogits => (if p > 0.0 { p * (1.0 - t) } else { -p * t }) + ln_1p(exp(-p.abs())),
            Self::Quantile { quantile } => (if e < 0.0 { -quantile } else { 1.0 - quantile }) * e,
        }
    }

    /// The error's derivative with respect to the prediction.
    #[inline(always)]
    pub fn derivative(self, p: f32, t: f32) -> f32 {
        let e = p - t;
        match self {
            Self::Squared => 2.0 * e,
            Self::Absolute if e == 0.0 => 0.0,
            Self::Absolute => e.signum(),
            Self::Huber { delta } => clip(e, delta),
            // sigmoid(p) - t, where it is small, too.
            Self::BceWithLogits => sigmoid(p) * (1.0 - t) - sigmoid(-p) * t,
            Self::Quantile { quantile } if e < 0.0 => -quantile,
            Self::Quantile { quantile } if e > 0.0 => 1.0 - quantile,
            // 0, or NaN.
            Self::Quantile { .. } => e,
        }
    }

    #[inline(always)]
    fn derivative_by_target(self, p: f32, t: f32) -> f32 {
        // The others depend on the difference alone.
        if self == Self::BceWithLogits { -p } else { -self.derivative(p, t) }
    }
}

params! {
    struct Params {
        len: u32,
        kind: u32,
        constant: f32,
        scale: f32,
        by_target: u32,
        accumulate: u32,
        last_slot: u32,
        activation: u32,
        activation_a: f32,
        has_before: u32,
        block: u32,
    }
}

/// If a chunk of rows is a block, of which there is one sum.
fn cut(dispatch: &Dispatch) -> Option<Cut> {
    let params: Params = bytemuck::pod_read_unaligned(&dispatch.params);
    let [rows, cols] = dispatch.inputs[0].shape();
    let share = |tensor: &Tensor| if tensor.len() == rows * cols { Share::Rows(cols) } else { Share::Whole };
    let inputs = dispatch.inputs.iter().map(share).collect();
    let outputs = [Share::Piece(1), Share::Rows(cols)][..dispatch.outputs.len()].to_vec();
    Cut::chunks(rows, inputs, outputs).filter(|_| params.block as usize == CHUNK_ROWS * cols)
}

fn constants(params: &[u8]) -> Constants {
    let params: Params = bytemuck::pod_read_unaligned(params);
    let kinds = [("kind", params.kind), ("activation", params.activation), ("has_before", params.has_before)];
    kinds.map(|(name, value)| (name, value.into())).into()
}

impl Params {
    fn new(error: Elementwise, len: usize, scale: f32) -> Self {
        let (kind, constant) = (error.kind(), error.constant());
        Self { len: size(len), kind, constant, scale, block: size(BLOCK), ..bytemuck::Zeroable::zeroed() }
    }

    fn error(&self) -> Elementwise {
        Elementwise::from_kind(self.kind, self.constant)
    }
}

const SHADER: Shader = shader!(["common/grid", "common/step", "common/lanes", "common/numbers", "common/elementary", "common/activation", "common/error", "loss"], shared: [GROUP, LANES]);

pub(crate) static FORWARD: Kernel = kernel!("loss", "forward", SHADER, [LANES, 1, 1], Params, inputs: 2, outputs: 1, step: true, forward_reference, constants).cut(cut).lanes(lanes::forward);
pub(crate) static BOTH: Kernel = kernel!("loss", "both", SHADER, [LANES, 1, 1], Params, inputs: 4, outputs: 2, step: true, both_reference, constants).cut(cut).lanes(lanes::both);
pub(crate) static BACKWARD: Kernel = kernel!("loss", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference, constants).cut(Cut::by_rows);

/// `loss[min(step, loss.len() - 1)] = scale * sum of error(prediction, target)`, with prediction and target [n, c] and loss
/// [1, 1], or [1, steps] for a history of one loss per step.
///
/// # Errors
/// Other shapes; a delta of Huber's that is not positive; a quantile that is not between 0 and 1.
pub fn forward(
    recording: &mut Recording,
    error: Elementwise,
    [prediction, target]: [&Tensor; 2],
    scale: f32,
    loss: &Tensor,
) -> Result<()> {
    error.check()?;
    same_shape("loss", &[("the prediction", prediction), ("the target", target)])?;
    expect_shape("loss", "loss", loss, [1, loss.cols()], "to hold a sum, or one a step")?;
    let params = Params::new(error, prediction.len(), scale);
    sum_blocks(recording, &FORWARD, params, &[prediction, target], loss, None)
}

/// [`forward`] and [`backward`] with respect to the prediction in one dispatch. With `through` the gradient is
/// propagated through the activation that gave the predictions: `gradient = d_loss * scale * error'(prediction, target)
/// * activation'(at)`.
///
/// # Errors
/// See [`forward`]; an activation that can't end a matrix product.
pub fn both(
    recording: &mut Recording,
    error: Elementwise,
    [prediction, target, d_loss]: [&Tensor; 3],
    scale: f32,
    through: Option<(Activation, &Tensor)>,
    [loss, gradient]: [&Tensor; 2],
) -> Result<()> {
    error.check()?;
    same_shape("loss", &[("the prediction", prediction), ("the target", target), ("the gradient", gradient)])?;
    expect_shape("loss", "loss", loss, [1, loss.cols()], "to hold a sum, or one a step")?;
    expect_shape("loss", "the loss's gradient", d_loss, [1, 1], "as the loss")?;
    let (activation, at) = through.unzip();
    let activation: Activation = activation.unwrap_or_default();
    if let Some(at) = at {
        same_shape("loss", &[("the prediction", prediction), ("where the derivative is taken", at)])?;
    }
    if !activation.is_epilogue() {
        return Err(Error::input("loss", format!("{activation:?} can't be carried on through; apply its backward")));
    }
    // The kernel has the predictions; another tensor is bound only where the derivative is taken there.
    let before = at.filter(|at| !at.is(prediction));
    let params = Params {
        activation: activation.kind(),
        activation_a: activation.constants()[0],
        has_before: before.is_some().into(),
        ..Params::new(error, prediction.len(), scale)
    };
    let inputs: Vec<_> = [prediction, target, d_loss].into_iter().chain(before).collect();
    sum_blocks(recording, &BOTH, params, &inputs, loss, Some(gradient))
}

/// Pushes a kernel that leaves a sum for each block, and the sum of these where there are several.
fn sum_blocks(
    recording: &mut Recording,
    kernel: &'static Kernel,
    params: Params,
    inputs: &[&Tensor],
    loss: &Tensor,
    gradient: Option<&Tensor>,
) -> Result<()> {
    let len = params.len as usize;
    let [rows, cols] = inputs[0].shape();
    let block = if loss.device().capabilities().takes_chunks_of(rows) { CHUNK_ROWS * cols } else { BLOCK };
    let mut push = |sums: &Tensor, last_slot: usize| {
        let outputs: Vec<_> = [sums].into_iter().chain(gradient).collect();
        let params = Params { last_slot: size(last_slot), block: size(block), ..params };
        recording.push(kernel, grid(len, block), params, inputs, &outputs, (3 * LOAD * len) as u64)
    };
    if len <= block {
        return push(loss, loss.len() - 1);
    }
    let partial = Tensor::zeros(loss.device(), 1, len.div_ceil(block))?;
    push(&partial, 0)?;
    reduce::sum(recording, &partial, 1.0, loss)
}

/// `gradient = d_loss * scale * error'(prediction, target)`, or `gradient += ...` with `accumulate`; with `by_target`
/// the gradient of the target. d_loss [1, 1], the others of one shape.
///
/// # Errors
/// Other shapes; a delta of Huber's that is not positive; a quantile that is not between 0 and 1.
pub fn backward(
    recording: &mut Recording,
    (error, by_target): (Elementwise, bool),
    [prediction, target, d_loss]: [&Tensor; 3],
    scale: f32,
    gradient: &Tensor,
    accumulate: bool,
) -> Result<()> {
    error.check()?;
    same_shape("loss backward", &[("the prediction", prediction), ("the target", target), ("the gradient", gradient)])?;
    expect_shape("loss backward", "the loss's gradient", d_loss, [1, 1], "as the loss")?;
    let len = prediction.len();
    let params =
        Params { by_target: by_target.into(), accumulate: accumulate.into(), ..Params::new(error, len, scale) };
    let inputs = [prediction, target, d_loss];
    recording.push(&BACKWARD, grid(len, GROUP), params, &inputs, &[gradient], 4 * len as u64)
}

/// The body for an error, compiled separately for each kind, so that its loops are vectorised.
macro_rules! for_each_error {
    ($error:ident => $body:expr) => {
        match $error {
            Elementwise::Squared => {
                let $error = Elementwise::Squared;
                $body
            }
            Elementwise::Absolute => {
                let $error = Elementwise::Absolute;
                $body
            }
            Elementwise::Huber { delta } => {
                let $error = Elementwise::Huber { delta };
                $body
            }
            Elementwise::BceWithLogits => {
                let $error = Elementwise::BceWithLogits;
                $body
            }
            Elementwise::Quantile { quantile } => {
                let $error = Elementwise::Quantile { quantile };
                $body
            }
        }
    };
}

use for_each_error;

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [prediction, target, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    put_sums(&params, prediction, target, &mut sums[call.step.min(params.last_slot as usize)..]);
}

#[inline(always)]
fn put_sums(params: &Params, prediction: &[f32], target: &[f32], sums: &mut [f32]) {
    let (error, block) = (params.error(), params.block as usize);
    for_each_error!(error => {
        for ((sum, prediction), target) in sums.iter_mut().zip(prediction.chunks(block)).zip(target.chunks(block)) {
            *sum = params.scale * sum_of_pairs(prediction, target, |p, t| error.error(p, t));
        }
    });
}

#[inline(always)]
fn both_reference(call: Call<'_>) {
    let params: Params = call.params();
    let error = params.error();
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    let [prediction, target, d_loss, before, ..] = call.inputs;
    let [sums, gradient, ..] = call.outputs;
    put_sums(&params, prediction, target, &mut sums[call.step.min(params.last_slot as usize)..]);
    let at = if params.has_before != 0 { before } else { prediction };
    let factor = d_loss[0] * params.scale;
    for_each_error!(error => for ((gradient, p), t) in gradient.iter_mut().zip(prediction).zip(target) {
        *gradient = factor * error.derivative(*p, *t);
    });
    if activation != Activation::Identity {
        activation.multiply_by_derivative(gradient, at);
    }
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let error = params.error();
    let [prediction, target, d_loss, ..] = call.inputs;
    let [gradient, ..] = call.outputs;
    let factor = d_loss[0] * params.scale;
    let accumulate = params.accumulate != 0;
    for_each_error!(error => {
        let pairs = gradient.iter_mut().zip(prediction.iter().zip(target));
        if params.by_target != 0 {
            pairs.for_each(|(gradient, (p, t))| put(gradient, factor * error.derivative_by_target(*p, *t), accumulate));
        } else {
            pairs.for_each(|(gradient, (p, t))| put(gradient, factor * error.derivative(*p, *t), accumulate));
        }
    });
}
