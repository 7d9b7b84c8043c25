//! What becomes of a table's column: how numbers, categories and what is of no use are told apart.

use std::collections::BTreeMap;

use super::settings::{Impute, Settings};
use crate::data::{Field, Table};
use crate::error::Result;

/// Columns of text with more different values than this are left out where most rows have a value of their own.
const MOST_DIFFERENT: usize = 20;
/// Names of columns that number the rows.
const ROW_NUMBERS: [&str; 6] = ["id", "index", "row", "rowid", "rownames", "row_number"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A column as the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) treatment: Treatment,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Treatment {
    /// `(x - mean) / std`; missing ones are filled in first, and marked by another input if there were some.
    Number { fill: f64, mean: f64, std: f64, missing: usize },
    /// An input for each value, 1 where it is there; then one for rare values and one for missing ones, if there were some
    /// (in so many rows).
    Category { values: Vec<String>, rare: usize, missing: usize },
    /// No input, for this reason.
    LeftOut { why: String },
}

impl Treatment {
    /// How many inputs it makes.
    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Number { missing, .. } => 1 + usize::from(*missing > 0),
            Self::Category { values, rare, missing } => {
                values.len() + usize::from(*rare > 0) + usize::from(*missing > 0)
            }
            Self::LeftOut { .. } => 0,
        }
    }

    /// What becomes of this column of the rows to learn from.
    pub(super) fn fit(table: &Table, column: usize, is_category: bool, settings: &Settings) -> Result<Self> {
        if is_category {
            return Ok(Self::category(table, column, settings));
        }
        let (mut numbers, mut nearly, mut wrong) = (Vec::new(), 0, None);
        let mut missing = 0;
        for row in 0..table.len() {
            match table.number(column, row) {
                Field::Number(number) => numbers.push(number),
                Field::Missing => missing += 1,
                Field::Wrong(detail) => {
                    nearly += usize::from(table.is_nearly_number(column, row));
                    wrong = wrong.or(Some((row, detail)));
                }
            }
        }
        let known = table.len() - missing;
        if known == 0 {
            return Ok(Self::left_out("all values are missing"));
        }
        let Some((row, detail)) = wrong else { return Ok(Self::number(table, column, &numbers, missing, settings)) };
        if 2 * (numbers.len() + nearly) > known {
            let name = &table.names()[column];
            let detail = format!("{detail}; or, if the column holds categories, say so with categories([{name:?}])");
            return Err(table.error_in(row, column, &detail));
        }
        let texts = || (0..table.len()).filter_map(|row| table.category(column, row));
        let dates = texts().filter(|text| is_date(text)).count();
        if 10 * dates >= 9 * known {
            return Ok(Self::left_out(
                "dates or times; give what matters of them as numbers: the year, the month, the hour",
            ));
        }
        let different = texts().collect::<std::collections::BTreeSet<_>>().len();
        if different == known || (different > MOST_DIFFERENT && 2 * different > known) {
            let why =
                "most rows have a text of their own, as names and identifiers are; categories([...]) would take it";
            return Ok(Self::left_out(why));
        }
        Ok(Self::category(table, column, settings))
    }

    fn left_out(why: impl Into<String>) -> Self {
        Self::LeftOut { why: why.into() }
    }

    fn number(table: &Table, column: usize, known: &[f64], missing: usize, settings: &Settings) -> Self {
        let name = &table.names()[column];
        let first = known[0];
        if missing == 0 && known.iter().all(|value| *value == first) {
            return Self::left_out(format!("all values are {first}"));
        }
        let counts_rows = (first == 0.0 || first == 1.0)
            && missing == 0
            && known.iter().enumerate().all(|(row, value)| *value == first + row as f64);
        if counts_rows && (name.starts_with("Unnamed: ") || ROW_NUMBERS.contains(&&*name.to_lowercase())) {
            return Self::left_out("the numbers of the rows");
        }
        let fill = match settings.impute {
            Impute::Median => median(known),
            Impute::Mean => mean_and_std(known.iter().copied()).0,
        };
        let (mean, std) = mean_and_std(known.iter().copied().chain(std::iter::repeat_n(fill, missing)));
        Self::Number { fill, mean, std, missing }
    }

    fn category(table: &Table, column: usize, settings: &Settings) -> Self {
        let mut counts = BTreeMap::new();
        let mut missing = 0;
        for row in 0..table.len() {
            match table.category(column, row) {
                Some(text) => *counts.entry(text.into_owned()).or_insert(0) += 1,
                None => missing += 1,
            }
        }
        if counts.is_empty() {
            return Self::left_out("all values are missing");
        }
        if let (1, 0, Some(value)) = (counts.len(), missing, counts.keys().next()) {
            return Self::left_out(format!("all values are '{value}'"));
        }
        let least = settings.min_frequency.unwrap_or((table.len() / 100).min(10));
        let mut by_count: Vec<(&String, &usize)> = counts.iter().collect();
        // Of equally many, in the order of the alphabet.
        by_count.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let frequent = by_count.iter().filter(|(_, count)| **count >= least).count();
        let kept = if frequent == 0 { by_count.len() } else { frequent }.min(settings.max_categories);
        let rare = by_count[kept..].iter().map(|(_, count)| **count).sum();
        let mut values: Vec<String> = by_count[..kept].iter().map(|(value, _)| (*value).clone()).collect();
        values.sort();
        Self::Category { values, rare, missing }
    }
}

