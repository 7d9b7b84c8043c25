//! What is to be learnt from a table, and how.

use crate::data::Column;
use crate::error::{Error, Result};
use crate::nn::Activation;

/// What a [`Classifier`](super::Classifier) or a [`Regressor`](super::Regressor) is fitted to, and how: the column to
/// predict, and settings with scikit-learn's or wgrad's names, all of which have defaults. The name of the column alone will
/// do wherever settings are taken.
///
/// ```
/// use wgrad::nn::Activation;
/// use wgrad::table::Settings;
///
/// let settings = Settings::new("species").ignore(["year"]).hidden_layer_sizes([32, 32]).activation(Activation::Tanh);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) target: Column,
    pub(super) ignored: Vec<Column>,
    pub(super) categories: Vec<Column>,
    pub(super) weights: Option<Column>,
    pub(super) impute: Impute,
    pub(super) min_frequency: Option<usize>,
    pub(super) max_categories: usize,
    pub(super) hidden_layer_sizes: Option<Vec<usize>>,
    pub(super) activation: Activation,
    pub(super) dropout: f32,
    pub(super) members: Option<usize>,
    pub(super) learning_rate: f32,
    pub(super) weight_decay: f32,
    pub(super) batch_size: Option<usize>,
    pub(super) epochs: Option<usize>,
    pub(super) validation_fraction: f64,
    pub(super) patience: Option<usize>,
    pub(super) balanced: bool,
    pub(super) seed: u64,
    #[cfg(feature = "progress")]
    pub(super) progress: bool,
}

/// What stands for a number that is missing. Its place is marked in a column of its own, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Impute {
    /// The median of the column's other values.
    #[default]
    Median,
    /// Their mean.
    Mean,
}

impl From<&str> for Settings {
    fn from(target: &str) -> Self {
        Self::new(target)
    }
}

impl From<String> for Settings {
    fn from(target: String) -> Self {
        Self::new(target)
    }
}

impl From<&Settings> for Settings {
    fn from(settings: &Settings) -> Self {
        settings.clone()
    }
}

impl Settings {
    /// To predict this column from all others.
    pub fn new(target: impl Into<Column>) -> Self {
        Self {
            target: target.into(),
            ignored: Vec::new(),
            categories: Vec::new(),
            weights: None,
            impute: Impute::Median,
            min_frequency: None,
            max_categories: 50,
            hidden_layer_sizes: None,
            activation: Activation::ReLU,
            dropout: 0.0,
            members: None,
            learning_rate: 0.01,
            weight_decay: 0.01,
            batch_size: None,
            epochs: None,
            validation_fraction: 0.1,
            patience: None,
            balanced: false,
            seed: 0,
            #[cfg(feature = "progress")]
            progress: false,
        }
    }

    /// Leaves out these columns, which a row to predict for then need not have.
    pub fn ignore(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.ignored.extend(columns.into_iter().map(Into::into));
        self
    }

    /// These columns hold categories, though their values are numbers, or nearly each row has one of its own.
    pub fn categories(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.categories.extend(columns.into_iter().map(Into::into));
        self
    }

    /// This column holds the rows' weights, from 0: a row of weight 2 counts as two in training (scikit-learn's
    /// `sample_weight`). In scores all rows count alike.
    pub fn weights(mut self, column: impl Into<Column>) -> Self {
        self.weights = Some(column.into());
        self
    }

    /// What stands for a missing number: by default the median.
    pub fn impute(mut self, impute: Impute) -> Self {
        self.impute = impute;
        self
    }

    /// Categories that fewer rows have become one, the rare ones. By default a hundredth of the rows, but at most 10.
    pub fn min_frequency(mut self, rows: usize) -> Self {
        self.min_frequency = Some(rows);
        self
    }

    /// More categories than this in a column become one, those that the fewest rows have; by default 50.
    pub fn max_categories(mut self, most: usize) -> Self {
        self.max_categories = most;
        self
    }

    /// The widths of the hidden layers, by default one of 64; none for a linear model.
    pub fn hidden_layer_sizes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.hidden_layer_sizes = Some(sizes.into());
        self
    }

    /// What follows each hidden layer; by default [`Activation::ReLU`].
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The share of each hidden layer's values that a training step drops; by default 0.
    pub fn dropout(mut self, p: f32) -> Self {
        self.dropout = p;
        self
    }

    /// How many networks are trained, each with another part held out and other initial weights; their mean is what is
    /// predicted. By default 8, which the CPU path trains side by side.
    pub fn members(mut self, n: usize) -> Self {
        self.members = Some(n);
        self
    }

    /// The learning rate of [`Adam`](crate::optim::Adam), which falls to 0 by a cosine; by default 0.01.
    pub fn learning_rate(mut self, rate: f32) -> Self {
        self.learning_rate = rate;
        self
    }

    /// The decoupled weight decay (AdamW's); by default 0.01.
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.weight_decay = decay;
        self
    }

    /// Rows in a mini-batch; by default 32 to 256, the more rows there are.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// How often training goes through all rows, at most; by default 15 to 100 times, the fewer rows there are.
    pub fn epochs(mut self, n: usize) -> Self {
        self.epochs = Some(n);
        self
    }

    /// The share of the rows that is held out: each network is that of the epoch which is best on them. With 0, all rows
    /// are for training, and the last epoch's network is taken; so it is where the part would have fewer than 5 rows. By default 0.1.
    pub fn validation_fraction(mut self, fraction: f64) -> Self {
        self.validation_fraction = fraction;
        self
    }

    /// Stops after so many measurements in a row without improvement on the rows held out (scikit-learn's
    /// `n_iter_no_change`); by default never.
    pub fn patience(mut self, measurements: usize) -> Self {
        self.patience = Some(measurements);
        self
    }

    /// Whether all classes count alike, however rare: scikit-learn's `class_weight="balanced"`. For classifiers.
    pub fn balanced(mut self, balanced: bool) -> Self {
        self.balanced = balanced;
        self
    }

    /// The seed of initial weights, orders, and rows held out; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Shows a progress bar on the terminal: see [`Fit::progress`](crate::Fit::progress).
    #[cfg(feature = "progress")]
    pub fn progress(mut self, show: bool) -> Self {
        self.progress = show;
        self
    }

    /// Errors of settings that make no sense whatever the table.
    pub(super) fn check(&self) -> Result<()> {
        let fault = if !(0.0..1.0).contains(&self.validation_fraction) {
            format!("a validation_fraction of {}; give one from 0 to below 1", self.validation_fraction)
        } else if self.members == Some(0) {
            "0 members; give at least 1".into()
        } else if self.hidden_layer_sizes.as_ref().is_some_and(|sizes| sizes.contains(&0)) {
            "a hidden layer of 0 columns; give widths from 1".into()
        } else if self.max_categories == 0 {
            "max_categories(0) leaves no category; give at least 1, or ignore the columns".into()
        } else {
            return Ok(());
        };
        Err(Error::input("fit", fault))
    }
}
