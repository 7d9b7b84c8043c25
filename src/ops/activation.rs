//! Activations, element by element: `shaders/activation.wgsl`.

use crate::error::Result;
use crate::kernel::{Call, Kernel, kernel};
use crate::ops::{grid, put, same_shape, size};
use crate::recording::Recording;
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// An activation function, applied to each element.
///
/// Each is also a [`Module`](crate::nn::Module), and an epilogue of [`matmul`](crate::ops::matmul()).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `y = x`.
    #[default]
    Identity,
    /// `y = max(x, 0)`; its derivative at 0 is 0.
    ReLU,
    /// `y = tanh(x)`.
    Tanh,
    /// `y = 1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The number by which the shaders know it.
    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Identity => 0,
            Self::ReLU => 1,
            Self::Tanh => 2,
            Self::Sigmoid => 3,
        }
    }

    /// The function's value.
    ///
    /// ```
    /// use wgrad::ops::Activation;
    /// assert_eq!(Activation::ReLU.apply(-2.0), 0.0);
    /// assert_eq!(Activation::Sigmoid.apply(0.0), 0.5);
    /// ```
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::ReLU => x.max(0.0),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => {
                let e = (-x.abs()).exp();
                (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
            }
        }
    }

    /// The derivative at `x`, where the function has the value `y`.
    pub fn derivative(self, _x: f32, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::ReLU => f32::from(u8::from(y > 0.0)),
            Self::Tanh => 1.0 - y * y,
            Self::Sigmoid => y * (1.0 - y),
        }
    }

    pub(crate) fn from_kind(kind: u32) -> Self {
        [Self::Identity, Self::ReLU, Self::Tanh, Self::Sigmoid]
            .into_iter()
            .find(|a| a.kind() == kind)
            .unwrap_or_default()
    }
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    kind: u32,
    slope: f32,
    accumulate: u32,
}

pub(crate) static FORWARD: Kernel =
    kernel!("activation", "forward", [64, 1, 1], Params, inputs: 1, outputs: 1, step: false, forward_reference);
pub(crate) static BACKWARD: Kernel =
    kernel!("activation", "backward", [64, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference);

/// `out = activation(x)`; both have one shape.
///
/// # Errors
/// Different shapes.
pub fn forward(recording: &mut Recording, activation: Activation, x: &Tensor, out: &Tensor) -> Result<()> {
    same_shape("activation", &[("x", x), ("out", out)])?;
    let params = Params { len: size(x.len()), kind: activation.kind(), slope: 0.0, accumulate: 0 };
    recording.push(&FORWARD, grid(x.len(), 64), params, &[x], &[out], 10 * x.len() as u64)
}

/// `dx = dy * activation'(x)`, or `dx += ...` with `accumulate`, where `y = activation(x)`; all have one shape.
///
/// # Errors
/// Different shapes.
pub fn backward(
    recording: &mut Recording,
    activation: Activation,
    [x, y, dy]: [&Tensor; 3],
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    same_shape("activation backward", &[("x", x), ("y", y), ("dy", dy), ("dx", dx)])?;
    let params = Params { len: size(x.len()), kind: activation.kind(), slope: 0.0, accumulate: accumulate.into() };
    recording.push(&BACKWARD, grid(x.len(), 64), params, &[x, y, dy], &[dx], 4 * x.len() as u64)
}

fn forward_reference(call: Call<'_>) {
    let activation = Activation::from_kind(call.params::<Params>().kind);
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for (out, x) in out.iter_mut().zip(x) {
        *out = activation.apply(*x);
    }
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let activation = Activation::from_kind(params.kind);
    let [x, y, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
        put(dx, dy * activation.derivative(*x, *y), params.accumulate != 0);
    }
}

impl Tape {
    /// `activation(x)`, element by element.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn activation(&mut self, x: Var, activation: Activation) -> Result<Var> {
        let input = self.tensor(x)?;
        let out = self.zeros(input.rows(), input.cols())?;
        forward(self.recording(), activation, &input, &out)?;
        let y = out.clone();
        self.push(out, &[x], move |backward_pass, dy| {
            if let Some(dx) = backward_pass.sink(x)? {
                backward(backward_pass.recording(), activation, [&input, &y, dy], &dx.tensor, dx.accumulate)?;
            }
            Ok(())
        })
    }
}
