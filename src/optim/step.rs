//! An optimizer step as an operation of the graph.

use std::fmt;
use std::sync::Arc;

use crate::device::{Device, Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Operation, Shape};
use crate::ops::optim::{Stretch, Update};
use crate::optim::Algorithm;

/// Updates a row of parameters in place. Operands: values, gradients, rates, the squared norm of all gradients, then the
/// states. Gives the values and the states.
#[derive(Clone)]
pub(super) struct OptimizerStep {
    pub(super) algorithm: Arc<dyn Algorithm>,
    pub(super) constants: Update,
}

impl Operation for OptimizerStep {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        match inputs {
            [values, _, _, _, states @ ..] if states.len() == self.algorithm.states() => {
                Ok(vec![*values; 1 + states.len()])
            }
            _ => Err(Error::input("optimizer", format!("{} operands of a step", inputs.len()))),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let (values, state) = (outputs[0], &outputs[1..]);
        let state: Vec<_> = state.iter().map(|state| (*state).clone()).collect();
        let on = Stretch { gradients: inputs[1], values, state: &state, rates: inputs[2], squared_norm: inputs[3] };
        self.algorithm.record(recording, self.constants, on)
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        (0..=self.algorithm.states()).map(|i| (i, if i == 0 { 0 } else { 3 + i })).collect()
    }
}

impl fmt::Debug for OptimizerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.algorithm.name(), self.constants)
    }
}

/// An error if an algorithm's settings make no sense for parameters of these names, or its kernels refuse its constants:
/// found by recording an update of one parameter, so that no model is placed for it in vain.
pub(crate) fn check(algorithm: &dyn Algorithm, device: &Device, names: &[&str]) -> Result<()> {
    algorithm.settings().check()?;
    algorithm.settings().check_groups(names)?;
    let [gradients, values, squared_norm] = [(); 3].map(|()| Tensor::zeros(device, 1, 1));
    let (gradients, values, squared_norm) = (gradients?, values?, squared_norm?);
    let state = (0..algorithm.states()).map(|_| Tensor::zeros(device, 1, 1)).collect::<Result<Vec<_>>>()?;
    let rates = Tensor::zeros(device, 1, 4)?;
    let on =
        Stretch { gradients: &gradients, values: &values, state: &state, rates: &rates, squared_norm: &squared_norm };
    algorithm.record(&mut Recording::new(device), algorithm.update(), on)
}
