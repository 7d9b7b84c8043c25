//! Stochastic gradient descent.

use crate::error::Result;
use crate::nn::Parameters;
use crate::ops;
use crate::optim::Rule;
use crate::recording::Recording;
use crate::tensor::Tensor;

/// Stochastic gradient descent: `θ -= rate * ∇θ`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    learning_rate: f32,
}

impl Sgd {
    /// With this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Self { learning_rate }
    }
}

impl Rule for Sgd {
    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn record(&self, recording: &mut Recording, parameters: &Parameters, rates: &Tensor) -> Result<()> {
        ops::optim::sgd(recording, parameters.gradients(), rates, parameters.values())
    }
}
