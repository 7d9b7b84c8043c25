//! Datasets from CSV files.

use std::io::Read;
use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

/// Reads a table of comma-separated values: which columns are targets, and how the file is written.
///
/// Every column that is neither a target nor ignored is an input. The first line names the columns, unless told
/// otherwise; columns can also be given by number, counted from 0. Lines may end in either way, values may be quoted, and
/// spaces around them do not count.
///
/// ```
/// use wgrad::data::Csv;
///
/// let table = "id,petal length,petal width,species
///              1,1.4,0.2,setosa
///              2,5.1,1.8,virginica
///              3,1.3,0.2,setosa";
/// let flowers = Csv::labels("species").ignore(["id"]).read_from(table.as_bytes())?;
/// assert_eq!((flowers.len(), flowers.input_cols()), (3, 2));
/// assert_eq!(flowers.targets(), [0.0, 1.0, 0.0]);
/// assert_eq!(flowers.class_names(), ["setosa", "virginica"]);
///
/// let error = Csv::values(["petal width"]).ignore(["id"]).read_from(table.as_bytes()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "csv: line 2, column 'species': 'setosa' is no number; correct it, remove the row or ignore the column"
/// );
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    targets: Targets,
    ignored: Vec<Column>,
    classes: Vec<String>,
    header: bool,
    delimiter: u8,
}

#[derive(Clone, Debug)]
enum Targets {
    Labels(Column),
    Values(Vec<Column>),
}

/// A column of a table: `"name"`, or its number counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Column {
    /// As the first line names it.
    Name(String),
    /// Counted from 0.
    Number(usize),
}

impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for Column {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for Column {
    fn from(number: usize) -> Self {
        Self::Number(number)
    }
}

/// What becomes of a column.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Input,
    /// Which column of the targets.
    Target(usize),
    Ignored,
}

/// What a table has been read into.
#[derive(Default)]
struct Values {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    labels: Vec<String>,
    /// Where each label stands, for errors.
    positions: Vec<Position>,
}

impl Csv {
    /// A table to learn classes from: this column holds labels, text or numbers. They become class numbers [n, 1], as
    /// [`CrossEntropy`](crate::nn::CrossEntropy) takes them ([`Dataset::one_hot`] for other losses), and
    /// [`Dataset::class_names`] keeps them.
    ///
    /// The classes are numbered in the order of their labels (of their values, where all are numbers).
    pub fn labels(column: impl Into<Column>) -> Self {
        Self::new(Targets::Labels(column.into()))
    }

    /// A table to learn numbers from: these columns are the targets, in this order.
    pub fn values(columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        Self::new(Targets::Values(columns.into_iter().map(Into::into).collect()))
    }

    fn new(targets: Targets) -> Self {
        Self { targets, ignored: Vec::new(), classes: Vec::new(), header: true, delimiter: b',' }
    }

    /// Leaves out these columns.
    pub fn ignore(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.ignored.extend(columns.into_iter().map(Into::into));
        self
    }

    /// The labels in the order of their class numbers; any other label is an error. So several files share their
    /// numbers, even if some class is missing in one.
    pub fn classes(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The first line holds values already; columns go by number.
    pub fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// What separates values: a comma, unless told otherwise.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read, without rows or of text that is not UTF-8; a column that is not there, or two of that
    /// name. With the line's number: rows of another length than the first; in a column of inputs or values a value that
    /// is missing, no number or not finite; a label that is missing or not among those given.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| Error::new(ErrorKind::Io, "csv", format!("{} can't be read: {error}", path.display())))?;
        self.parse(&Source { name: Some(path), bytes: &bytes })
    }

