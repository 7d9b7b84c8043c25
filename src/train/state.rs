//! What a training has on its device, on the host.

use super::average::trained;
use crate::device::Tensor;
use crate::error::Result;
use crate::nn::Parameters;
use crate::optim::Optimizer;

/// The parameters, what the optimizer keeps, and their average if there is one, each laid out as the parameters' list.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) parameters: Vec<f32>,
    pub(super) optimizer: Vec<Vec<f32>>,
    pub(super) average: Option<Vec<f32>>,
    /// Steps and epochs of the optimizer.
    pub(super) steps: u64,
    pub(super) epoch: usize,
}

/// The tensors that a training changes: those of the parameters, the optimizer's, the average's.
pub(super) fn live(parameters: &Parameters, optimizer: &Optimizer, average: Option<&Tensor>) -> Result<Vec<Tensor>> {
    let values = parameters.all().iter().map(|stretch| stretch.values()).collect::<Result<Vec<_>>>()?;
    Ok(values.into_iter().chain(optimizer.state().iter().chain(average).cloned()).collect())
}

impl State {
    /// From the numbers of the [`live`] tensors, one behind the other, after so many steps and epochs.
    pub(super) fn new(
        numbers: &[f32],
        parameters: &Parameters,
        optimizer: &Optimizer,
        (steps, epoch): (u64, usize),
    ) -> Self {
        let mut parts = numbers.chunks(parameters.padded_len()).map(<[f32]>::to_vec);
        let parameters = parts.next().unwrap_or_default();
        let optimizer = parts.by_ref().take(optimizer.state().len()).collect();
        Self { parameters, optimizer, average: parts.next(), steps, epoch }
    }

    /// Has the average in the parameters' place.
    pub(super) fn show_average(&mut self, parameters: &Parameters) {
        let Some(average) = &self.average else { return };
        for stretch in trained(parameters) {
            let range = stretch.start..stretch.start + stretch.len;
            self.parameters[range.clone()].copy_from_slice(&average[range]);
        }
    }
}
