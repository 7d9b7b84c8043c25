//! Functions of one variable, element by element: `shaders/activation.wgsl`.

mod function;
mod operation;

use crate::device::{Call, Constants, Kernel, Recording, Tensor, kernel};
use crate::error::Result;
use crate::ops::{grid, put, same_shape, size};
pub use function::Activation;
use function::for_kind;
pub(crate) use operation::{Apply, Slope};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    kind: u32,
    a: f32,
    b: f32,
    accumulate: u32,
    infinity: f32,
    nan: f32,
}

impl Params {
    fn new(activation: Activation, len: usize, accumulate: bool) -> Self {
        let [a, b] = activation.constants();
        Self {
            len: size(len),
            kind: activation.kind(),
            a,
            b,
            accumulate: accumulate.into(),
            infinity: f32::INFINITY,
            nan: f32::NAN,
        }
    }

    fn activation(&self) -> Activation {
        Activation::from_kind(self.kind, [self.a, self.b])
    }
}

fn constants(params: &[u8]) -> Constants {
    vec![("kind", bytemuck::pod_read_unaligned::<Params>(params).kind.into())]
}

/// A kernel of `activation.wgsl`.
macro_rules! entry_point {
    ($entry:literal, $inputs:literal, $reference:path) => {
        kernel!("activation", $entry, [64, 1, 1], Params, inputs: $inputs, outputs: 1, step: false, $reference, constants)
    };
}

pub(crate) static FORWARD: Kernel = entry_point!("forward", 1, forward_reference);
pub(crate) static BACKWARD: Kernel = entry_point!("backward", 3, backward_reference);

/// `out = activation(x)`; both have one shape.
///
/// # Errors
/// Different shapes.
pub fn forward(recording: &mut Recording, activation: Activation, x: &Tensor, out: &Tensor) -> Result<()> {
    same_shape("activation", &[("x", x), ("out", out)])?;
    let params = Params::new(activation, x.len(), false);
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
    let params = Params::new(activation, x.len(), accumulate);
    recording.push(&BACKWARD, grid(x.len(), 64), params, &[x, y, dy], &[dx], 4 * x.len() as u64)
}

fn forward_reference(call: Call<'_>) {
    let activation = call.params::<Params>().activation();
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for_kind!(activation => for (out, x) in out.iter_mut().zip(x) { *out = activation.apply(*x) });
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let activation = params.activation();
    let accumulate = params.accumulate != 0;
    let [x, y, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for_kind!(activation => for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
        put(dx, dy * activation.derivative(*x, *y), accumulate);
    });
}
