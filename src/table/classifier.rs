//! Classification of a table's rows.

use std::path::Path;

use super::cross_validation::{CrossValidation, Folds};
use super::fitted::Fitted;
use super::importance::Importance;
use super::network::train;
use super::preprocess::{Preprocessor, Unknown};
use super::settings::Settings;
use crate::data::{Dataset, Table};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::metrics::{ConfusionMatrix, Decision, accuracy};
use crate::train::History;

/// Predicts a column of classes from the other columns of a table: a few small networks, with the preprocessing that they
/// need. See [`table`](crate::table) for a whole program.
///
/// ```
/// use wgrad::Device;
/// use wgrad::data::Table;
/// use wgrad::table::Classifier;
///
/// let irises = Table::read("examples/data/iris.csv")?;
/// let model = Classifier::fit(&Device::cpu(), &irises, "species")?;
/// assert_eq!(model.classes(), ["setosa", "versicolor", "virginica"]);
/// let flower = Table::from_row([
///     ("sepal_length", 5.1), ("sepal_width", 3.5), ("petal_length", 1.4), ("petal_width", 0.2),
/// ])?;
/// assert_eq!(model.predict(&flower)?, ["setosa"]);
/// assert!(model.predict_proba(&flower)?[0] > 0.9);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Classifier(Fitted);

impl Classifier {
    /// Fits one to a table: settings, or the name of the column of classes alone. Classes are numbered in the order of their
    /// names, of their values where all are numbers.
    ///
    /// # Errors
    /// A column that is not there, settings that make no sense; a class that is missing, fewer than two; no column to predict
    /// from; with line and column, a value that is no number among numbers; a loss that becomes NaN; a lost device.
    pub fn fit(device: &Device, table: &Table, settings: impl Into<Settings>) -> Result<Self> {
        Self::fit_to(device, table, settings.into(), &[])
    }

    /// The same with these classes, some of which the table may lack; with those that it has if there are none.
    fn fit_to(device: &Device, table: &Table, settings: Settings, classes: &[String]) -> Result<Self> {
        settings.check()?;
        let target = table.find(&settings.target)?;
        let (targets, classes) = table.labels(target, classes)?;
        if classes.len() < 2 {
            let detail = format!("all rows are of the class {}; give rows of another one", classes.join(""));
            return Err(Error::input("fit", detail));
        }
        let columns = Preprocessor::fit(table, target, &settings)?;
        let data = columns.dataset(table, targets, settings.weights.as_ref())?;
        let (predictor, histories) = train(device, &data, Some(classes.len()), &settings)?;
        Ok(Self(Fitted {
            target: table.names()[target].clone(),
            classes,
            scale: [0.0, 1.0],
            columns,
            predictor,
            histories,
            rows: table.len(),
            unknown: Unknown::Refuse,
        }))
    }

    /// Fits a classifier to all parts but one, scores it by that one, and so on in turn.
    ///
    /// ```no_run
    /// use wgrad::Device;
    /// use wgrad::data::Table;
    /// use wgrad::table::{Classifier, Folds};
    ///
    /// let irises = Table::read("examples/data/iris.csv")?;
    /// let folds = Classifier::cross_validate(&Device::auto()?, &irises, "species", Folds::new(10))?;
    /// println!("accuracy {folds}");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Classifier::fit`]; parts that can't be made. Categories that a part alone has are rare ones: see [`Unknown`].
    pub fn cross_validate(
        device: &Device,
        table: &Table,
        settings: impl Into<Settings>,
        folds: Folds,
    ) -> Result<CrossValidation> {
        let settings = settings.into();
        let target = table.find(&settings.target)?;
        let settings = Settings { target: table.names()[target].as_str().into(), ..settings };
        let (numbers, classes) = table.labels(target, &[])?;
        let score = |(train, test): (Table, Table)| {
            Self::fit_to(device, &train, settings.clone(), &classes)?.unknown_categories(Unknown::Rare).score(&test)
        };
        CrossValidation::new(folds.of(table, Some(numbers))?.into_iter().map(score).collect::<Result<_>>()?)
    }

