//! Training: one network, or many side by side.

use std::sync::atomic::{AtomicBool, Ordering};

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgrad::{Control, EarlyStopping, Ensemble, EpochRecord, Fit, Monitor};

use crate::data::Dataset;
use crate::errors::{exception, invalid, is_interrupt, outside};
use crate::score::Score;
use crate::trainer::Trainer;
use crate::watch::{Plateau, Watch};

/// How a network is trained: a dict of these.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options<'py> {
    epochs: usize,
    batch_size: usize,
    #[pyo3(default)]
    until: bool,
    #[pyo3(default = true)]
    shuffle: bool,
    #[pyo3(default)]
    drop_last: bool,
    #[pyo3(default = 1)]
    accumulate: usize,
    #[pyo3(default)]
    ema: Option<f32>,
    /// Rows of the training data to train on, and to validate on.
    #[pyo3(default)]
    rows: Option<PyReadonlyArray1<'py, u32>>,
    #[pyo3(default)]
    validation_rows: Option<PyReadonlyArray1<'py, u32>>,
    #[pyo3(default)]
    validation: Option<Py<Dataset>>,
    /// 0 for never.
    #[pyo3(default)]
    evaluate_every: usize,
    #[pyo3(default)]
    evaluate_train: bool,
    /// What to score the validation data by: "classes", "labels" or "r2".
    #[pyo3(default)]
    score: Option<String>,
    #[pyo3(default)]
    plateau: Option<Plateau>,
    /// wgrad's own early stopping, which restores the best epoch: patience and the least improvement.
    #[pyo3(default)]
    early_stopping: Option<(usize, f32)>,
    /// "validation_loss", "validation_accuracy", "loss", "accuracy" (of the training data) or "score".
    #[pyo3(default)]
    monitor: Option<String>,
    #[pyo3(default)]
    checkpoint: Option<(String, usize)>,
    #[pyo3(default)]
    checkpoint_best: Option<String>,
    /// Called with a dict after each epoch; what is true ends the training.
    #[pyo3(default)]
    on_epoch: Option<Py<PyAny>>,
}

fn monitor(name: &str) -> PyResult<Monitor> {
    Ok(match name {
        "validation_loss" => Monitor::ValidationLoss,
        "validation_accuracy" => Monitor::ValidationAccuracy,
        "loss" => Monitor::TrainLoss,
        "accuracy" => Monitor::TrainAccuracy,
        "score" => Monitor::highest("score"),
        _ => {
            let known = "validation_loss, validation_accuracy, loss, accuracy";
            return Err(invalid(format!("monitor='{name}'; give one of {known}")));
        }
    })
}

/// The options in wgrad's words.
fn fit<'a>(options: &'a Options<'_>, watch: &'a Watch, converged: &'a AtomicBool) -> PyResult<Fit<'a>> {
    let make = if options.until { Fit::until } else { Fit::new };
    let evaluates = options.evaluate_every > 0;
    let mut fit = make(options.epochs, options.batch_size)
        .shuffle(options.shuffle)
        .drop_last(options.drop_last)
        .accumulate(options.accumulate)
        .evaluate(evaluates)
        .evaluate_train(evaluates && options.evaluate_train)
        .evaluate_every(options.evaluate_every);
    if let Some(decay) = options.ema {
        fit = fit.ema(decay);
    }
    if let Some(rows) = &options.rows {
        fit = fit.rows(rows.as_array().iter().copied());
    }
    if let Some(rows) = &options.validation_rows {
        fit = fit.validation_rows(rows.as_array().iter().copied());
    }
    if let Some(data) = &options.validation {
        fit = fit.validation(&data.get().0);
    }
    if let Some(name) = &options.score {
        let score = Score::named(name).ok_or_else(|| invalid(format!("score='{name}'")))?;
        fit = fit.metric("score", move |outputs, data| Ok(score.of(outputs, data)));
    }
    if let Some((patience, min_delta)) = options.early_stopping {
        fit = fit.early_stopping(EarlyStopping::new(patience).min_delta(min_delta));
    }
    if let Some(name) = &options.monitor {
        fit = fit.monitor(monitor(name)?);
    }
    if let Some((path, every)) = &options.checkpoint {
        fit = fit.checkpoint(path, *every);
    }
    if let Some(path) = &options.checkpoint_best {
        fit = fit.checkpoint_best(path);
    }
    let (mut plateau, on_epoch) = (options.plateau.clone(), options.on_epoch.as_ref());
    Ok(fit.control(move |record| {
        let mut control = plateau.as_mut().map_or(Control::Continue, |plateau| plateau.after(record));
        converged.store(control == Control::Stop, Ordering::Relaxed);
        match on_epoch.map(|callback| Python::attach(|py| called(py, callback, record))) {
            Some(Ok(true)) => control = Control::Stop,
            Some(Err(error)) => watch.raise(error),
            _ => {}
        }
        if watch.stops() { Control::Stop } else { control }
    }))
}

fn called(py: Python<'_>, callback: &Py<PyAny>, record: &EpochRecord) -> PyResult<bool> {
    let [train, validation] = [record.train, record.validation];
    let values = PyDict::new(py);
    values.set_item("epoch", record.epoch)?;
    values.set_item("loss", record.loss)?;
    values.set_item("train_loss", train.map(|metrics| metrics.loss))?;
    values.set_item("train_accuracy", train.and_then(|metrics| metrics.accuracy))?;
    values.set_item("validation_loss", validation.map(|metrics| metrics.loss))?;
    values.set_item("validation_accuracy", validation.and_then(|metrics| metrics.accuracy))?;
    values.set_item("seconds", record.seconds)?;
    callback.bind(py).call1((values,))?.is_truthy()
}

