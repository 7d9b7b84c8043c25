//! What a kernel is, to both backends.

use std::fmt;

use crate::device::cut::{Cut, no_cut};
use crate::device::lanes::LaneFunction;
use crate::device::recording::Dispatch;

/// One entry point of a shader, with its CPU reference implementation.
///
/// In the shader, group 0 holds the parameters (a uniform, binding 0), then the inputs (read-only storage), then the
/// outputs (read-write storage), in the order of the lists given to [`Recording::dispatch`](crate::Recording::dispatch). A
/// kernel that [`uses_step`](Self::uses_step) also has the step's number in a uniform at group 1, binding 0; one that
/// [`runs_steps`](Self::runs_steps) has the last step's at binding 1.
/// [`Kernel::new`] makes one from outside the crate, as `examples/hello_kernel.rs` does.
#[non_exhaustive]
pub struct Kernel {
    /// The shader's file stem and the entry point: `matmul.tiled`.
    pub name: &'static str,
    /// The WGSL module, as it runs; empty in a build without GPUs.
    pub wgsl: &'static str,
    /// The entry point's name.
    pub entry_point: &'static str,
    /// `@workgroup_size` of the entry point.
    pub workgroup_size: [u32; 3],
    /// Bytes of the parameters' struct.
    pub params_size: usize,
    /// The fields of that struct, as tests compare them with the shader's; empty if they are not known.
    pub fields: &'static [Field],
    /// The shader's named constants with their values on the host, which tests compare.
    pub shared: &'static [(&'static str, usize)],
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// Whether the kernel reads the number of the step.
    pub uses_step: bool,
    /// Whether one dispatch can run several steps, from that number on. Only kernels of the crate do.
    pub runs_steps: bool,
    /// The values of the shader's `override`s, derived from the parameters. A pipeline is compiled for each set of
    /// values, with dead branches removed.
    pub constants: fn(&[u8]) -> Constants,
    /// The reference implementation: a CPU function that computes what the entry point computes.
    pub reference: fn(Call<'_>),
    /// What the CPU path calls: the reference implementation, or a faster function with the same results.
    pub cpu: fn(Call<'_>),
    /// What the CPU path calls for members of an ensemble side by side, with the same results for each; without it they
    /// come one after the other.
    pub(crate) lanes: Option<LaneFunction>,
    /// Whether that takes parameters that differ from member to member.
    pub(crate) own_params: bool,
    /// Whether workgroup r works on the rth share of each tensor and on nothing else, so that dispatches of one workgroup
    /// that differ in their tensors alone can become one, with their tensors behind each other. A first input as long as
    /// one share is read by all. What it writes to a tensor that nobody else holds is of no use to a later dispatch.
    pub(crate) stacks: bool,
    /// How the CPU path may cut a dispatch of it.
    pub(crate) cut: fn(&Dispatch) -> Option<Cut>,
    /// Whether it is one of the crate's own: dispatched by `ops`, which checks the shapes, it is compiled without bounds
    /// checks.
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "the CPU path compiles nothing"))]
    pub(crate) own: bool,
}

/// A field of a kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name, in Rust and in WGSL.
    pub name: &'static str,
    /// Its type in Rust: `u32`, `f32`, or an array of rows of four of them.
    pub ty: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
}

impl Field {
    pub(crate) const fn new(name: &'static str, ty: &'static str, offset: usize) -> Self {
        Self { name, ty, offset }
    }
}

