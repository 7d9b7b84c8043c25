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
