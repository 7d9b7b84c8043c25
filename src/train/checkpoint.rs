//! Training that goes on where it was interrupted.

use std::path::Path;
use std::str::FromStr;

use safetensors::Dtype;

use super::monitor::Best;
use super::{EpochRecord, History, Metrics, Monitor, Session};
use crate::error::Result;
use crate::save::{Bytes, CHECKPOINT, Contained, doubles, floats};

/// Raised when a file of one version can't be read by another.
const VERSION: u32 = 1;

/// Numbers of an epoch in the file: steps, loss, loss and accuracy on both datasets, seconds.
const COLUMNS: usize = 7;

fn key(name: &str) -> String {
    format!("{CHECKPOINT}{name}")
}

impl Session {
    /// Writes all that training needs to go on from here: the parameters, the optimizer's state, the seed and the
    /// numbers of epochs and steps that random numbers and schedules follow from, the history.
    ///
    /// The file is also one of a model: `Sequential::load` and `Parameters::load` take the parameters from it.
    /// Whatever interrupts it, the file is the old one or the new one.
    ///
    /// # Errors
    /// A file that can't be written; a lost device.
    pub async fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut contents = self.parameters.contents().await?;
        for (i, state) in self.optimizer.state().iter().enumerate() {
            contents.push(key(&format!("optimizer.{i}")), &[state.len()], &state.read_async()?.await?);
        }
        let rows: Vec<f64> = self.history.epochs.iter().flat_map(numbers).collect();
        contents.push_f64(key("epochs"), &[self.history.epochs.len(), COLUMNS], &rows);
        let losses = &self.history.step_losses;
        contents.push(key("step_losses"), &[losses.len()], losses);
        contents.push_text(key("version"), VERSION);
        contents.push_text(key("seed"), self.seed);
        contents.push_text(key("seconds"), self.history.seconds);
        contents.push_text(key("optimizer.rule"), self.optimizer.algorithm_name());
        contents.push_text(key("optimizer.steps"), self.optimizer.steps());
        contents.push_text(key("optimizer.epoch"), self.optimizer.epoch());
        contents.push_text(key("optimizer.rate"), self.optimizer.base_rate());
        if let Some(best) = &self.best {
            contents.push(key("best"), &[best.values.len()], &best.values);
            contents.push_text(key("best.monitor"), format!("{:?}", best.monitor));
            contents.push_text(key("best.epoch"), best.epoch);
            contents.push_text(key("best.value"), best.value);
        }
        contents.write(path.as_ref())
    }

    /// Goes back to a checkpoint of a training with the same model, loss and algorithm. A [`Trainer::fit`](crate::Trainer::fit) with
    /// [`Fit::until`](crate::Fit::until) then gives, on the same device, bit for bit what the trainer that wrote it
    /// would have given without the interruption. Schedules and frozen parameters are the program's: the file holds
    /// neither.
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
    /// [`Algorithm`](crate::optim::Algorithm). The trainer then is as it was.
    pub async fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = Bytes::read(path)?;
        let file = Checkpoint(bytes.parse(path)?);
        let version: u32 = file.text("version")?;
        if version != VERSION {
            return Err(file.0.error(format!("a checkpoint of version {version}; this wgrad reads version {VERSION}")));
        }
        let (values, _) = self.parameters.values_of(&file.0, true).await?;
        // The first files did not name their algorithm.
        let (rule, own_rule) = (file.0.text(&key("optimizer.rule")), self.optimizer.algorithm_name());
        if let Some(rule) = rule.filter(|rule| *rule != own_rule) {
            let detail = format!("a training with {rule}; this trainer has {own_rule}: make one with {rule} to go on");
            return Err(file.0.error(detail));
        }
        let states = self.optimizer.state().len();
        let found = file.0.names().iter().filter(|name| name.starts_with(&key("optimizer."))).count();
        if found != states {
            let detail =
                format!("the state of an algorithm that keeps {found} numbers for a parameter; this one {states}");
            return Err(file.0.error(detail));
        }
        let states = (0..states).map(|i| file.floats(&format!("optimizer.{i}"), Some(values.len())));
        let states = states.collect::<Result<Vec<_>>>()?;
        let history = file.history()?;
        let best = file.best(values.len())?;
        let [steps, epoch] = [file.count("optimizer.steps")?, file.count("optimizer.epoch")?];
        let rate = file.text("optimizer.rate")?;
        let seed = file.text("seed")?;

        self.optimizer.set_learning_rate(rate)?;
        self.optimizer.go_to(steps, epoch as usize);
        for (state, values) in self.optimizer.state().iter().zip(&states) {
            state.write(values)?;
        }
        self.parameters.write(&values)?;
        (self.seed, self.history, self.best) = (seed, history, best);
        Ok(())
    }
}

