//! Data: pairs of inputs and targets, and the disk problem.

mod disk;

pub use disk::{Labels, disk};

use crate::error::{Error, Result};

/// Samples to train on or to be measured by: a matrix of inputs [n, i] and one of targets [n, t], row by row.
///
/// A [`Trainer`](crate::Trainer) keeps both on its device while it uses them.
///
/// ```
/// use wgrad::data::Dataset;
///
/// let xor = Dataset::new(vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 2, vec![0.0, 1.0, 1.0, 0.0], 1)?;
/// assert_eq!((xor.len(), xor.input_cols(), xor.target_cols()), (4, 2, 1));
///
/// let error = Dataset::new(vec![0.0; 8], 2, vec![0.0; 3], 1).unwrap_err();
/// assert_eq!(error.to_string(), "dataset: 4 rows of inputs and 3 rows of targets; give a target for each input");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    input_cols: usize,
    target_cols: usize,
}

impl Dataset {
    /// A dataset from the values of both matrices, row by row, and their numbers of columns.
    ///
    /// # Errors
    /// No rows or columns, rows that are not whole, different numbers of rows, a NaN or an infinity.
    pub fn new(inputs: Vec<f32>, input_cols: usize, targets: Vec<f32>, target_cols: usize) -> Result<Self> {
        let input_rows = rows("inputs", &inputs, input_cols)?;
        let target_rows = rows("targets", &targets, target_cols)?;
        if input_rows != target_rows {
            return Err(Error::shape(
                "dataset",
                format!("{input_rows} rows of inputs and {target_rows} rows of targets; give a target for each input"),
            ));
        }
        Ok(Self { inputs, targets, input_cols, target_cols })
    }

    /// The number of samples.
    #[expect(clippy::len_without_is_empty, reason = "no dataset is empty")]
    pub fn len(&self) -> usize {
        self.inputs.len() / self.input_cols
    }

    /// Columns of the inputs.
    pub fn input_cols(&self) -> usize {
        self.input_cols
    }

    /// Columns of the targets.
    pub fn target_cols(&self) -> usize {
        self.target_cols
    }

    /// The inputs, row by row.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The targets, row by row.
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// Halfway between the smallest and the largest target: what parts two classes told by a single column.
    pub fn threshold(&self) -> f32 {
        let low = self.targets.iter().fold(f32::INFINITY, |low, t| low.min(*t));
        let high = self.targets.iter().fold(f32::NEG_INFINITY, |high, t| high.max(*t));
        low + (high - low) / 2.0
    }
}

/// How many rows of `cols` finite values there are.
pub(crate) fn rows(what: &str, values: &[f32], cols: usize) -> Result<usize> {
    if cols == 0 || values.is_empty() || !values.len().is_multiple_of(cols) {
        return Err(Error::shape(
            "dataset",
            format!("{} values of {what} make no whole rows of {cols} columns; give at least one row", values.len()),
        ));
    }
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::input(
            "dataset",
            format!("the {what} hold {} in row {}, column {}; remove or replace it", values[i], i / cols, i % cols),
        ));
    }
    Ok(values.len() / cols)
}
