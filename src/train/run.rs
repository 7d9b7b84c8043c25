//! The loop over epochs.

use std::collections::VecDeque;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use super::evaluation::{Evaluation, PendingMetrics, chunk_rows};
use super::monitor::Best;
use super::pass::Source;
use super::{Control, EpochRecord, Fit, History, Trainer};
use crate::data::Dataset;
use crate::device::PendingRead;
use crate::error::{Error, ErrorKind, Result};

/// An epoch whose results are on their way.
struct PendingEpoch {
    epoch: usize,
    losses: PendingRead,
    train: Option<PendingMetrics>,
    validation: Option<PendingMetrics>,
}

impl Trainer {
    /// Trains, and returns the records of these epochs.
    ///
    /// The samples are shuffled anew for each epoch. Within an epoch nothing is read back; its losses and measurements
    /// come back while the next one runs, unless something is decided by them: see [`Fit`].
    ///
    /// # Errors
    /// No epochs, a batch size of 0 or larger than the data, data of another shape than the model's; a loss that is
    /// NaN or infinite ([`ErrorKind::NotFinite`]; what was recorded until then is in [`Trainer::history`]); a
    /// checkpoint that can't be written; a lost device.
    pub fn fit(&mut self, train: &Dataset, mut fit: Fit<'_>) -> Result<History> {
        fit.check(train)?;
        let start = Instant::now();
        for data in std::iter::once(train).chain(fit.validation) {
            self.loss.check_targets(data, self.output_cols(data)?)?;
        }
        let source = Source::new(&self.device, train, fit.batch_size, fit.resident_bytes)?;
        let measured = source.in_steps_of(chunk_rows(&self.device, train), fit.resident_bytes)?;
        self.optimizer.reserve(train.len().div_ceil(fit.batch_size))?;
        let plan = self.record_epoch(source, &fit)?;
        let evaluation = Evaluation::new(self, measured)?;
        let validation = fit.validation.map(|data| self.evaluation(data, fit.resident_bytes)).transpose()?;

        let (already, already_steps) = (self.history.epochs.len(), self.history.step_losses.len());
        let last = if fit.until { fit.epochs } else { already + fit.epochs };
        let goes_on = fit.until && fit.looks_for_best();
        self.best = self.best.take().filter(|best| goes_on && best.monitor == fit.monitor);
        let mut stop = self.is_patience_out(&fit);
        let mut pending = VecDeque::new();
        let mut epoch = already;
        while epoch < last && !stop {
            epoch += 1;
            self.clock.write(&[f32::from_bits(self.optimizer.steps() as u32)])?;
            self.optimizer.begin_epoch(plan.pass.step_rows.len())?;
            plan.pass.run(Some(&order(self.seed, epoch, train.len())), fit.steps_per_submit)?;
            let measure = epoch == last || (fit.evaluate_every > 0 && epoch.is_multiple_of(fit.evaluate_every));
            pending.push_back(PendingEpoch {
                epoch,
                losses: plan.losses.read_async()?,
                train: if measure { Some(evaluation.start()?) } else { None },
                validation: match &validation {
                    Some(validation) if measure => Some(validation.start()?),
                    _ => None,
                },
            });
            // The device works on one epoch while the host takes in the one before.
            while pending.len() > usize::from(epoch < last && !fit.waits_for(epoch)) {
                let Some(oldest) = pending.pop_front() else { break };
                stop = self.take_in(oldest, &plan.pass.step_rows, start, &mut fit)?;
            }
            #[cfg(feature = "safetensors")]
            if let Some((path, every)) = &fit.checkpoint {
                if epoch == last || stop || (*every > 0 && epoch.is_multiple_of(*every)) {
                    self.save_checkpoint(path)?;
                }
            }
        }
        if let (Some(best), Some(_)) = (&self.best, &fit.early_stopping) {
            self.parameters.values().write(&best.values)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(self.history.since(already, already_steps, seconds))
    }

    /// Records an epoch's results, and tells whether training stops here.
    fn take_in(
        &mut self,
        pending: PendingEpoch,
        step_rows: &[usize],
        start: Instant,
        fit: &mut Fit<'_>,
    ) -> Result<bool> {
        let losses = pending.losses.wait()?;
        if let Some(step) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(Error::new(
                ErrorKind::NotFinite,
                "fit",
                format!(
                    "the loss became {} in epoch {}, step {}; try a smaller learning rate",
                    losses[step],
                    pending.epoch,
                    step + 1
                ),
            ));
        }
        let record = EpochRecord {
            epoch: pending.epoch,
            steps: losses.len(),
            loss: self.loss.reduction().combine(&losses, step_rows) as f32,
            train: pending.train.map(PendingMetrics::wait).transpose()?,
            validation: pending.validation.map(PendingMetrics::wait).transpose()?,
            seconds: start.elapsed().as_secs_f64(),
        };
        // Within a call the records' times add up; whoever saves a checkpoint needs the sum so far.
        let before = self.history.epochs.last().filter(|_| fit.recorded > 0).map_or(0.0, |previous| previous.seconds);
        self.history.seconds += record.seconds - before;
        fit.recorded += 1;
        self.history.epochs.push(record.clone());
        self.history.step_losses.extend(losses);

        fit.on_epoch.iter_mut().for_each(|on_epoch| on_epoch(&record));
        self.look_for_best(&record, fit)?;
        let mut stop = self.is_patience_out(fit);
        match fit.control.as_mut().map_or(Control::Continue, |control| control(&record)) {
            Control::Continue => {}
            Control::Stop => stop = true,
            Control::LearningRate(rate) => self.optimizer.set_learning_rate(rate)?,
        }
        #[cfg(feature = "safetensors")]
        if let (Some(path), true) = (&fit.checkpoint_best, self.best.as_ref().is_some_and(|b| b.epoch == record.epoch))
        {
            self.save_checkpoint(path)?;
        }
        Ok(stop)
    }

    fn look_for_best(&mut self, record: &EpochRecord, fit: &Fit<'_>) -> Result<()> {
        let Some(value) = fit.monitor.of(record).filter(|_| fit.looks_for_best()) else { return Ok(()) };
        let min_delta = fit.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        if self.best.as_ref().is_none_or(|best| best.is_beaten_by(value, min_delta)) {
            let values = self.parameters.values().read()?;
            self.best = Some(Best { monitor: fit.monitor, epoch: record.epoch, value, values });
        }
        Ok(())
    }

    fn is_patience_out(&self, fit: &Fit<'_>) -> bool {
        let (Some(stopping), Some(best)) = (fit.early_stopping, &self.best) else { return false };
        let since = self.history.epochs.iter().filter(|r| r.epoch > best.epoch && fit.monitor.of(r).is_some());
        since.count() >= stopping.patience.max(1)
    }
}

/// The order of the samples in an epoch, which follows from the seed and the epoch's number alone: training that goes on
/// from a checkpoint needs to know no more.
fn order(seed: u64, epoch: usize, samples: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Parameters are drawn from stream 0 of the same seed.
    rng.set_stream(epoch as u64);
    let mut order: Vec<u32> = (0..samples as u32).collect();
    order.shuffle(&mut rng);
    order
}
