//! What the columns of a table are for, and the values taken from them.

use std::borrow::Cow;

use super::labels::Labels;
use super::lines::{Delimiter, Row, Rows};
use super::number::Field;
use super::source::{Source, better_delimiter};
use super::{Column, Csv, Dataset, Missing, Targets};
use crate::error::Result;

/// What becomes of a column.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Input,
    /// Which column of the targets.
    Target(usize),
    Label,
    Weight,
    Ignored,
}

/// What has been read of a table.
#[derive(Default)]
pub(super) struct Values {
    inputs: Vec<f64>,
    targets: Vec<f64>,
    labels: Labels,
    weights: Vec<f64>,
    rows: usize,
    dropped: usize,
}

/// The columns of a table.
pub(super) struct Columns<'a> {
    csv: &'a Csv,
    delimiter: Delimiter,
    has_header: bool,
    /// How messages call them.
    names: Vec<String>,
    roles: Vec<Role>,
    subtracted: Vec<f64>,
    /// The number of the first line of the table.
    first_line: usize,
}

impl<'a> Columns<'a> {
    /// From the first row, and those below it.
    pub(super) fn new(
        csv: &'a Csv,
        source: &Source<'_>,
        first: &Row<'_>,
        below: &Rows<'_>,
        delimiter: Delimiter,
    ) -> Result<Self> {
        let name = |i: usize| match &*first.fields[i] {
            name if csv.header != Some(false) && !name.is_empty() => format!("'{name}'"),
            _ => i.to_string(),
        };
        let find = |column: &Column| index(csv, source, first, delimiter, column);
        let mut roles = vec![Role::Input; first.fields.len()];
        let targets: Vec<(&Column, Role)> = match &csv.targets {
            Targets::Labels(column) => vec![(column, Role::Label)],
            Targets::Values(columns) => columns.iter().zip((0..).map(Role::Target)).collect(),
            Targets::None => Vec::new(),
        };
        if targets.is_empty() {
            return Err(source.error("no column of targets is asked for; give at least one (Csv::values, Csv::labels)"));
        }
        let others = csv.ignored.iter().map(|column| (column, Role::Ignored));
        let others = csv.weights.iter().map(|column| (column, Role::Weight)).chain(others);
        for (column, role) in targets.into_iter().chain(others) {
            let i = find(column)?;
            if roles[i] != Role::Input {
                return Err(source.error(&format!("column {} is selected twice; remove one", name(i))));
            }
            roles[i] = role;
        }
        let mut subtracted = vec![0.0; roles.len()];
        for (column, number) in &csv.subtracted {
            let i = find(column)?;
            if matches!(roles[i], Role::Label | Role::Weight | Role::Ignored) || !number.is_finite() {
                let detail = format!(
                    "{number} can't be subtracted from column {}; give a number and a column of numbers",
                    name(i)
                );
                return Err(source.error(&detail));
            }
            subtracted[i] = *number;
        }
        if !roles.contains(&Role::Input) {
            let hint = better_reading(csv, &first.fields, delimiter).unwrap_or("ignore fewer".into());
            return Err(source.error(&format!("no column is left for the inputs; {hint}")));
        }
        let has_header = match csv.header {
            Some(said) => said,
            None => has_header(csv, source, first, below, &roles)?,
        };
        if let Some(i) =
            (0..roles.len()).find(|i| roles[*i] == Role::Input && first.fields[*i].is_empty() && has_header)
        {
            let detail = format!(
                "column {i} has no name (pandas and R write row numbers like that); leave it out with ignore([{i}]), or \
                 give it a name"
            );
            return Err(source.error(&detail));
        }
        let names = (0..roles.len()).map(|i| if has_header { name(i) } else { i.to_string() }).collect();
        Ok(Self { csv, delimiter, has_header, names, roles, subtracted, first_line: first.line })
    }

    /// Whether the first row holds names.
    pub(super) fn has_header(&self) -> bool {
        self.has_header
    }

    pub(super) fn take_in(&self, source: &Source<'_>, row: &Row<'_>, values: &mut Values) -> Result<()> {
        check_len(source, row, self.roles.len(), self.first_line, self.delimiter)?;
        if self.csv.missing == Missing::DropRow && self.has_gap(row) {
            values.dropped += 1;
            return Ok(());
        }
        let first_target = values.targets.len();
        values.targets.resize(first_target + self.count(|role| matches!(role, Role::Target(_))), 0.0);
        for (i, field) in row.fields.iter().enumerate() {
            let fail = |detail: String| source.error_in(row.line, &self.names[i], &detail);
            match self.roles[i] {
                Role::Ignored => {}
                Role::Weight => values.weights.push(self.weight(i, field).map_err(fail)?),
                Role::Input => values.inputs.push(self.number(i, field).map_err(fail)?),
                Role::Target(target) => values.targets[first_target + target] = self.number(i, field).map_err(fail)?,
                Role::Label if self.is_missing_label(field) => return Err(fail(missing_label(field))),
                Role::Label => values.labels.push(field, row.line),
            }
        }
        values.rows += 1;
        Ok(())
    }

