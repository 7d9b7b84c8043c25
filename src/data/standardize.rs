//! Columns brought to mean 0 and standard deviation 1.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Dataset, rows};
use crate::error::{Error, Result};
use crate::files;

/// Scales columns to mean 0 and standard deviation 1, as fitted to the training data: scikit-learn's
/// `StandardScaler`.
///
/// Fit it to the training data alone, apply it to all data that the model is given, and save it with the model: its
/// text form, two numbers per column, restores the same bits.
///
/// ```
/// use wgrad::data::{Dataset, Standardize};
///
/// let train = Dataset::from_rows(&[[1.0, 100.0], [3.0, 300.0]], &[[0.0], [1.0]])?;
/// let scale = Standardize::fit(&train);
/// assert_eq!(scale.to_string(), "mean,std\n2,1\n200,100\n");
///
/// let train = scale.apply_to_inputs(&train)?;
/// assert_eq!(train.inputs(), [-1.0, -1.0, 1.0, 1.0]);
/// let unseen = scale.apply(&[4.0, 200.0])?;
/// assert_eq!(unseen, [2.0, 0.0]);
///
/// let again: Standardize = scale.to_string().parse()?;
/// assert_eq!(again, scale);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standardize {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    mean: f64,
    /// 1 where all values are the same: they become 0.
    std: f64,
}

const HEADER: &str = "mean,std";

impl Standardize {
    /// The means and standard deviations (of the population: n) of the columns of inputs.
    ///
    /// A column whose values are all the same becomes 0.
    pub fn fit(data: &Dataset) -> Self {
        Self::fit_values(data.inputs(), data.input_cols())
    }