    /// What becomes of categories that were not among those it was fitted to; by default an error.
    pub fn unknown_categories(mut self, unknown: Unknown) -> Self {
        self.0.unknown = unknown;
        self
    }

    /// The class of each row. The table needs the columns to predict from, in any order; others don't matter.
    ///
    /// # Errors
    /// A column that is not there; with line and column, a value that is no number among numbers, an unknown category; a lost
    /// device.
    pub fn predict(&self, table: &Table) -> Result<Vec<&str>> {
        let classes = Decision::Argmax.classes(&self.predict_proba(table)?, self.0.classes.len())?;
        Ok(classes.into_iter().map(|class| self.0.classes[class].as_str()).collect())
    }

    /// The probability of each class [n, c], row by row, in the order of [`Classifier::classes`].
    ///
    /// # Errors
    /// As [`Classifier::predict`].
    pub fn predict_proba(&self, table: &Table) -> Result<Vec<f32>> {
        self.0.outputs(table)
    }

    /// The classes, in the order of their numbers.
    pub fn classes(&self) -> &[String] {
        &self.0.classes
    }

    /// The accuracy on rows whose class is known.
    ///
    /// # Errors
    /// As [`Classifier::predict`]; a class that is missing or unknown.
    pub fn score(&self, table: &Table) -> Result<f64> {
        accuracy(&self.predict_proba(table)?, &self.transform(table)?, Decision::Argmax)
    }

    /// How often each class of these rows was taken for which.
    ///
    /// # Errors
    /// As [`Classifier::score`].
    pub fn confusion_matrix(&self, table: &Table) -> Result<ConfusionMatrix> {
        ConfusionMatrix::new(&self.predict_proba(table)?, &self.transform(table)?, Decision::Argmax)
    }

    /// How much accuracy is lost where a column's values are shuffled among the rows, `repeats` times: the most important
    /// column first (scikit-learn's `permutation_importance`).
    ///
    /// # Errors
    /// As [`Classifier::score`]; no repeats.
    pub fn permutation_importance(&self, table: &Table, repeats: usize, seed: u64) -> Result<Vec<Importance>> {
        let data = self.transform(table)?;
        self.0.importance(table, repeats, seed, |outputs| accuracy(outputs, &data, Decision::Argmax))
    }

    /// The rows as the network sees them, with class numbers: for [`metrics`](crate::metrics), or a network of your own.
    ///
    /// # Errors
    /// As [`Classifier::score`].
    pub fn transform(&self, table: &Table) -> Result<Dataset> {
        let target = table.find(&self.0.target.as_str().into())?;
        let (targets, classes) = table.labels(target, &self.0.classes)?;
        let inputs = self.0.columns.apply(table, self.0.unknown)?;
        Ok(Dataset::new(inputs, self.0.columns.input_cols(), targets, 1)?.with_class_names(classes))
    }

    /// The names of the network's inputs: columns, `column=category`, `column is missing`.
    pub fn input_names(&self) -> Vec<String> {
        self.0.columns.input_names()
    }

    /// The columns, what was done with each, and the network: lines of text.
    pub fn summary(&self) -> String {
        self.0.summary("classifier")
    }

    /// The training of each network, for [`History::loss_curves`] (feature `plot`); none of a model that was loaded.
    pub fn histories(&self) -> &[History] {
        &self.0.histories
    }

    /// Writes the model, its preprocessing, and the names of classes and columns into one file, which is replaced atomically.
    ///
    /// # Errors
    /// A file that can't be written; a lost device.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.save(path.as_ref())
    }

    /// The model of a file that [`Classifier::save`] wrote, on this device. It predicts the same bits.
    ///
    /// # Errors
    /// A file that can't be read, is damaged, or holds something else.
    pub fn load(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        Fitted::load(device, path.as_ref(), true).map(Self)
    }

    /// The same from such a file's bytes: `include_bytes!` embeds the model in the program.
    ///
    /// # Errors
    /// As [`Classifier::load`].
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        Fitted::from_bytes(device, bytes, true).map(Self)
    }
}
