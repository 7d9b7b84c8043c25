//! Layer normalisation.

use crate::error::Result;
use crate::nn::{Init, Module, Parameter};
use crate::tape::{Tape, Var};

/// `y = (x - mean) / √(variance + 1e-5) * weight + bias`, with the mean and variance of each row (Ba et al. 2016):
/// PyTorch's `LayerNorm`. weight and bias are [1, c].
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
}

impl LayerNorm {
    /// For rows of so many columns.
    pub fn new(cols: usize) -> Self {
        Self {
            weight: Parameter::vector(cols, Init::Constant(1.0)),
            bias: Parameter::vector(cols, Init::Constant(0.0)),
        }
    }
}

impl Module for LayerNorm {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let mean = tape.mean_cols(x)?;
        let centred = tape.sub(x, mean)?;
        let squares = tape.mul(centred, centred)?;
        let variance = tape.mean_cols(squares)?;
        let shifted = tape.add_scalar(variance, 1e-5)?;
        let inverse = tape.pow(shifted, -0.5)?;
        let normal = tape.mul(centred, inverse)?;
        let (weight, bias) = (tape.parameter(&self.weight)?, tape.parameter(&self.bias)?);
        let scaled = tape.mul(normal, weight)?;
        tape.add(scaled, bias)
    }

    fn describe(&self) -> Option<String> {
        Some(format!("LayerNorm({})", self.weight.shape()[1]))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("weight".into(), self.weight.clone()), ("bias".into(), self.bias.clone())]
    }
}
