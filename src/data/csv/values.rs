//! A table's values, as those who learn from them read them.

use std::borrow::Cow;

use super::cells::Cells;
use super::number::Field;
use super::table::Table;

impl Table {
    /// A column's value in a row, as one of a column of numbers.
    pub(crate) fn number(&self, column: usize, row: usize) -> Field {
        match &self.columns[column] {
            Cells::Texts(texts) => self.format.read(&texts[row]),
            Cells::Numbers(numbers) if numbers[row].is_nan() => Field::Missing,
            Cells::Numbers(numbers) if numbers[row].is_infinite() => {
                Field::Wrong(format!("{} is infinite; correct it or remove the row", numbers[row]))
            }
            Cells::Numbers(numbers) => Field::Number(numbers[row]),
        }
    }

    /// Whether a value that is no number would be one if it were written differently.
    pub(crate) fn is_nearly_number(&self, column: usize, row: usize) -> bool {
        self.format.is_nearly_number(&self.columns[column].text(row))
    }

    /// A column's value in a row, as one of a column of categories; none where it is missing.
    pub(crate) fn category(&self, column: usize, row: usize) -> Option<Cow<'_, str>> {
        Some(self.columns[column].text(row)).filter(|text| !self.format.is_missing(text))
    }
}
