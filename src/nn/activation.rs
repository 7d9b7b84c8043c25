//! Activations as modules.

use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::{Activation, Module};

/// `y = activation(x)`, element by element: `Sequential::new().add(Linear::new(2, 25)).add(ReLU)`.
impl Module for Activation {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.activation(x, *self)
    }

    fn describe(&self) -> Option<String> {
        Some(match *self {
            Self::LeakyReLU { slope } => format!("LeakyReLU({slope})"),
            Self::ELU { alpha } => format!("ELU({alpha})"),
            Self::Pow { exponent } => format!("Pow({exponent})"),
            Self::Affine { scale, shift } => format!("Affine({scale}, {shift})"),
            plain => format!("{plain:?}"),
        })
    }
}

/// The softmax of each row: `exp(x) / (sum over the row of exp(x))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softmax;

impl Module for Softmax {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.softmax(x)
    }

    fn describe(&self) -> Option<String> {
        Some("Softmax".into())
    }
}

/// The logarithm of the softmax of each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSoftmax;

impl Module for LogSoftmax {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.log_softmax(x)
    }

    fn describe(&self) -> Option<String> {
        Some("LogSoftmax".into())
    }
}
