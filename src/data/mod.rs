//! Data: pairs of inputs and targets, from memory or from files, and what is done to them before training.

#[cfg(feature = "ndarray")]
mod array;
#[cfg(feature = "csv")]
mod csv;
mod disk;
mod idx;
mod resample;
mod standardize;
mod weights;
mod windows;

#[cfg(feature = "csv")]
pub use csv::{Cells, Column, Csv, Missing, Table};
#[cfg(feature = "table")]
pub(crate) use csv::{Field, LEAVE_OUT};
pub use disk::{Labels, disk};
pub use idx::idx;
pub use standardize::Standardize;

use crate::device::MAX_ELEMENTS;
use crate::error::{Error, ErrorKind, Result};

/// Samples for training or evaluation: a matrix of inputs [n, i] and one of targets [n, t], row by row.
///
/// It is held in host memory. A [`Trainer`](crate::Trainer) keeps a copy on its device while it uses it, or uploads
/// it in chunks where it does not fit: see [`Fit::resident_bytes`](crate::Fit::resident_bytes). `data::Csv` (feature
/// `csv`) reads them from a table, [`idx`] from MNIST's format, and `Dataset::from_arrays` (feature `ndarray`) takes ndarray's matrices.
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
    class_names: Vec<String>,
    /// How much each sample counts; empty where all count alike.
    weights: Vec<f32>,
}

impl Dataset {
    /// A dataset from the values of both matrices, row by row, and their numbers of columns.
    ///
    /// # Errors
    /// No rows or columns, incomplete rows, different numbers of rows, a NaN or an infinity.
    pub fn new(inputs: Vec<f32>, input_cols: usize, targets: Vec<f32>, target_cols: usize) -> Result<Self> {
        let input_rows = rows("dataset", "inputs", &inputs, input_cols)?;
        let target_rows = rows("dataset", "targets", &targets, target_cols)?;
        if input_rows != target_rows {
            return Err(Error::shape(
                "dataset",
                format!("{input_rows} rows of inputs and {target_rows} rows of targets; give a target for each input"),
            ));
        }
        Ok(Self { inputs, targets, input_cols, target_cols, class_names: Vec::new(), weights: Vec::new() })
    }

    /// A dataset from a row of inputs and a row of targets for each sample.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let and = Dataset::from_rows(&[[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &[[0.0], [0.0], [0.0], [1.0]])?;
    /// assert_eq!(and.inputs()[2..4], [0.0, 1.0]);
    ///
    /// let error = Dataset::from_rows(&[vec![0.0, 1.0], vec![2.0]], &[[0.0], [1.0]]).unwrap_err();
    /// assert_eq!(error.to_string(), "dataset: row 1 of the inputs has 1 values, but row 0 has 2; make them equal");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Rows of different lengths; what [`Dataset::new`] refuses.
    pub fn from_rows(inputs: &[impl AsRef<[f32]>], targets: &[impl AsRef<[f32]>]) -> Result<Self> {
        let (inputs, input_cols) = flat("inputs", inputs)?;
        let (targets, target_cols) = flat("targets", targets)?;
        Self::new(inputs, input_cols, targets, target_cols)
    }

    /// The same data with names for its classes, in the order of their numbers.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let pets = Dataset::from_rows(&[[4.0], [30.0]], &[[0.0], [1.0]])?.with_class_names(["cat", "dog"]);
    /// assert_eq!(pets.class_names(), ["cat", "dog"]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn with_class_names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.class_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The same data with each target changed, such as classes that count from 1.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let from_1 = Dataset::from_rows(&[[0.1], [0.2]], &[[3.0], [1.0]])?;
    /// let error = from_1.one_hot(3).unwrap_err().to_string();
    /// assert!(error.ends_with("if they begin with 1, shift them: data.map_targets(|class| class - 1.0)?"), "{error}");
    /// assert_eq!(from_1.map_targets(|class| class - 1.0)?.targets(), [2.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A target that becomes NaN or infinite.
    pub fn map_targets(mut self, change: impl Fn(f32) -> f32) -> Result<Self> {
        self.targets.iter_mut().for_each(|target| *target = change(*target));
        rows("map_targets", "targets", &self.targets, self.target_cols)?;
        Ok(self)
    }

