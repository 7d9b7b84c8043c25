//! Cross-validation of a table's model.

use std::fmt;

use crate::data::{Column, Table};
use crate::error::{Error, Result};
use crate::train::Statistics;

/// How the rows are parted for a cross-validation: each part in turn is scored by a model that was fitted to the others.
///
/// ```
/// use wgrad::table::Folds;
///
/// let folds = Folds::new(10).seed(1);
/// let folds = Folds::new(5).grouped("patient"); // all rows of a patient are in one part
/// ```
#[derive(Clone, Debug)]
pub struct Folds {
    k: usize,
    seed: u64,
    stratified: bool,
    groups: Option<Column>,
}

impl Folds {
    /// `k` parts of equal size, with each class in every one by its share.
    pub fn new(k: usize) -> Self {
        Self { k, seed: 0, stratified: true, groups: None }
    }

    /// Whether each class is in every part by its share (on by default), which takes at least `k` rows of each.
    pub fn stratified(mut self, stratified: bool) -> Self {
        self.stratified = stratified;
        self
    }

    /// Rows with one value in this column are in one part: those of one patient, or day, that a model could recognise. The
    /// column is not used to predict from.
    pub fn grouped(mut self, column: impl Into<Column>) -> Self {
        self.groups = Some(column.into());
        self
    }

    /// The seed of the parts; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The rows to fit to and to score, part by part. `classes` are the class numbers of all rows, if there are some.
    pub(super) fn of(&self, table: &Table, classes: Option<Vec<f32>>) -> Result<Vec<(Table, Table)>> {
        let Some(groups) = &self.groups else {
            let is_stratified = self.stratified && classes.is_some();
            let numbers = table.row_numbers(classes)?;
            return if is_stratified {
                pairs(table, numbers.stratified_folds(self.k, self.seed)?)
            } else {
                pairs(table, numbers.folds(self.k, self.seed)?)
            };
        };
        let column = table.find(groups)?;
        let groups: Vec<_> = (0..table.len()).map(|row| table.category(column, row)).collect();
        if let Some(row) = groups.iter().position(Option::is_none) {
            return Err(table.error_in(row, column, "the group is missing; fill it in"));
        }
        let numbers = table.row_numbers(None)?;
        let without = table.clone().without([Column::Number(column)])?;
        pairs(&without, numbers.grouped_folds(self.k, &groups)?)
    }
}

fn pairs(
    table: &Table,
    folds: impl Iterator<Item = (crate::data::Dataset, crate::data::Dataset)>,
) -> Result<Vec<(Table, Table)>> {
    folds.map(|(train, test)| Ok((table.chosen(&train)?, table.chosen(&test)?))).collect()
}

/// The scores of a cross-validation. It prints as their mean and its standard error.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CrossValidation {
    /// The score of each part.
    pub scores: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// The standard error of the mean: their standard deviation (of the sample) over the root of their number.
    pub standard_error: f64,
}

impl CrossValidation {
    pub(super) fn new(scores: Vec<f64>) -> Result<Self> {
        let all = Statistics::of(scores.iter().copied());
        let all = all.ok_or_else(|| Error::input("cross_validate", "no parts; give at least 2"))?;
        Ok(Self { mean: all.mean, standard_error: all.deviation / (all.count as f64).sqrt(), scores })
    }
}

impl fmt::Display for CrossValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} ± {:.4}", self.mean, self.standard_error)
    }
}
