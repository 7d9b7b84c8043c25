//! Which epoch was the best, and when to stop.

use super::{EpochRecord, History};

/// The metric that selects the best epoch: a loss should be small, an accuracy large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Monitor {
    /// The loss on the validation data.
    #[default]
    ValidationLoss,
    /// The accuracy on the validation data.
    ValidationAccuracy,
    /// The loss on the training data, measured after the epoch.
    TrainLoss,
    /// The accuracy on the training data, measured after the epoch.
    TrainAccuracy,
}

impl Monitor {
    #[cfg(feature = "safetensors")]
    pub(super) const ALL: [Self; 4] =
        [Self::ValidationLoss, Self::ValidationAccuracy, Self::TrainLoss, Self::TrainAccuracy];

    pub(super) fn needs_validation(self) -> bool {
        matches!(self, Self::ValidationLoss | Self::ValidationAccuracy)
    }

    pub(super) fn needs_accuracy(self) -> bool {
        matches!(self, Self::ValidationAccuracy | Self::TrainAccuracy)
    }

    /// Whether a value is better than another.
    pub(super) fn prefers(self, value: f64, to: f64) -> bool {
        if self.needs_accuracy() { value > to } else { value < to }
    }

    /// The measurement, of an epoch that was measured.
    pub(super) fn of(self, record: &EpochRecord) -> Option<f32> {
        match self {
            Self::ValidationLoss => record.validation.map(|metrics| metrics.loss),
            Self::ValidationAccuracy => record.validation.and_then(|metrics| metrics.accuracy),
            Self::TrainLoss => record.train.map(|metrics| metrics.loss),
            Self::TrainAccuracy => record.train.and_then(|metrics| metrics.accuracy),
        }
    }
}

impl History {
    /// The epoch with the best metric of those in which it was measured: the smallest loss or the largest accuracy; of
    /// equals, the first. None if it never was.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Fit, Monitor, Trainer};
    ///
    /// let data = disk(100, 0, Labels::ZeroOne)?;
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// let history = trainer.fit(&data, Fit::new(5, 10))?;
    /// let best = history.best(Monitor::TrainLoss).unwrap();
    /// assert!(history.epochs.iter().all(|epoch| best.train.unwrap().loss <= epoch.train.unwrap().loss));
    /// assert!(history.best(Monitor::ValidationLoss).is_none());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn best(&self, monitor: Monitor) -> Option<&EpochRecord> {
        let value = |record| monitor.of(record).map(f64::from).filter(|value| !value.is_nan());
        let measured = self.epochs.iter().filter_map(|record| Some((record, value(record)?)));
        let better = |a: (_, f64), b: (_, f64)| if monitor.prefers(b.1, a.1) { b } else { a };
        measured.reduce(better).map(|(record, _)| record)
    }
}

/// Stops training that no longer improves, and restores the best epoch's parameters.
///
/// ```
/// use wgrad::{EarlyStopping, Fit, Monitor};
///
/// let fit = Fit::new(1000, 32).early_stopping(EarlyStopping::new(10).min_delta(1e-3)).monitor(Monitor::TrainLoss);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    pub(super) patience: usize,
    pub(super) min_delta: f32,
}

impl EarlyStopping {
    /// Stops after `patience` evaluated epochs in a row without improvement (at least 1).
    pub fn new(patience: usize) -> Self {
        Self { patience, min_delta: 0.0 }
    }

    /// Counts an epoch as better only if it improves by more than this.
    pub fn min_delta(mut self, delta: f32) -> Self {
        self.min_delta = delta;
        self
    }
}

/// The best epoch so far.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) monitor: Monitor,
    pub(super) epoch: usize,
    pub(super) value: f32,
    /// The parameters after it, as they lie on the device.
    pub(super) values: Vec<f32>,
}

impl Best {
    pub(super) fn is_beaten_by(&self, value: f32, min_delta: f32) -> bool {
        // A first measurement that is not finite is beaten by any that is.
        if !value.is_finite() || !self.value.is_finite() {
            return value.is_finite();
        }
        match self.monitor {
            Monitor::ValidationLoss | Monitor::TrainLoss => value < self.value - min_delta,
            Monitor::ValidationAccuracy | Monitor::TrainAccuracy => value > self.value + min_delta,
        }
    }
}
