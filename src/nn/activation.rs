//! Activations as modules.

use crate::error::Result;
use crate::nn::{Activation, Module};
use crate::tape::{Tape, Var};

/// `y = activation(x)`, element by element: `Sequential::new().add(Linear::new(2, 25)).add(ReLU)`.
impl Module for Activation {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        tape.activation(x, *self)
    }
}

/// The softmax of each row: `exp(x) / (sum over the row of exp(x))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softmax;

impl Module for Softmax {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        tape.softmax(x)
    }
}

/// The logarithm of the softmax of each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSoftmax;

impl Module for LogSoftmax {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        tape.log_softmax(x)
    }
}
