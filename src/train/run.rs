//! The loop over epochs.

use std::collections::VecDeque;

use rand::seq::SliceRandom;

use super::clock::Clock;
use super::evaluation::{Evaluation, PendingMetrics, chunk_rows};
use super::history::combine;
use super::monitor::Best;
use super::pass::Source;
use super::snapshot::Snapshots;
use super::{Control, EpochRecord, Fit, History, Session};
use crate::data::Dataset;
use crate::device::PendingRead;
use crate::error::{Error, ErrorKind, Result};
use crate::nn::Claim;
use crate::random;

/// Of a larger model no second epoch is queued before the first one's results are there: its epochs are long, and a second
/// snapshot of it would take memory.
const MAX_AHEAD: usize = 1 << 20;

/// An epoch whose results are on their way.
struct PendingEpoch {
    epoch: usize,
    losses: PendingRead,
    train: Option<PendingMetrics>,
    validation: Option<PendingMetrics>,
}

/// A session while it trains. However training ends (a return, an error, a panic in a callback, a future that is dropped),
/// parameters and optimizer are those of the last epoch in the history.
struct Running<'s> {
    session: &'s mut Session,
    snapshots: Snapshots,
    /// Epochs queued so far, over all calls.
    queued: usize,
}

impl Running<'_> {
    fn recorded(&self) -> usize {
        self.session.history.epochs.len()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let recorded = self.recorded();
        if self.queued != recorded
            && let Err(error) = self.snapshots.restore(self.session, recorded)
        {
            log::error!("the parameters after epoch {recorded} could not be put back: {error}");
        }
    }
}

impl Session {
    /// Trains, and returns the records of these epochs: see [`Trainer::fit`](crate::Trainer::fit).
    ///
    /// # Errors
    /// See [`Trainer::fit`](crate::Trainer::fit).
    pub async fn fit(&mut self, train: &Dataset, mut fit: Fit<'_>) -> Result<History> {
        fit.check(train, self.loss.decision())?;
        let _claim = Claim::new("fit", self.parameters.named())?;
        let clock = Clock::start();
        for data in std::iter::once(train).chain(fit.validation) {
            self.loss.check_targets(data, self.output_cols(data)?)?;
        }
        let source = Source::new(&self.device, train, fit.batch_size, fit.resident_bytes)?;
        let measured = source.in_steps_of(chunk_rows(&self.device, train), fit.resident_bytes)?;
        self.optimizer.reserve(train.len().div_ceil(fit.batch_size))?;
        let plan = self.record_epoch(source, &fit)?;
        let evaluation = Evaluation::new(&self.model, &*self.loss, measured)?;
        let validation = fit.validation.map(|data| self.evaluation(data, fit.resident_bytes)).transpose()?;

        let (already, already_steps) = (self.history.epochs.len(), self.history.step_losses.len());
        let last = if fit.until { fit.epochs } else { already.saturating_add(fit.epochs) };
        let goes_on = fit.until && fit.looks_for_best();
        self.best = self.best.take().filter(|best| goes_on && best.monitor == fit.monitor);
        let mut stop = self.is_patience_out(&fit);
        let runs_ahead = self.parameters.count() <= MAX_AHEAD;
        let snapshots = Snapshots::new(self, if runs_ahead { 2 } else { 1 }).await?;
        let mut running = Running { session: self, snapshots, queued: already };
        let mut pending = VecDeque::new();
        while running.queued < last && !stop {
            let (session, epoch) = (&mut *running.session, running.queued + 1);
            running.snapshots.save(session, epoch - 1).await?;
            running.queued = epoch;
            session.clock.write(&[f32::from_bits(session.optimizer.steps() as u32)])?;
            session.optimizer.begin_epoch(plan.pass.step_rows.len())?;
            let mut order: Vec<u32> = (0..train.len() as u32).collect();
            order.shuffle(&mut random::epoch_order(session.seed, epoch));
            plan.pass.run(Some(&order), fit.steps_per_submit).await?;
            let measure = epoch == last || (fit.evaluate_every > 0 && epoch.is_multiple_of(fit.evaluate_every));
            pending.push_back(PendingEpoch {
                epoch,
                losses: plan.losses.read_async()?,
                train: if measure { Some(evaluation.start().await?) } else { None },
                validation: match &validation {
                    Some(validation) if measure => Some(validation.start().await?),
                    _ => None,
                },
            });
            // The device works on one epoch while the host takes in the one before.
            let ahead = usize::from(runs_ahead && epoch < last && !fit.waits_for(epoch));
            while pending.len() > ahead {
                let Some(oldest) = pending.pop_front() else { break };
                stop = session.take_in(oldest, &plan.pass.step_rows, &clock, &mut fit).await?;
            }
            #[cfg(feature = "safetensors")]
            if let Some((path, every)) = &fit.checkpoint
                && (epoch == last || stop || (*every > 0 && epoch.is_multiple_of(*every)))
            {
                session.save_checkpoint(path).await?;
            }
        }
        let session = &mut *running.session;
        if let (Some(best), Some(_)) = (&session.best, &fit.early_stopping) {
            session.parameters.write(&best.values)?;
        }
        Ok(session.history.since(already, already_steps, clock.seconds()))
    }

