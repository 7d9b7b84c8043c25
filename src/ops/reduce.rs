//! Sums in a fixed order: `shaders/reduce.wgsl`.

use crate::error::Result;
use crate::kernel::{Call, Kernel, kernel};
use crate::ops::{grid, size};
use crate::recording::Recording;
use crate::tensor::Tensor;

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    scale: f32,
    last_slot: u32,
    padding: u32,
}

pub(crate) static SUM: Kernel =
    kernel!("reduce", "sum", [256, 1, 1], Params, inputs: 1, outputs: 1, step: true, reference);

/// Elements that one workgroup adds.
pub(crate) const BLOCK: usize = 4096;

/// `out[min(step, out.len() - 1)] = scale * (sum of all elements of x)`: with an output of one element a plain sum,
/// with more a history of one sum a step.
///
/// # Errors
/// No memory for the partial sums of a large matrix.
pub fn sum(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor) -> Result<()> {
    let mut x = x.clone();
    while x.len() > BLOCK {
        let partial = Tensor::zeros(x.device(), 1, x.len().div_ceil(BLOCK))?;
        push(recording, &x, 1.0, &partial, 0)?;
        x = partial;
    }
    push(recording, &x, scale, out, size(out.len() - 1))
}

fn push(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor, last_slot: u32) -> Result<()> {
    let params = Params { len: size(x.len()), scale, last_slot, padding: 0 };
    recording.push(&SUM, grid(x.len(), BLOCK), params, &[x], &[out], x.len() as u64)
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [x, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    let slot = call.step.min(params.last_slot as usize);
    for (sum, block) in sums[slot..].iter_mut().zip(x.chunks(BLOCK)) {
        *sum = params.scale * block.iter().sum::<f32>();
    }
}