/// A file that should be a checkpoint.
struct Checkpoint<'a>(Contained<'a>);

impl Checkpoint<'_> {
    fn text<T: FromStr>(&self, name: &str) -> Result<T> {
        let value = self.0.text(&key(name)).and_then(|text| text.parse().ok());
        value.ok_or_else(|| self.0.error(format!("no checkpoint of a training: it has no {name}")))
    }

    fn floats(&self, name: &str, len: Option<usize>) -> Result<Vec<f32>> {
        let tensor = self.0.tensor(&key(name)).filter(|t| t.dtype() == Dtype::F32).map(|tensor| floats(&tensor));
        tensor
            .filter(|values| len.is_none_or(|len| values.len() == len))
            .ok_or_else(|| self.0.error(format!("no checkpoint of this training: {name} is missing or does not fit")))
    }

    /// A number of steps or epochs, so far from the largest that one can go on counting.
    fn count(&self, name: &str) -> Result<u64> {
        let count: u64 = self.text(name)?;
        if count < 1 << 53 {
            return Ok(count);
        }
        Err(self.0.error(format!("no checkpoint of a training: {name} is {count}")))
    }

    fn history(&self) -> Result<History> {
        let rows = self.0.tensor(&key("epochs")).filter(|t| t.dtype() == Dtype::F64);
        let rows = rows.filter(|tensor| matches!(tensor.shape(), [_, COLUMNS])).map(|tensor| doubles(&tensor));
        let rows = rows.ok_or_else(|| self.0.error("no checkpoint of a training: it has no epochs"))?;
        let rows = rows.chunks_exact(COLUMNS).filter_map(|row| row.try_into().ok());
        let epochs: Vec<_> = rows.enumerate().map(|(i, row)| record(i + 1, row)).collect();
        let step_losses = self.floats("step_losses", None)?;
        let steps = epochs.iter().fold(0_usize, |steps, epoch| steps.saturating_add(epoch.steps));
        if steps != step_losses.len() {
            let detail = format!("damaged: epochs of {steps} steps, but {} losses of steps", step_losses.len());
            return Err(self.0.error(detail));
        }
        Ok(History { epochs, step_losses, seconds: self.text("seconds")? })
    }

    fn best(&self, len: usize) -> Result<Option<Best>> {
        if self.0.tensor(&key("best")).is_none() {
            return Ok(None);
        }
        let name: String = self.text("best.monitor")?;
        let monitor = Monitor::ALL.into_iter().find(|monitor| format!("{monitor:?}") == name);
        let monitor = monitor.ok_or_else(|| self.0.error(format!("'{name}' is not known to tell the best epoch")))?;
        let (epoch, value) = (self.text("best.epoch")?, self.text("best.value")?);
        Ok(Some(Best { monitor, epoch, value, values: self.floats("best", Some(len))? }))
    }
}

fn numbers(record: &EpochRecord) -> [f64; COLUMNS] {
    // An accuracy is a number, so NaN is free to say that nothing was measured.
    let not_measured = Metrics { loss: f32::NAN, accuracy: f32::NAN };
    let [train, validation] = [record.train, record.validation].map(|metrics| metrics.unwrap_or(not_measured));
    let [loss, a, b, c, d] =
        [record.loss, train.loss, train.accuracy, validation.loss, validation.accuracy].map(f64::from);
    [record.steps as f64, loss, a, b, c, d, record.seconds]
}

fn record(epoch: usize, [steps, loss, a, b, c, d, seconds]: [f64; COLUMNS]) -> EpochRecord {
    let metrics = |loss: f64, accuracy: f64| {
        (!accuracy.is_nan()).then_some(Metrics { loss: loss as f32, accuracy: accuracy as f32 })
    };
    let (train, validation) = (metrics(a, b), metrics(c, d));
    EpochRecord { epoch, steps: steps as usize, loss: loss as f32, train, validation, seconds }
}
