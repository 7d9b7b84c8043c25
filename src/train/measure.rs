//! Metrics of one's own, measured after an epoch.

use std::borrow::Cow;

use super::Fit;
use super::metric::{MetricRecord, OwnMetric};
use super::pass::Rows;
use crate::data::Dataset;
use crate::error::{Error, Result};

/// The samples that predictions are for.
pub(super) type Samples<'a> = Option<Cow<'a, Dataset>>;

impl<'a> Fit<'a> {
    /// Also measures this after every epoch that is evaluated, on the training and on the validation data: in the
    /// [history](crate::EpochRecord::metrics), in the progress bar, and by [`Monitor::highest`](crate::Monitor::highest) or
    /// [`Monitor::lowest`](crate::Monitor::lowest) the one that selects the best epoch.
    ///
    /// `measure` gets the model's outputs, row by row, and the samples that they are for, and is called on the host: any of
    /// [`metrics`](crate::metrics), or a function of your own. NaN counts as not measured.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, EarlyStopping, Fit, Monitor, Trainer, metrics};
    ///
    /// let rows: Vec<[f32; 1]> = (0..40).map(|i| [i as f32 / 40.0]).collect();
    /// let targets: Vec<[f32; 1]> = rows.iter().map(|[x]| [2.0 * x - 1.0]).collect();
    /// let (train, test) = Dataset::from_rows(&rows, &targets)?.split(0.75, 0)?;
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// let fit = Fit::new(100, 10)
    ///     .validation(&test)
    ///     .metric("r2", metrics::r2)
    ///     .metric("worst", |predictions, data| {
    ///         let errors = predictions.iter().zip(data.targets()).map(|(y, t)| f64::from((y - t).abs()));
    ///         Ok(errors.fold(0.0, f64::max))
    ///     })
    ///     .monitor(Monitor::highest("r2"))
    ///     .early_stopping(EarlyStopping::new(10));
    /// let history = trainer.fit(&train, fit)?;
    /// let best = history.best(Monitor::highest("r2")).unwrap();
    /// println!("R² {:.3} in epoch {}", best.metric("r2").unwrap().validation.unwrap(), best.epoch);
    /// # assert!(best.metric("r2").unwrap().validation.unwrap() > 0.9);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// An error of `measure` ends the training. Outputs that the device can't hold for all rows at once are an error, too.
    pub fn metric(
        mut self,
        name: impl Into<String>,
        measure: impl FnMut(&[f32], &Dataset) -> Result<f64> + Send + 'a,
    ) -> Self {
        self.metrics.push(OwnMetric { name: name.into(), measure: Box::new(measure) });
        self
    }

    /// Names that tell the columns of a history apart.
    pub(super) fn check_metrics(&self) -> Result<()> {
        const COLUMNS: [&str; 5] = ["epoch", "steps", "loss", "accuracy", "seconds"];
        for (number, OwnMetric { name, .. }) in self.metrics.iter().enumerate() {
            let is_odd = |c: char| c.is_control() || matches!(c, ',' | '"' | '\\');
            let fault = if name.is_empty() || name.contains(is_odd) {
                "; give a name, without commas, quotes and control characters"
            } else if COLUMNS.contains(&&name[..]) {
                ", which the history has already; choose another name"
            } else if self.metrics[..number].iter().any(|other| other.name == *name) {
                " twice; choose another name for one of both"
            } else {
                continue;
            };
            return Err(Error::input("fit", format!("the metric '{name}'{fault}")));
        }
        if !self.metrics.is_empty() && !self.evaluates {
            return Err(Error::input(
                "fit",
                "metrics of evaluations, but evaluate(false) makes none; leave one of both out",
            ));
        }
        Ok(())
    }

    /// What the metrics give for these outputs on the training and on the validation data.
    pub(super) fn measure(
        &mut self,
        outputs: [Option<Vec<f32>>; 2],
        samples: &[Samples<'_>; 2],
    ) -> Result<Vec<MetricRecord>> {
        if outputs.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let record = |metric: &mut OwnMetric<'_>| {
            let mut values = [None; 2];
            for ((value, outputs), samples) in values.iter_mut().zip(&outputs).zip(samples) {
                let (Some(outputs), Some(samples)) = (outputs, samples) else { continue };
                let measured = (metric.measure)(outputs, samples).map_err(|error| {
                    Error::new(error.kind(), "fit", format!("the metric '{}' failed: {error}", metric.name))
                })?;
                *value = Some(measured).filter(|value| !value.is_nan());
            }
            let [train, validation] = values;
            Ok(MetricRecord { name: metric.name.clone(), train, validation })
        };
        self.metrics.iter_mut().map(record).collect()
    }
}

impl<'a> Rows<'a> {
    /// The samples, in the order of the rows.
    pub(super) fn samples(&self) -> Result<Cow<'a, Dataset>> {
        Ok(match self.chosen {
            None => Cow::Borrowed(self.data),
            Some(rows) => Cow::Owned(self.data.select(&rows.iter().map(|row| *row as usize).collect::<Vec<_>>())?),
        })
    }
}
