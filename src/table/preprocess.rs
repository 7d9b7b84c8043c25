//! From a table's columns to a network's inputs.

use std::collections::HashMap;

use super::columns::{Column, Treatment};
use super::settings::Settings;
use crate::data::{self, Dataset, Field, LEAVE_OUT, Table};
use crate::error::{Error, Result};

/// What a category that was not among those learnt from becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unknown {
    /// An error that says where it is, and which there were.
    #[default]
    Refuse,
    /// A rare one, if there were rare ones; else none of all (scikit-learn's `handle_unknown="infrequent_if_exist"`).
    Rare,
}

/// A table's columns, as they were in the rows to learn from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preprocessor {
    pub(super) columns: Vec<Column>,
}

impl Preprocessor {
    /// Tells the columns apart. `target` is the one to predict.
    pub(super) fn fit(table: &Table, target: usize, settings: &Settings) -> Result<Self> {
        let found = |columns: &[data::Column]| columns.iter().map(|c| table.find(c)).collect::<Result<Vec<_>>>();
        let (ignored, categories) = (found(&settings.ignored)?, found(&settings.categories)?);
        let weights = settings.weights.as_ref().map(|column| table.find(column)).transpose()?;
        let mut columns = Vec::new();
        for (i, name) in table.names().iter().enumerate().filter(|(i, _)| *i != target) {
            let treatment = if Some(i) == weights {
                Treatment::LeftOut { why: "the weights of the rows".into() }
            } else if ignored.contains(&i) {
                Treatment::LeftOut { why: "ignored".into() }
            } else {
                Treatment::fit(table, i, categories.contains(&i), settings)?
            };
            columns.push(Column { name: name.clone(), treatment });
        }
        let fitted = Self { columns };
        if fitted.input_cols() == 0 {
            let column = |column: &Column| match &column.treatment {
                Treatment::LeftOut { why } => format!("{}: {why}", column.name),
                _ => column.name.clone(),
            };
            let columns: Vec<_> = fitted.columns.iter().map(column).collect();
            let detail = format!("no column is left to predict from ({})", columns.join("; "));
            return Err(Error::input("fit", detail));
        }
        Ok(fitted)
    }

    /// What the network is trained on: the table's inputs with these targets, and the rows' weights if a column has them.
    pub(super) fn dataset(&self, table: &Table, targets: Vec<f32>, weights: Option<&data::Column>) -> Result<Dataset> {
        let data = Dataset::new(self.apply(table, Unknown::Refuse)?, self.input_cols(), targets, 1)?;
        let Some(column) = weights else { return Ok(data) };
        let column = table.find(column)?;
        let weight = |row| match table.number(column, row) {
            Field::Number(weight) if weight >= 0.0 => Ok(weight as f32),
            _ => Err(table.error_in(row, column, "this is no weight; give numbers from 0, or remove the row")),
        };
        data.with_weights((0..table.len()).map(weight).collect::<Result<_>>()?)
    }

    /// How many inputs the columns make.
    pub(super) fn input_cols(&self) -> usize {
        self.columns.iter().map(|column| column.treatment.inputs()).sum()
    }

    /// The names of the inputs.
    pub(super) fn input_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for Column { name, treatment } in &self.columns {
            let missing = match treatment {
                Treatment::Number { missing, .. } => {
                    names.push(name.clone());
                    *missing
                }
                Treatment::Category { values, rare, missing } => {
                    names.extend(values.iter().map(|value| format!("{name}={value}")));
                    names.extend((*rare > 0).then(|| format!("{name} is rare")));
                    *missing
                }
                Treatment::LeftOut { .. } => 0,
            };
            names.extend((missing > 0).then(|| format!("{name} is missing")));
        }
        names
    }

    /// The inputs for a table's rows, row by row.
    pub(super) fn apply(&self, table: &Table, unknown: Unknown) -> Result<Vec<f32>> {
        let cols = self.input_cols();
        let mut inputs = vec![0.0; table.len() * cols];
        let mut start = 0;
        for column in self.columns.iter().filter(|column| column.treatment.inputs() > 0) {
            let Some(at) = table.names().iter().position(|name| *name == column.name) else {
                let detail = format!(
                    "there is no column '{}', which the model was fitted to; there are {}. Add it; where its values are not \
                     known, leave them empty",
                    column.name,
                    table.names().join(", ")
                );
                return Err(Error::input("table", detail));
            };
            match &column.treatment {
                Treatment::Number { fill, mean, std, missing } => {
                    for (row, inputs) in inputs.chunks_exact_mut(cols).enumerate() {
                        let value = match table.number(at, row) {
                            Field::Number(value) => value,
                            Field::Missing => {
                                if *missing > 0 {
                                    inputs[start + 1] = 1.0;
                                }
                                *fill
                            }
                            Field::Wrong(detail) => {
                                let detail = detail.replace(LEAVE_OUT, "leave it empty if it is not known");
                                return Err(table.error_in(row, at, &detail));
                            }
                        };
                        let scaled = ((value - mean) / std) as f32;
                        if !scaled.is_finite() {
                            let detail =
                                format!("{value} is too far from the others, whose mean is {mean}; correct it");
                            return Err(table.error_in(row, at, &detail));
                        }
                        inputs[start] = scaled;
                    }
                }
                Treatment::Category { values, rare, missing } => {
                    let places: HashMap<&str, usize> =
                        values.iter().enumerate().map(|(i, value)| (value.as_str(), i)).collect();
                    let (rare, missing) = (
                        (*rare > 0).then_some(values.len()),
                        (*missing > 0).then_some(values.len() + usize::from(*rare > 0)),
                    );
                    for (row, inputs) in inputs.chunks_exact_mut(cols).enumerate() {
                        let text = table.category(at, row);
                        let place = match &text {
                            Some(text) => places.get(&**text).copied().or(rare),
                            None => missing,
                        };
                        if let Some(place) = place {
                            inputs[start + place] = 1.0;
                        } else if unknown == Unknown::Refuse {
                            return Err(table.error_in(row, at, &unknown_category(text.as_deref(), values)));
                        }
                    }
                }
                Treatment::LeftOut { .. } => {}
            }
            start += column.treatment.inputs();
        }
        Ok(inputs)
    }
}

fn unknown_category(text: Option<&str>, values: &[String]) -> String {
    /// Values that a message lists.
    const SHOWN: usize = 10;
    let what = match text {
        Some(text) => format!("'{text}' is unknown"),
        None => "the value is missing, which it never was".into(),
    };
    let shown: Vec<_> = values.iter().take(SHOWN).map(String::as_str).collect();
    let more = if values.len() > SHOWN { format!(" and {} more", values.len() - SHOWN) } else { String::new() };
    format!(
        "{what} in the rows that the model was fitted to, which have {}{more}; correct it, or have such rows predicted by \
         their other columns with unknown_categories(Unknown::Rare)",
        shown.join(", ")
    )
}
