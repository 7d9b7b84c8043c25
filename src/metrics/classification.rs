//! How good predicted classes, probabilities and scores are.

use super::decision::columns;
use super::{ConfusionMatrix, Decision};
use crate::data::{Dataset, rows};
use crate::error::{Error, Result};

/// The share of answers that are right, read as `decision` says.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::{self, Decision};
///
/// let data = Dataset::from_rows(&[[0.0], [1.0], [2.0]], &[[0.0], [1.0], [1.0]])?;
/// assert_eq!(metrics::accuracy(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], &data, Decision::Argmax)?, 2.0 / 3.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Decision::Regression`], which has no accuracy; what [`Decision::accuracy`] refuses.
pub fn accuracy(predictions: &[f32], data: &Dataset, decision: Decision) -> Result<f64> {
    decision.accuracy(predictions, data)?.ok_or_else(|| {
        Error::input(
            "accuracy",
            "a regression has no accuracy; measure it by rmse, mae or r2, or give another Decision",
        )
    })
}

/// The mean recall over the classes: every class has equal weight, however rare. scikit-learn's
/// `balanced_accuracy_score`.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::{self, Decision};
///
/// // Three of class 0, one of class 1: always predicting 0 finds half of the classes.
/// let data = Dataset::from_rows(&[[0.0]; 4], &[[0.0], [0.0], [0.0], [1.0]])?;
/// assert_eq!(metrics::balanced_accuracy(&[-1.0; 4], &data, Decision::logits())?, 0.5);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// What [`ConfusionMatrix::new`] refuses.
pub fn balanced_accuracy(predictions: &[f32], data: &Dataset, decision: Decision) -> Result<f64> {
    Ok(ConfusionMatrix::new(predictions, data, decision)?.balanced_accuracy())
}

/// The share of samples whose class is among the `k` largest outputs; of equal outputs the first ones count, as for
/// [`Decision::Argmax`], which is `k = 1`.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[2.0], [0.0]])?;
/// assert_eq!(metrics::top_k_accuracy(&[0.5, 0.1, 0.4, 0.1, 0.6, 0.3], &data, 2)?, 0.5);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// `k` of 0 or of all classes; what [`Decision::accuracy`] refuses of [`Decision::Argmax`].
pub fn top_k_accuracy(predictions: &[f32], data: &Dataset, k: usize) -> Result<f64> {
    const OPERATION: &str = "top_k_accuracy";
    let cols = Decision::Argmax.check(OPERATION, predictions, data)?;
    rows(OPERATION, "predictions", predictions, cols)?;
    if k == 0 || k >= cols {
        let detail = format!("the {k} largest of {cols} outputs; give 1 to {}", cols - 1);
        return Err(Error::input(OPERATION, detail));
    }
    let targets = data.targets().chunks_exact(data.target_cols());
    let is_among = |(row, target): &(&[f32], &[f32])| {
        Decision::Argmax.class_of_target(target).is_some_and(|class| {
            let value = row[class];
            let before = row.iter().enumerate().filter(|(i, v)| **v > value || (**v == value && *i < class));
            before.count() < k
        })
    };
    let rows = predictions.chunks_exact(cols).zip(targets).enumerate().filter(|(_, pair)| is_among(pair));
    Ok(rows.map(|(row, _)| data.weight(row)).sum::<f64>() / data.total_weight())
}

/// The mean negative logarithm of the probability given to what was true (cross-entropy): scikit-learn's `log_loss`.
///
/// Probabilities are of class 1 in a single column, for targets from 0 to 1; or of each class in its own column, for
/// class numbers [n, 1] or rows of probabilities. Those of 0 and 1 count as f32's epsilon and 1 less that, as
/// scikit-learn takes them.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[0.0], [1.0]])?;
/// assert!((metrics::log_loss(&[0.5, 0.5], &data)? - 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions that are not a row of equal length for each sample; that are not from 0 to 1, or whose rows do not sum to
/// 1, as logits; targets that are not classes or probabilities of as many columns.
pub fn log_loss(probabilities: &[f32], data: &Dataset) -> Result<f64> {
    const OPERATION: &str = "log_loss";
    let cols = columns(OPERATION, probabilities, data)?;
    rows(OPERATION, "probabilities", probabilities, cols)?;
    check_probabilities("probability", probabilities, cols, "; take logits through Sigmoid or Softmax first")?;
    let eps = f64::from(f32::EPSILON);
    let log = |p: f64| p.clamp(eps, 1.0 - eps).ln();
    let sum: f64 = match (cols, data.target_cols()) {
        (1, 1) => {
            check_probabilities("target", data.targets(), 1, "; a single column tells classes 0 and 1")?;
            let pairs = probabilities.iter().zip(data.targets()).map(|(p, t)| (f64::from(*p), f64::from(*t)));
            let terms = pairs.map(|(p, t)| t * log(p) + (1.0 - t) * log(1.0 - p));
            terms.enumerate().map(|(row, term)| data.weight(row) * term).sum()
        }
        (_, 1) => {
            let classes = data.class_numbers(OPERATION, cols)?;
            let given = probabilities.chunks_exact(cols).zip(classes).map(|(row, class)| f64::from(row[class]));
            given.map(log).enumerate().map(|(row, term)| data.weight(row) * term).sum()
        }
        (_, target_cols) if target_cols == cols => {
            check_probabilities("target", data.targets(), cols, "; give class numbers or probabilities")?;
            let terms = probabilities.iter().zip(data.targets()).map(|(p, t)| f64::from(*t) * log(f64::from(*p)));
            terms.enumerate().map(|(i, term)| data.weight(i / cols) * term).sum()
        }
        (_, target_cols) => {
            let detail = format!("probabilities of {cols} columns for targets of {target_cols}; give as many");
            return Err(Error::shape(OPERATION, detail));
        }
    };
    Ok(-sum / data.total_weight())
}

