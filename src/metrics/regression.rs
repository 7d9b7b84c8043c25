//! Errors of predicted numbers.

use crate::data::{Dataset, rows};
use crate::error::{Error, Result};

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
    Ok(mean(differences("mae", predictions, data)?.map(f64::abs), data))
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
    Ok(mean(differences("rmse", predictions, data)?.map(|d| d * d), data).sqrt())
}

/// The mean absolute percentage error as a share: the mean of `|p - t| / |t|` over all predicted values, so 0.1 is 10 %.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[100.0], [200.0]])?;
/// assert_eq!(metrics::mape(&[150.0, 150.0], &data)?, 0.375);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions of another shape than the targets, or that are not finite; a target of 0, of which nothing is a share.
pub fn mape(predictions: &[f32], data: &Dataset) -> Result<f64> {
    let differences = differences("mape", predictions, data)?;
    if let Some(i) = data.targets().iter().position(|t| *t == 0.0) {
        let (row, col) = (i / data.target_cols(), i % data.target_cols());
        let detail = format!("the target in row {row}, column {col} is 0, so the relative error is undefined; use mae");
        return Err(Error::input("mape", detail));
    }
    Ok(mean(differences.zip(data.targets()).map(|(d, t)| (d / f64::from(*t)).abs()), data))
}

/// The mean quantile (pinball) loss over all predicted values: `quantile (t - p)` where p is too small,
/// `(1 - quantile) (p - t)` where it is too large. scikit-learn's `mean_pinball_loss`.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics;
///
/// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[1.0], [2.0]])?;
/// assert_eq!(metrics::pinball(&[3.0, 1.0], &data, 0.75)?, 0.625);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Predictions of another shape than the targets, or that are not finite; a quantile that is not from 0 to 1.
pub fn pinball(predictions: &[f32], data: &Dataset, quantile: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&quantile) {
        return Err(Error::input("pinball", format!("a quantile of {quantile}; give a number from 0 to 1")));
    }
    let errors = differences("pinball", predictions, data)?;
    Ok(mean(errors.map(|d| if d < 0.0 { -quantile * d } else { (1.0 - quantile) * d }), data))
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
        let counted = || (0..data.len()).filter(|row| data.weight(*row) > 0.0);
        let target = |row: usize| f64::from(data.targets()[row * cols + col]);
        let first = counted().next().map_or(0.0, target);
        if counted().all(|row| target(row) == first) {
            return Err(Error::input(
                "r2",
                format!(
                    "all targets of column {col} are {}, so there is no variance to explain; use rmse",
                    first as f32
                ),
            ));
        }
        let mean = counted().map(|row| data.weight(row) * target(row)).sum::<f64>() / data.total_weight();
        let total: f64 = counted().map(|row| data.weight(row) * (target(row) - mean).powi(2)).sum();
        let residual: f64 = counted().map(|row| data.weight(row) * differences[row * cols + col].powi(2)).sum();
        sum += 1.0 - residual / total;
    }
    Ok(sum / cols as f64)
}

/// The mean of what each value gives, by the weights of their samples.
fn mean(values: impl Iterator<Item = f64>, data: &Dataset) -> f64 {
    let cols = data.target_cols();
    let sum: f64 = values.enumerate().map(|(i, value)| data.weight(i / cols) * value).sum();
    sum / (cols as f64 * data.total_weight())
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
    data.check_weights(operation)?;
    rows(operation, "predictions", predictions, data.target_cols())?;
    Ok(predictions.iter().zip(data.targets()).map(|(p, t)| f64::from(*p) - f64::from(*t)))
}