/// Values of a shader's `override`s, by name.
pub type Constants = Vec<(&'static str, f64)>;

pub(crate) fn no_constants(_params: &[u8]) -> Constants {
    Vec::new()
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

impl Kernel {
    /// A kernel with one output and without inputs or parameters.
    ///
    /// ```
    /// use wgrad::{Call, Device, Kernel, Recording, Tensor};
    ///
    /// const WGSL: &str = "
    ///     @group(0) @binding(0) var<uniform> value: f32;
    ///     @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    ///     @compute @workgroup_size(64) fn fill(@builtin(global_invocation_id) id: vec3u) {
    ///         if id.x < arrayLength(&out) { out[id.x] = value; }
    ///     }";
    /// static FILL: Kernel = Kernel::new("mine.fill", WGSL, "fill", [64, 1, 1], reference).params::<f32>();
    ///
    /// fn reference(call: Call<'_>) {
    ///     let value = call.params();
    ///     let [out, ..] = call.outputs;
    ///     out.fill(value);
    /// }
    ///
    /// let device = Device::cpu();
    /// let out = Tensor::zeros(&device, 10, 10)?;
    /// let mut recording = Recording::new(&device);
    /// recording.dispatch(&FILL, [100u32.div_ceil(64), 1], 2.5f32, &[], &[&out], 100)?;
    /// recording.run()?;
    /// assert_eq!(out.read()?, [2.5; 100]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub const fn new(
        name: &'static str,
        wgsl: &'static str,
        entry_point: &'static str,
        workgroup_size: [u32; 3],
        reference: fn(Call<'_>),
    ) -> Self {
        Self {
            name,
            wgsl,
            entry_point,
            workgroup_size,
            params_size: 0,
            fields: &[],
            shared: &[],
            inputs: 0,
            outputs: 1,
            uses_step: false,
            runs_steps: false,
            constants: no_constants,
            reference,
            cpu: reference,
            cut: no_cut,
            lanes: None,
            own_params: false,
            stacks: false,
            own: false,
        }
    }

    /// With a faster function for the CPU path, which gives the same results as the reference implementation.
    pub const fn cpu(mut self, cpu: fn(Call<'_>)) -> Self {
        self.cpu = cpu;
        self
    }

    /// With a way to be cut.
    pub(crate) const fn cut(mut self, cut: fn(&Dispatch) -> Option<Cut>) -> Self {
        self.cut = cut;
        self
    }

    /// With a function for members side by side.
    pub(crate) const fn lanes(mut self, lanes: LaneFunction) -> Self {
        self.lanes = Some(lanes);
        self
    }

    /// With a function for members side by side that have parameters of their own.
    pub(crate) const fn lanes_with_own_params(mut self, lanes: LaneFunction) -> Self {
        self.own_params = true;
        self.lanes(lanes)
    }

    /// With parameters of this type, which are what [`Recording::dispatch`](crate::Recording::dispatch) is given.
    pub const fn params<P>(mut self) -> Self {
        self.params_size = size_of::<P>();
        self
    }

    /// With this many inputs, up to [`MAX_INPUTS`].
    pub const fn inputs(mut self, inputs: usize) -> Self {
        self.inputs = inputs;
        self
    }

    /// With this many outputs, up to [`MAX_OUTPUTS`].
    pub const fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    /// The same kernel with another module in place of its own, which names the entry point, bindings and `override`s alike;
    /// the reference implementation stays. With [`Recording::replacing`](crate::Recording::replacing) it takes the place of
    /// the original, to try a change of a shader. It runs with bounds checks.
    #[must_use]
    pub const fn with_wgsl(&self, wgsl: &'static str) -> Self {
        Self { wgsl, own: false, ..*self }
    }

    /// Makes the kernel read the step number: see [`Kernel`].
    pub const fn with_step(mut self) -> Self {
        self.uses_step = true;
        self
    }

    /// Specialises the pipeline for values of the shader's `override`s, which `constants` derives from the parameters'
    /// bytes.
    pub const fn constants(mut self, constants: fn(&[u8]) -> Constants) -> Self {
        self.constants = constants;
        self
    }
}

/// The most inputs a kernel may have; with its outputs at most [`MAX_BINDINGS`].
pub const MAX_INPUTS: usize = 5;
/// The most outputs a kernel may have; with its inputs at most [`MAX_BINDINGS`].
pub const MAX_OUTPUTS: usize = 5;
/// The most inputs and outputs together: WebGPU's limit on storage buffers.
pub const MAX_BINDINGS: usize = 8;

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
    /// The number of the last step: the same, unless the kernel [runs several](Kernel::runs_steps).
    pub last: usize,
    /// The inputs.
    pub inputs: [&'a [f32]; MAX_INPUTS],
    /// The outputs.
    pub outputs: [&'a mut [f32]; MAX_OUTPUTS],
}

impl Call<'_> {
    /// The parameters. `P` is the type that was given to [`Recording::dispatch`](crate::Recording::dispatch).
    pub fn params<P: bytemuck::AnyBitPattern>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }
}

/// A struct of a kernel's parameters, and the list of its fields.
macro_rules! params {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $ty:ty,)*
    }) => {
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $ty,)*
        }

        impl $name {
            pub(crate) const FIELDS: &'static [$crate::device::kernel::Field] = &[
                $($crate::device::kernel::Field::new(
                    stringify!($field),
                    stringify!($ty),
                    std::mem::offset_of!($name, $field),
                ),)*
            ];
        }
    };
}
pub(crate) use params;

