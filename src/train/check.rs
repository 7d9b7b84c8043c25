//! Whether options make sense, together and for the data.

use super::Fit;
use super::pass::Rows;
use crate::data::Dataset;
use crate::error::{Error, Result};
#[cfg(feature = "safetensors")]
use crate::files;
use crate::metrics::Decision;

impl Fit<'_> {
    pub(super) fn check(&self, train: &Dataset, decision: Decision) -> Result<()> {
        if self.epochs == 0 && !self.until {
            return Err(Error::input("fit", "0 epochs; give at least 1"));
        }
        for (rows, name) in [(&self.rows, "rows"), (&self.validation_rows, "validation_rows")] {
            let Some(rows) = rows else { continue };
            if let Some(row) = rows.iter().find(|row| **row as usize >= train.len()) {
                let detail = format!("{name} has row {row} of a dataset of {}; rows count from 0", train.len());
                return Err(Error::input("fit", detail));
            }
            if rows.is_empty() {
                return Err(Error::input("fit", format!("{name} has no rows; give at least one")));
            }
        }
        let held_out = self.validation.map(|data| (data, &None)).into_iter();
        let held_out = held_out.chain(self.validation_rows.is_some().then_some((train, &self.validation_rows)));
        for (data, rows) in std::iter::once((train, &self.rows)).chain(held_out) {
            Rows { data, chosen: rows.as_deref() }.check_weights()?;
        }
        if self.validation.is_some() && self.validation_rows.is_some() {
            let detail = "validation data and validation_rows: give one of both";
            return Err(Error::input("fit", detail));
        }
        let (batch_size, samples) = (self.batch_size, self.rows.as_ref().map_or(train.len(), Vec::len));
        if batch_size == 0 || batch_size > samples {
            let detail = format!("a batch size of {batch_size} for {samples} samples; give 1 to {samples}");
            return Err(Error::input("fit", detail));
        }
        match self.accumulate.checked_mul(batch_size) {
            Some(rows) if (batch_size..=samples).contains(&rows) => {}
            _ => {
                let detail = format!(
                    "gradients of {} mini-batches of {batch_size} in a step, of {samples} samples; give from 1 to {}",
                    self.accumulate,
                    samples / batch_size
                );
                return Err(Error::input("fit", detail));
            }
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            let detail =
                format!("an average that keeps {decay} of itself; give a decay from 0 to below 1, such as 0.999");
            return Err(Error::input("fit", detail));
        }
        #[cfg(feature = "safetensors")]
        for path in self.checkpoint.iter().map(|(path, _)| path).chain(&self.checkpoint_best) {
            files::check("fit", path)?;
        }
        self.check_metrics()?;
        self.check_monitor(decision)?;
        self.check_stopping()
    }

    /// Whether what selects the best epoch is there.
    fn check_monitor(&self, decision: Decision) -> Result<()> {
        let monitor = self.monitored();
        if !self.looks_for_best() {
            let detail = format!(
                "Fit::monitor({monitor:?}) selects the best epoch, for which nothing looks; add Fit::early_stopping or \
                 Fit::checkpoint_best, or call History::best afterwards"
            );
            return if self.monitor.is_some() { Err(Error::input("fit", detail)) } else { Ok(()) };
        }
        let missing = if monitor.needs_accuracy() && decision == Decision::Regression {
            "the loss has no accuracy; say how predictions are read as classes with its `decision`"
        } else if monitor.metric().is_some_and(|name| self.metrics.iter().all(|metric| metric.name != name)) {
            "there is no such metric; give it with Fit::metric"
        } else if monitor.needs_validation() && self.validation.is_none() && self.validation_rows.is_none() {
            "there is no validation data; give it with Fit::validation"
        } else if !monitor.needs_validation() && !self.evaluates_train {
            "evaluate_train(false) leaves the training data unmeasured"
        } else {
            return Ok(());
        };
        let detail = format!("{monitor:?} selects the best epoch, but {missing}, or choose with Fit::monitor");
        Err(Error::input("fit", detail))
    }

    /// Whether early stopping can tell a better epoch.
    fn check_stopping(&self) -> Result<()> {
        let Some(stopping) = self.early_stopping else { return Ok(()) };
        if !self.evaluates {
            let detail = "early stopping compares measurements, but evaluate(false) makes none";
            return Err(Error::input("fit", detail));
        }
        if self.evaluate_every == 0 {
            let detail = "early stopping compares measurements, but evaluate_every(0) measures the last epoch alone; measure \
                          more often";
            return Err(Error::input("fit", detail));
        }
        if stopping.patience == 0 {
            return Err(Error::input("fit", "a patience of 0 epochs without improvement; give at least 1"));
        }
        if !(stopping.min_delta >= 0.0 && stopping.min_delta.is_finite()) {
            let detail = format!("a min_delta of {}; give a finite one of at least 0", stopping.min_delta);
            return Err(Error::input("fit", detail));
        }
        Ok(())
    }
}
