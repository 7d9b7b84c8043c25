//! What ends a training between two epochs: Ctrl-C, a callback, a loss or a score that no longer improves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use wgrad::{Control, EpochRecord};

/// How long signals wait. Asking takes the interpreter's lock, which costs microseconds, and more where others hold it.
const EVERY: Duration = Duration::from_millis(50);

/// Looks for signals while the interpreter is left to others. All members of a training share it.
pub(crate) struct Watch {
    next: Mutex<Instant>,
    stop: AtomicBool,
    raised: Mutex<Option<PyErr>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { next: Mutex::new(Instant::now() + EVERY), stop: AtomicBool::new(false), raised: Mutex::new(None) }
    }

    /// Whether training stops: a handler of a signal has raised something, as Ctrl-C's does, or a callback has.
    pub(crate) fn stops(&self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < *next {
            return false;
        }
        *next = Instant::now() + EVERY;
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            self.raise(error);
        }
        self.stop.load(Ordering::Relaxed)
    }

    /// Stops all members, and keeps what is raised after the training.
    pub(crate) fn raise(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What was raised, for who raises it again.
    pub(crate) fn raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// scikit-learn's rule: training stops after more than `patience` epochs in a row without an improvement by `tolerance`; with
/// `rate`, that is divided by 5 instead, as long as it is above `least_rate`.
#[derive(Clone, Debug, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Plateau {
    /// Whether it is about the validation score, which should rise, instead of the loss.
    of_score: bool,
    tolerance: f64,
    patience: f64,
    rate: Option<f64>,
    least_rate: f64,
    /// The best so far, as a gain, and the epochs since it was.
    #[pyo3(default)]
    best: Option<f64>,
    #[pyo3(default)]
    since: usize,
}

impl Plateau {
    /// What follows from an epoch.
    pub(crate) fn after(&mut self, record: &EpochRecord) -> Control {
        let score = record.metric("score").and_then(|score| score.validation);
        // As a gain.
        let Some(value) = (if self.of_score { score } else { Some(-f64::from(record.loss)) }) else {
            return Control::Continue;
        };
        let improves = self.best.is_none_or(|best| value >= best + self.tolerance);
        self.since = if improves { 0 } else { self.since + 1 };
        self.best = Some(self.best.map_or(value, |best| best.max(value)));
        if (self.since as f64) <= self.patience {
            return Control::Continue;
        }
        match &mut self.rate {
            Some(rate) if *rate > self.least_rate => {
                *rate /= 5.0;
                self.since = 0;
                Control::LearningRate(*rate as f32)
            }
            _ => Control::Stop,
        }
    }
}
