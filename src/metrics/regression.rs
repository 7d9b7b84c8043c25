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
    let shares = differences.zip(data.targets()).map(|(d, t)| (d / f64::from(*t)).abs());
    Ok(shares.sum::<f64>() / predictions.len() as f64)
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
    rows(operation, "predictions", predictions, data.target_cols())?;
    Ok(predictions.iter().zip(data.targets()).map(|(p, t)| f64::from(*p) - f64::from(*t)))
}