    /// Reads from anything else that gives text.
    ///
    /// # Errors
    /// As [`Csv::read`].
    pub fn read_from(&self, mut reader: impl Read) -> Result<Dataset> {
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Io, "csv", format!("the table can't be read: {error}")))?;
        self.parse(&Source { name: None, bytes: &bytes })
    }

    fn parse(&self, source: &Source<'_>) -> Result<Dataset> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .trim(Trim::All)
            .from_reader(source.bytes);
        let mut record = StringRecord::new();
        let mut read =
            |record: &mut StringRecord| reader.read_record(record).map_err(|error| source.unreadable(&error));
        let mut more = read(&mut record)?;
        if !more {
            return Err(source.error("the table is empty; give at least one row"));
        }
        let columns = Columns::new(self, source, &record)?;
        if self.header {
            more = read(&mut record)?;
        }
        let mut values = Values::default();
        while more {
            columns.take_in(source, &record, &mut values)?;
            more = read(&mut record)?;
        }
        if values.inputs.is_empty() {
            return Err(source.error("there is no row below the header; give at least one"));
        }
        let target_cols = match &self.targets {
            Targets::Labels(_) => 1,
            Targets::Values(columns) => columns.len(),
        };
        let classes = self.number_labels(source, &mut values)?;
        let dataset = Dataset::new(values.inputs, columns.inputs(), values.targets, target_cols)?;
        Ok(dataset.with_class_names(classes))
    }

    /// Turns labels into class numbers, and returns the classes.
    fn number_labels(&self, source: &Source<'_>, values: &mut Values) -> Result<Vec<String>> {
        let mut classes = self.classes.clone();
        if classes.is_empty() {
            classes = values.labels.clone();
            classes.sort_unstable();
            classes.dedup();
            let numbers: Option<Vec<f64>> = classes.iter().map(|label| label.parse().ok()).collect();
            if let Some(numbers) = numbers {
                let mut pairs: Vec<_> = numbers.into_iter().zip(classes).collect();
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                classes = pairs.into_iter().map(|pair| pair.1).collect();
            }
        }
        let numbers: std::collections::HashMap<&str, usize> =
            classes.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();
        for (label, position) in values.labels.iter().zip(&values.positions) {
            let Some(number) = numbers.get(label.as_str()) else {
                let detail = format!("the label '{label}' is not among the classes {}", classes.join(", "));
                return Err(source.error_at(position, &detail));
            };
            values.targets.push(*number as f32);
        }
        Ok(classes)
    }
}

/// What the columns are for.
struct Columns {
    /// How messages call them.
    names: Vec<String>,
    roles: Vec<Role>,
    labels: bool,
}

impl Columns {
    fn new(csv: &Csv, source: &Source<'_>, first: &StringRecord) -> Result<Self> {
        // A table without a header would lose its first row.
        if csv.header && first.iter().all(|field| field.parse::<f32>().is_ok()) {
            return Err(source.error("the first line holds numbers, not names; if there are no names, say so"));
        }
        let index = |column: &Column| match column {
            Column::Number(number) if *number < first.len() => Ok(*number),
            Column::Number(number) => {
                Err(source.error(&format!("there is no column {number}; there are {}, from 0", first.len())))
            }
            Column::Name(name) if !csv.header => {
                Err(source.error(&format!("column '{name}': without a header, columns go by number")))
            }
            Column::Name(name) => {
                let mut found = first.iter().enumerate().filter(|(_, field)| field == name);
                match (found.next(), found.next()) {
                    (Some((index, _)), None) => Ok(index),
                    (None, _) => {
                        let names: Vec<_> = first.iter().collect();
                        Err(source.error(&format!("there is no column '{name}'; there are {}", names.join(", "))))
                    }
                    _ => Err(source.error(&format!("there are several columns '{name}'; give the column's number"))),
                }
            }
        };
        let name = |(i, field): (usize, &str)| if csv.header { format!("'{field}'") } else { i.to_string() };
        let names: Vec<String> = first.iter().enumerate().map(name).collect();
        let mut roles = vec![Role::Input; names.len()];
        let targets = match &csv.targets {
            Targets::Labels(column) => std::slice::from_ref(column),
            Targets::Values(columns) => columns,
        };
        let targets = targets.iter().enumerate().map(|(i, column)| (column, Role::Target(i)));
        for (column, role) in targets.chain(csv.ignored.iter().map(|column| (column, Role::Ignored))) {
            let i = index(column)?;
            if roles[i] != Role::Input {
                return Err(source.error(&format!("column {} is asked for twice; leave one out", names[i])));
            }
            roles[i] = role;
        }
        if !roles.contains(&Role::Input) {
            return Err(source.error("no column is left for the inputs; ignore fewer"));
        }
        Ok(Self { names, roles, labels: matches!(csv.targets, Targets::Labels(_)) })
    }