/// From 0 to 1, and 1 in each row of several columns.
fn check_probabilities(what: &str, values: &[f32], cols: usize, way_out: &str) -> Result<()> {
    for (row, values) in values.chunks_exact(cols).enumerate() {
        if let Some(value) = values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            let detail = format!("the {what} {value} in row {row} is not from 0 to 1{way_out}");
            return Err(Error::input("log_loss", detail));
        }
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        if cols > 1 && (sum - 1.0).abs() > 1e-3 {
            let detail = format!("row {row} is {values:?}, which sums to {sum} instead of 1{way_out}");
            return Err(Error::input("log_loss", detail));
        }
    }
    Ok(())
}

/// The area under the receiver operating characteristic: how often a sample of a class has a larger score than one that
/// is not of it (equal scores are half). 1 is perfect, 0.5 is chance. scikit-learn's `roc_auc_score`.
///
/// Scores may be logits or probabilities, in a single column for targets of two values; or in a column for each class,
/// for class numbers [n, 1] or as many columns of targets of two values. Of several columns the mean is returned (each
/// class against the rest, `multi_class="ovr"`).
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0]; 4], &[[0.0], [0.0], [1.0], [1.0]])?;
/// assert_eq!(metrics::roc_auc(&[0.1, 0.4, 0.35, 0.8], &data)?, 0.75);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Scores that are not a row of equal length for each sample, or not finite; targets of other than two values; a class
/// that all or none of the samples are of.
pub fn roc_auc(scores: &[f32], data: &Dataset) -> Result<f64> {
    const OPERATION: &str = "roc_auc";
    let cols = columns(OPERATION, scores, data)?;
    rows(OPERATION, "scores", scores, cols)?;
    let is_positive: Vec<bool> = match data.target_cols() {
        1 if cols > 1 => {
            let classes = data.class_numbers(OPERATION, cols)?;
            classes.into_iter().flat_map(|class| (0..cols).map(move |col| col == class)).collect()
        }
        target_cols if target_cols == cols => {
            let high = data.targets().iter().fold(f32::NEG_INFINITY, |high, t| high.max(*t));
            let low = data.targets().iter().fold(f32::INFINITY, |low, t| low.min(*t));
            if let Some(i) = data.targets().iter().position(|t| *t != low && *t != high) {
                let detail = format!(
                    "the target {} in row {} is neither {low} nor {high}; give targets of two values, or scores of a column \
                     for each class",
                    data.targets()[i],
                    i / cols
                );
                return Err(Error::input(OPERATION, detail));
            }
            data.targets().iter().map(|t| *t == high && high > low).collect()
        }
        target_cols => {
            let detail = format!("scores of {cols} columns for targets of {target_cols}; give as many");
            return Err(Error::shape(OPERATION, detail));
        }
    };
    let mut sum = 0.0;
    for col in 0..cols {
        // Of each sample the score, and how much it counts as a positive and as a negative one.
        let mut column: Vec<(f32, [f64; 2])> = (0..data.len())
            .map(|row| {
                let (at, weight) = (row * cols + col, data.weight(row));
                (scores[at], if is_positive[at] { [weight, 0.0] } else { [0.0, weight] })
            })
            .collect();
        let totals = |samples: &[(f32, [f64; 2])]| [0, 1].map(|i| samples.iter().map(|(_, w)| w[i]).sum::<f64>());
        let [positives, negatives] = totals(&column);
        if positives == 0.0 || negatives == 0.0 {
            let whole = if positives > 0.0 { "all" } else { "one class only: none" };
            let detail = format!(
                "{whole} of the {} samples are positive in column {col}; samples of both kinds are needed",
                column.len()
            );
            return Err(Error::input(OPERATION, detail));
        }
        column.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Each positive counts the negatives below it, and half of those that are equal.
        let (mut below, mut area) = (0.0, 0.0);
        for equals in column.chunk_by(|a, b| a.0 == b.0) {
            let [positives, negatives] = totals(equals);
            area += positives * (below + 0.5 * negatives);
            below += negatives;
        }
        sum += area / (positives * negatives);
    }
    Ok(sum / cols as f64)
}
