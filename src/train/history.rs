//! The history of a training run.

use super::metric::MetricRecord;
use crate::nn::Reduction;

/// How well a model does on a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// The loss, as the trainer's [`Loss`](crate::nn::Loss) reduces it.
    pub loss: f32,
    /// The share of answers that are right, as the loss's [`Decision`](crate::metrics::Decision) reads predictions; `None`
    /// where there is no right and wrong: regression.
    pub accuracy: Option<f32>,
}

/// One epoch of training.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochRecord {
    /// Counted from 1, over all calls of [`Trainer::fit`](crate::Trainer::fit).
    pub epoch: usize,
    /// Its mini-batches.
    pub steps: usize,
    /// The loss over the epoch's mini-batches, each before its own update.
    pub loss: f32,
    /// The model after the epoch on the training data, if it was measured.
    pub train: Option<Metrics>,
    /// The model after the epoch on the validation data, if there is any and it was measured.
    pub validation: Option<Metrics>,
    /// What the metrics of [`Fit::metric`](crate::Fit::metric) gave, if it was measured.
    pub metrics: Vec<MetricRecord>,
    /// Seconds from the start of the call to these results.
    pub seconds: f64,
}

/// The record of a training run. Export it to other tools with [`History::to_csv`] or [`History::to_json`];
/// TensorBoard's event files are not supported.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// The loss of every step, each before its update.
    pub step_losses: Vec<f32>,
    /// Seconds spent, including evaluation.
    pub seconds: f64,
}

/// The columns of an epoch in text.
const COLUMNS: [&str; 8] =
    ["epoch", "steps", "loss", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "seconds"];

impl EpochRecord {
    /// What the metric of this name gave, if the epoch was measured with it.
    pub fn metric(&self, name: &str) -> Option<&MetricRecord> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The values of the columns; `None` where nothing was measured.
    fn columns(&self, metrics: &[&str]) -> Vec<Option<String>> {
        let text = |value: f32| Some(value.to_string());
        let [train, validation] = [self.train, self.validation];
        let columns = [
            Some(self.epoch.to_string()),
            Some(self.steps.to_string()),
            text(self.loss),
            train.and_then(|metrics| text(metrics.loss)),
            train.and_then(|metrics| metrics.accuracy).and_then(text),
            validation.and_then(|metrics| text(metrics.loss)),
            validation.and_then(|metrics| metrics.accuracy).and_then(text),
            Some(self.seconds.to_string()),
        ];
        let own = metrics.iter().flat_map(|name| {
            let metric = self.metric(name);
            [metric.and_then(|metric| metric.train), metric.and_then(|metric| metric.validation)]
        });
        columns.into_iter().chain(own.map(|value| value.map(|value| value.to_string()))).collect()
    }
}

/// A number in JSON, which has no NaN and no infinity.
fn json(number: &str) -> &str {
    if number.ends_with(|c: char| c.is_ascii_digit()) { number } else { "null" }
}

impl History {
    /// The names of the metrics of one's own, in the order in which they appeared.
    fn metric_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for metric in self.epochs.iter().flat_map(|record| &record.metrics) {
            if !names.contains(&&metric.name[..]) {
                names.push(&metric.name);
            }
        }
        names
    }

    /// Each metric of one's own with its values on both datasets, epoch by epoch: NaN where it was not measured.
    #[cfg(feature = "safetensors")]
    pub(super) fn metric_columns(&self) -> Vec<(&str, Vec<f64>)> {
        let mut columns: Vec<_> = self.metric_names().into_iter().map(|name| (name, Vec::new())).collect();
        for record in &self.epochs {
            for (name, values) in &mut columns {
                let metric = record.metric(name);
                let both = [metric.and_then(|metric| metric.train), metric.and_then(|metric| metric.validation)];
                values.extend(both.map(|value| value.unwrap_or(f64::NAN)));
            }
        }
        columns
    }

    /// The names of the columns in text.
    fn column_names(&self) -> Vec<String> {
        let own = self.metric_names();
        let own = own.iter().flat_map(|name| [format!("train_{name}"), format!("validation_{name}")]);
        COLUMNS.iter().map(ToString::to_string).chain(own).collect()
    }

    /// The epochs as CSV, one per line, after a header; metrics of one's own come last, each on both datasets. What was not
    /// measured is left empty.
    ///
    /// ```
    /// let names = "epoch,steps,loss,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds\n";
    /// assert_eq!(wgrad::History::default().to_csv(), names);
    /// ```
    pub fn to_csv(&self) -> String {
        let metrics = self.metric_names();
        let line = |record: &EpochRecord| {
            let columns: Vec<_> = record.columns(&metrics).into_iter().map(Option::unwrap_or_default).collect();
            columns.join(",") + "\n"
        };
        self.column_names().join(",") + "\n" + &self.epochs.iter().map(line).collect::<String>()
    }

    /// The whole history as JSON: `{"seconds": ..., "epochs": [{"epoch": 1, ...}, ...], "step_losses": [...]}`, with
    /// the names of [`History::to_csv`]. What was not measured or is not finite is null.
    pub fn to_json(&self) -> String {
        let (names, metrics) = (self.column_names(), self.metric_names());
        let epoch = |record: &EpochRecord| {
            let values = record.columns(&metrics).into_iter();
            let values = values.map(|value| json(value.as_deref().unwrap_or_default()).to_string());
            let fields = names.iter().zip(values).map(|(name, value)| format!("\"{name}\": {value}"));
            format!("  {{{}}}", fields.collect::<Vec<_>>().join(", "))
        };
        let epochs: Vec<_> = self.epochs.iter().map(epoch).collect();
        let losses: Vec<_> = self.step_losses.iter().map(|loss| json(&loss.to_string()).to_string()).collect();
        format!(
            "{{\"seconds\": {}, \"epochs\": [\n{}\n], \"step_losses\": [{}]}}\n",
            self.seconds,
            epochs.join(",\n"),
            losses.join(", ")
        )
    }

    /// What came after the first `epochs` epochs and `steps` steps, which took `seconds`.
    pub(super) fn since(&self, epochs: usize, steps: usize, seconds: f64) -> Self {
        Self { epochs: self.epochs[epochs..].to_vec(), step_losses: self.step_losses[steps..].to_vec(), seconds }
    }
}

/// How much each mini-batch counts in the loss of its step, of which so many make one.
pub(super) fn shares(reduction: Reduction, counts: &[f64], together: usize) -> Vec<f32> {
    let share = |count: f64, total: f64| match reduction.is_mean() {
        true if total > 0.0 => count / total,
        true => 0.0,
        false => 1.0,
    };
    let of_step = |counts: &[f64]| {
        let total = counts.iter().sum();
        counts.iter().map(|count| share(*count, total) as f32).collect::<Vec<_>>()
    };
    counts.chunks(together).flat_map(of_step).collect()
}

/// The loss of a whole from those of its parts, which count so much: their numbers of rows, or sums of weights.
pub(super) fn combine(reduction: Reduction, losses: &[f32], counts: &[f64]) -> f64 {
    let losses: Vec<f64> = losses.iter().map(|loss| f64::from(*loss)).collect();
    reduction.combine(&losses, counts)
}
