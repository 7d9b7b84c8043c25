//! What a kernel is, to both backends, and the one list of all kernels.

use crate::ops;

/// One entry point of a shader, with the CPU function that computes the same.
///
/// In the shader, group 0 holds the parameters (a uniform, binding 0), then the inputs (read-only storage), then the
/// outputs (read-write storage), in the order of the lists given to [`Recording::push`](crate::Recording::push). A
/// kernel that [`uses_step`](Self::uses_step) also has the step's number in a uniform at group 1, binding 0.
/// `examples/hello_kernel.rs` defines one from outside the crate.
#[derive(Debug)]
pub struct Kernel {
    /// The shader's file stem and the entry point: `matmul.tiled`.
    pub name: &'static str,
    /// The WGSL module, as it runs.
    pub wgsl: &'static str,
    /// The entry point's name.
    pub entry_point: &'static str,
    /// `@workgroup_size` of the entry point.
    pub workgroup_size: [u32; 3],
    /// Bytes of the parameters' struct.
    pub params_size: usize,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Whether the kernel reads the number of the step.
    pub uses_step: bool,
    /// The values of the shader's `override`s, told from the parameters. For each set of values a pipeline is compiled,
    /// in which the code for other values has fallen away; [`no_constants`] for a shader without them.
    pub constants: fn(&[u8]) -> Constants,
    /// Computes on the CPU what the entry point computes on the GPU.
    pub reference: fn(Call<'_>),
}

/// Values of a shader's `override`s, by name.
pub type Constants = Vec<(&'static str, f64)>;

/// [`Kernel::constants`] of a shader that has no `override`.
pub fn no_constants(_params: &[u8]) -> Constants {
    Vec::new()
}

/// The most inputs and outputs a kernel may have; together at most WebGPU's eight storage buffers.
pub const MAX_INPUTS: usize = 5;
/// See [`MAX_INPUTS`].
pub const MAX_OUTPUTS: usize = 3;

/// The most bytes of parameters: their distance in a uniform buffer, the coarsest that WebGPU lets an adapter ask for.
pub(crate) const MAX_PARAMS_SIZE: usize = 256;

/// What a kernel's CPU reference is called with: the same bindings as the shader's.
///
/// Inputs and outputs beyond the kernel's own are empty slices.
#[derive(Debug)]
pub struct Call<'a> {
    pub(crate) params: &'a [u8],
    /// The number of the step.
    pub step: usize,
    /// The inputs.
    pub inputs: [&'a [f32]; MAX_INPUTS],
    /// The outputs.
    pub outputs: [&'a mut [f32]; MAX_OUTPUTS],
}

impl Call<'_> {
    /// The parameters. `P` is the type that was given to [`Recording::push`](crate::Recording::push).
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }
}

/// Every kernel of the crate.
///
/// Tests walk this list and the `shaders/` folder, so a kernel that is in only one of them is found.
pub static KERNELS: &[&Kernel] = &[
    &ops::activation::FORWARD,
    &ops::activation::BACKWARD,
    &ops::bias::FORWARD,
    &ops::bias::BACKWARD,
    &ops::broadcast::FORWARD,
    &ops::broadcast::BACKWARD,
    &ops::copy::BLOCK,
    &ops::cross_entropy::FORWARD,
    &ops::cross_entropy::BACKWARD,
    &ops::cross_entropy::BOTH,
    &ops::dropout::APPLY,
    &ops::fill::FILL,
    &ops::gather::ROWS,
    &ops::loss::FORWARD,
    &ops::loss::BACKWARD,
    &ops::loss::BOTH,
    &ops::matmul::SMALL,
    &ops::matmul::DIRECT,
    &ops::matmul::TILED,
    &ops::matmul::WIDE,
    &ops::matmul::ADD_PARTS,
    &ops::metrics::COUNT_CORRECT,
    &ops::optim::SGD,
    &ops::optim::MOMENTUM,
    &ops::optim::ADAM,
    &ops::optim::RMSPROP,
    &ops::reduce::SUM,
    &ops::reduce::ROWS,
    &ops::softmax::FORWARD,
    &ops::softmax::BACKWARD,
];

/// A shader's WGSL and its entry point, told once: `kernel!("matmul", "tiled", ...)` is the kernel `matmul.tiled` of
/// `shaders/matmul.wgsl`.
macro_rules! kernel {
    (
        $file:literal, $entry:literal, $workgroup:expr, $params:ty,
        inputs: $inputs:literal, outputs: $outputs:literal, step: $step:literal, $reference:path
    ) => {
        $crate::kernel::kernel!(
            $file, $entry, $workgroup, $params, inputs: $inputs, outputs: $outputs, step: $step, $reference,
            $crate::kernel::no_constants
        )
    };
    (
        $file:literal, $entry:literal, $workgroup:expr, $params:ty,
        inputs: $inputs:literal, outputs: $outputs:literal, step: $step:literal, $reference:path, $constants:expr
    ) => {
        $crate::kernel::Kernel {
            name: concat!($file, ".", $entry),
            wgsl: include_str!(concat!("../../shaders/", $file, ".wgsl")),
            entry_point: $entry,
            workgroup_size: $workgroup,
            params_size: size_of::<$params>(),
            inputs: $inputs,
            outputs: $outputs,
            uses_step: $step,
            constants: $constants,
            reference: $reference,
        }
    };
}
pub(crate) use kernel;