    /// The dataset that the table was.
    pub(super) fn dataset(&self, source: &Source<'_>, values: Values) -> Result<Dataset> {
        let Values { inputs, targets, labels, weights, rows, dropped } = values;
        if dropped > 0 {
            log::warn!("csv: {dropped} of {} rows were dropped, as they have missing values", rows + dropped);
        }
        if rows == 0 {
            let detail = match dropped {
                0 => "there is no row below the header; give at least one".into(),
                _ => {
                    format!("a value is missing in each of the {dropped} rows; ignore(...) the columns that have none")
                }
            };
            return Err(source.error(&detail));
        }
        let inputs = self.narrow(source, &inputs, |role| role == Role::Input)?;
        let input_cols = self.count(|role| role == Role::Input);
        if matches!(self.csv.targets, Targets::Labels(_)) {
            let advice = "are read with Csv::values; if these are classes, list them with classes(...)";
            let (targets, classes) = labels.numbered(source, &self.csv.format, &self.csv.classes, advice)?;
            let data = Dataset::new(inputs, input_cols, targets, 1)?.with_class_names(classes);
            return weighed(data, &weights);
        }
        let targets = self.narrow(source, &targets, |role| matches!(role, Role::Target(_)))?;
        let target_cols = self.count(|role| matches!(role, Role::Target(_)));
        weighed(Dataset::new(inputs, input_cols, targets, target_cols)?, &weights)
    }

    fn count(&self, is_one: impl Fn(Role) -> bool) -> usize {
        self.roles.iter().filter(|role| is_one(**role)).count()
    }

    fn is_missing_label(&self, field: &str) -> bool {
        self.csv.format.is_missing(field) && !self.csv.classes.iter().any(|class| class == field)
    }

    /// Whether something is missing that is wanted.
    fn has_gap(&self, row: &Row<'_>) -> bool {
        row.fields.iter().zip(&self.roles).any(|(field, role)| match role {
            Role::Ignored => false,
            Role::Label => self.is_missing_label(field),
            Role::Input | Role::Target(_) | Role::Weight => self.csv.format.read(field) == Field::Missing,
        })
    }

    fn weight(&self, column: usize, field: &str) -> Result<f64, String> {
        match self.number(column, field) {
            Ok(weight) if weight < 0.0 => Err(format!("'{field}' is no weight; give numbers from 0")),
            weight => weight,
        }
    }

    /// A field's number as it will be used, or what is wrong with it.
    fn number(&self, column: usize, field: &str) -> Result<f64, String> {
        match self.csv.format.read(field) {
            Field::Number(number) => {
                let number = number - self.subtracted[column];
                if (number as f32).is_finite() {
                    return Ok(number);
                }
                Err(format!("'{field}' is infinite as an f32; correct it, or give the column in another unit"))
            }
            Field::Missing => Err(format!(
                "the value is missing{}; fill it in, leave the column out with ignore(...), or leave out such rows with \
                 missing(Missing::DropRow)",
                shown(field)
            )),
            Field::Wrong(detail) => Err(detail),
        }
    }

