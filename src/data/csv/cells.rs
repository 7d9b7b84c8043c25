//! The values of a table's column.

use std::borrow::Cow;

/// The values of a column, one for each row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cells {
    /// Numbers; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Text, which may be numbers, too.
    Texts(Vec<String>),
}

impl From<Vec<f64>> for Cells {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<Vec<f32>> for Cells {
    fn from(numbers: Vec<f32>) -> Self {
        Self::Numbers(numbers.into_iter().map(f64::from).collect())
    }
}

impl From<Vec<String>> for Cells {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<Vec<&str>> for Cells {
    fn from(texts: Vec<&str>) -> Self {
        Self::Texts(texts.into_iter().map(String::from).collect())
    }
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    pub(super) fn text(&self, row: usize) -> Cow<'_, str> {
        match self {
            Self::Numbers(numbers) if numbers[row].is_nan() => Cow::Borrowed(""),
            Self::Numbers(numbers) => Cow::Owned(numbers[row].to_string()),
            Self::Texts(texts) => Cow::Borrowed(&texts[row]),
        }
    }

    pub(super) fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(rows.iter().map(|row| numbers[*row]).collect()),
            Self::Texts(texts) => Self::Texts(rows.iter().map(|row| texts[*row].clone()).collect()),
        }
    }
}
