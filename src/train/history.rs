//! What training leaves behind.

use crate::nn::Reduction;

/// How well a model does on a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// The loss, as the trainer's [`Loss`](crate::nn::Loss) reduces it.
    pub loss: f32,
    /// The share of samples classified right: the largest output stands where the largest target stands; with one
    /// output, both lie on the same side of the targets' middle.
    pub accuracy: f32,
}

/// One epoch of training.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochRecord {
    /// Counted from 1, over all calls of [`Trainer::fit`](crate::Trainer::fit).
    pub epoch: usize,
    /// The loss over the epoch's mini-batches, each as it was before its own update.
    pub loss: f32,
    /// The model after the epoch on the training data, if it was measured.
    pub train: Option<Metrics>,
    /// The model after the epoch on the validation data, if there is any and it was measured.
    pub validation: Option<Metrics>,
    /// Seconds from the start of the call to these results.
    pub seconds: f64,
}

/// The record of a training.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// The loss of every step, each before its update.
    pub step_losses: Vec<f32>,
    /// Seconds spent, measurements included.
    pub seconds: f64,
}

impl History {
    /// What came after the first `epochs` epochs and `steps` steps, which took `seconds`.
    pub(super) fn since(&self, epochs: usize, steps: usize, seconds: f64) -> Self {
        Self { epochs: self.epochs[epochs..].to_vec(), step_losses: self.step_losses[steps..].to_vec(), seconds }
    }
}

impl Reduction {
    /// The loss of a whole from those of its parts, which have these numbers of rows.
    pub(super) fn combine(self, losses: &[f32], rows: &[usize]) -> f64 {
        let losses = losses.iter().map(|loss| f64::from(*loss));
        match self {
            Self::Sum | Self::OutputMean => losses.sum(),
            Self::Mean | Self::SampleMean => {
                let weighted: f64 = losses.zip(rows).map(|(loss, rows)| loss * *rows as f64).sum();
                weighted / rows.iter().sum::<usize>() as f64
            }
        }
    }
}