    fn inputs(&self) -> usize {
        self.roles.iter().filter(|role| **role == Role::Input).count()
    }

    fn take_in(&self, source: &Source<'_>, record: &StringRecord, values: &mut Values) -> Result<()> {
        let start = Position::new();
        let position = record.position().unwrap_or(&start);
        if record.len() != self.names.len() {
            let detail = format!(
                "{} values, but the first line has {}; correct or remove the row",
                record.len(),
                self.names.len()
            );
            return Err(source.error_at(position, &detail));
        }
        let first_target = values.targets.len();
        if !self.labels {
            let targets = self.roles.iter().filter(|role| matches!(role, Role::Target(_))).count();
            values.targets.resize(first_target + targets, 0.0);
        }
        for ((field, role), name) in record.iter().zip(&self.roles).zip(&self.names) {
            let fail = |detail: String| source.error_in(position, name, &detail);
            match role {
                Role::Ignored => {}
                Role::Input => values.inputs.push(number(field).map_err(fail)?),
                Role::Target(_) if self.labels => {
                    if field.is_empty() || field == "?" {
                        return Err(fail("the label is missing; fill it in or remove the row".into()));
                    }
                    values.labels.push(field.into());
                    values.positions.push(position.clone());
                }
                Role::Target(i) => values.targets[first_target + i] = number(field).map_err(fail)?,
            }
        }
        Ok(())
    }
}

/// A field's number, or what is wrong with it.
fn number(field: &str) -> Result<f32, String> {
    const MISSING: [&str; 7] = ["", "?", "na", "n/a", "nan", "null", "none"];
    match field.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ if MISSING.iter().any(|missing| field.eq_ignore_ascii_case(missing)) => {
            Err("the value is missing; fill it in, remove the row or ignore the column".into())
        }
        Ok(_) => Err(format!("'{field}' is infinite as an f32; correct it or remove the row")),
        Err(_) => Err(format!("'{field}' is no number; correct it, remove the row or ignore the column")),
    }
}

/// What is read, for messages.
struct Source<'a> {
    name: Option<&'a Path>,
    bytes: &'a [u8],
}

impl Source<'_> {
    /// The line that a record begins on. The reader's own count stands before blank lines and the second half of a
    /// Windows line end.
    fn line(&self, position: &Position) -> usize {
        let before = (position.byte() as usize).min(self.bytes.len());
        let blank = self.bytes[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        1 + self.bytes[..before + blank].iter().filter(|byte| **byte == b'\n').count()
    }

    fn error(&self, detail: &str) -> Error {
        match self.name {
            Some(path) => Error::input("csv", format!("{}: {detail}", path.display())),
            None => Error::input("csv", detail),
        }
    }

    fn error_at(&self, position: &Position, detail: &str) -> Error {
        self.error(&format!("line {}: {detail}", self.line(position)))
    }

    fn error_in(&self, position: &Position, column: &str, detail: &str) -> Error {
        self.error(&format!("line {}, column {column}: {detail}", self.line(position)))
    }

    fn unreadable(&self, error: &csv::Error) -> Error {
        match error.kind() {
            csv::ErrorKind::Utf8 { pos: Some(position), .. } => {
                self.error_at(position, "the text is not UTF-8; save the table as UTF-8")
            }
            _ => self.error(&error.to_string()),
        }
    }
}
