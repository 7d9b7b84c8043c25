//! An epoch of mini-batches, as launches.

use super::{Fit, Trainer};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::Result;
use crate::ops;
use crate::recording::Recording;
use crate::tape::Tape;
use crate::tensor::Tensor;

/// A dataset in a device's memory.
pub(super) struct Resident {
    pub(super) inputs: Tensor,
    pub(super) targets: Tensor,
    pub(super) threshold: f32,
}

impl Resident {
    pub(super) fn new(device: &Device, data: &Dataset) -> Result<Self> {
        Ok(Self {
            inputs: Tensor::new(device, data.len(), data.input_cols(), data.inputs())?,
            targets: Tensor::new(device, data.len(), data.target_cols(), data.targets())?,
            threshold: data.threshold(),
        })
    }
}

/// An epoch's launches: the full mini-batches, and the smaller one at the end.
pub(super) struct Epoch {
    full: Recording,
    full_steps: u32,
    rest: Option<Recording>,
    /// The order of the samples, shuffled anew each epoch.
    order: Tensor,
    /// The loss of each step.
    pub(super) losses: Tensor,
    /// The samples of each step.
    pub(super) step_rows: Vec<usize>,
}

impl Trainer {
    pub(super) fn record_epoch(&self, data: &Resident, fit: &Fit<'_>) -> Result<Epoch> {
        let (samples, batch_size) = (data.inputs.rows(), fit.batch_size);
        let rest = if fit.drop_last { 0 } else { samples % batch_size };
        let mut step_rows = vec![batch_size; samples / batch_size];
        step_rows.extend((rest > 0).then_some(rest));
        let order = Tensor::zeros(&self.device, 1, samples)?;
        let losses = Tensor::zeros(&self.device, 1, step_rows.len())?;
        let record = |rows| self.record_step(data, (&order, batch_size), rows, &losses, fit.fused);
        Ok(Epoch {
            full: record(batch_size)?,
            full_steps: (samples / batch_size) as u32,
            rest: if rest > 0 { Some(record(rest)?) } else { None },
            order,
            losses,
            step_rows,
        })
    }

    /// One step on a mini-batch of `rows` samples, the step's number times `batch_size` into the order.
    fn record_step(
        &self,
        data: &Resident,
        (order, batch_size): (&Tensor, usize),
        rows: usize,
        losses: &Tensor,
        fused: bool,
    ) -> Result<Recording> {
        let (x, t) = (
            Tensor::zeros(&self.device, rows, data.inputs.cols())?,
            Tensor::zeros(&self.device, rows, data.targets.cols())?,
        );
        let mut step = Recording::new(&self.device);
        ops::gather(&mut step, order, [&data.inputs, &data.targets], [&x, &t], batch_size)?;
        let mut tape = Tape::with_clock(&self.device, self.seed, &self.clock);
        let (x, t) = (tape.input(&x)?, tape.input(&t)?);
        let y = self.model.forward(&mut tape, x)?;
        let loss = self.loss.forward(&mut tape, y, t)?;
        let loss_value = tape.tensor(loss)?;
        let graph = tape.backward_overwriting(loss)?;
        step.append(graph.forward_recording())?;
        ops::reduce::sum(&mut step, &loss_value, 1.0, losses)?;
        step.append(graph.backward_recording())?;
        step.append(self.optimizer.update())?;
        Ok(if fused { step.fused(&[]) } else { step })
    }
}

impl Epoch {
    pub(super) fn run(&self, order: &[u32], steps_per_submit: u32) -> Result<()> {
        self.order.write(bytemuck::cast_slice(order))?;
        let mut first = 0;
        while first < self.full_steps {
            let end = self.full_steps.min(first.saturating_add(steps_per_submit));
            self.full.run_steps(first..end)?;
            first = end;
        }
        match &self.rest {
            Some(rest) => rest.run_steps(self.full_steps..self.full_steps + 1),
            None => Ok(()),
        }
    }
}
