//! Learning-rate schedules.

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

/// How the learning rate changes: a factor on the learning rate, by epoch, or with [`Schedule::per_step`] by step.
///
/// Epochs and steps count from 0. A schedule that ends keeps its last value.
///
/// ```
/// use wgrad::optim::Schedule;
///
/// // 0.1 at first, 0.03 from epoch 100, 0.01 from epoch 175.
/// let rates = Schedule::multi_step(&[(100, 0.3), (175, 0.1)]);
/// assert_eq!([0, 100, 200].map(|epoch| (rates.factor(epoch) * 100.0).round()), [100.0, 30.0, 10.0]);
///
/// let warm_then_cosine = Schedule::warmup(10, 0.0).and(Schedule::cosine(100, 0.0)).per_step();
/// assert_eq!(warm_then_cosine.factor(0), 0.0);
/// ```
#[derive(Clone, Default)]
pub struct Schedule {
    /// The factors are multiplied; none is a factor of 1.
    parts: Vec<Part>,
    per_step: bool,
}

#[derive(Clone)]
enum Part {
    Step { every: usize, gamma: f64 },
    MultiStep(Vec<(usize, f64)>),
    Exponential { gamma: f64 },
    Cosine { length: usize, floor: f64 },
    Warmup { length: usize, start: f64 },
    Custom(Arc<dyn Fn(usize) -> f64 + Send + Sync>),
}

impl Schedule {
    /// Always the learning rate itself.
    pub fn constant() -> Self {
        Self::default()
    }

    /// Multiplied by `gamma` every `every` epochs: PyTorch's `StepLR`. (`every` 0 counts as 1.)
    pub fn step(every: usize, gamma: f64) -> Self {
        Self::of(Part::Step { every: every.max(1), gamma })
    }

    /// The factor of the last milestone (epoch, factor) that is reached, 1 before the first.
    pub fn multi_step(milestones: &[(usize, f64)]) -> Self {
        Self::of(Part::MultiStep(milestones.to_vec()))
    }

    /// `gamma` to the power of the epoch: PyTorch's `ExponentialLR`.
    pub fn exponential(gamma: f64) -> Self {
        Self::of(Part::Exponential { gamma })
    }

    /// From 1 down to `floor` along half a cosine, within `length` epochs, then constant: PyTorch's
    /// `CosineAnnealingLR`, which rises again after `T_max`.
    pub fn cosine(length: usize, floor: f64) -> Self {
        Self::of(Part::Cosine { length, floor })
    }

    /// From `start` up to 1 along a line, within `length` epochs: PyTorch's `LinearLR`.
    pub fn warmup(length: usize, start: f64) -> Self {
        Self::of(Part::Warmup { length, start })
    }

    /// The factor returned by a function of the epoch.
    pub fn custom(factor: impl Fn(usize) -> f64 + Send + Sync + 'static) -> Self {
        Self::of(Part::Custom(Arc::new(factor)))
    }

    /// The product of both schedules, in this one's units.
    pub fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// The same schedule by step instead of epoch.
    pub fn per_step(mut self) -> Self {
        self.per_step = true;
        self
    }

    pub(super) fn is_per_step(&self) -> bool {
        self.per_step
    }

    /// The factor at an epoch or step.
    pub fn factor(&self, at: usize) -> f64 {
        self.parts.iter().map(|part| part.factor(at)).product()
    }

    fn of(part: Part) -> Self {
        Self { parts: vec![part], per_step: false }
    }
}

impl Part {
    fn factor(&self, at: usize) -> f64 {
        // How far along a stretch of this length.
        let share = |length: usize| if length == 0 { 1.0 } else { at.min(length) as f64 / length as f64 };
        match self {
            Self::Step { every, gamma } => gamma.powf((at / every) as f64),
            Self::MultiStep(milestones) => {
                milestones.iter().filter(|(from, _)| *from <= at).max_by_key(|(from, _)| *from).map_or(1.0, |m| m.1)
            }
            Self::Exponential { gamma } => gamma.powf(at as f64),
            Self::Cosine { length, floor } => floor + (1.0 - floor) * (1.0 + (PI * share(*length)).cos()) / 2.0,
            Self::Warmup { length, start } => start + (1.0 - start) * share(*length),
            Self::Custom(factor) => factor(at),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<_> = (0..4).map(|at| self.factor(at)).collect();
        write!(f, "Schedule({first:?}... by {})", if self.per_step { "step" } else { "epoch" })
    }
}
