//! A field's number.

use std::borrow::Cow;

/// Marks of a missing value: those of pandas, the question mark of the UCI tables, and what spreadsheets write where a
/// formula failed.
const MISSING: [&str; 26] = [
    "", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!",
];

/// What can be done about a column to learn from, though not about one that a model has learnt from.
pub(crate) const LEAVE_OUT: &str = "leave the column out with ignore(...)";

/// What separates thousands in some country or program, besides points and commas.
const THOUSANDS: [char; 7] = [' ', '\'', '’', '_', '\u{a0}', '\u{2009}', '\u{202f}'];

/// Dashes that are no minus sign to a program: hyphens, and the minus of typesetters.
const DASHES: [char; 8] =
    ['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}', '\u{fe63}', '\u{ff0d}'];

/// How numbers are written.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub(super) decimal: char,
    pub(super) thousands: Option<char>,
    /// Marks of a missing value besides [`MISSING`].
    pub(super) missing: Vec<String>,
}

/// What a field holds in a column of numbers.
#[derive(Debug, PartialEq)]
pub(crate) enum Field {
    Number(f64),
    Missing,
    /// What is wrong with it.
    Wrong(String),
}

impl Format {
    /// Whether the field marks a missing label. Lower-case words such as `none` may be labels.
    pub(super) fn is_missing(&self, field: &str) -> bool {
        MISSING.contains(&field) || self.missing.iter().any(|mark| mark == field)
    }

    /// The field in a column of numbers.
    pub(super) fn read(&self, field: &str) -> Field {
        let number = self.number(field).or_else(|| boolean(field));
        if let (Some(number), true) = (number.filter(|number| number.is_finite()), self.missing.is_empty()) {
            return Field::Number(number);
        }
        if self.is_missing(field) || MISSING.iter().any(|mark| field.eq_ignore_ascii_case(mark)) {
            return Field::Missing;
        }
        let Some(number) = number else {
            return Field::Wrong(format!("'{field}' is not a number; {}", self.advice(field)));
        };
        if !number.is_finite() {
            return Field::Wrong(format!("'{field}' is infinite; correct it or remove the row"));
        }
        // A mark such as -999 stands for -999.0, too.
        if self.missing.iter().any(|mark| self.number(mark) == Some(number)) {
            return Field::Missing;
        }
        Field::Number(number)
    }

