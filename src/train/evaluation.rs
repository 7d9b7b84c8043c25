//! The loss and accuracy of a model on a dataset, measured on the device, in chunks.

use super::Metrics;
use super::history::combine;
use super::pass::{Pass, Source};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, PendingRead, Tensor};
use crate::error::Result;
use crate::graph::Graph;
use crate::lower::lower;
use crate::metrics::Decision;
use crate::nn::{Loss, Module, Reduction};
use crate::ops::metrics::CountCorrect;
use crate::ops::reduce::IntoHistory;

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
    /// How many answers a sample has.
    answers: usize,
}

/// Measurements on their way back from the device.
pub(super) struct PendingMetrics {
    results: PendingRead,
    chunk_rows: Vec<usize>,
    reduction: Reduction,
    answers: usize,
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
        let decision = loss.decision();
        let answers = decision.answers(source.data().target_cols());
        let pass = Pass::new(source, false, |source, rows| {
            let mut graph = Graph::for_evaluation(&device);
            let [x, t] = source.gather(&mut graph, rows)?;
            let prediction = model.forward(&mut graph, x)?;
            let loss = loss.forward(&mut graph, prediction, t)?;
            let losses = graph.input(&losses)?;
            let mut wanted = vec![graph.call1(IntoHistory, &[losses, loss])?];
            if let Some(count) = count_right(decision) {
                let counts = graph.input(&counts)?;
                wanted.push(graph.call1(count, &[counts, prediction, t])?);
            }
            Ok(lower(&graph, &wanted)?.into_recording())
        })?;
        Ok(Self { pass, results, reduction, answers })
    }

    /// Queues the forward pass with the parameters as they are.
    pub(super) async fn start(&self) -> Result<PendingMetrics> {
        self.pass.run(None, u32::MAX).await?;
        Ok(PendingMetrics {
            results: self.results.read_async()?,
            chunk_rows: self.pass.step_rows.clone(),
            reduction: self.reduction,
            answers: self.answers,
        })
    }
}

/// What counts right answers on the device; none where there are none.
fn count_right(decision: Decision) -> Option<CountCorrect> {
    match decision {
        Decision::Regression => None,
        Decision::Threshold { output, target } => Some(CountCorrect { thresholds: Some([output, target]) }),
        Decision::Argmax => Some(CountCorrect { thresholds: None }),
    }
}

impl PendingMetrics {
    pub(super) async fn metrics(self) -> Result<Metrics> {
        let results = self.results.await?;
        let (losses, counts) = results.split_at(counts_start(self.chunk_rows.len()));
        let answers = self.answers * self.chunk_rows.iter().sum::<usize>();
        let right: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        Ok(Metrics {
            loss: combine(self.reduction, &losses[..self.chunk_rows.len()], &self.chunk_rows) as f32,
            accuracy: (answers > 0).then(|| (right / answers as f64) as f32),
        })
    }
}
