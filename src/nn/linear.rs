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
/// assert_eq!(Linear::new(2, 25).without_bias().bias(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` columns, initialised as in PyTorch: U(±1/√inputs), weights and biases.
    ///
    /// The sizes are checked when the parameters are placed on a device.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            weight: Parameter::new(outputs, inputs, Init::Linear),
            bias: Some(Parameter::vector(outputs, Init::Linear).fans(inputs, outputs)),
        }
    }

    /// The same layer with other initial weights and biases.
    pub fn init(self, weight: Init, bias: Init) -> Self {
        Self { weight: self.weight.init(weight), bias: self.bias.map(|own| own.init(bias)) }
    }

    /// The same layer without a bias: `y = x Wᵀ`. (`bias=False` in PyTorch.)
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// W, [out, in].
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// b, [1, out]; None for a layer without a bias.
    pub fn bias(&self) -> Option<&Parameter> {
        self.bias.as_ref()
    }
}

impl Module for Linear {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let weight = self.weight.var(graph)?;
        let bias = self.bias.as_ref().map(|bias| bias.var(graph)).transpose()?;
        graph.linear(x, weight, bias)
    }

    fn describe(&self) -> Option<String> {
        let [outputs, inputs] = self.weight.shape();
        let bias = if self.bias.is_some() { "" } else { ", bias=false" };
        Some(format!("Linear({inputs}, {outputs}{bias})"))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let bias = self.bias.iter().map(|bias| ("bias".into(), bias.clone()));
        [("weight".into(), self.weight.clone())].into_iter().chain(bias).collect()
    }
}