    /// The number, if it is one; infinities are.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        let plain = match self.thousands {
            Some(mark) => Cow::Owned(self.without_thousands(field, mark)?),
            None => Cow::Borrowed(field),
        };
        if self.decimal == '.' {
            return plain.parse().ok();
        }
        if plain.contains('.') {
            return None;
        }
        plain.replace(self.decimal, ".").parse().ok()
    }

    /// Without the marks between thousands, if they are where such marks stand: `1,234,567`, in India `12,34,567`.
    fn without_thousands(&self, field: &str, mark: char) -> Option<String> {
        let end = field.find([self.decimal, 'e', 'E']).unwrap_or(field.len());
        let (whole, rest) = field.split_at(end);
        let groups: Vec<&str> = whole.trim_start_matches(['+', '-']).split(mark).collect();
        let last = groups.len() - 1;
        let fits = |(i, group): (usize, &&str)| match i {
            0 => (1..=3).contains(&group.len()),
            i if i == last => group.len() == 3,
            _ => (2..=3).contains(&group.len()),
        };
        let grouped = last == 0 || groups.iter().enumerate().all(fits);
        (grouped && !rest.contains(mark)).then(|| whole.replace(mark, "") + rest)
    }

    /// What may help where a field is no number.
    fn advice(&self, field: &str) -> String {
        let as_if = |decimal, thousands| Self { decimal, thousands, missing: Vec::new() }.number(field).is_some();
        let (comma, thousands) = (as_if(',', None), as_if('.', Some(',')));
        if let Some(mark) = [';', '\t', '|'].into_iter().find(|mark| field.contains(*mark)) {
            return format!("if the values are separated by {mark:?}, call delimiter({mark:?})");
        }
        match self.decimal {
            '.' if comma && thousands => "call decimal(',') or thousands(','), whichever the comma is".into(),
            '.' if comma => "if the comma marks decimals, call decimal(',')".into(),
            '.' if as_if(',', Some('.')) => "if commas mark decimals, call decimal(',') and thousands('.')".into(),
            '.' if thousands => "if commas separate thousands, call thousands(',')".into(),
            decimal if as_if('.', self.thousands) => {
                format!("the decimal mark was set to '{decimal}'; call decimal('.')")
            }
            _ => self.way_out(field).unwrap_or_else(|| format!("correct it, remove the row, or {LEAVE_OUT}")),
        }
    }

    /// Whether the field is a number that is written in another way than this one, an amount of money or a percentage.
    #[cfg(feature = "table")]
    pub(super) fn is_nearly_number(&self, field: &str) -> bool {
        let as_if = |decimal, thousands| Self { decimal, thousands, missing: Vec::new() }.number(field).is_some();
        let bare = field.trim_start_matches(['$', '€', '£', '¥']).trim_end_matches(['%', '$', '€', '£', '¥']).trim();
        let is_amount = bare != field && self.number(bare).is_some();
        as_if(',', None) || as_if('.', Some(',')) || as_if(',', Some('.')) || as_if('.', self.thousands) || is_amount
    }

    /// What is in the way of a field that is nearly a number.
    fn way_out(&self, field: &str) -> Option<String> {
        let separates = |mark: &char| {
            let with = Self { thousands: Some(*mark), ..self.clone() };
            field.contains(*mark) && with.number(field).is_some()
        };
        if let Some(mark) = THOUSANDS.iter().find(|mark| self.thousands.is_none() && separates(mark)) {
            return Some(format!("if {mark:?} separates thousands, call thousands({mark:?})"));
        }
        if let Some(c) = field.chars().find(|c| DASHES.contains(c) || (c.is_numeric() && !c.is_ascii())) {
            let looks = if DASHES.contains(&c) { "'-'" } else { "a digit" };
            return Some(format!(
                "it has the character U+{:04X}, which only looks like {looks}; replace it",
                u32::from(c)
            ));
        }
        // A unit of money in front, any unit behind, and quotes of a kind that mean nothing in CSV.
        let number = field.trim_start_matches(['$', '€', '£', '¥', '\'', '‘', '“']);
        let number = number.trim_end_matches(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ')'));
        self.number(number).filter(|_| number != field)?;
        let around: Vec<_> = field.split(number).filter(|part| !part.is_empty()).collect();
        let around: Vec<_> = around.iter().map(|part| format!("{part:?}")).collect();
        Some(format!("remove {} from the column's values, or {LEAVE_OUT}", around.join(" and ")))
    }
}

/// 1 and 0 for pandas' true and false.
pub(super) fn boolean(field: &str) -> Option<f64> {
    match field {
        "True" | "TRUE" | "true" => Some(1.0),
        "False" | "FALSE" | "false" => Some(0.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_they_are_written() {
        let format = |decimal, thousands| Format { decimal, thousands, missing: Vec::new() };
        let cases = [
            ('.', None, "1e3", Some(1000.0)),
            ('.', None, "+.5", Some(0.5)),
            ('.', None, "1,5", None),
            ('.', None, "0x10", None),
            (',', None, "-7,4", Some(-7.4)),
            (',', None, "7.4", None),
            (',', None, "1,2,3", None),
            ('.', Some(','), "1,234", Some(1234.0)),
            ('.', Some(','), "-12,345,678.25", Some(-12_345_678.25)),
            ('.', Some(','), "12,34,567", Some(1_234_567.0)),
            ('.', Some(','), "1234", Some(1234.0)),
            ('.', Some(','), "7,4", None),
            ('.', Some(','), "1,2345", None),
            ('.', Some(','), ",123", None),
            ('.', Some(','), "1.234,5", None),
            (',', Some('.'), "1.234,5", Some(1234.5)),
            (',', Some('.'), "7.4", None),
            (',', Some('\u{a0}'), "12\u{a0}345,6", Some(12_345.6)),
        ];
        for (decimal, thousands, field, expected) in cases {
            assert_eq!(format(decimal, thousands).number(field), expected, "{field} {decimal} {thousands:?}");
        }
    }
}