    /// The values of these columns as f32, unless a column's differences are lost in it.
    fn narrow(&self, source: &Source<'_>, values: &[f64], is_one: impl Fn(Role) -> bool) -> Result<Vec<f32>> {
        /// The part of a column's standard deviation by which rounding may move its values.
        const LOST: f64 = 1e-3;
        // Targets stand in the order in which they were asked for.
        let mut columns: Vec<usize> = (0..self.roles.len()).filter(|i| is_one(self.roles[*i])).collect();
        columns.sort_by_key(|i| if let Role::Target(target) = self.roles[*i] { target } else { 0 });
        let cols = columns.len();
        for (place, column) in columns.into_iter().enumerate() {
            let column_values = || values.iter().skip(place).step_by(cols).copied();
            let off = column_values().map(|v| (v - f64::from(v as f32)).abs()).fold(0.0, f64::max);
            let n = (values.len() / cols) as f64;
            let mean = column_values().sum::<f64>() / n;
            let deviation = (column_values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let low = column_values().fold(f64::INFINITY, f64::min);
            if column_values().all(|v| v == low) || off <= LOST * deviation {
                continue;
            }
            let name = &self.names[column];
            let argument = name.replace('\'', "\"");
            let way_out = if low.abs() > deviation {
                let common = low + self.subtracted[column];
                format!("subtract what they have in common: subtract({argument}, {common:?})")
            } else {
                "give the column in another unit".into()
            };
            return Err(source.error(&format!(
                "column {name}: an f32 has no room for its values, which would be off by up to {off:.3e} where their standard \
                 deviation is {deviation:.3e}; {way_out}"
            )));
        }
        Ok(values.iter().map(|v| *v as f32).collect())
    }
}

/// An error unless the row has as many values as the table's first line.
pub(super) fn check_len(
    source: &Source<'_>,
    row: &Row<'_>,
    expected: usize,
    first_line: usize,
    delimiter: Delimiter,
) -> Result<()> {
    let found = row.fields.len();
    if found == expected {
        return Ok(());
    }
    let hint = match delimiter {
        Delimiter::Character(c @ (' ' | '\t')) => {
            format!("if several {c:?} stand between two values, call whitespace(); else ")
        }
        _ => String::new(),
    };
    let detail = format!("{found} values, but line {first_line} has {expected}; {hint}correct or remove the row");
    Err(source.error_at(row.line, &detail))
}

/// The call that would help where the first line was not taken apart as it should have been.
pub(super) fn better_reading(csv: &Csv, first: &[Cow<'_, str>], delimiter: Delimiter) -> Option<String> {
    match first {
        [line, ..] if line.starts_with('#') && csv.comment.is_none() => {
            Some("the first line looks like a comment: call comment('#')".into())
        }
        [line] => better_delimiter(line, delimiter),
        _ => None,
    }
}

/// Where a column stands.
fn index(csv: &Csv, source: &Source<'_>, first: &Row<'_>, delimiter: Delimiter, column: &Column) -> Result<usize> {
    let fields = &first.fields;
    let hint = || match better_reading(csv, fields, delimiter) {
        Some(hint) => format!("; {hint}"),
        None => String::new(),
    };
    let name = match column {
        Column::Number(number) if *number < fields.len() => return Ok(*number),
        Column::Number(number) => {
            let count = fields.len();
            return Err(source.error(&format!("there is no column {number}; there are {count}, from 0{}", hint())));
        }
        Column::Name(name) => name,
    };
    if csv.header == Some(false) {
        return Err(source.error(&format!("column '{name}': without a header, columns go by number")));
    }
    let mut found = fields.iter().enumerate().filter(|(_, field)| *field == name);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => {
            Err(source.error(&format!("there are several columns '{name}'; give the column's number")))
        }
        (None, _) => {
            let is_sample = hint().is_empty() && fields.iter().any(|field| csv.format.number(field).is_some());
            let header = if is_sample {
                ". If line 1 is no header but the first sample, give columns by number, and call header(false)"
            } else {
                ""
            };
            let names = fields.join(", ");
            Err(source.error(&format!("there is no column '{name}'; there are {names}{}{header}", hint())))
        }
    }
}

/// Whether the first row holds names, where nobody says.
fn has_header(csv: &Csv, source: &Source<'_>, first: &Row<'_>, below: &Rows<'_>, roles: &[Role]) -> Result<bool> {
    let targets = match &csv.targets {
        Targets::Labels(column) => std::slice::from_ref(column),
        Targets::Values(columns) => columns,
        Targets::None => &[],
    };
    let asked =
        targets.iter().chain(&csv.weights).chain(&csv.ignored).chain(csv.subtracted.iter().map(|(column, _)| column));
    if asked.into_iter().any(|column| matches!(column, Column::Name(_))) {
        return Ok(true);
    }
    let (mut numbers, mut texts) = (0, 0);
    for (field, role) in first.fields.iter().zip(roles) {
        match (role, csv.format.read(field)) {
            (Role::Label | Role::Ignored, _) | (_, Field::Missing) => {}
            (_, Field::Number(_)) => numbers += 1,
            (_, Field::Wrong(_)) => texts += 1,
        }
    }
    if numbers == 0 && texts > 0 {
        return Ok(true);
    }
    if let (0, Some(label)) = (texts, roles.iter().position(|role| *role == Role::Label)) {
        let mut rows = below.clone();
        while let Ok(Some(row)) = rows.next() {
            if row.fields.get(label) == Some(&first.fields[label]) {
                return Ok(false);
            }
        }
    }
    let line: String = first.fields.join(", ").chars().take(60).collect();
    let detail = format!(
        "line {} ({line}) may be the names of the columns or the first sample; call header(true) or header(false)",
        first.line
    );
    Err(source.error(&detail))
}

/// With these weights, if there are some.
fn weighed(data: Dataset, weights: &[f64]) -> Result<Dataset> {
    if weights.is_empty() { Ok(data) } else { data.with_weights(weights.iter().map(|weight| *weight as f32).collect()) }
}

fn missing_label(field: &str) -> String {
    let class =
        if field.is_empty() { String::new() } else { format!(", or name '{field}' in classes(...) if it is one") };
    format!(
        "the label is missing{}; fill it in, leave out such rows with missing(Missing::DropRow){class}",
        shown(field)
    )
}

fn shown(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(" ('{field}')") }
}
