//! What is measured of predictions on the host: classes told apart or confused, and the errors of numbers.
//!
//! Predictions are what [`Trainer::predict`](crate::Trainer::predict) returns for the inputs of a [`Dataset`]; its
//! targets say what is right. [`Trainer::evaluate`](crate::Trainer::evaluate) measures loss and accuracy on the device.
//!
//! A class is told as for [`Metrics::accuracy`](crate::Metrics::accuracy): by the largest of several columns (of equals,
//! the first), or with one column by the side of the targets' middle. Targets [n, 1] for several columns of predictions
//! are class numbers.

use std::fmt;

use crate::data::{Dataset, rows};
use crate::error::{Error, Result};
use crate::ops::metrics::argmax;

/// The class of each row of predictions: the column of its largest value.
///
/// ```
/// use wgrad::metrics;
///
/// assert_eq!(metrics::classes(&[0.1, 0.7, 0.2, 0.5, 0.3, 0.2], 3)?, [1, 0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions that make no whole rows of so many columns, or are not finite.
pub fn classes(predictions: &[f32], cols: usize) -> Result<Vec<usize>> {
    rows("predictions", predictions, cols)?;
    Ok(predictions.chunks_exact(cols).map(argmax).collect())
}

/// The share of samples classified right.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0], [2.0]], &[[0.0], [1.0], [1.0]])?;
/// assert_eq!(metrics::accuracy(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], &data)?, 2.0 / 3.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// What [`ConfusionMatrix::new`] refuses.
pub fn accuracy(predictions: &[f32], data: &Dataset) -> Result<f64> {
    Ok(ConfusionMatrix::new(predictions, data)?.accuracy())
}

/// The mean absolute error over all predicted values.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[1.0], [2.0]])?;
/// assert_eq!(metrics::mae(&[1.5, 1.0], &data)?, 0.75);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions of another shape than the targets, or that are not finite.
pub fn mae(predictions: &[f32], data: &Dataset) -> Result<f64> {
    let sum: f64 = differences("mae", predictions, data)?.map(f64::abs).sum();
    Ok(sum / predictions.len() as f64)
}

/// The root of the mean squared error over all predicted values.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[1.0], [2.0]])?;
/// assert_eq!(metrics::rmse(&[2.0, 1.0], &data)?, 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions of another shape than the targets, or that are not finite.
pub fn rmse(predictions: &[f32], data: &Dataset) -> Result<f64> {
    let sum: f64 = differences("rmse", predictions, data)?.map(|d| d * d).sum();
    Ok((sum / predictions.len() as f64).sqrt())
}

/// The coefficient of determination R²: 1 for exact predictions, 0 for those no better than the targets' mean, less than
/// that for worse ones; of several columns of targets, the mean.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0], [2.0]], &[[1.0], [2.0], [3.0]])?;
/// assert_eq!(metrics::r2(&[1.0, 2.0, 3.0], &data)?, 1.0);
/// assert_eq!(metrics::r2(&[2.0, 2.0, 2.0], &data)?, 0.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions of another shape than the targets, or that are not finite; a column of targets that are all the same,
/// which leaves nothing to explain.
pub fn r2(predictions: &[f32], data: &Dataset) -> Result<f64> {
    let differences: Vec<f64> = differences("r2", predictions, data)?.collect();
    let cols = data.target_cols();
    let mut sum = 0.0;
    for col in 0..cols {
        let targets = || data.targets().iter().skip(col).step_by(cols).map(|t| f64::from(*t));
        let first = data.targets()[col];
        if targets().all(|t| t == f64::from(first)) {
            return Err(Error::input(
                "r2",
                format!("all targets of column {col} are {first}, so there is no variance to explain; use rmse"),
            ));
        }
        let mean = targets().sum::<f64>() / data.len() as f64;
        let total: f64 = targets().map(|t| (t - mean).powi(2)).sum();
        let residual: f64 = differences.iter().skip(col).step_by(cols).map(|d| d * d).sum();
        sum += 1.0 - residual / total;
    }
    Ok(sum / cols as f64)
}

/// Prediction minus target, of each value.
fn differences<'a>(
    operation: &str,
    predictions: &'a [f32],
    data: &'a Dataset,
) -> Result<impl Iterator<Item = f64> + use<'a>> {
    if predictions.len() != data.targets().len() {
        return Err(Error::shape(
            operation,
            format!(
                "{} predictions for targets {} x {}; give one for each",
                predictions.len(),
                data.len(),
                data.target_cols()
            ),
        ));
    }
    rows("predictions", predictions, data.target_cols())?;
    Ok(predictions.iter().zip(data.targets()).map(|(p, t)| f64::from(*p) - f64::from(*t)))
}

/// How often each class was taken for each other. It prints as a table with the names of the classes, if the data has
/// them.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::ConfusionMatrix;
///
/// let pets = Dataset::from_rows(&[[1.0], [2.0], [3.0]], &[[0.0], [1.0], [1.0]])?.with_class_names(["cat", "dog"]);
/// let matrix = ConfusionMatrix::new(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], &pets)?;
/// assert_eq!(matrix.count(1, 0), 1, "a dog was taken for a cat");
/// assert_eq!(
///     matrix.to_string(),
///     "true \\ predicted  cat  dog\n\
///      cat                 1    0\n\
///      dog                 1    1\n"
/// );
/// let dog = &matrix.scores()[1];
/// assert_eq!((dog.precision, dog.recall, dog.samples), (1.0, 0.5, 2));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    names: Vec<String>,
    /// A row for each true class, a column for each predicted one.
    counts: Vec<usize>,
}

