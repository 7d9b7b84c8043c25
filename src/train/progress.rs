//! The progress bar.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use super::{EpochRecord, Metrics};

/// A bar on the standard error stream; indicatif draws none where that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether the bar counts all epochs of the history.
    of_history: bool,
    steps: usize,
}

impl Progress {
    pub(super) fn new(epochs: usize, of_history: bool) -> Self {
        let bar = ProgressBar::new(epochs as u64).with_finish(ProgressFinish::Abandon);
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len} {wide_msg} {eta} left") {
            bar.set_style(style);
        }
        Self { bar, of_history, steps: 0 }
    }

    pub(super) fn show(&mut self, record: &EpochRecord) {
        if self.of_history && self.steps == 0 {
            // The epochs before took no time of this call.
            self.bar.set_position(record.epoch as u64 - 1);
            self.bar.reset_eta();
        }
        self.steps += record.steps;
        let speed = self.steps as f64 / record.seconds;
        let mut message = format!("loss {:.4}", record.loss);
        // The bar fits 80 columns, so one of both datasets has to do.
        match record.validation.or(record.train) {
            Some(Metrics { accuracy: Some(accuracy), .. }) => message += &format!(", accuracy {accuracy:.3}"),
            Some(Metrics { loss, .. }) if record.validation.is_some() => message += &format!(", validation {loss:.4}"),
            _ => {}
        }
        for metric in &record.metrics {
            if let Some(value) = metric.validation.or(metric.train) {
                message += &format!(", {} {value:.4}", metric.name);
            }
        }
        self.bar.set_message(format!("{message}, {speed:.0} steps/s"));
        self.bar.inc(1);
    }
}