    /// The same of the columns of targets, for regression: predictions are taken back by [`Standardize::invert`].
    ///
    /// ```
    /// use wgrad::data::{Dataset, Standardize};
    ///
    /// let prices = Dataset::from_rows(&[[1.0], [2.0]], &[[100_000.0], [300_000.0]])?;
    /// let scale = Standardize::fit_targets(&prices);
    /// assert_eq!(scale.apply_to_targets(&prices)?.targets(), [-1.0, 1.0]);
    /// assert_eq!(scale.invert(&[0.5])?, [250_000.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn fit_targets(data: &Dataset) -> Self {
        Self::fit_values(data.targets(), data.target_cols())
    }

    fn fit_values(values: &[f32], cols: usize) -> Self {
        let n = (values.len() / cols) as f64;
        let first = &values[..cols];
        let column = |col: usize| {
            let values = || values.iter().skip(col).step_by(cols).map(|v| f64::from(*v));
            let mean = values().sum::<f64>() / n;
            // Compared, not computed: rounding can give equal values a variance.
            if values().all(|v| v == f64::from(first[col])) {
                return Column { mean: f64::from(first[col]), std: 1.0 };
            }
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            Column { mean, std: variance.sqrt() }
        };
        Self { columns: (0..cols).map(column).collect() }
    }

    /// `(x - mean) / std` for values with as many columns as those it was fitted to, row by row.
    ///
    /// # Errors
    /// Values that are not whole rows or not finite, or become so when divided.
    pub fn apply(&self, values: &[f32]) -> Result<Vec<f32>> {
        self.each("apply", values, scaled)
    }

    /// `x * std + mean`: what [`Standardize::apply`] was given.
    ///
    /// # Errors
    /// As [`Standardize::apply`].
    pub fn invert(&self, values: &[f32]) -> Result<Vec<f32>> {
        self.each("invert", values, |v, column| v * column.std + column.mean)
    }

    /// The same data with these inputs standardised.
    ///
    /// # Errors
    /// Another number of columns than it was fitted to.
    pub fn apply_to_inputs(&self, data: &Dataset) -> Result<Dataset> {
        Ok(Dataset {
            inputs: self.checked("apply_to_inputs", "inputs", data.inputs(), data.input_cols())?,
            targets: data.targets.clone(),
            class_names: data.class_names.clone(),
            weights: data.weights.clone(),
            ..*data
        })
    }

    /// The same data with these targets standardised.
    ///
    /// # Errors
    /// Another number of columns than it was fitted to.
    pub fn apply_to_targets(&self, data: &Dataset) -> Result<Dataset> {
        Ok(Dataset {
            inputs: data.inputs.clone(),
            targets: self.checked("apply_to_targets", "targets", data.targets(), data.target_cols())?,
            class_names: data.class_names.clone(),
            weights: data.weights.clone(),
            ..*data
        })
    }

    /// Mean and standard deviation of each column.
    #[cfg(feature = "export")]
    pub(crate) fn columns(&self) -> impl Iterator<Item = (f64, f64)> {
        self.columns.iter().map(|column| (column.mean, column.std))
    }

    /// What scales by these means and standard deviations; None for a deviation that is not positive, or no columns.
    #[cfg(feature = "export")]
    pub(crate) fn from_columns(columns: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let columns: Vec<_> = columns.map(|(mean, std)| Column { mean, std }).collect();
        let is_valid = |column: &Column| column.mean.is_finite() && column.std.is_finite() && column.std > 0.0;
        (!columns.is_empty() && columns.iter().all(is_valid)).then_some(Self { columns })
    }

    /// Writes the text form into a file.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write("Standardize::save", path.as_ref(), self.to_string().as_bytes())
    }

    /// Reads what [`Standardize::save`] wrote.
    ///
    /// # Errors
    /// A file that can't be read, or one that holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| files::unreadable("Standardize::load", path, &error))?;
        parse(&text).map_err(|detail| Error::input("Standardize::load", format!("{}: {detail}", path.display())))
    }

    fn checked(&self, method: &str, what: &str, values: &[f32], cols: usize) -> Result<Vec<f32>> {
        if cols != self.columns.len() {
            let detail = format!("{what} of {cols} columns, but it was fitted to {}; give as many", self.columns.len());
            return Err(Error::shape(format!("Standardize::{method}"), detail));
        }
        self.each(method, values, scaled)
    }

    fn each(&self, method: &str, values: &[f32], f: impl Fn(f64, &Column) -> f64) -> Result<Vec<f32>> {
        let operation = format!("Standardize::{method}");
        rows(&operation, "values", values, self.columns.len())?;
        let columns = self.columns.iter().cycle();
        let result: Vec<f32> = values.iter().zip(columns).map(|(v, column)| f(f64::from(*v), column) as f32).collect();
        match result.iter().position(|v| !v.is_finite()) {
            Some(i) => {
                let (cols, value) = (self.columns.len(), values[i]);
                let detail = format!(
                    "{value} in row {}, column {} becomes too large for an f32; is this the scale of other data?",
                    i / cols,
                    i % cols
                );
                Err(Error::input(operation, detail))
            }
            None => Ok(result),
        }
    }
}

fn scaled(value: f64, column: &Column) -> f64 {
    (value - column.mean) / column.std
}

impl fmt::Display for Standardize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        self.columns.iter().try_for_each(|column| writeln!(f, "{},{}", column.mean, column.std))
    }
}

impl FromStr for Standardize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|detail| Error::input("Standardize::from_str", detail))
    }
}

fn parse(text: &str) -> Result<Standardize, String> {
    // Editors leave a byte order mark, Windows line ends, empty lines.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines()).map(|(i, line)| (i, line.trim())).filter(|(_, line)| !line.is_empty());
    if lines.next().is_none_or(|(_, line)| line != HEADER) {
        return Err(format!("the first line is not '{HEADER}'; give text that Standardize::save wrote"));
    }
    let column = |(i, line): (usize, &str)| {
        let number = |text: &str| text.trim().parse().ok().filter(|number| f64::is_finite(*number));
        let numbers = line.split_once(',').and_then(|(mean, std)| Some((number(mean)?, number(std)?)));
        match numbers {
            Some((mean, std)) if std > 0.0 => Ok(Column { mean, std }),
            _ => Err(format!("line {i}: '{line}' is not a mean and a positive standard deviation")),
        }
    };
    let columns: Vec<_> = lines.map(column).collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Err("there is no column; give text that Standardize::save wrote".into());
    }
    Ok(Standardize { columns })
}
