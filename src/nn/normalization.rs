//! Layer normalisation.

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::{Init, Module, Parameter};

/// `y = (x - mean) / √(variance + 1e-5) * weight + bias`, with the mean and variance of each row (Ba et al. 2016):
/// PyTorch's `LayerNorm`. weight and bias are [1, c].
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
}

impl LayerNorm {
    /// For rows of this many columns.
    pub fn new(cols: usize) -> Self {
        Self {
            weight: Parameter::vector(cols, Init::Constant(1.0)),
            bias: Parameter::vector(cols, Init::Constant(0.0)),
        }
    }
}

impl Module for LayerNorm {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let ([rows, cols], [_, own]) = (graph.shape(x)?, self.weight.shape());
        if cols != own {
            let detail = format!("the input is {rows} x {cols}, but the layer takes {own} columns");
            return Err(Error::shape("layer_norm", detail));
        }
        let mean = graph.mean_cols(x)?;
        let centred = graph.sub(x, mean)?;
        let squares = graph.mul(centred, centred)?;
        let variance = graph.mean_cols(squares)?;
        let shifted = graph.add_scalar(variance, 1e-5)?;
        let inverse = graph.pow(shifted, -0.5)?;
        let normal = graph.mul(centred, inverse)?;
        let (weight, bias) = (self.weight.var(graph)?, self.bias.var(graph)?);
        let scaled = graph.mul(normal, weight)?;
        graph.add(scaled, bias)
    }

    fn describe(&self) -> Option<String> {
        Some(format!("LayerNorm({})", self.weight.shape()[1]))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("weight".into(), self.weight.clone()), ("bias".into(), self.bias.clone())]
    }
}
