//! Tables as they are, before anything is made of their columns.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::cells::Cells;
use super::labels::Labels;
use super::number::Format;
use super::source::Source;
use super::{Column, Csv, Dataset};
use crate::error::{Error, Result};
use crate::files;

/// A table with named columns of text or numbers: what [`table::Classifier`](crate::table::Classifier) and
/// [`table::Regressor`](crate::table::Regressor) learn from and predict for. Nothing is made of its columns yet; a value may
/// be missing (pandas' marks, such as an empty field or `NA`; NaN among numbers).
///
/// ```
/// use wgrad::data::Table;
///
/// let homes = Table::read_from("area,heating\n70,gas\n120,\n".as_bytes())?;
/// assert_eq!((homes.len(), homes.names()), (2, &["area".to_string(), "heating".to_string()][..]));
/// let same = Table::new().with_column("area", vec![70.0, 120.0])?.with_column("heating", vec!["gas", ""])?;
/// assert_eq!(same.to_csv(), homes.to_csv());
///
/// let one = Table::from_row([("area", "95"), ("heating", "oil")])?;
/// assert_eq!(one.len(), 1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Table {
    pub(super) path: Option<PathBuf>,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Cells>,
    /// The line that each row begins on; empty where the table comes from memory.
    pub(super) lines: Vec<usize>,
    pub(super) format: Format,
}

impl Table {
    /// A table without columns, for [`Table::with_column`].
    #[expect(clippy::new_without_default, reason = "there is nothing to do with an empty table but to add columns")]
    pub fn new() -> Self {
        let format = Format { decimal: '.', thousands: None, missing: Vec::new() };
        Self { path: None, names: Vec::new(), columns: Vec::new(), lines: Vec::new(), format }
    }

