//! One value everywhere: `shaders/fill.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::Result;
use crate::ops::{GROUP, grid, size};

params! {
    struct Params {
        len: u32,
        value: f32,
    }
}

const SHADER: Shader = shader!(["common/grid", "fill"], shared: [GROUP]);

pub(crate) static FILL: Kernel =
    kernel!("fill", "fill", SHADER, [GROUP, 1, 1], Params, inputs: 0, outputs: 1, step: false, reference);

/// `out = value`, everywhere.
///
/// # Errors
/// A tensor of another device.
pub fn fill(recording: &mut Recording, value: f32, out: &Tensor) -> Result<()> {
    let params = Params { len: size(out.len()), value };
    recording.push(&FILL, grid(out.len(), GROUP), params, &[], &[out], out.len() as u64)
}

fn reference(call: Call<'_>) {
    let value = call.params::<Params>().value;
    let [out, ..] = call.outputs;
    out.fill(value);
}