/// A shader module, which kernels share.
pub(crate) struct Shader {
    pub(crate) wgsl: &'static str,
    /// See [`Kernel::shared`].
    pub(crate) shared: &'static [(&'static str, usize)],
}

/// The module of these files of `shaders/`, and the constants that it shares with the host:
/// `shader!(["common/grid", "fill"], shared: [GROUP])`. WGSL has no `include`: the files are concatenated.
macro_rules! shader {
    ([$($file:literal),* $(,)?], shared: [$($name:ident $(= $value:expr)?),* $(,)?]) => {
        $crate::device::kernel::Shader {
            wgsl: if !cfg!(feature = "gpu") { "" } else {
                concat!($(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file, ".wgsl")), "\n"),*)
            },
            shared: &[$((stringify!($name), $crate::device::kernel::shader!(@value $name $(= $value)?))),*],
        }
    };
    (@value $name:ident) => { $name };
    (@value $name:ident = $value:expr) => { $value };
}
pub(crate) use shader;

pub(crate) const fn workgroup([x, y, z]: [usize; 3]) -> [u32; 3] {
    [x as u32, y as u32, z as u32]
}

/// A built-in kernel: `kernel!("matmul", "tiled", SHADER, ...)` is the entry point `tiled` of that shader, by
/// the name of `matmul.tiled`.
macro_rules! kernel {
    (
        $file:literal, $entry:literal, $shader:expr, $workgroup:expr, $params:ty,
        inputs: $inputs:literal, outputs: $outputs:literal, step: $step:literal, $reference:path
    ) => {
        $crate::device::kernel::kernel!(
            $file, $entry, $shader, $workgroup, $params, inputs: $inputs, outputs: $outputs, step: $step, $reference,
            $crate::device::kernel::no_constants
        )
    };
    (
        $file:literal, $entry:literal, $shader:expr, $workgroup:expr, $params:ty,
        inputs: $inputs:literal, outputs: $outputs:literal, step: $step:literal, $reference:path, $constants:expr
    ) => {
        $crate::device::kernel::Kernel {
            params_size: size_of::<$params>(),
            fields: <$params>::FIELDS,
            shared: $shader.shared,
            inputs: $inputs,
            outputs: $outputs,
            uses_step: $step,
            constants: $constants,
            // Where there is one level only, both would be the same twice.
            cpu: if cfg!(target_feature = "simd128") {
                $reference
            } else {
                fn cpu(call: $crate::device::Call<'_>) {
                    $crate::simd::widest(
                        #[inline(always)]
                        || $reference(call),
                    );
                }
                cpu
            },
            own: true,
            ..$crate::device::kernel::Kernel::new(
                concat!($file, ".", $entry),
                $shader.wgsl,
                $entry,
                $crate::device::kernel::workgroup($workgroup),
                $reference,
            )
        }
    };
}
pub(crate) use kernel;
