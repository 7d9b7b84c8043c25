//! The learning-rate finder.

use std::fmt;

use rand::seq::SliceRandom;

use super::Session;
use super::snapshot::Snapshots;
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::nn::Claim;
#[cfg(feature = "plot")]
use crate::plot::Curve;
use crate::random;

const OPERATION: &str = "lr_find";
/// How much of the smoothed loss remains in each step; the search ends where it is this many times the smallest one; steps that
/// the suggestion leaves out, at the beginning and at the end: as in Lightning and fastai.
const BETA: f64 = 0.98;
const DIVERGED: f64 = 4.0;
const SKIPPED: [usize; 2] = [10, 1];

/// How [`Trainer::lr_find`](crate::Trainer::lr_find) looks for a learning rate: by default 100 steps, from 1e-7 to 10.
///
/// ```
/// use wgrad::LrFind;
///
/// let finder = LrFind::new(32).rates(1e-5, 1.0).steps(200);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrFind {
    batch_size: usize,
    rates: [f32; 2],
    steps: usize,
}

impl LrFind {
    /// Mini-batches of this many samples.
    pub fn new(batch_size: usize) -> Self {
        Self { batch_size, rates: [1e-7, 10.0], steps: 100 }
    }

    /// From this rate to that one.
    pub fn rates(mut self, first: f32, last: f32) -> Self {
        self.rates = [first, last];
        self
    }

    /// In so many steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        let [first, last] = self.rates;
        if !(first > 0.0 && first < last && last.is_finite()) {
            let detail = format!("rates from {first} to {last}; give them above 0, the smaller one first");
            return Err(Error::input(OPERATION, detail));
        }
        if self.steps < 2 {
            return Err(Error::input(OPERATION, format!("{} steps; give at least 2", self.steps)));
        }
        if self.batch_size == 0 || self.batch_size > data.len() {
            let detail = format!("a batch size of {} for {} samples", self.batch_size, data.len());
            return Err(Error::input(OPERATION, format!("{detail}; give 1 to {}", data.len())));
        }
        data.check_weights(OPERATION)
    }

    /// The rate of a step: they rise exponentially.
    fn rate(&self, step: usize) -> f32 {
        let [first, last] = self.rates.map(f64::from);
        (first * (last / first).powf(step as f64 / (self.steps - 1) as f64)) as f32
    }
}

/// The losses at rising learning rates.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LearningRates {
    /// The rate of each step.
    pub rates: Vec<f32>,
    /// The loss of each step, before its update.
    pub losses: Vec<f32>,
    /// The same, smoothed: exponential averages without their bias, by a factor of 0.98.
    pub smoothed: Vec<f32>,
}

impl LearningRates {
    fn push(&mut self, rate: f32, loss: f32, average: &mut f64) {
        *average = BETA * *average + (1.0 - BETA) * f64::from(loss);
        self.rates.push(rate);
        self.losses.push(loss);
        self.smoothed.push((*average / (1.0 - BETA.powi(self.rates.len() as i32))) as f32);
    }

    /// Whether the last loss is far above the smallest.
    fn has_diverged(&self) -> bool {
        let smallest = self.smoothed.iter().copied().fold(f32::INFINITY, f32::min);
        self.smoothed.last().is_some_and(|last| f64::from(*last) > DIVERGED * f64::from(smallest))
    }

    /// The rate at which the smoothed loss falls most steeply, without the first ten steps and the last one: a good rate to
    /// start with. None if fewer than two steps remain.
    pub fn suggestion(&self) -> Option<f32> {
        let [first, last] = SKIPPED;
        let range = first..self.smoothed.len().saturating_sub(last);
        let losses = self.smoothed.get(range.clone()).filter(|losses| losses.len() > 1)?;
        // Central differences, one-sided at both ends; the rates' logarithms are equally far apart.
        let slope = |i: usize| {
            let (before, after) = (i.saturating_sub(1), (i + 1).min(losses.len() - 1));
            (f64::from(losses[after]) - f64::from(losses[before])) / (after - before) as f64
        };
        let steepest = (0..losses.len()).min_by(|a, b| slope(*a).total_cmp(&slope(*b)))?;
        self.rates.get(range.start + steepest).copied()
    }

    /// The smoothed losses over the decimal logarithms of the rates, with the suggestion marked: for
    /// [`plot::curves`](crate::plot::curves).
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
    /// use wgrad::plot::{Axes, curves};
    /// use wgrad::{Device, LrFind, Trainer, optim::Sgd};
    ///
    /// # let path = std::env::temp_dir().join("wgrad-doc-lr-find.svg");
    /// let model = Sequential::new().add(Linear::new(2, 16)).add(ReLU).add(Linear::new(16, 1));
    /// let mut trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Sgd::new(0.1), 0)?;
    /// let found = trainer.lr_find(&disk(500, 0, Labels::ZeroOne)?, LrFind::new(50))?;
    /// curves(&path, "Learning rates", Axes::new("log10 of the learning rate", "loss"), &[found.curve()])?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[cfg(feature = "plot")]
    pub fn curve(&self) -> Curve {
        let x = |rate: f32| f64::from(rate).log10();
        let points = self.rates.iter().zip(&self.smoothed).map(|(rate, loss)| (x(*rate), f64::from(*loss)));
        match self.suggestion() {
            Some(rate) => Curve::new(format!("loss, steepest at {rate:.1e}"), points).mark(x(rate)),
            None => Curve::new("loss", points),
        }
    }
}

impl fmt::Display for LearningRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suggestion() {
            Some(rate) => write!(f, "learning rate {rate:.1e}"),
            None => write!(f, "no learning rate from {} steps", self.rates.len()),
        }
    }
}

/// Puts everything back, however the search ends.
struct Search<'s> {
    session: &'s mut Session,
    before: Snapshots,
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.before.restore(&mut self.session.optimizer, 0) {
            log::error!("the parameters before the search could not be put back: {error}");
        }
    }
}

impl Session {
    /// See [`Trainer::lr_find`](crate::Trainer::lr_find).
    ///
    /// # Errors
    /// See [`Trainer::lr_find`](crate::Trainer::lr_find).
    pub async fn lr_find(&mut self, data: &Dataset, finder: LrFind) -> Result<LearningRates> {
        finder.check(data)?;
        let _claim = Claim::new(OPERATION, self.parameters.named())?;
        let mut before = Snapshots::new(&self.parameters, &self.optimizer, None, 1).await?;
        before.save(&self.optimizer, 0).await?;
        let search = Search { session: self, before };
        let mut found = LearningRates { rates: Vec::new(), losses: Vec::new(), smoothed: Vec::new() };
        let (mut rows, mut pass, mut average) = (Vec::new(), 0, 0.0);
        for step in 0..finder.steps {
            if rows.len() < finder.batch_size {
                pass += 1;
                rows = (0..data.len()).collect();
                rows.shuffle(&mut random::epoch_order(search.session.seed, pass));
            }
            let batch = data.select(&rows.split_off(rows.len() - finder.batch_size))?;
            let rate = finder.rate(step);
            match search.session.step_at(&batch, Some(rate)).await {
                Ok(loss) => found.push(rate, loss, &mut average),
                Err(error) if error.kind() == ErrorKind::NotFinite && step > 0 => break,
                Err(error) => return Err(error),
            }
            if found.has_diverged() {
                break;
            }
        }
        Ok(found)
    }
}
