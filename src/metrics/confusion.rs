//! The confusion matrix.

use std::fmt;

use super::Decision;
use crate::data::{Dataset, rows};
use crate::error::{Error, Result};

/// How often each class was predicted for each true class. It prints as a table with the names of the classes, if the
/// data has them. Of data with weights, the shares (accuracy, precision, recall, F1) are weighted; counts are of samples.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::{ConfusionMatrix, Decision};
///
/// let pets = Dataset::from_rows(&[[1.0], [2.0], [3.0]], &[[0.0], [1.0], [1.0]])?.with_class_names(["cat", "dog"]);
/// let matrix = ConfusionMatrix::new(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], &pets, Decision::Argmax)?;
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
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    names: Vec<String>,
    /// A row for each true class, a column for each predicted one.
    counts: Vec<usize>,
    /// The same with the samples' weights.
    weights: Vec<f64>,
}

/// Precision, recall and F1 of a class.
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
    /// Counts the predictions for this data, read as `decision` says.
    ///
    /// # Errors
    /// Predictions that are not a row of equal length for each sample, or not finite; what does not fit the decision;
    /// [`Decision::Regression`], or a threshold for several columns, which are several answers for each sample; for a
    /// threshold, targets of more than two values; another number of class names than classes.
    pub fn new(predictions: &[f32], data: &Dataset, decision: Decision) -> Result<Self> {
        const OPERATION: &str = "confusion_matrix";
        let cols = decision.check(OPERATION, predictions, data)?;
        match decision {
            Decision::Regression => {
                let detail = "a regression has no classes; measure it by rmse, mae or r2, or give another Decision";
                return Err(Error::input(OPERATION, detail));
            }
            Decision::Threshold { .. } if cols > 1 => {
                let detail =
                    format!("{cols} independent answers for each sample; give one column of predictions and targets");
                return Err(Error::shape(OPERATION, detail));
            }
            Decision::Threshold { .. } => {
                let (first, targets) = (data.targets()[0], data.targets());
                let second = targets.iter().find(|t| **t != first);
                if let Some(row) = targets.iter().position(|t| *t != first && Some(t) != second) {
                    let detail = format!(
                        "row {row} has the target {}, a third value; a threshold separates two classes. Give the model an \
                         output for each class (Decision::Argmax)",
                        targets[row]
                    );
                    return Err(Error::input(OPERATION, detail));
                }
            }
            Decision::Argmax => {}
        }
        rows(OPERATION, "predictions", predictions, cols)?;
        let classes = cols.max(2);
        let names = match data.class_names() {
            [] => (0..classes).map(|class| class.to_string()).collect(),
            names if names.len() == classes => names.to_vec(),
            names => {
                return Err(Error::shape(
                    OPERATION,
                    format!("{} class names for {classes} classes; the model has an output for each", names.len()),
                ));
            }
        };
        let (mut counts, mut weights) = (vec![0; classes * classes], vec![0.0; classes * classes]);
        let pairs = predictions.chunks_exact(cols).zip(data.targets().chunks_exact(data.target_cols()));
        for (row, (prediction, target)) in pairs.enumerate() {
            if let (Some(predicted), Some(actual)) = (decision.class_of(prediction), decision.class_of_target(target)) {
                counts[actual * classes + predicted] += 1;
                weights[actual * classes + predicted] += data.weight(row);
            }
        }
        Ok(Self { names, counts, weights })
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

    fn weight(&self, actual: usize, predicted: usize) -> f64 {
        self.weights[actual * self.classes() + predicted]
    }

    /// The share of samples classified correctly.
    pub fn accuracy(&self) -> f64 {
        let right: f64 = (0..self.classes()).map(|class| self.weight(class, class)).sum();
        right / self.weights.iter().sum::<f64>()
    }

    /// The mean share of samples found of each class that has some: every class has equal weight, however rare.
    /// (scikit-learn's `balanced_accuracy_score`.)
    pub fn balanced_accuracy(&self) -> f64 {
        let counts = |class: &usize| (0..self.classes()).any(|predicted| self.weight(*class, predicted) > 0.0);
        let scores = self.scores();
        let recalls: Vec<f64> = (0..self.classes()).filter(counts).map(|class| scores[class].recall).collect();
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }

    /// Precision, recall and F1 of each class.
    pub fn scores(&self) -> Vec<Scores> {
        let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        let of_class = |class: usize| {
            let right = self.weight(class, class);
            let own: f64 = (0..self.classes()).map(|predicted| self.weight(class, predicted)).sum();
            let predicted: f64 = (0..self.classes()).map(|actual| self.weight(actual, class)).sum();
            Scores {
                precision: share(right, predicted),
                recall: share(right, own),
                f1: share(2.0 * right, own + predicted),
                samples: (0..self.classes()).map(|predicted| self.count(class, predicted)).sum(),
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