/// Of equally many numbers below and above, the middle; of an even number of them, the mean of both in the middle.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { sorted[middle - 1].midpoint(sorted[middle]) }
}

/// The mean and the standard deviation (of the population), which is 1 where all numbers are the same.
pub(super) fn mean_and_std(numbers: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = numbers.clone().count() as f64;
    let first = numbers.clone().next().unwrap_or_default();
    // Compared, not computed: rounding can give equal values a variance.
    if numbers.clone().all(|value| value == first) {
        return (first, 1.0);
    }
    let of = |scale: f64| {
        let numbers = numbers.clone().map(|value| value * scale);
        let mean = numbers.clone().sum::<f64>() / n;
        let variance = numbers.map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        (mean / scale, variance.sqrt() / scale)
    };
    // The squares of the largest and smallest numbers can't be held, but those of such multiples.
    let is_held = |(mean, std): &(f64, f64)| mean.is_finite() && std.is_finite() && *std > 0.0;
    let scales = [0, -600, 600].map(|power| 2_f64.powi(power));
    scales.into_iter().map(of).find(is_held).unwrap_or((first, 1.0))
}

/// Whether a text is a date, a time or both: numbers, and a month at most, between dashes, slashes, points or colons.
fn is_date(text: &str) -> bool {
    // In 2020-01-31T10:20:30Z two letters separate, too.
    let separates = |c: char| !c.is_alphanumeric() || matches!(c, 'T' | 'Z');
    let parts: Vec<&str> = text.split(separates).filter(|part| !part.is_empty()).collect();
    let is_month = |part: &&&str| part.get(..3).is_some_and(|start| MONTHS.contains(&&*start.to_lowercase()));
    let is_number = |part: &&&str| part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (months, numbers) = (parts.iter().filter(is_month).count(), parts.iter().filter(is_number).count());
    let is_separated = text.contains(['-', '/', ':']) || text.matches('.').count() == 2 || months == 1;
    let enough = if text.contains(':') { 2 } else { 3 };
    is_separated && months <= 1 && numbers > 0 && months + numbers == parts.len() && parts.len() >= enough
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_other_text() {
        let dates = [
            "2020-01-31",
            "31.01.2020",
            "1/31/20",
            "2020-01-31T10:20:30Z",
            "2020-01-31 10:20:30.125",
            "10:20",
            "5 Mar 2020",
        ];
        for date in dates {
            assert!(is_date(date), "{date}");
        }
        for text in ["gas", "3-4", "A-1-2", "", "May", "1st", "1.5", "1,5", "12 345"] {
            assert!(!is_date(text), "{text}");
        }
    }

    #[test]
    fn the_middle_of_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(mean_and_std([1.0, 3.0].into_iter()), (2.0, 1.0));
        assert_eq!(mean_and_std([0.1, 0.1, 0.1].into_iter()), (0.1, 1.0));
        // Whose squares are infinite, or 0: 2^1023 and, as a subnormal number, 2^-1060 (which powi may take for 1 / 2^1060).
        let (huge, tiny) = (2_f64.powi(1023), f64::from_bits(1 << 14));
        assert_eq!(mean_and_std([huge, -huge, huge, -huge].into_iter()), (0.0, huge));
        assert_eq!(mean_and_std([huge, huge, 0.0, 0.0].into_iter()), (huge / 2.0, huge / 2.0));
        assert_eq!(mean_and_std([tiny, 3.0 * tiny].into_iter()), (2.0 * tiny, tiny));
    }
}
