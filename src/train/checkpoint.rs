//! Checkpoints: training that resumes where it was interrupted.

use std::path::Path;

use super::monitor::Best;
use super::state::State;
use super::{EpochRecord, History, MetricRecord, Metrics, Session};
use crate::error::Result;
use crate::save::{CHECKPOINT, Contained, Contents, is_amount, whole};

/// Raised when a file of one version can't be read by another.
const VERSION: u32 = 1;

/// Numbers of an epoch in the file: steps, loss, loss and accuracy on both datasets, seconds.
const COLUMNS: usize = 7;

/// In place of an accuracy: measured, but without one.
const NO_ACCURACY: f64 = -1.0;

/// What the names of columns for metrics of one's own begin with.
const METRIC: &str = "metric.";

fn key(name: &str) -> String {
    format!("{CHECKPOINT}{name}")
}

impl Session {
    /// Writes everything that training needs to resume from here: the parameters, the optimizer's state, the seed and
    /// the numbers of epochs and steps that random numbers and schedules follow from, the history.
    ///
    /// The file is also a model file: `Sequential::load` and `Parameters::load` read the parameters from it.
    /// Whatever interrupts it, the file is the old one or the new one. When the device is lost, it is of the last recorded
    /// epoch: see [`Trainer::resume_from`](crate::Trainer::resume_from).
    ///
    /// # Errors
    /// A file that can't be written; a lost device, of which nothing was kept.
    pub async fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.checkpoint().await?.write(path.as_ref())
    }

    /// The bytes of such a file, for where there are no files: a page in a browser keeps them in its IndexedDB.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Adam;
    /// use wgrad::{Device, Fit, Result, Session};
    ///
    /// async fn interrupted() -> Result<()> {
    ///     let data = disk(100, 0, Labels::PlusMinusOne)?;
    ///     let new = || Session::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Adam::new(0.01), 0);
    ///     let (mut one, mut other) = (new()?, new()?);
    ///     one.fit(&data, Fit::until(5, 10)).await?;
    ///     other.resume_from_bytes(&one.checkpoint_bytes().await?).await?;
    ///     other.fit(&data, Fit::until(20, 10)).await?;
    ///     one.fit(&data, Fit::until(20, 10)).await?;
    ///     assert_eq!(one.history().step_losses, other.history().step_losses);
    ///     Ok(())
    /// }
    /// # pollster::block_on(interrupted()).unwrap();
    /// ```
    ///
    /// # Errors
    /// A lost device, of which nothing was kept.
    pub async fn checkpoint_bytes(&self) -> Result<Vec<u8>> {
        self.checkpoint().await?.bytes()
    }

    async fn checkpoint(&self) -> Result<Contents> {
        let state = self.state().await?;
        let mut contents = self.parameters.contents_of(&state.parameters)?;
        for (i, values) in state.optimizer.iter().enumerate() {
            contents.push(key(&format!("optimizer.{i}")), &[values.len()], values);
        }
        let rows: Vec<f64> = self.history.epochs.iter().flat_map(numbers).collect();
        contents.push_f64(key("epochs"), &[self.history.epochs.len(), COLUMNS], &rows);
        let losses = &self.history.step_losses;
        contents.push(key("step_losses"), &[losses.len()], losses);
        contents.push_text(key("version"), VERSION);
        contents.push_text(key("seed"), self.seed);
        contents.push_text(key("seconds"), self.history.seconds);
        contents.push_text(key("optimizer.rule"), self.optimizer.algorithm_name());
        contents.push_text(key("optimizer.steps"), state.steps);
        contents.push_text(key("optimizer.epoch"), state.epoch);
        contents.push_text(key("optimizer.rate"), self.optimizer.base_rate());
        if let Some(average) = &state.average {
            contents.push(key("average"), &[average.len()], average);
        }
        let metrics = self.history.metric_columns();
        for (name, values) in &metrics {
            contents.push_f64(key(&format!("{METRIC}{name}")), &[self.history.epochs.len(), 2], values);
        }
        if !metrics.is_empty() {
            // No name has a comma.
            contents.push_text(key("metrics"), metrics.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(","));
        }
        if let Some(best) = &self.best {
            contents.push(key("best"), &[best.values.len()], &best.values);
            contents.push_text(key("best.monitor"), &best.monitor);
            contents.push_text(key("best.epoch"), best.epoch);
            contents.push_text(key("best.value"), best.value);
        }
        Ok(contents)
    }

    /// Restores a checkpoint of a training run with the same model, loss and algorithm. A
    /// [`Trainer::fit`](crate::Trainer::fit) with [`Fit::until`](crate::Fit::until) then gives, on the same device, bit
    /// for bit what the trainer that wrote it would have given without the interruption. Schedules and frozen
    /// parameters are the program's: the file holds neither.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Adam;
    /// use wgrad::{Device, Fit, Trainer};
    ///
    /// # let path = std::env::temp_dir().join("wgrad-resume.safetensors");
    /// # let path = path.as_path();
    /// let data = disk(100, 0, Labels::PlusMinusOne)?;
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Adam::new(0.01), 0)?;
    /// if path.exists() {
    ///     trainer.resume(path)?;
    /// }
    /// trainer.fit(&data, Fit::until(20, 10).checkpoint(path, 5))?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that can't be read, is damaged or is no checkpoint; one of another model, or of another
    /// [`Algorithm`](crate::optim::Algorithm). The trainer is then unchanged.
    pub async fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.resume_in(&Contained::open(path.as_ref())?).await
    }

    /// [`Session::resume`] from the bytes of a checkpoint: see [`Session::checkpoint_bytes`].
    ///
    /// # Errors
    /// As [`Session::resume`].
    pub async fn resume_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.resume_in(&Contained::from_bytes(bytes)?).await
    }

    async fn resume_in(&mut self, file: &Contained<'_>) -> Result<()> {
        let version: u32 = file.parsed(&key("version"))?;
        if version != VERSION {
            return Err(file.error(format!("a checkpoint of version {version}; this wgrad reads version {VERSION}")));
        }
        let (found, _) = self.parameters.found_in(file, true, &str::to_string)?;
        let values = self.parameters.with_found(found).await?;
        // The first files did not name their algorithm.
        let (rule, own_rule) = (file.text(&key("optimizer.rule")), self.optimizer.algorithm_name());
        if let Some(rule) = rule.filter(|rule| *rule != own_rule) {
            let detail =
                format!("it was trained with {rule}; this trainer has {own_rule}: create one with {rule} to resume");
            return Err(file.error(detail));
        }
        let states = self.optimizer.state().len();
        let found = file.names().iter().filter(|name| name.starts_with(&key("optimizer."))).count();
        if found != states {
            let detail =
                format!("the state of an algorithm that keeps {found} numbers for a parameter; this one {states}");
            return Err(file.error(detail));
        }
        let states = (0..states).map(|i| file.vector(&key(&format!("optimizer.{i}")), Some(values.len())));
        let states = states.collect::<Result<Vec<_>>>()?;
        let history = history(file)?;
        let best = best(file, values.len(), history.epochs.len())?;
        let average = match file.tensor(&key("average")) {
            Some(_) => Some(file.vector(&key("average"), Some(values.len()))?),
            None => None,
        };
        let (steps, epoch) = (file.count(&key("optimizer.steps"))?, file.count(&key("optimizer.epoch"))?);
        let rate = file.amount(&key("optimizer.rate"))?;
        let seed = file.parsed(&key("seed"))?;

        self.optimizer.set_learning_rate(rate)?;
        self.set_state(&State { parameters: values, optimizer: states, average, steps, epoch: epoch as usize })?;
        (self.seed, self.history, self.best) = (seed, history, best);
        Ok(())
    }
}

