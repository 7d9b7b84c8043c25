//! The loss and accuracy of a model on a dataset, measured on the device, in chunks.

use super::pass::{Pass, Source};
use super::{Metrics, Trainer};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, PendingRead, Recording, Tensor};
use crate::error::Result;
use crate::nn::Reduction;
use crate::ops;
use crate::tape::Tape;

/// Samples that go through the model at once, if their rows fit a matrix.
const CHUNK_ROWS: usize = 4096;

/// Samples of this data that go through the model at once: sums follow from it, so it depends on nothing but the
/// shapes and the device.
pub(super) fn chunk_rows(device: &Device, data: &Dataset) -> usize {
    let row_bytes = 4 * data.input_cols().max(data.target_cols()) as u64;
    ((device.capabilities().max_tensor_bytes / row_bytes) as usize).clamp(1, CHUNK_ROWS)
}

/// A forward pass over a dataset, ready to be repeated.
pub(super) struct Evaluation<'a> {
    pass: Pass<'a>,
    /// The loss of each chunk, then the right answers of each chunk.
    results: Tensor,
    reduction: Reduction,
}

/// Measurements on their way back from the device.
pub(super) struct PendingMetrics {
    results: PendingRead,
    chunk_rows: Vec<usize>,
    reduction: Reduction,
}

/// Where the counts begin in `results`.
fn counts_start(chunks: usize) -> usize {
    chunks.next_multiple_of(ALIGNMENT)
}

impl<'a> Evaluation<'a> {
    /// On data in steps of `chunk_rows`.
    pub(super) fn new(trainer: &Trainer, source: Source<'a>) -> Result<Self> {
        let chunks = source.steps(false).len();
        let results = Tensor::zeros(&trainer.device, 1, counts_start(chunks) + chunks)?;
        let losses = results.view(0, 1, chunks)?;
        let counts = results.view(counts_start(chunks), 1, chunks)?;
        let threshold = source.data().threshold();
        let thresholds = [trainer.loss.boundary(threshold), threshold];
        let pass = Pass::new(source, false, |source, rows| {
            let mut pass = Recording::new(&trainer.device);
            let [x, t] = source.gather(&mut pass, rows)?;
            let mut tape = Tape::for_evaluation(&trainer.device);
            let (x, target) = (tape.input(&x)?, tape.input(&t)?);
            let prediction = trainer.model.forward(&mut tape, x)?;
            let loss = trainer.loss.forward(&mut tape, prediction, target)?;
            let (prediction, loss) = (tape.tensor(prediction)?, tape.tensor(loss)?);
            pass.append(&tape.finish())?;
            ops::reduce::sum(&mut pass, &loss, 1.0, &losses)?;
            ops::metrics::count_correct(&mut pass, &prediction, &t, thresholds, &counts)?;
            Ok(pass.fused(&[]))
        })?;
        Ok(Self { pass, results, reduction: trainer.loss.reduction() })
    }

    /// Queues the forward pass with the parameters as they are.
    pub(super) fn start(&self) -> Result<PendingMetrics> {
        self.pass.run(None, u32::MAX)?;
        Ok(PendingMetrics {
            results: self.results.read_async()?,
            chunk_rows: self.pass.step_rows.clone(),
            reduction: self.reduction,
        })
    }
}

impl PendingMetrics {
    pub(super) fn wait(self) -> Result<Metrics> {
        let results = self.results.wait()?;
        let (losses, counts) = results.split_at(counts_start(self.chunk_rows.len()));
        let samples: usize = self.chunk_rows.iter().sum();
        let right: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        Ok(Metrics {
            loss: self.reduction.combine(&losses[..self.chunk_rows.len()], &self.chunk_rows) as f32,
            accuracy: (right / samples as f64) as f32,
        })
    }
}
