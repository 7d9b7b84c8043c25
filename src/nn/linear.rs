//! The linear layer.

use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::{Init, Module, Parameter};

/// `y = x Wᵀ + b`, with x [n, in], W [out, in], b [1, out], y [n, out]; names and layout as in PyTorch.
///
/// ```
/// use wgrad::nn::{Init, Linear};
///
/// let layer = Linear::new(2, 25).init(Init::XavierNormal { gain: 2f32.sqrt() }, Init::Constant(0.0));
/// assert_eq!(layer.weight().shape(), [25, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Parameter,
}

impl Linear {
    /// A layer from `inputs` to `outputs` columns, initialised as in PyTorch: U(±1/√inputs), weights and biases.
    ///
    /// The sizes are checked when the parameters are placed on a device.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            weight: Parameter::new(outputs, inputs, Init::Linear),
            bias: Parameter::vector(outputs, Init::Linear).fans(inputs, outputs),
        }
    }

    /// The same layer with other initial weights and biases.
    pub fn init(self, weight: Init, bias: Init) -> Self {
        Self { weight: self.weight.init(weight), bias: self.bias.init(bias) }
    }

    /// W, [out, in].
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// b, [1, out].
    pub fn bias(&self) -> &Parameter {
        &self.bias
    }
}

impl Module for Linear {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let weight = self.weight.var(graph)?;
        let bias = self.bias.var(graph)?;
        graph.linear(x, weight, bias)
    }

    fn describe(&self) -> Option<String> {
        let [outputs, inputs] = self.weight.shape();
        Some(format!("Linear({inputs}, {outputs})"))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("weight".into(), self.weight.clone()), ("bias".into(), self.bias.clone())]
    }
}
