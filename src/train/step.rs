//! A training step on a batch that the caller has.

use super::diverged::{faulty_call, faulty_parameter};
use super::pass::{Batch, device_target_cols, device_targets};
use super::session::{BatchStep, Session};
use super::snapshot::Snapshots;
use crate::data::Dataset;
use crate::device::Tensor;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Var};
use crate::lower::lower;
use crate::nn::Claim;

/// Batch sizes whose steps are kept for the next calls.
const KEPT: usize = 4;

/// These rows.
fn batch(inputs: &[f32], targets: &[f32], rows: usize) -> Result<Dataset> {
    if rows == 0 || !inputs.len().is_multiple_of(rows) || !targets.len().is_multiple_of(rows) {
        let detail = format!(
            "{} inputs and {} targets for {rows} rows; give as many of each for every row",
            inputs.len(),
            targets.len()
        );
        return Err(Error::shape("step", detail));
    }
    Dataset::new(inputs.to_vec(), inputs.len() / rows, targets.to_vec(), targets.len() / rows)
}

impl Session {
    /// See [`Trainer::step`](crate::Trainer::step).
    ///
    /// # Errors
    /// See [`Trainer::step`](crate::Trainer::step).
    pub async fn step(&mut self, inputs: &[f32], targets: &[f32], rows: usize) -> Result<f32> {
        self.step_on(batch(inputs, targets, rows)?).await
    }

    /// See [`Trainer::step_weighted`](crate::Trainer::step_weighted).
    ///
    /// # Errors
    /// See [`Trainer::step_weighted`](crate::Trainer::step_weighted).
    pub async fn step_weighted(&mut self, inputs: &[f32], targets: &[f32], weights: &[f32]) -> Result<f32> {
        self.step_on(batch(inputs, targets, weights.len())?.with_weights(weights.to_vec())?).await
    }

    async fn step_on(&mut self, batch: Dataset) -> Result<f32> {
        let _claim = Claim::new("step", self.parameters.named())?;
        // That was of an epoch, after which there are now steps.
        self.kept = None;
        self.step_at(&batch, None).await
    }

    /// A step with this learning rate, or else that of the optimizer.
    pub(super) async fn step_at(&mut self, batch: &Dataset, rate: Option<f32>) -> Result<f32> {
        let mut step = self.taken_step(batch).await?;
        let result = self.run_step(&mut step, batch, rate).await;
        self.steps.insert(0, step);
        self.steps.truncate(KEPT);
        result
    }

    async fn run_step(&mut self, step: &mut BatchStep, batch: &Dataset, rate: Option<f32>) -> Result<f32> {
        step.inputs.write(batch.inputs())?;
        step.targets.write(&device_targets(batch, 0..batch.len(), None))?;
        // Snapshots are numbered; there is one.
        step.before.save(&self.optimizer, 0).await?;
        self.clock.write(&[f32::from_bits(self.optimizer.steps() as u32)])?;
        self.optimizer.begin_step(rate)?;
        step.recording.run_steps_async(0..1).await?;
        let loss = step.loss.read_async()?.await?[0];
        if loss.is_finite() {
            return Ok(loss);
        }
        step.before.restore(&mut self.optimizer, 0)?;
        let place = self.place_of_fault(step, batch.weights().is_some()).await.unwrap_or_else(|error| {
            log::debug!("where the loss became infinite or NaN was not found: {error}");
            String::new()
        });
        // Running statistics have seen the batch again.
        step.before.restore(&mut self.optimizer, 0)?;
        let detail =
            format!("the loss is {loss}{place}; the parameters are those before the step; try a smaller learning rate");
        Err(Error::new(ErrorKind::NotFinite, "step", detail))
    }

    /// Where the first number is that is not finite, in a step that ended with one.
    async fn place_of_fault(&self, step: &BatchStep, weighted: bool) -> Result<String> {
        if let Some(name) = faulty_parameter(&self.parameters).await? {
            return Ok(format!(", as an earlier update made parameters infinite or NaN, of {name} the first"));
        }
        let (mut graph, loss) = self.batch_graph(&step.inputs, &step.targets, weighted)?;
        let call = faulty_call(&mut graph, &[loss], 0, &self.parameters).await?;
        Ok(call.map_or_else(String::new, |call| format!(": the first such number is in {call}")))
    }

    /// The loss on a batch.
    fn batch_graph(&self, inputs: &Tensor, targets: &Tensor, weighted: bool) -> Result<(Graph, Var)> {
        let mut graph = Graph::new(&self.device).seed(crate::random::fold(self.seed)).with_clock(&self.clock)?;
        let (x, t) = (graph.input(inputs)?, graph.input(targets)?);
        let y = self.model.forward(&mut graph, x)?;
        let loss = Batch::new(&mut graph, x, t, weighted)?.loss(&mut graph, &*self.loss, y)?;
        Ok((graph, loss))
    }

    /// The dispatches for batches of this shape, kept or new.
    async fn taken_step(&mut self, batch: &Dataset) -> Result<BatchStep> {
        let shape = (batch.shape(), batch.weights().is_some());
        let frozen: Vec<bool> = self.parameters.named().map(|(_, parameter)| parameter.is_frozen()).collect();
        if let Some(kept) = self.steps.iter().position(|step| step.shape == shape && step.frozen == frozen) {
            let step = self.steps.remove(kept);
            self.loss.check_targets(batch, step.outputs)?;
            return Ok(step);
        }
        let outputs = self.output_cols(batch)?;
        self.loss.check_targets(batch, outputs)?;
        let [rows, input_cols, _] = shape.0;
        let inputs = Tensor::zeros(&self.device, rows, input_cols)?;
        let targets = Tensor::zeros(&self.device, rows, device_target_cols(batch))?;
        let (mut graph, loss) = self.batch_graph(&inputs, &targets, shape.1)?;
        let mut wanted = vec![loss];
        wanted.extend(self.optimizer.train(&mut graph, loss)?.into_iter().map(|(_, updated)| updated));
        let lowered = lower(&graph, &wanted)?;
        let missing = || Error::input("step", "the loss is no value of its graph");
        let loss = lowered.tensor(loss).cloned().ok_or_else(missing)?;
        let mut recording = lowered.into_recording();
        recording.let_others_in_until_written(&self.parameters.values()?);
        Ok(BatchStep {
            shape,
            outputs,
            frozen,
            inputs,
            targets,
            loss,
            recording,
            before: Snapshots::new(&self.parameters, &self.optimizer, None, 1).await?,
        })
    }
}
