//! Functions of one variable, element by element: `shaders/activation.wgsl`.

mod function;
mod operation;

use crate::device::{Call, Constants, Cut, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::Result;
use crate::ops::{GROUP, grid, put, same_shape, size};
pub use function::Activation;
pub(crate) use function::sigmoid;
pub(crate) use function::{dispatch, for_kind, table};
pub(crate) use operation::{Apply, Slope};

params! {
    struct Params {
        len: u32,
        kind: u32,
        a: f32,
        b: f32,
        accumulate: u32,
    }
}

impl Params {
    fn new(activation: Activation, len: usize, accumulate: bool) -> Self {
        let [a, b] = activation.constants();
        Self { len: size(len), kind: activation.kind(), a, b, accumulate: accumulate.into() }
    }

    fn activation(&self) -> Activation {
        Activation::from_kind(self.kind, [self.a, self.b])
    }
}

fn constants(params: &[u8]) -> Constants {
    vec![("kind", bytemuck::pod_read_unaligned::<Params>(params).kind.into())]
}

const SHADER: Shader = shader!(
    ["common/grid", "common/numbers", "common/elementary", "common/activation", "common/functions", "activation"],
    shared: [GROUP]
);

/// A kernel of `activation.wgsl`.
macro_rules! entry_point {
    ($entry:literal, $inputs:literal, $reference:path) => {
        kernel!("activation", $entry, SHADER, [GROUP, 1, 1], Params, inputs: $inputs, outputs: 1, step: false, $reference, constants)
            .lanes(|call, cpu| call.elementwise(cpu))
    };
}

pub(crate) static FORWARD: Kernel = Kernel { cut: Cut::by_rows, ..entry_point!("forward", 1, forward_reference) };
pub(crate) static BACKWARD: Kernel = Kernel { cut: Cut::by_rows, ..entry_point!("backward", 2, backward_reference) };

/// `out = activation(x)`; both have one shape.
///
/// # Errors
/// Different shapes.
pub fn forward(recording: &mut Recording, activation: Activation, x: &Tensor, out: &Tensor) -> Result<()> {
    same_shape("activation", &[("x", x), ("out", out)])?;
    let params = Params::new(activation, x.len(), false);
    recording.push(&FORWARD, grid(x.len(), GROUP), params, &[x], &[out], 10 * x.len() as u64)
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
    let at = if activation.derivative_needs_input() { x } else { y };
    recording.push(&BACKWARD, grid(x.len(), GROUP), params, &[at, dy], &[dx], 4 * x.len() as u64)
}

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let activation = call.params::<Params>().activation();
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for_kind!(activation => for (out, x) in out.iter_mut().zip(x) { *out = activation.apply(*x) });
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let activation = params.activation();
    let accumulate = params.accumulate != 0;
    let [at, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for_kind!(activation => for ((dx, at), dy) in dx.iter_mut().zip(at).zip(dy) {
        put(dx, dy * activation.derivative(*at), accumulate);
    });
}