    /// Records an epoch's results. Whether training stops here.
    async fn take_in(
        &mut self,
        pending: PendingEpoch,
        step_rows: &[usize],
        clock: &Clock,
        fit: &mut Fit<'_>,
    ) -> Result<bool> {
        let losses = pending.losses.await?;
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
        let train = match pending.train {
            Some(pending) => Some(pending.metrics().await?),
            None => None,
        };
        let validation = match pending.validation {
            Some(pending) => Some(pending.metrics().await?),
            None => None,
        };
        let record = EpochRecord {
            epoch: pending.epoch,
            steps: losses.len(),
            loss: combine(self.loss.reduction(), &losses, step_rows) as f32,
            train,
            validation,
            seconds: clock.seconds(),
        };
        let best = match self.is_best(&record, fit) {
            Some(value) => {
                let values = self.parameters.read_async().await?;
                Some(Best { monitor: fit.monitor, epoch: record.epoch, value, values })
            }
            None => None,
        };
        // Nothing waits from here on, so that a future that is dropped leaves an epoch recorded whole, or not at all.
        // Within a call the records' times add up; a checkpoint saved in a callback needs the sum so far.
        let before = self.history.epochs.last().filter(|_| fit.recorded > 0).map_or(0.0, |previous| previous.seconds);
        self.history.seconds += record.seconds - before;
        fit.recorded += 1;
        self.history.epochs.push(record.clone());
        self.history.step_losses.extend(losses);

        if best.is_some() {
            self.best = best;
        }
        let mut stop = self.is_patience_out(fit);
        fit.on_epoch.iter_mut().for_each(|on_epoch| on_epoch(&record));
        match fit.control.as_mut().map_or(Control::Continue, |control| control(&record)) {
            Control::Continue => {}
            Control::Stop => stop = true,
            Control::LearningRate(rate) => self.optimizer.set_learning_rate(rate)?,
        }
        #[cfg(feature = "safetensors")]
        if let (Some(path), true) = (&fit.checkpoint_best, self.best.as_ref().is_some_and(|b| b.epoch == record.epoch))
        {
            self.save_checkpoint(path).await?;
        }
        Ok(stop)
    }

    /// What the record's epoch was measured to be, if that is the best so far. Not a future, which would hold on to `fit`,
    /// whose callbacks no two threads may share.
    fn is_best(&self, record: &EpochRecord, fit: &Fit<'_>) -> Option<f32> {
        let value = fit.monitor.of(record).filter(|_| fit.looks_for_best())?;
        let min_delta = fit.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        self.best.as_ref().is_none_or(|best| best.is_beaten_by(value, min_delta)).then_some(value)
    }

    fn is_patience_out(&self, fit: &Fit<'_>) -> bool {
        let (Some(stopping), Some(best)) = (fit.early_stopping, &self.best) else { return false };
        let since = self.history.epochs.iter().filter(|r| r.epoch > best.epoch && fit.monitor.of(r).is_some());
        since.count() >= stopping.patience.max(1)
    }
}
