//! Dropout.

use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::Module;

/// Drops each element with probability p while training and scales the others by 1 / (1 - p) (Srivastava et al. 2014);
/// returns its input unchanged in evaluation.
///
/// Which elements are dropped depends only on the trainer's seed, the step number and the element's position, so it is
/// the same on every device and in every run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Drops with this probability, from 0 to below 1.
    pub fn new(p: f32) -> Self {
        Self { p }
    }
}

impl Module for Dropout {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.dropout(x, self.p)
    }

    fn describe(&self) -> Option<String> {
        Some(format!("Dropout({})", self.p))
    }
}