/// Trains networks side by side, each on its dataset (or all on one) and by its options; each is trained to the same bits as it
/// would be alone. Gives a dict for each, with its epochs as arrays (NaN where nothing was measured) and the exception that ended
/// it, or None, and whether its plateau ended it; and whether Ctrl-C ended all of it.
#[pyfunction]
pub(crate) fn fit_all<'py>(
    py: Python<'py>,
    trainers: Vec<Bound<'py, Trainer>>,
    data: Vec<Bound<'py, Dataset>>,
    options: Vec<Options<'py>>,
) -> PyResult<(Vec<Bound<'py, PyDict>>, bool)> {
    let count = trainers.len();
    if count == 0 || options.len() != count || (data.len() != 1 && data.len() != count) {
        let detail = format!("{count} networks, {} datasets and {} options", data.len(), options.len());
        return Err(invalid(detail + "; give a dataset for all or for each, and options for each"));
    }
    if let Some(other) = trainers.iter().position(|trainer| trainer.get().device() != trainers[0].get().device()) {
        let detail = format!("network {other} is on another device than network 0");
        return Err(invalid(detail + "; make it with network 0 in place of the device's name"));
    }
    let watch = Watch::new();
    let converged: Vec<_> = (0..count).map(|_| AtomicBool::new(false)).collect();
    let fits = options.iter().zip(&converged).map(|(options, converged)| fit(options, &watch, converged));
    let mut fits = fits.collect::<PyResult<Vec<_>>>()?;
    let data: Vec<_> = (0..count).map(|member| &data[member.min(data.len() - 1)].get().0).collect();
    let mut taken = Vec::with_capacity(count);
    for (number, trainer) in trainers.iter().enumerate() {
        match trainer.get().take() {
            Ok(trainer) => taken.push(trainer),
            Err(error) => {
                trainers[..number].iter().zip(taken).for_each(|(trainer, taken)| trainer.get().put_back(taken));
                return Err(error);
            }
        }
    }
    let before: Vec<_> = taken.iter().map(begun).collect();
    let (taken, results) = if count == 1 {
        let result = outside(py, || Ok(fits.pop().map(|fit| taken[0].fit(data[0], fit).map(drop))));
        (taken, result.map(|result| result.into_iter().collect()))
    } else {
        many(py, taken, &data, fits)?
    };
    trainers.iter().zip(taken).for_each(|(trainer, taken)| trainer.get().put_back(taken));
    let results: Vec<wgrad::Result<()>> = results?;
    let interrupted = match watch.raised() {
        None => false,
        Some(error) if is_interrupt(py, &error) => true,
        Some(error) => return Err(error),
    };
    let outcomes = trainers.iter().zip(before).zip(results).zip(&converged);
    let outcomes = outcomes.map(|(((trainer, before), result), converged)| {
        let outcome = outcome(py, trainer.get(), before)?;
        outcome.set_item("converged", converged.load(Ordering::Relaxed))?;
        outcome.set_item("error", result.err().map(|error| exception(&error)))?;
        Ok(outcome)
    });
    Ok((outcomes.collect::<PyResult<_>>()?, interrupted))
}

/// Epochs and steps in a network's history.
fn begun(trainer: &wgrad::Trainer) -> [usize; 2] {
    [trainer.history().epochs.len(), trainer.history().step_losses.len()]
}

/// Several networks as an ensemble, which takes them and gives them back; and how each fared.
type Many = (Vec<wgrad::Trainer>, PyResult<Vec<wgrad::Result<()>>>);

fn many(
    py: Python<'_>,
    taken: Vec<wgrad::Trainer>,
    data: &[&wgrad::data::Dataset],
    fits: Vec<Fit<'_>>,
) -> PyResult<Many> {
    let mut ensemble = outside(py, || Ensemble::new(taken.into_iter().map(Ok)))?;
    let mut fits = fits.into_iter();
    let results = outside(py, || {
        // As many as there are members.
        let results = ensemble.fit_each(data, |_| fits.next().unwrap_or_else(|| Fit::new(1, 1)))?;
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    });
    Ok((ensemble.into_members(), results))
}

/// The epochs since then, as arrays.
fn outcome<'py>(py: Python<'py>, trainer: &Trainer, [epochs, steps]: [usize; 2]) -> PyResult<Bound<'py, PyDict>> {
    let trainer = trainer.take().map(|taken| {
        let history = taken.history();
        let copy = (history.epochs[epochs..].to_vec(), history.step_losses[steps..].to_vec());
        trainer.put_back(taken);
        copy
    });
    let (records, losses) = trainer?;
    let values = PyDict::new(py);
    let column = |name: &str, of: &dyn Fn(&EpochRecord) -> Option<f64>| {
        let column = records.iter().map(|record| of(record).unwrap_or(f64::NAN)).collect();
        values.set_item(name, PyArray1::from_vec(py, column))
    };
    column("loss", &|record| Some(record.loss.into()))?;
    column("train_loss", &|record| Some(record.train?.loss.into()))?;
    column("train_accuracy", &|record| record.train?.accuracy.map(Into::into))?;
    column("validation_loss", &|record| Some(record.validation?.loss.into()))?;
    column("validation_accuracy", &|record| record.validation?.accuracy.map(Into::into))?;
    column("score", &|record| record.metric("score")?.validation)?;
    column("seconds", &|record| Some(record.seconds))?;
    values.set_item("epoch", PyArray1::from_vec(py, records.iter().map(|record| record.epoch as i64).collect()))?;
    values.set_item("steps", PyArray1::from_vec(py, records.iter().map(|record| record.steps as i64).collect()))?;
    values.set_item("step_losses", PyArray1::from_vec(py, losses))?;
    Ok(values)
}