fn history(file: &Contained<'_>) -> Result<History> {
    let name = key("epochs");
    let rows = file.rows::<COLUMNS>(&name)?;
    let records = rows.into_iter().enumerate().map(|(i, row)| {
        record(i + 1, row)
            .ok_or_else(|| file.no_checkpoint(&name, &format!("has an invalid row for epoch {}: {row:?}", i + 1)))
    });
    let mut epochs = records.collect::<Result<Vec<_>>>()?;
    for metric in file.text(&key("metrics")).into_iter().flat_map(|names| names.split(',')) {
        let name = key(&format!("{METRIC}{metric}"));
        let rows = file.rows::<2>(&name)?;
        if rows.len() != epochs.len() {
            return Err(file.no_checkpoint(&name, &format!("has {} rows for {} epochs", rows.len(), epochs.len())));
        }
        for (record, values) in epochs.iter_mut().zip(rows) {
            let [train, validation] = values.map(|value| Some(value).filter(|value| !value.is_nan()));
            // What was not measured by any is none.
            if train.or(validation).is_some() {
                record.metrics.push(MetricRecord { name: metric.to_string(), train, validation });
            }
        }
    }
    let name = key("step_losses");
    let step_losses = file.vector(&name, None)?;
    let steps: usize = epochs.iter().map(|record| record.steps).fold(0, usize::saturating_add);
    if step_losses.len() != steps {
        let fault = format!("has {} values; the epochs have {steps} steps", step_losses.len());
        return Err(file.no_checkpoint(&name, &fault));
    }
    if let Some(step) = step_losses.iter().position(|loss| !loss.is_finite()) {
        return Err(file.no_checkpoint(&name, &format!("has {} for step {}", step_losses[step], step + 1)));
    }
    Ok(History { epochs, step_losses, seconds: file.amount(&key("seconds"))? })
}

