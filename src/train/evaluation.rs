//! The loss and accuracy of a model on a dataset, measured on the device, in chunks.

use super::history::combine;
use super::pass::{Pass, Rows, Source, device_target_cols, retain, step_counts};
use super::{Metrics, Session};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, PendingRead, Tensor};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::lower::lower;
use crate::metrics::Decision;
use crate::nn::Reduction;
use crate::ops::copy::IntoRows;
use crate::ops::metrics::CountCorrect;
use crate::ops::reduce::IntoHistory;

/// Samples that go through the model at once, if their rows fit a matrix.
const CHUNK_ROWS: usize = 4096;

/// Samples of this data that go through the model at once: sums follow from it, so it depends on nothing but the
/// shapes and the device.
pub(super) fn chunk_rows(device: &Device, data: &Dataset) -> usize {
    let row_bytes = 4 * data.input_cols().max(device_target_cols(data)) as u64;
    ((device.capabilities().max_tensor_bytes / row_bytes) as usize).clamp(1, CHUNK_ROWS)
}

/// Forward passes over a dataset, one for each of several models, ready to be repeated.
pub(super) struct Evaluation<'a> {
    pass: Pass<'a>,
    measured: Vec<Measured>,
}

/// What is measured of a model.
struct Measured {
    /// The loss of each chunk, then the right answers of each chunk.
    results: Tensor,
    reduction: Reduction,
    /// How much each chunk counts in a mean.
    counts: Vec<f64>,
    /// How many answers there are, each with its sample's weight.
    answers: f64,
    /// The model's outputs for all rows, if they are asked for.
    outputs: Option<Tensor>,
}

/// Measurements on their way back from the device.
pub(super) struct PendingMetrics {
    results: PendingRead,
    reduction: Reduction,
    counts: Vec<f64>,
    answers: f64,
    outputs: Option<PendingRead>,
}

/// Where the counts begin in `results`.
fn counts_start(chunks: usize) -> usize {
    chunks.next_multiple_of(ALIGNMENT)
}

impl<'a> Evaluation<'a> {
    /// Of each session's model, on data in steps of [`chunk_rows`], with the outputs of those that keep them.
    pub(super) fn new(sessions: &[&Session], sources: Vec<Source<'a>>, keep: &[bool]) -> Result<Self> {
        let measured = |((session, source), keeps): ((&&Session, &Source<'_>), &bool)| {
            let (rows, steps) = (source.rows(), source.steps(1, false));
            let answers = session.loss.decision().answers(source.data().target_cols());
            Ok(Measured {
                results: Tensor::zeros(source.device(), 1, counts_start(steps.len()) + steps.len())?,
                reduction: session.loss.reduction(),
                counts: match rows.counts(&*session.loss) {
                    None => steps.iter().map(|rows| *rows as f64).collect(),
                    Some(counts) => step_counts(&counts, &rows.numbers(), &steps),
                },
                answers: answers as f64 * rows.total_weight(),
                outputs: match keeps {
                    true => Some(Tensor::zeros(source.device(), rows.len(), session.output_cols(rows.data)?)?),
                    false => None,
                },
            })
        };
        let measured = sessions.iter().zip(&sources).zip(keep).map(measured).collect::<Result<Vec<_>>>()?;
        let step_rows = sources.first().map(|source| source.steps(1, false)).unwrap_or_default();
        let pass = Pass::new(sources, step_rows, |member, source, rows| {
            let (session, results) = (sessions[member], &measured[member].results);
            let chunks = source.steps(1, false).len();
            let losses = results.view(0, 1, chunks)?;
            let counts = results.view(counts_start(chunks), 1, chunks)?;
            let mut graph = Graph::for_evaluation(&session.device);
            let batch = source.gather(&mut graph, rows)?;
            let prediction = session.model.forward(&mut graph, batch.x)?;
            let loss = batch.loss(&mut graph, &*session.loss, prediction)?;
            let losses = graph.input(&losses)?;
            let mut wanted = vec![graph.call1(IntoHistory, &[losses, loss])?];
            if let Some(outputs) = &measured[member].outputs {
                let outputs = graph.input(outputs)?;
                wanted.push(graph.call1(IntoRows { stride: source.step_rows() }, &[outputs, prediction])?);
            }
            if let Some(count) = count_right(session.loss.decision()) {
                let counts = graph.input(&counts)?;
                let operands: Vec<_> = [counts, prediction, batch.t].into_iter().chain(batch.weights).collect();
                wanted.push(graph.call1(count, &operands)?);
            }
            let mut recording = lower(&graph, &wanted)?.into_recording();
            // A prediction elsewhere need not wait for thousands of rows.
            recording.let_others_in_until_written(&[]);
            Ok(recording)
        })?;
        Ok(Self { pass, measured })
    }

    pub(super) fn retain(&mut self, keep: &[bool]) -> Result<()> {
        retain(&mut self.measured, keep);
        self.pass.retain(keep)
    }

    /// Queues the forward passes with the parameters as they are.
    pub(super) async fn start(&self) -> Result<Vec<PendingMetrics>> {
        self.pass.run(None, self.pass.step_rows.len(), u32::MAX, None).await?;
        let pending = |measured: &Measured| {
            Ok(PendingMetrics {
                results: measured.results.read_async()?,
                reduction: measured.reduction,
                counts: measured.counts.clone(),
                answers: measured.answers,
                outputs: measured.outputs.as_ref().map(Tensor::read_async).transpose()?,
            })
        };
        self.measured.iter().map(pending).collect()
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

impl Session {
    /// See [`Trainer::evaluate`](crate::Trainer::evaluate).
    ///
    /// # Errors
    /// See [`Trainer::evaluate`](crate::Trainer::evaluate).
    pub async fn evaluate(&self, data: &Dataset) -> Result<Metrics> {
        self.loss.check_targets(data, self.output_cols(data)?)?;
        data.check_weights("evaluate")?;
        let source = Source::new(&self.device, Rows::all(data), chunk_rows(&self.device, data), u64::MAX)?;
        let [pending] = <[_; 1]>::try_from(Evaluation::new(&[self], vec![source], &[false])?.start().await?)
            .map_err(|_| Error::input("evaluate", "other than one model was measured"))?;
        Ok(pending.metrics().await?.0)
    }
}

impl PendingMetrics {
    /// How much the loss and the accuracy count in those of more data.
    pub(super) fn counts(&self) -> [f64; 2] {
        [self.counts.iter().sum(), self.answers]
    }

    /// The metrics, and the outputs if they were kept.
    pub(super) async fn metrics(self) -> Result<(Metrics, Option<Vec<f32>>)> {
        let results = self.results.await?;
        let (losses, right) = results.split_at(counts_start(self.counts.len()));
        let right: f64 = right.iter().map(|right| f64::from(*right)).sum();
        let metrics = Metrics {
            loss: combine(self.reduction, &losses[..self.counts.len()], &self.counts) as f32,
            // The device's sums of weights are rounded: not to more than all of them.
            accuracy: (self.answers > 0.0).then(|| (right / self.answers).min(1.0) as f32),
        };
        let outputs = match self.outputs {
            Some(outputs) => Some(outputs.await?),
            None => None,
        };
        Ok((metrics, outputs))
    }
}
