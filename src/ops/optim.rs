//! Optimiser updates over the flat parameter buffer: `shaders/optim.wgsl`.

use crate::error::Result;
use crate::kernel::{Call, Kernel, kernel};
use crate::ops::{grid, same_shape, size};
use crate::recording::Recording;
use crate::tensor::Tensor;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    last_rate: u32,
}

pub(crate) static SGD: Kernel =
    kernel!("optim", "sgd", [64, 1, 1], Params, inputs: 2, outputs: 1, step: true, sgd_reference);

/// `values -= rate * gradients`, where step s takes the rate `rates[min(s, rates.len() - 1)]`.
///
/// # Errors
/// Values and gradients of different shapes.
pub fn sgd(recording: &mut Recording, gradients: &Tensor, rates: &Tensor, values: &Tensor) -> Result<()> {
    same_shape("sgd", &[("values", values), ("gradients", gradients)])?;
    let params = Params { len: size(values.len()), last_rate: size(rates.len() - 1) };
    recording.push(&SGD, grid(values.len(), 64), params, &[gradients, rates], &[values], 2 * values.len() as u64)
}

fn sgd_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [gradients, rates, ..] = call.inputs;
    let [values, ..] = call.outputs;
    let rate = rates[call.step.min(params.last_rate as usize)];
    for (value, gradient) in values.iter_mut().zip(gradients) {
        *value -= rate * gradient;
    }
}
