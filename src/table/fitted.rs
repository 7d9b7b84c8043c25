//! What a classifier and a regressor have in common: columns, a network, and what is told of them.

use super::columns::{Column, Treatment};
use super::preprocess::{Preprocessor, Unknown};
use crate::data::Table;
use crate::error::Result;
use crate::nn::Predictor;
use crate::train::History;

/// A fitted model.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    /// The column to predict.
    pub(super) target: String,
    /// The classes in the order of their numbers; none of a regression.
    pub(super) classes: Vec<String>,
    /// Mean and standard deviation of the numbers to predict.
    pub(super) scale: [f64; 2],
    pub(super) columns: Preprocessor,
    pub(super) predictor: Predictor,
    /// Empty where it was loaded.
    pub(super) histories: Vec<History>,
    /// How many rows it was fitted to.
    pub(super) rows: usize,
    pub(super) unknown: Unknown,
}

impl Fitted {
    /// The network's outputs for these rows.
    pub(super) fn outputs(&self, table: &Table) -> Result<Vec<f32>> {
        self.predictor.predict(&self.columns.apply(table, self.unknown)?, self.columns.input_cols())
    }

    /// What it predicts, what was done with the columns, and the network.
    pub(super) fn summary(&self, kind: &str) -> String {
        let (rows, parameters) = (self.rows, self.predictor.parameters().count());
        let mut text = format!("{kind} of {}, fitted to {rows} rows\n", self.target);
        if !self.classes.is_empty() {
            text += &format!("classes: {}\n", listed(&self.classes));
        }
        let width = self.columns.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0).max(6);
        text += &format!("{:width$}  inputs  what is done with it\n", "column");
        for Column { name, treatment } in &self.columns.columns {
            text += &format!("{name:width$}  {:>6}  {}\n", treatment.inputs(), done_with(treatment));
        }
        let inputs = self.columns.input_cols();
        text + &format!(
            "network: {inputs} inputs, {parameters} parameters; on {}\n",
            self.predictor.parameters().device().name()
        )
    }
}

fn done_with(treatment: &Treatment) -> String {
    match treatment {
        Treatment::Number { fill, mean, std, missing } => {
            let gaps = match missing {
                0 => String::new(),
                gaps => format!("; {gaps} missing, filled in with {} and marked", shown(*fill)),
            };
            format!("number, mean {}, standard deviation {}{gaps}", shown(*mean), shown(*std))
        }
        Treatment::Category { values, rare, missing } => {
            let rare = if *rare > 0 { format!("; {rare} rows with rare ones") } else { String::new() };
            let gaps = if *missing > 0 { format!("; {missing} missing") } else { String::new() };
            format!("categories {}{rare}{gaps}", listed(values))
        }
        Treatment::LeftOut { why } => format!("left out: {why}"),
    }
}

/// A number to five digits or so.
fn shown(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{number:.4e}");
    }
    let digits = (4 - size.max(1.0).log10().floor() as i32).max(0) as usize;
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// The first few of these.
pub(super) fn listed(values: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = values.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if values.len() > SHOWN { format!("{first} and {} more", values.len() - SHOWN) } else { first }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 1.0, 1.23456, 43.9219298, 4201.754, 123_456.7, 1.7e9, -0.00001234];
        let texts = ["0", "1", "1.2346", "43.922", "4201.8", "123457", "1.7000e9", "-1.2340e-5"];
        assert_eq!(numbers.map(shown), texts);
    }
}
