//! Regression on a table's rows.

use std::path::Path;

use super::columns::mean_and_std;
use super::cross_validation::{CrossValidation, Folds};
use super::fitted::Fitted;
use super::importance::Importance;
use super::network::train;
use super::preprocess::{Preprocessor, Unknown};
use super::settings::Settings;
use crate::data::{Dataset, Field, LEAVE_OUT, Table};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::metrics::r2;
use crate::train::History;

/// Predicts a column of numbers from the other columns of a table: a few small networks, with the preprocessing that they
/// need. Predictions are in the column's own unit.
///
/// ```
/// use wgrad::Device;
/// use wgrad::data::Table;
/// use wgrad::table::Regressor;
///
/// let x: Vec<f64> = (0..200).map(|i| i as f64 / 20.0).collect();
/// let price = x.iter().map(|x| 1000.0 + 50.0 * x.sin()).collect::<Vec<_>>();
/// let table = Table::new().with_column("x", x)?.with_column("price", price)?;
/// let model = Regressor::fit(&Device::cpu(), &table, "price")?;
/// assert!(model.score(&table)? > 0.9);
/// let price = model.predict(&Table::from_row([("x", 2.0)])?)?[0];
/// assert!((price - 1045.0).abs() < 20.0, "{price}");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Regressor(Fitted);

impl Regressor {
    /// Fits one to a table: settings, or the name of the column of numbers alone.
    ///
    /// # Errors
    /// A column that is not there, settings that make no sense; no column to predict from; with line and column, a value to
    /// predict that is missing, one that is no number among numbers; a loss that becomes NaN; a lost device.
    pub fn fit(device: &Device, table: &Table, settings: impl Into<Settings>) -> Result<Self> {
        let settings = settings.into();
        settings.check()?;
        if settings.balanced {
            return Err(Error::input(
                "fit",
                "balanced(true) weighs classes, which a Regressor has none of; leave it out",
            ));
        }
        let target = table.find(&settings.target)?;
        let values = values(table, target)?;
        let (mean, std) = mean_and_std(values.iter().copied());
        if values.iter().all(|value| *value == values[0]) {
            let detail =
                format!("all values of column '{}' are {mean}; there is nothing to predict", table.names()[target]);
            return Err(Error::input("fit", detail));
        }
        let columns = Preprocessor::fit(table, target, &settings)?;
        let targets = values.iter().map(|value| ((value - mean) / std) as f32).collect();
        let data = columns.dataset(table, targets, settings.weights.as_ref())?;
        let (predictor, histories) = train(device, &data, None, &settings)?;
        Ok(Self(Fitted {
            target: table.names()[target].clone(),
            classes: Vec::new(),
            scale: [mean, std],
            columns,
            predictor,
            histories,
            rows: table.len(),
            unknown: Unknown::Refuse,
        }))
    }

    /// Fits a regressor to all parts but one, scores it by that one, and so on in turn.
    ///
    /// # Errors
    /// As [`Regressor::fit`]; parts that can't be made. Categories that a part alone has are rare ones: see [`Unknown`].
    pub fn cross_validate(
        device: &Device,
        table: &Table,
        settings: impl Into<Settings>,
        folds: Folds,
    ) -> Result<CrossValidation> {
        let settings = settings.into();
        let target = table.find(&settings.target)?;
        let settings = Settings { target: table.names()[target].as_str().into(), ..settings };
        let score = |(train, test): (Table, Table)| {
            Self::fit(device, &train, &settings)?.unknown_categories(Unknown::Rare).score(&test)
        };
        CrossValidation::new(folds.of(table, None)?.into_iter().map(score).collect::<Result<_>>()?)
    }

    /// What becomes of categories that were not among those it was fitted to; by default an error.
    pub fn unknown_categories(mut self, unknown: Unknown) -> Self {
        self.0.unknown = unknown;
        self
    }

