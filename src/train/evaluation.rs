//! The loss and accuracy of a model on a dataset, measured on the device, in chunks.

use super::epoch::Resident;
use super::{Metrics, Trainer};
use crate::buffer::PendingRead;
use crate::error::Result;
use crate::nn::Reduction;
use crate::ops;
use crate::recording::Recording;
use crate::tape::Tape;
use crate::tensor::{ALIGNMENT, Tensor};

/// Samples that go through the model at once.
const CHUNK_ROWS: usize = 4096;

/// A forward pass over a dataset, ready to be repeated.
pub(super) struct Evaluation {
    full: Option<Recording>,
    rest: Option<Recording>,
    chunk_rows: Vec<usize>,
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

impl Evaluation {
    pub(super) fn new(trainer: &Trainer, data: Resident) -> Result<Self> {
        let samples = data.inputs.rows();
        let mut chunk_rows = vec![CHUNK_ROWS; samples / CHUNK_ROWS];
        chunk_rows.extend(Some(samples % CHUNK_ROWS).filter(|rows| *rows > 0));
        let chunks = chunk_rows.len();
        let results = Tensor::zeros(&trainer.device, 1, counts_start(chunks) + chunks)?;
        let losses = results.view(0, 1, chunks)?;
        let counts = results.view(counts_start(chunks), 1, chunks)?;
        let every_row: Vec<u32> = (0..samples as u32).collect();
        let order = Tensor::indices(&trainer.device, &every_row)?;
        let record = |rows: usize| -> Result<Option<Recording>> {
            if rows == 0 {
                return Ok(None);
            }
            let x = Tensor::zeros(&trainer.device, rows, data.inputs.cols())?;
            let t = Tensor::zeros(&trainer.device, rows, data.targets.cols())?;
            let mut pass = Recording::new(&trainer.device);
            ops::gather(&mut pass, &order, [&data.inputs, &data.targets], [&x, &t], CHUNK_ROWS)?;
            let mut tape = Tape::for_evaluation(&trainer.device);
            let (x, target) = (tape.input(&x)?, tape.input(&t)?);
            let prediction = trainer.model.forward(&mut tape, x)?;
            let loss = trainer.loss.forward(&mut tape, prediction, target)?;
            let (prediction, loss) = (tape.tensor(prediction)?, tape.tensor(loss)?);
            pass.append(&tape.finish())?;
            ops::reduce::sum(&mut pass, &loss, 1.0, &losses)?;
            let thresholds = [trainer.loss.boundary(data.threshold), data.threshold];
            ops::metrics::count_correct(&mut pass, &prediction, &t, thresholds, &counts)?;
            Ok(Some(pass.fused(&[])))
        };
        let full = record(if samples >= CHUNK_ROWS { CHUNK_ROWS } else { 0 })?;
        let rest = record(samples % CHUNK_ROWS)?;
        Ok(Self { full, rest, chunk_rows, results, reduction: trainer.loss.reduction() })
    }

    /// Queues the forward pass with the parameters as they are.
    pub(super) fn start(&self) -> Result<PendingMetrics> {
        let chunks = self.chunk_rows.len() as u32;
        let full_chunks = chunks - u32::from(self.rest.is_some());
        if let Some(full) = &self.full {
            full.run_steps(0..full_chunks)?;
        }
        if let Some(rest) = &self.rest {
            rest.run_steps(full_chunks..chunks)?;
        }
        Ok(PendingMetrics {
            results: self.results.read_async()?,
            chunk_rows: self.chunk_rows.clone(),
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