/// The best of this many epochs; its parameters are `len` numbers.
fn best(file: &Contained<'_>, len: usize, epochs: usize) -> Result<Option<Best>> {
    if file.tensor(&key("best")).is_none() {
        return Ok(None);
    }
    let monitor = file.parsed(&key("best.monitor"))?;
    let (epoch, value) = (file.parsed(&key("best.epoch"))?, file.parsed(&key("best.value"))?);
    if !(1..=epochs).contains(&epoch) {
        return Err(file.no_checkpoint(&key("best.epoch"), &format!("is {epoch}, of {epochs} epochs")));
    }
    Ok(Some(Best { monitor, epoch, value, values: file.vector(&key("best"), Some(len))? }))
}

fn numbers(record: &EpochRecord) -> [f64; COLUMNS] {
    // An accuracy is a share, so other numbers are free to say that nothing was measured, or no accuracy.
    let measured = |metrics: Option<Metrics>| match metrics {
        None => [f64::NAN; 2],
        Some(Metrics { loss, accuracy }) => [f64::from(loss), accuracy.map_or(NO_ACCURACY, f64::from)],
    };
    let ([a, b], [c, d]) = (measured(record.train), measured(record.validation));
    [record.steps as f64, f64::from(record.loss), a, b, c, d, record.seconds]
}

/// The record of these numbers; none where they can't be one.
fn record(epoch: usize, [steps, loss, a, b, c, d, seconds]: [f64; COLUMNS]) -> Option<EpochRecord> {
    let metrics = |loss: f64, accuracy: f64| {
        let accuracy_of = |accuracy| if accuracy == NO_ACCURACY { None } else { Some(accuracy as f32) };
        (!accuracy.is_nan()).then_some(Metrics { loss: loss as f32, accuracy: accuracy_of(accuracy) })
    };
    let steps = whole(steps).filter(|steps| *steps > 0)?;
    let shares = [b, d].iter().all(|share| share.is_nan() || *share == NO_ACCURACY || (0.0..=1.0).contains(share));
    if !(loss as f32).is_finite() || !is_amount(seconds) || !shares {
        return None;
    }
    let (train, validation) = (metrics(a, b), metrics(c, d));
    Some(EpochRecord { epoch, steps, loss: loss as f32, train, validation, metrics: Vec::new(), seconds })
}