    /// The same data with class numbers [n, 1] as rows of `classes` values: 1 in the class's column, 0 elsewhere.
    ///
    /// [`CrossEntropy`](crate::nn::CrossEntropy) takes class numbers; other losses need this.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let classes = Dataset::from_rows(&[[0.1], [0.2]], &[[2.0], [0.0]])?;
    /// assert_eq!(classes.one_hot(3)?.targets(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets of several columns, or that are not whole numbers from 0 to `classes - 1`; more values than fit a matrix.
    pub fn one_hot(&self, classes: usize) -> Result<Self> {
        let numbers = self.class_numbers("one_hot", classes)?;
        let len = numbers.len().saturating_mul(classes);
        let mut targets = with_room("one_hot", len, || {
            format!("{} rows of {classes} classes do not fit in memory; CrossEntropy takes class numbers", self.len())
        })?;
        targets.resize(len, 0.0);
        for (row, class) in targets.chunks_exact_mut(classes).zip(numbers) {
            row[class] = 1.0;
        }
        Ok(Self {
            inputs: self.inputs.clone(),
            targets,
            target_cols: classes,
            class_names: self.class_names.clone(),
            weights: self.weights.clone(),
            ..*self
        })
    }

    /// The targets as class numbers, for an operation that wants them.
    pub(crate) fn class_numbers(&self, operation: &str, classes: usize) -> Result<Vec<usize>> {
        self.check_class_numbers(operation, classes, None)?;
        Ok(self.targets.iter().map(|class| *class as usize).collect())
    }

    /// An error unless the targets are class numbers, or this number that stands for none.
    pub(crate) fn check_class_numbers(&self, operation: &str, classes: usize, ignored: Option<f32>) -> Result<()> {
        if self.target_cols != 1 {
            let detail = format!(
                "the targets have {} columns, but class numbers have 1; rows of 0 and 1 are one-hot already",
                self.target_cols
            );
            return Err(Error::shape(operation, detail));
        }
        // Below 2^24 an f32 holds every whole number.
        let is_class = |class: f32| class >= 0.0 && (class as usize) < classes && class.fract() == 0.0;
        let fits = |class: &f32| is_class(*class) || Some(*class) == ignored;
        let Some(row) = self.targets.iter().position(|class| !fits(class)) else { return Ok(()) };
        let begin_with_1 = self.targets.iter().all(|class| is_class(class - 1.0));
        let way_out = if begin_with_1 {
            "; if they begin with 1, shift them: data.map_targets(|class| class - 1.0)?"
        } else {
            ""
        };
        let last = classes.saturating_sub(1);
        let detail = format!(
            "row {row} has the class {}; {classes} classes (outputs) count from 0 to {last} in whole numbers{way_out}",
            self.targets[row]
        );
        Err(Error::input(operation, detail))
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

    /// Samples, and columns of inputs and of targets.
    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.len(), self.input_cols, self.target_cols]
    }

    /// The inputs, row by row.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The targets, row by row.
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// The names of the classes in the order of their numbers; empty where there are none.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }
}

/// The values of rows that are of one length, and that length.
fn flat(what: &str, rows: &[impl AsRef<[f32]>]) -> Result<(Vec<f32>, usize)> {
    let cols = rows.first().map_or(0, |row| row.as_ref().len());
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.as_ref().len() != cols) {
        let found = row.as_ref().len();
        return Err(Error::shape(
            "dataset",
            format!("row {i} of the {what} has {found} values, but row 0 has {cols}; make them equal"),
        ));
    }
    Ok((rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect(), cols))
}

/// How many rows of `cols` finite values there are, for an operation that was given them.
pub(crate) fn rows(operation: &str, what: &str, values: &[f32], cols: usize) -> Result<usize> {
    if cols == 0 || values.is_empty() || !values.len().is_multiple_of(cols) {
        return Err(Error::shape(
            operation,
            format!("{} values of {what} are not whole rows of {cols} columns; give at least one row", values.len()),
        ));
    }
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::input(
            operation,
            format!("the {what} hold {} in row {}, column {}; remove or replace it", values[i], i / cols, i % cols),
        ));
    }
    Ok(values.len() / cols)
}

/// An empty vector with room for so many values; without it, an error with this detail.
fn with_room(operation: &str, len: usize, detail: impl FnOnce() -> String) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    if len > MAX_ELEMENTS || values.try_reserve_exact(len).is_err() {
        return Err(Error::new(ErrorKind::OutOfMemory, operation, detail()));
    }
    Ok(values)
}
