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
    /// A metric of one's own: see [`Monitor::highest`] and [`Monitor::lowest`].
    #[non_exhaustive]
    Metric {
        /// Its name: see [`Fit::metric`](crate::Fit::metric).
        name: &'static str,
        /// Whether it should be large.
        highest: bool,
        /// Whether it is that on the validation data.
        validation: bool,
    },
}

impl Monitor {
    /// A metric of one's own that should be large, on the validation data: see [`Fit::metric`](crate::Fit::metric).
    pub const fn highest(name: &'static str) -> Self {
        Self::Metric { name, highest: true, validation: true }
    }

    /// A metric of one's own that should be small, on the validation data.
    pub const fn lowest(name: &'static str) -> Self {
        Self::Metric { name, highest: false, validation: true }
    }

    /// The same on the training data, measured after the epoch.
    ///
    /// ```
    /// use wgrad::Monitor;
    ///
    /// assert_eq!(Monitor::ValidationLoss.on_training_data(), Monitor::TrainLoss);
    /// let r2 = Monitor::highest("r2").on_training_data();
    /// ```
    pub const fn on_training_data(self) -> Self {
        match self {
            Self::ValidationLoss | Self::TrainLoss => Self::TrainLoss,
            Self::ValidationAccuracy | Self::TrainAccuracy => Self::TrainAccuracy,
            Self::Metric { name, highest, .. } => Self::Metric { name, highest, validation: false },
        }
    }

    pub(super) fn needs_validation(self) -> bool {
        matches!(self, Self::ValidationLoss | Self::ValidationAccuracy | Self::Metric { validation: true, .. })
    }

    /// The name of a metric of one's own.
    pub(super) fn metric(self) -> Option<&'static str> {
        if let Self::Metric { name, .. } = self { Some(name) } else { None }
    }

    pub(super) fn needs_accuracy(self) -> bool {
        matches!(self, Self::ValidationAccuracy | Self::TrainAccuracy)
    }

    /// Whether more is better.
    fn is_gain(self) -> bool {
        self.needs_accuracy() || matches!(self, Self::Metric { highest: true, .. })
    }

    /// Whether a value is better than another.
    pub(super) fn prefers(self, value: f64, to: f64) -> bool {
        if self.is_gain() { value > to } else { value < to }
    }

    /// The measurement, of an epoch that was measured.
    pub(super) fn of(self, record: &EpochRecord) -> Option<f32> {
        match self {
            Self::ValidationLoss => record.validation.map(|metrics| metrics.loss),
            Self::ValidationAccuracy => record.validation.and_then(|metrics| metrics.accuracy),
            Self::TrainLoss => record.train.map(|metrics| metrics.loss),
            Self::TrainAccuracy => record.train.and_then(|metrics| metrics.accuracy),
            Self::Metric { name, validation, .. } => {
                let metric = record.metric(name)?;
                (if validation { metric.validation } else { metric.train }).map(|value| value as f32)
            }
        }
    }
}

impl History {
    /// The epoch with the best metric of those in which it was measured: the smallest loss, the largest accuracy; of
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
    /// What it was selected by: a [`Monitor`], as `{:?}` prints it.
    pub(super) monitor: String,
    pub(super) epoch: usize,
    pub(super) value: f32,
    /// The parameters after it, as they lie on the device.
    pub(super) values: Vec<f32>,
}

impl Best {
    pub(super) fn is_beaten_by(&self, value: f32, monitor: Monitor, min_delta: f32) -> bool {
        // A first measurement that is not finite is beaten by any that is.
        if !value.is_finite() || !self.value.is_finite() {
            return value.is_finite();
        }
        if monitor.is_gain() { value > self.value + min_delta } else { value < self.value - min_delta }
    }
}
