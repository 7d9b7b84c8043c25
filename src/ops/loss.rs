//! Losses: `shaders/loss.wgsl`.

use crate::error::Result;
use crate::kernel::{Call, Kernel, kernel};
use crate::ops::reduce::{self, BLOCK};
use crate::ops::{expect_shape, grid, put, same_shape, size};
use crate::recording::Recording;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    scale: f32,
    accumulate: u32,
    padding: u32,
}

pub(crate) static MSE_FORWARD: Kernel =
    kernel!("loss", "mse_forward", [256, 1, 1], Params, inputs: 2, outputs: 1, step: false, forward_reference);
pub(crate) static MSE_BACKWARD: Kernel =
    kernel!("loss", "mse_backward", [64, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference);

/// How a loss adds up the errors of a batch of n samples (rows) with c outputs (columns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduction {
    /// The mean over all n c elements: PyTorch's default.
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
            Self::Mean => 1.0 / (samples * outputs) as f32,
            Self::Sum => 1.0,
            Self::SampleMean => 1.0 / samples as f32,
            Self::OutputMean => 1.0 / outputs as f32,
        }
    }
}

/// `loss = scale * sum of (prediction - target)²`, with prediction and target [n, c] and loss [1, 1].
///
/// # Errors
/// Other shapes.
pub fn mse_forward(
    recording: &mut Recording,
    prediction: &Tensor,
    target: &Tensor,
    scale: f32,
    loss: &Tensor,
) -> Result<()> {
    same_shape("mse", &[("the prediction", prediction), ("the target", target)])?;
    expect_shape("mse", "loss", loss, [1, 1], "to hold the sum")?;
    let len = prediction.len();
    let mut push = |scale: f32, sums: &Tensor| {
        let params = Params { len: size(len), scale, accumulate: 0, padding: 0 };
        recording.push(&MSE_FORWARD, grid(len, BLOCK), params, &[prediction, target], &[sums], 3 * len as u64)
    };
    if len <= BLOCK {
        return push(scale, loss);
    }
    let partial = Tensor::zeros(prediction.device(), 1, len.div_ceil(BLOCK))?;
    push(1.0, &partial)?;
    reduce::sum(recording, &partial, scale, loss)
}

/// `gradient = d_loss * 2 scale (prediction - target)`, or `gradient += ...` with `accumulate`; d_loss [1, 1], the
/// others of one shape. With a negative scale, and the rest the same, the gradient of the target.
///
/// # Errors
/// Other shapes.
pub fn mse_backward(
    recording: &mut Recording,
    [prediction, target, d_loss]: [&Tensor; 3],
    scale: f32,
    gradient: &Tensor,
    accumulate: bool,
) -> Result<()> {
    same_shape("mse backward", &[("the prediction", prediction), ("the target", target), ("the gradient", gradient)])?;
    expect_shape("mse backward", "the loss's gradient", d_loss, [1, 1], "as the loss")?;
    let len = prediction.len();
    let params = Params { len: size(len), scale, accumulate: accumulate.into(), padding: 0 };
    let inputs = [prediction, target, d_loss];
    recording.push(&MSE_BACKWARD, grid(len, 64), params, &inputs, &[gradient], 3 * len as u64)
}

fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [prediction, target, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    for ((sum, prediction), target) in sums.iter_mut().zip(prediction.chunks(BLOCK)).zip(target.chunks(BLOCK)) {
        let squares = prediction.iter().zip(target).map(|(p, t)| (p - t) * (p - t));
        *sum = params.scale * squares.sum::<f32>();
    }
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [prediction, target, d_loss, ..] = call.inputs;
    let [gradient, ..] = call.outputs;
    let factor = d_loss[0] * (2.0 * params.scale);
    for ((gradient, prediction), target) in gradient.iter_mut().zip(prediction).zip(target) {
        put(gradient, factor * (prediction - target), params.accumulate != 0);
    }
}

impl Tape {
    /// The squared error between two matrices of one shape, reduced to [1, 1].
    ///
    /// # Errors
    /// Different shapes; a value of another tape.
    pub fn mse(&mut self, prediction: Var, target: Var, reduction: Reduction) -> Result<Var> {
        let (p, t) = (self.tensor(prediction)?, self.tensor(target)?);
        let scale = reduction.scale(p.rows(), p.cols());
        let out = self.zeros(1, 1)?;
        mse_forward(self.recording(), &p, &t, scale, &out)?;
        self.push(out, &[prediction, target], move |backward_pass, d_loss| {
            for (var, scale) in [(prediction, scale), (target, -scale)] {
                if let Some(sink) = backward_pass.sink(var)? {
                    mse_backward(backward_pass.recording(), [&p, &t, d_loss], scale, &sink.tensor, sink.accumulate)?;
                }
            }
            Ok(())
        })
    }
}