/// How well a class is found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// The share of those predicted to be of the class that are; 0 where none was predicted.
    pub precision: f64,
    /// The share of the class's samples that were found; 0 where it has none.
    pub recall: f64,
    /// The harmonic mean of both; 0 where both are.
    pub f1: f64,
    /// The samples that are of the class.
    pub samples: usize,
}

impl ConfusionMatrix {
    /// Counts the predictions for this data.
    ///
    /// # Errors
    /// Predictions that make no rows as long as each other, one for each sample, or are not finite; targets of another
    /// number of columns that are no class numbers either; for a single column, targets of more than two values; fewer
    /// names of classes than classes.
    pub fn new(predictions: &[f32], data: &Dataset) -> Result<Self> {
        let samples = data.len();
        let cols = predictions.len() / samples;
        if cols == 0 || cols * samples != predictions.len() {
            return Err(Error::shape(
                "confusion_matrix",
                format!("{} predictions for {samples} samples; give a row of equal length for each", predictions.len()),
            ));
        }
        let (predicted, actual) = match (cols, data.target_cols()) {
            (1, 1) => {
                rows("predictions", predictions, 1)?;
                let threshold = data.threshold();
                let mut values = [f32::INFINITY, f32::NEG_INFINITY];
                for target in data.targets() {
                    values = [values[0].min(*target), values[1].max(*target)];
                }
                if let Some(row) = data.targets().iter().position(|t| !values.contains(t)) {
                    return Err(Error::input(
                        "confusion_matrix",
                        format!("row {row} has the target {}; a single column tells two classes", data.targets()[row]),
                    ));
                }
                let side = |values: &[f32]| values.iter().map(|v| usize::from(*v > threshold)).collect();
                (side(predictions), side(data.targets()))
            }
            (_, 1) => (classes(predictions, cols)?, data.class_numbers("confusion_matrix", cols)?),
            (_, target_cols) if target_cols == cols => (classes(predictions, cols)?, classes(data.targets(), cols)?),
            (_, target_cols) => {
                return Err(Error::shape(
                    "confusion_matrix",
                    format!("predictions of {cols} columns for targets of {target_cols}; they must have as many"),
                ));
            }
        };
        let classes = cols.max(2);
        let names = match data.class_names() {
            [] => (0..classes).map(|class| class.to_string()).collect(),
            names if names.len() == classes => names.to_vec(),
            names => {
                return Err(Error::shape(
                    "confusion_matrix",
                    format!("{} names of classes for {classes} classes; the model has an output for each", names.len()),
                ));
            }
        };
        let mut counts = vec![0; classes * classes];
        for (actual, predicted) in actual.into_iter().zip(predicted) {
            counts[actual * classes + predicted] += 1;
        }
        Ok(Self { names, counts })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The names of the classes, or their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many samples of the class `actual` were predicted to be of the class `predicted`; 0 for classes that there
    /// are not.
    pub fn count(&self, actual: usize, predicted: usize) -> usize {
        let inside = actual < self.classes() && predicted < self.classes();
        if inside { self.counts[actual * self.classes() + predicted] } else { 0 }
    }

    /// The share of samples classified right.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.classes()).map(|class| self.count(class, class)).sum();
        right as f64 / self.counts.iter().sum::<usize>() as f64
    }

    /// Precision, recall and F1 of each class.
    pub fn scores(&self) -> Vec<Scores> {
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let of_class = |class: usize| {
            let right = self.count(class, class);
            let samples = (0..self.classes()).map(|predicted| self.count(class, predicted)).sum();
            let predicted = (0..self.classes()).map(|actual| self.count(actual, class)).sum();
            Scores {
                precision: share(right, predicted),
                recall: share(right, samples),
                f1: share(2 * right, samples + predicted),
                samples,
            }
        };
        (0..self.classes()).map(of_class).collect()
    }

    /// The mean of the scores over the classes that there are samples or predictions of, as scikit-learn's macro
    /// average; the samples of all.
    pub fn macro_average(&self) -> Scores {
        let there = |class: &usize| (0..self.classes()).any(|i| self.count(*class, i) + self.count(i, *class) > 0);
        let scores = self.scores();
        let scores: Vec<_> = (0..self.classes()).filter(there).map(|class| scores[class]).collect();
        let mean = |of: fn(&Scores) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
        Scores {
            precision: mean(|s| s.precision),
            recall: mean(|s| s.recall),
            f1: mean(|s| s.f1),
            samples: scores.iter().map(|s| s.samples).sum(),
        }
    }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CORNER: &str = "true \\ predicted";
        let width = |text: &str| text.chars().count();
        let first = self.names.iter().map(|name| width(name)).fold(width(CORNER), usize::max);
        let digits = self.counts.iter().max().map_or(1, |most| width(&most.to_string()));
        let widths: Vec<usize> = self.names.iter().map(|name| width(name).max(digits)).collect();
        write!(f, "{CORNER:first$}")?;
        for (name, width) in self.names.iter().zip(&widths) {
            write!(f, "  {name:>width$}")?;
        }
        writeln!(f)?;
        for (name, counts) in self.names.iter().zip(self.counts.chunks_exact(self.classes())) {
            write!(f, "{name:first$}")?;
            for (count, width) in counts.iter().zip(&widths) {
                write!(f, "  {count:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