    /// The number of each row. The table needs the columns to predict from, in any order; others don't matter.
    ///
    /// # Errors
    /// A column that is not there; with line and column, a value that is no number among numbers, an unknown category; a lost
    /// device.
    pub fn predict(&self, table: &Table) -> Result<Vec<f64>> {
        let [mean, std] = self.0.scale;
        Ok(self.0.outputs(table)?.into_iter().map(|output| f64::from(output) * std + mean).collect())
    }

    /// The coefficient of determination R² on rows whose number is known: 1 is perfect, 0 as good as their mean.
    ///
    /// # Errors
    /// As [`Regressor::predict`]; a number that is missing; rows that all have the same.
    pub fn score(&self, table: &Table) -> Result<f64> {
        // The same in either unit; this one has room for its digits in an f32.
        r2(&self.0.outputs(table)?, &self.transform(table)?)
    }

    /// What the model's predictions miss of these rows' numbers: number less prediction.
    ///
    /// # Errors
    /// As [`Regressor::predict`]; a number that is missing.
    pub fn residuals(&self, table: &Table) -> Result<Vec<f64>> {
        let values = values(table, table.find(&self.0.target.as_str().into())?)?;
        Ok(values.into_iter().zip(self.predict(table)?).map(|(value, predicted)| value - predicted).collect())
    }

    /// How much of R² is lost where a column's values are shuffled among the rows, `repeats` times: the most important column
    /// first (scikit-learn's `permutation_importance`).
    ///
    /// # Errors
    /// As [`Regressor::score`]; no repeats.
    pub fn permutation_importance(&self, table: &Table, repeats: usize, seed: u64) -> Result<Vec<Importance>> {
        let data = self.transform(table)?;
        self.0.importance(table, repeats, seed, |outputs| r2(outputs, &data))
    }

    /// The rows as the network sees them, with standardised targets: for [`metrics`](crate::metrics), or a network of your own.
    ///
    /// # Errors
    /// As [`Regressor::residuals`].
    pub fn transform(&self, table: &Table) -> Result<Dataset> {
        let [mean, std] = self.0.scale;
        let values = values(table, table.find(&self.0.target.as_str().into())?)?;
        let inputs = self.0.columns.apply(table, self.0.unknown)?;
        let targets = values.into_iter().map(|value| ((value - mean) / std) as f32).collect();
        Dataset::new(inputs, self.0.columns.input_cols(), targets, 1)
    }

    /// The names of the network's inputs: columns, `column=category`, `column is missing`.
    pub fn input_names(&self) -> Vec<String> {
        self.0.columns.input_names()
    }

    /// The columns, what was done with each, and the network: lines of text.
    pub fn summary(&self) -> String {
        self.0.summary("regressor")
    }

    /// The training of each network, for [`History::loss_curves`] (feature `plot`); none of a model that was loaded.
    pub fn histories(&self) -> &[History] {
        &self.0.histories
    }

    /// Writes the model, its preprocessing, and the names of columns into one file, which is replaced atomically.
    ///
    /// # Errors
    /// A file that can't be written; a lost device.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.save(path.as_ref())
    }

    /// The model of a file that [`Regressor::save`] wrote, on this device. It predicts the same bits.
    ///
    /// # Errors
    /// A file that can't be read, is damaged, or holds something else.
    pub fn load(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        Fitted::load(device, path.as_ref(), false).map(Self)
    }

    /// The same from such a file's bytes: `include_bytes!` embeds the model in the program.
    ///
    /// # Errors
    /// As [`Regressor::load`].
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        Fitted::from_bytes(device, bytes, false).map(Self)
    }
}

/// The numbers of a column to predict.
fn values(table: &Table, column: usize) -> Result<Vec<f64>> {
    let value = |row| match table.number(column, row) {
        Field::Number(value) => Ok(value),
        Field::Missing => {
            let detail = "the number is missing; fill it in, or leave out such rows with Table::drop_missing";
            Err(table.error_in(row, column, detail))
        }
        Field::Wrong(detail) => {
            let detail = detail.replace(LEAVE_OUT, "take a Classifier if the column holds classes");
            Err(table.error_in(row, column, &detail))
        }
    };
    (0..table.len()).map(value).collect()
}
