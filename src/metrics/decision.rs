//! How predictions are read as classes.

use crate::data::{Dataset, rows};
use crate::error::{Error, Result};

/// How the outputs of a model are read as an answer, and when that answer is correct.
///
/// It follows from what the model was trained for, never from the data that it is measured on:
///
/// | trained with | targets | decision |
/// |---|---|---|
/// | `CrossEntropy` | class numbers [n, 1], or a column for each class | `Argmax` |
/// | `BceWithLogits` | 0 or 1 in each column | [`Decision::logits`] |
/// | `Mse` and others | two values, such as -1 and 1 | [`Decision::between`]`(-1.0, 1.0)` |
/// | `Mse` and others | one-hot rows | `Argmax` |
/// | `Mse` and others | numbers | `Regression` |
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::Decision;
///
/// // Logits: more than 0 says yes.
/// let data = Dataset::from_rows(&[[0.0]; 4], &[[1.0], [0.0], [1.0], [1.0]])?;
/// let logits = [0.3, -0.2, 0.4, 1.0];
/// assert_eq!(Decision::logits().accuracy(&logits, &data)?, Some(1.0));
/// assert_eq!(Decision::logits().classes(&logits, 1)?, [1, 0, 1, 1]);
/// assert_eq!(Decision::Regression.accuracy(&logits, &data)?, None);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// The outputs are numbers, none of which is right or wrong: there is no accuracy.
    Regression,
    /// Each output is a separate answer: yes (class 1) if it is larger than `output`, and yes is right if the target
    /// in its column is larger than `target`. The accuracy counts every answer, so with several columns of independent
    /// labels it is that of scikit-learn's `accuracy_score` of all of them in one row.
    Threshold {
        /// The threshold for outputs.
        output: f32,
        /// The threshold for targets.
        target: f32,
    },
    /// The answer is the class with the largest output; of equals, the first. It is right if it is the target's class
    /// number, or the column of the largest target.
    Argmax,
}

impl Decision {
    /// One or several logits for targets of 0 and 1: an output says yes if it is larger than 0.
    pub const fn logits() -> Self {
        Self::Threshold { output: 0.0, target: 0.5 }
    }

    /// Outputs on the scale of their targets, which are these two values: halfway between them. -1 and 1 give a threshold
    /// of 0; 0 and 1 give 0.5.
    pub fn between(low: f32, high: f32) -> Self {
        let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
        Self::Threshold { output: middle, target: middle }
    }

    /// The class that a row of outputs stands for. None if one of them is NaN; for [`Decision::Regression`]; and for a
    /// threshold with several columns, which are several answers.
    pub fn class_of(&self, prediction: &[f32]) -> Option<usize> {
        match (self, prediction) {
            (Self::Argmax, row) => largest(row),
            (Self::Threshold { output, .. }, [value]) => is_above(*value, *output).map(usize::from),
            _ => None,
        }
    }

    /// The class that a row of targets stands for, as [`Decision::class_of`]; for [`Decision::Argmax`] a single target is
    /// a class number.
    pub fn class_of_target(&self, target: &[f32]) -> Option<usize> {
        match (self, target) {
            (Self::Argmax, [class]) => (*class >= 0.0 && class.fract() == 0.0).then_some(*class as usize),
            (Self::Argmax, row) => largest(row),
            (Self::Threshold { target: threshold, .. }, [value]) => is_above(*value, *threshold).map(usize::from),
            _ => None,
        }
    }

    /// How many answers a row with this many targets asks for: none for regression, one per column for a threshold.
    pub fn answers(&self, target_cols: usize) -> usize {
        match self {
            Self::Regression => 0,
            Self::Threshold { .. } => target_cols,
            Self::Argmax => 1,
        }
    }

    /// How many answers of a row are right, of those that [`Decision::answers`] counts. NaN is never right.
    pub fn count_right(&self, prediction: &[f32], target: &[f32]) -> usize {
        match self {
            Self::Regression => 0,
            Self::Threshold { output, target: threshold } => {
                let pairs = prediction.iter().zip(target);
                let is_right = |(p, t): &(&f32, &f32)| {
                    is_above(**p, *output).is_some_and(|yes| Some(yes) == is_above(**t, *threshold))
                };
                pairs.filter(is_right).count()
            }
            Self::Argmax => {
                usize::from(self.class_of(prediction).is_some_and(|class| Some(class) == self.class_of_target(target)))
            }
        }
    }

