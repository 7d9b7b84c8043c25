//! A layer that does nothing, except that its kernel has a fault that its reference implementation has not.

use wgrad::nn::{Module, Parameter};
use wgrad::{Call, Graph, Kernel, Operation, Recording, Result, Shape, Tensor, Var};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Each value is a thousandth too large.
    Scaled,
    /// The last element is 0, as if a bound were off by one.
    LastLeftOut,
    /// The second element of 64 is the first.
    WrongIndex,
}

#[derive(Debug)]
pub(crate) struct Planted(pub(crate) Fault);

impl Module for Planted {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.call1(Copy(self.0), &[x])
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![]
    }
}

/// `y = x`.
#[derive(Debug)]
struct Copy(Fault);

macro_rules! kernel {
    ($name:ident, $value:literal) => {
        static $name: Kernel = Kernel::new(
            concat!("planted.", stringify!($name)),
            concat!(
                "@group(0) @binding(1) var<storage, read> x: array<f32>;
                 @group(0) @binding(2) var<storage, read_write> y: array<f32>;
                 @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
                     let i = id.x;
                     let n = arrayLength(&y);
                     if i < n { y[i] = ",
                $value,
                "; }
                 }"
            ),
            "main",
            [64, 1, 1],
            |call: Call<'_>| {
                let ([x, ..], [y, ..]) = (call.inputs, call.outputs);
                y.copy_from_slice(x);
            },
        )
        .inputs(1);
    };
}
kernel!(NONE, "x[i]");
kernel!(SCALED, "x[i] * 1.001");
kernel!(LAST_LEFT_OUT, "select(x[i], 0.0, i + 1u == n)");
kernel!(WRONG_INDEX, "x[select(i, i - 1u, i % 64u == 1u)]");

impl Operation for Copy {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![inputs[0]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let kernel = match self.0 {
            Fault::None => &NONE,
            Fault::Scaled => &SCALED,
            Fault::LastLeftOut => &LAST_LEFT_OUT,
            Fault::WrongIndex => &WRONG_INDEX,
        };
        let groups = outputs[0].len().div_ceil(64) as u32;
        recording.dispatch(kernel, [groups, 1], (), inputs, outputs, outputs[0].len() as u64)
    }

    fn gradient(&self, _graph: &mut Graph, _x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(dy)])
    }
}
