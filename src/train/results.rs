//! An epoch's results: into the history, to the callbacks, and whether training stops.

use super::clock::Clock;
use super::diverged::{Diverged, Stopped};
use super::history::combine;
use super::measure::Samples;
use super::monitor::Best;
use super::run::PendingEpoch;
use super::together::{combine_measured, decide_together};
use super::{Control, EpochRecord, Fit, Session};
use crate::error::Result;

impl Session {
    /// Records an epoch's results. Whether training stops here.
    pub(super) async fn take_in(
        &mut self,
        pending: PendingEpoch,
        step_counts: &[f64],
        samples: &[Samples<'_>; 2],
        clock: &Clock,
        fit: &mut Fit<'_>,
    ) -> Result<bool, Stopped> {
        let [mut losses, sums, kept] = pending.traces.parts().await?;
        let (mut together, reduction) = (fit.accumulate, self.loss.reduction());
        let mut counts = pending.counts.unwrap_or_else(|| step_counts.to_vec());
        if let Some(steps) = pending.exchanged {
            (losses, counts, together) = (steps.losses, steps.counts, 1);
        }
        let step = losses.iter().position(|loss| !loss.is_finite());
        if step.is_some() || sums.iter().any(|sum| !sum.is_finite()) {
            let loss = step.map(|step| losses[step]);
            let step = step.unwrap_or(losses.len()) * fit.accumulate / together;
            return Err(Stopped::Diverged(Diverged { epoch: pending.epoch, step, loss }));
        }
        if together > 1 {
            let steps = losses.chunks(together).zip(counts.chunks(together));
            losses = steps.map(|(losses, counts)| combine(reduction, losses, counts) as f32).collect();
            counts = counts.chunks(together).map(|counts| counts.iter().sum()).collect();
        }
        let (mut measured, mut outputs, mut weights) = ([None; 2], [None, None], [[0.0; 2]; 2]);
        for (part, pending) in [pending.train, pending.validation].into_iter().enumerate() {
            if let Some(pending) = pending {
                weights[part] = pending.counts();
                let (metrics, predictions) = pending.metrics().await?;
                (measured[part], outputs[part]) = (Some(metrics), predictions);
            }
        }
        let mut metrics = fit.measure(outputs, samples)?;
        if let Some(exchange) = &mut fit.exchange {
            combine_measured(&mut **exchange, reduction, weights, &mut measured, &mut metrics)?;
        }
        let [train, validation] = measured;
        let record = EpochRecord {
            epoch: pending.epoch,
            steps: losses.len(),
            loss: combine(reduction, &losses, &counts) as f32,
            train,
            validation,
            metrics,
            seconds: clock.seconds(),
        };
        let best = match self.is_best(&record, fit) {
            Some(value) => {
                // Of the average, if there is one: it waits for the next epoch, which trains the parameters.
                if let Some(average) = &self.average {
                    average.show().await?;
                }
                let values = self.parameters.read_async().await?;
                if let Some(average) = &self.average {
                    average.hide().await?;
                }
                Some(Best { monitor: format!("{:?}", fit.monitored()), epoch: record.epoch, value, values })
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
        self.keep(&kept, pending.at);

        if best.is_some() {
            self.best = best;
        }
        if let Some(average) = &mut self.average {
            average.begun = true;
        }
        let mut stop = self.is_patience_out(fit);
        fit.on_epoch.iter_mut().for_each(|on_epoch| on_epoch(&record));
        let mut control = fit.control.as_mut().map(|control| control(&record));
        if let (Some(exchange), Some(control)) = (&mut fit.exchange, &mut control) {
            *control = decide_together(&mut **exchange, *control)?;
        }
        match control.unwrap_or_default() {
            Control::Continue => {}
            Control::Stop => stop = true,
            Control::LearningRate(rate) => self.optimizer.set_learning_rate(rate)?,
        }
        #[cfg(feature = "safetensors")]
        if let (Some(path), true, 0) =
            (&fit.checkpoint_best, self.best.as_ref().is_some_and(|b| b.epoch == record.epoch), self.rank)
        {
            self.save_checkpoint(path).await?;
        }
        Ok(stop)
    }

    /// What the record's epoch was measured to be, if that is the best so far. Not a future, which would hold on to `fit`,
    /// whose callbacks no two threads may share.
    fn is_best(&self, record: &EpochRecord, fit: &Fit<'_>) -> Option<f32> {
        let value = fit.monitored().of(record).filter(|_| fit.looks_for_best())?;
        let min_delta = fit.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        self.best.as_ref().is_none_or(|best| best.is_beaten_by(value, fit.monitored(), min_delta)).then_some(value)
    }

    pub(super) fn is_patience_out(&self, fit: &Fit<'_>) -> bool {
        let (Some(stopping), Some(best)) = (fit.early_stopping, &self.best) else { return false };
        let since = self.history.epochs.iter().filter(|r| r.epoch > best.epoch && fit.monitored().of(r).is_some());
        since.count() >= stopping.patience
    }
}