    /// Whether all answers of a row are right; none for [`Decision::Regression`].
    pub fn is_right(&self, prediction: &[f32], target: &[f32]) -> Option<bool> {
        let answers = self.answers(target.len());
        (answers > 0).then(|| self.count_right(prediction, target) == answers)
    }

    /// The class of each row of predictions.
    ///
    /// ```
    /// use wgrad::metrics::Decision;
    ///
    /// assert_eq!(Decision::Argmax.classes(&[0.1, 0.7, 0.2, 0.5, 0.3, 0.2], 3)?, [1, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Predictions that are not whole rows of this many columns, or not finite; a decision that does not give exactly
    /// one class per row.
    pub fn classes(&self, predictions: &[f32], cols: usize) -> Result<Vec<usize>> {
        rows("classes", "predictions", predictions, cols)?;
        self.check_outputs("classes", cols)?;
        let classes: Option<Vec<usize>> = predictions.chunks_exact(cols).map(|row| self.class_of(row)).collect();
        classes.ok_or_else(|| {
            let detail = format!("{self:?} gives no single class for {cols} outputs; Decision::Argmax does");
            Error::input("classes", detail)
        })
    }

    /// The share of answers that are right; none for [`Decision::Regression`], whatever is predicted.
    ///
    /// # Errors
    /// Predictions that are not a row of equal length for each sample, or not finite; for a threshold, as many columns of
    /// predictions as of targets are wanted; for [`Decision::Argmax`] at least two columns of predictions, and class
    /// numbers [n, 1] below their number or as many columns of targets.
    pub fn accuracy(&self, predictions: &[f32], data: &Dataset) -> Result<Option<f64>> {
        let cols = self.check("accuracy", predictions, data)?;
        rows("accuracy", "predictions", predictions, cols)?;
        let answers = self.answers(data.target_cols());
        let pairs = predictions.chunks_exact(cols).zip(data.targets().chunks_exact(data.target_cols()));
        let right = pairs.enumerate().map(|(row, (p, t))| data.weight(row) * self.count_right(p, t) as f64);
        Ok((answers > 0).then(|| right.sum::<f64>() / (answers as f64 * data.total_weight())))
    }

    /// The columns of these predictions, if they, the data and the decision fit.
    pub(super) fn check(&self, operation: &str, predictions: &[f32], data: &Dataset) -> Result<usize> {
        let cols = columns(operation, predictions, data)?;
        self.check_targets(operation, cols, data)?;
        Ok(cols)
    }

    /// Whether this data has targets to judge this many outputs by, which can be checked before there are predictions.
    pub(crate) fn check_targets(&self, operation: &str, outputs: usize, data: &Dataset) -> Result<()> {
        self.check_outputs(operation, outputs)?;
        match (self, data.target_cols()) {
            (Self::Regression, _) => Ok(()),
            (Self::Argmax, 1) => data.class_numbers(operation, outputs).map(drop),
            (_, target_cols) if target_cols == outputs => Ok(()),
            (_, target_cols) => {
                let detail = format!("predictions of {outputs} columns for targets of {target_cols}; give as many");
                Err(Error::shape(operation, detail))
            }
        }
    }

    fn check_outputs(&self, operation: &str, outputs: usize) -> Result<()> {
        if *self == Self::Argmax && outputs == 1 {
            let detail = "of a single output there is no largest; say what separates the classes: Decision::logits() for \
                          BceWithLogits, Decision::between(0.0, 1.0) for targets of 0 and 1";
            return Err(Error::shape(operation, detail));
        }
        if let Self::Threshold { output, target } = self
            && (output.is_nan() || target.is_nan())
        {
            let detail = "a threshold of NaN; give Decision::between the two values that targets have";
            return Err(Error::input(operation, detail));
        }
        Ok(())
    }
}

/// How many columns these predictions have, a row for each sample.
pub(super) fn columns(operation: &str, predictions: &[f32], data: &Dataset) -> Result<usize> {
    data.check_weights(operation)?;
    let samples = data.len();
    let cols = predictions.len() / samples;
    if cols == 0 || cols * samples != predictions.len() {
        return Err(Error::shape(
            operation,
            format!(
                "{} predictions for {samples} samples; give one row per sample, all of equal length",
                predictions.len()
            ),
        ));
    }
    Ok(cols)
}

fn is_above(value: f32, threshold: f32) -> Option<bool> {
    (!value.is_nan()).then_some(value > threshold)
}

/// The index of the largest value; of equals, the first. NaN is not comparable, so a row that has one has no largest.
fn largest(row: &[f32]) -> Option<usize> {
    if row.is_empty() || row.iter().any(|value| value.is_nan()) {
        return None;
    }
    Some((1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }))
}
