//! An epoch of mini-batches, as launches.

use super::pass::{Pass, Source};
use super::{Fit, Trainer};
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::ops;
use crate::tape::Tape;

/// An epoch's launches.
pub(super) struct Epoch<'a> {
    /// Through the mini-batches, in an order that is shuffled anew each epoch.
    pub(super) pass: Pass<'a>,
    /// The loss of each step.
    pub(super) losses: Tensor,
}

impl Trainer {
    pub(super) fn record_epoch<'a>(&self, source: Source<'a>, fit: &Fit<'_>) -> Result<Epoch<'a>> {
        let losses = Tensor::zeros(&self.device, 1, source.steps(fit.drop_last).len())?;
        let pass = Pass::new(source, fit.drop_last, |source, rows| self.record_step(source, rows, &losses, fit.fused))?;
        Ok(Epoch { pass, losses })
    }

    /// One step on a mini-batch of `rows` samples.
    fn record_step(&self, source: &Source<'_>, rows: usize, losses: &Tensor, fused: bool) -> Result<Recording> {
        let mut step = Recording::new(&self.device);
        let [x, t] = source.gather(&mut step, rows)?;
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