    /// A file of comma-separated values whose first line names the columns; for others see [`Csv::any`].
    ///
    /// # Errors
    /// As [`Csv::table`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Csv::any().table(path)
    }

    /// The same from anything else that gives text.
    ///
    /// # Errors
    /// As [`Csv::table`].
    pub fn read_from(reader: impl Read) -> Result<Self> {
        Csv::any().table_from(reader)
    }

    /// A single row: the names of its columns, and their values.
    ///
    /// # Errors
    /// Two columns of one name.
    pub fn from_row<N: Into<String>, V: ToString>(values: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let add = |table: Self, (name, value): (N, V)| table.with_column(name, vec![value.to_string()]);
        values.into_iter().try_fold(Self::new(), add)
    }

    /// The inputs of a dataset as columns `x0`, `x1`..., and its targets as `y`: the names of its classes where it has
    /// names, else numbers; `y0`, `y1`... if there are several.
    ///
    /// ```
    /// use wgrad::data::{Dataset, Table};
    ///
    /// let and = Dataset::from_rows(&[[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &[[0.0], [0.0], [0.0], [1.0]])?;
    /// let table = Table::from_dataset(&and.with_class_names(["no", "yes"]))?;
    /// assert_eq!(table.to_csv().lines().last(), Some("1,1,yes"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Class names for targets that are not class numbers.
    pub fn from_dataset(data: &Dataset) -> Result<Self> {
        let column = |values: &[f32], cols: usize, i: usize| -> Vec<f32> {
            values.iter().skip(i).step_by(cols).copied().collect()
        };
        let mut table = Self::new();
        for i in 0..data.input_cols() {
            table = table.with_column(format!("x{i}"), column(data.inputs(), data.input_cols(), i))?;
        }
        if !data.class_names().is_empty() {
            let classes = data.class_numbers("table", data.class_names().len())?;
            let names: Vec<_> = classes.into_iter().map(|class| data.class_names()[class].clone()).collect();
            return table.with_column("y", names);
        }
        for i in 0..data.target_cols() {
            let name = if data.target_cols() == 1 { "y".into() } else { format!("y{i}") };
            table = table.with_column(name, column(data.targets(), data.target_cols(), i))?;
        }
        Ok(table)
    }

    /// The same table with one more column on the right: numbers (NaN where one is missing) or text.
    ///
    /// # Errors
    /// A name that there is; another number of values than rows.
    pub fn with_column(mut self, name: impl Into<String>, cells: impl Into<Cells>) -> Result<Self> {
        let (name, cells) = (name.into(), cells.into());
        if !self.columns.is_empty() && cells.len() != self.len() {
            let detail =
                format!("column '{name}' has {} values for {} rows; give one for each", cells.len(), self.len());
            return Err(Error::shape("table", detail));
        }
        if cells.len() == 0 {
            return Err(Error::shape("table", format!("column '{name}' has no values; give at least one")));
        }
        self.names.push(name);
        self.columns.push(cells);
        self.check_names(&Source::of_table(self.path.as_deref()))?;
        Ok(self)
    }

    /// The same table without these columns.
    ///
    /// # Errors
    /// A column that is not there; no column that is left.
    pub fn without(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Result<Self> {
        let columns: Vec<Column> = columns.into_iter().map(Into::into).collect();
        let mut dropped = columns.iter().map(|column| self.find(column)).collect::<Result<Vec<_>>>()?;
        dropped.sort_unstable();
        dropped.dedup();
        for column in dropped.into_iter().rev() {
            self.names.remove(column);
            self.columns.remove(column);
        }
        if self.columns.is_empty() {
            return Err(Error::shape("table", "no column is left; take out fewer"));
        }
        Ok(self)
    }

    /// The number of rows.
    #[expect(clippy::len_without_is_empty, reason = "no table that was read is empty")]
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Cells::len)
    }

    /// The names of the columns, from left to right.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values of a column.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn column(&self, column: impl Into<Column>) -> Result<&Cells> {
        Ok(&self.columns[self.find(&column.into())?])
    }

    /// The rows of these numbers, in this order; a number may be given more than once.
    ///
    /// # Errors
    /// No numbers, or one that is not less than [`Table::len`].
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let len = self.len();
        if rows.is_empty() {
            return Err(Error::shape("select", "no rows are chosen; give at least one number"));
        }
        if let Some(row) = rows.iter().find(|row| **row >= len) {
            return Err(Error::input(
                "select",
                match len {
                    0 => format!("there is no row {row} in a table without rows"),
                    _ => format!("there is no row {row}; {len} rows count from 0 to {}", len - 1),
                },
            ));
        }
        Ok(Self {
            columns: self.columns.iter().map(|cells| cells.select(rows)).collect(),
            lines: if self.lines.is_empty() { Vec::new() } else { rows.iter().map(|row| self.lines[*row]).collect() },
            names: self.names.clone(),
            path: self.path.clone(),
            format: self.format.clone(),
        })
    }

    /// The rows that have a value in this column (pandas' `dropna`).
    ///
    /// ```
    /// use wgrad::data::Table;
    ///
    /// let homes = Table::read_from("area,price\n70,210\n120,NA\n".as_bytes())?;
    /// assert_eq!(homes.drop_missing("price")?.to_csv(), "area,price\n70,210\n");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A column that is not there, or has no value in any row.
    pub fn drop_missing(&self, column: impl Into<Column>) -> Result<Self> {
        let column = self.find(&column.into())?;
        let has_value = |row: &usize| !self.format.is_missing(&self.columns[column].text(*row));
        let rows: Vec<usize> = (0..self.len()).filter(has_value).collect();
        if rows.is_empty() {
            return Err(Error::input("table", format!("column '{}' has no values at all", self.names[column])));
        }
        self.select(&rows)
    }

    /// The rows, shuffled, in two parts: `fraction` of them and the rest, as [`Dataset::split`] does it.
    ///
    /// ```
    /// use wgrad::data::Table;
    ///
    /// let (train, test) = Table::read("examples/data/penguins.csv")?.split(0.8, 0)?;
    /// assert_eq!((train.len(), test.len()), (275, 69));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A fraction that leaves one part empty.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        let (first, rest) = self.row_numbers(None)?.split(fraction, seed)?;
        Ok((self.chosen(&first)?, self.chosen(&rest)?))
    }

    /// The same with each value of this column in both parts by its share, as [`Dataset::split_stratified`] does it.
    ///
    /// # Errors
    /// A fraction that leaves one part empty; a column that is not there; a value that a single row has.
    pub fn split_stratified(&self, column: impl Into<Column>, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        let (classes, names) = self.labels(self.find(&column.into())?, &[])?;
        let mut counts = vec![0_usize; names.len()];
        classes.iter().for_each(|class| counts[*class as usize] += 1);
        if let Some(class) = counts.iter().position(|count| *count == 1) {
            let detail = format!(
                "'{}' has a single row, which can't be in both parts; use split, or leave it out",
                names[class]
            );
            return Err(Error::input("split_stratified", detail));
        }
        let (first, rest) = self.row_numbers(Some(classes))?.split_stratified(fraction, seed)?;
        Ok((self.chosen(&first)?, self.chosen(&rest)?))
    }

    /// The table as comma-separated values, with the names in the first line.
    pub fn to_csv(&self) -> String {
        let line = |fields: Vec<Cow<'_, str>>| fields.iter().map(|f| quoted(f)).collect::<Vec<_>>().join(",") + "\n";
        let names = line(self.names.iter().map(|name| Cow::Borrowed(&**name)).collect());
        let row = |row: usize| line(self.columns.iter().map(|cells| cells.text(row)).collect());
        names + &(0..self.len()).map(row).collect::<String>()
    }

    /// Writes [`Table::to_csv`] into a file, which is replaced atomically.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write("Table::save", path.as_ref(), self.to_csv().as_bytes())
    }

    /// Its row numbers as the inputs of a dataset, with these class numbers: what chooses samples then chooses rows.
    pub(crate) fn row_numbers(&self, classes: Option<Vec<f32>>) -> Result<Dataset> {
        /// From here on, two whole numbers share an f32.
        const MOST: usize = 1 << 24;
        if self.len() > MOST {
            let detail = format!("{} rows can't be split, at most {MOST}; split the file", self.len());
            return Err(Error::input("table", detail));
        }
        let numbers: Vec<f32> = (0..self.len()).map(|row| row as f32).collect();
        let classes = classes.unwrap_or_else(|| vec![0.0; self.len()]);
        Dataset::new(numbers, 1, classes, 1)
    }

    /// The rows whose numbers are in a part of [`Table::row_numbers`].
    pub(crate) fn chosen(&self, numbers: &Dataset) -> Result<Self> {
        self.select(&numbers.inputs().iter().map(|row| *row as usize).collect::<Vec<_>>())
    }

    /// Where a column is.
    pub(crate) fn find(&self, column: &Column) -> Result<usize> {
        let found = match column {
            Column::Number(number) => Some(*number).filter(|number| *number < self.names.len()),
            Column::Name(name) => self.names.iter().position(|other| other == name),
        };
        found.ok_or_else(|| {
            let wanted = match column {
                Column::Number(number) => number.to_string(),
                Column::Name(name) => format!("'{name}'"),
            };
            Source::of_table(self.path.as_deref())
                .error(&format!("there is no column {wanted}; there are {}", self.names.join(", ")))
        })
    }

    /// The class number of each row by this column, and the classes: the given ones, or those that there are.
    pub(crate) fn labels(&self, column: usize, given: &[String]) -> Result<(Vec<f32>, Vec<String>)> {
        let mut labels = Labels::default();
        for row in 0..self.len() {
            let text = self.columns[column].text(row);
            if self.format.is_missing(&text) && !given.iter().any(|class| *class == text) {
                let detail = "the label is missing; fill it in, or leave out such rows with Table::drop_missing";
                return Err(self.error_in(row, column, detail));
            }
            let line = self.lines.get(row).copied().unwrap_or(row);
            labels.push(&text, line);
        }
        let advice = "are a Regressor's; if these are classes, give them names that are text";
        labels.numbered(&Source::of_table(self.path.as_deref()), &self.format, given, advice)
    }

    /// An error at a column's value in a row.
    pub(crate) fn error_in(&self, row: usize, column: usize, detail: &str) -> Error {
        let place = match self.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("row {row}"),
        };
        let source = Source::of_table(self.path.as_deref());
        source.error(&format!("{place}, column '{}': {detail}", self.names[column]))
    }

    /// An error where two columns have one name.
    pub(super) fn check_names(&self, source: &Source<'_>) -> Result<()> {
        let twice = |(i, name): &(usize, &String)| self.names[..*i].contains(name);
        match self.names.iter().enumerate().find(twice) {
            Some((_, name)) => {
                Err(source.error(&format!("there are several columns '{name}'; give each its own name")))
            }
            None => Ok(()),
        }
    }
}

/// A field in quotes where it needs them.
fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) || field.trim() != field {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} rows of {})", self.len(), self.names.join(", "))
    }
}
