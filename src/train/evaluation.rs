//! The loss and accuracy of a model on a dataset, measured on the device, in chunks.

use super::Metrics;
use super::history::combine;
use super::pass::{Pass, Source};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, PendingRead, Tensor};
use crate::error::Result;
use crate::graph::Graph;
use crate::lower::lower;
use crate::nn::{Loss, Module, Reduction};
use crate::ops::metrics::CountCorrect;
use crate::ops::reduce::IntoHistory;

/// Samples that go through the model at once, if their rows fit a matrix.
const CHUNK_ROWS: usize = 4096;

/// Samples of this data that go through the model at once: sums follow from it, so it depends on nothing but the
/// shapes and the device.
pub(super) fn chunk_rows(device: &Device, data: &Dataset) -> usize {
    let row_bytes = 4 * data.input_cols().max(data.target_cols()) as u64;
    ((device.describe().max_tensor_bytes / row_bytes) as usize).clamp(1, CHUNK_ROWS)
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
    pub(super) fn new(model: &dyn Module, loss: &dyn Loss, source: Source<'a>) -> Result<Self> {
        let (device, reduction) = (source.device().clone(), loss.reduction());
        let chunks = source.steps(false).len();
        let results = Tensor::zeros(&device, 1, counts_start(chunks) + chunks)?;
        let losses = results.view(0, 1, chunks)?;
        let counts = results.view(counts_start(chunks), 1, chunks)?;
        let threshold = source.data().threshold();
        let thresholds = [loss.boundary(threshold), threshold];
        let pass = Pass::new(source, false, |source, rows| {
            let mut graph = Graph::for_evaluation(&device);
            let [x, t] = source.gather(&mut graph, rows)?;
            let prediction = model.forward(&mut graph, x)?;
            let loss = loss.forward(&mut graph, prediction, t)?;
            let (losses, counts) = (graph.input(&losses)?, graph.input(&counts)?);
            let wanted = [
                graph.call1(IntoHistory, &[losses, loss])?,
                graph.call1(CountCorrect { thresholds }, &[counts, prediction, t])?,
            ];
            Ok(lower(&graph, &wanted)?.into_recording())
        })?;
        Ok(Self { pass, results, reduction })
    }

    /// Queues the forward pass with the parameters as they are.
    pub(super) async fn start(&self) -> Result<PendingMetrics> {
        self.pass.run(None, u32::MAX).await?;
        Ok(PendingMetrics {
            results: self.results.read_async()?,
            chunk_rows: self.pass.step_rows.clone(),
            reduction: self.reduction,
        })
    }
}

impl PendingMetrics {
    pub(super) async fn metrics(self) -> Result<Metrics> {
        let results = self.results.await?;
        let (losses, counts) = results.split_at(counts_start(self.chunk_rows.len()));
        let samples: usize = self.chunk_rows.iter().sum();
        let right: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        Ok(Metrics {
            loss: combine(self.reduction, &losses[..self.chunk_rows.len()], &self.chunk_rows) as f32,
            accuracy: (right / samples as f64) as f32,
        })
    }
}
