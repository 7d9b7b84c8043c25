//! Datasets from CSV files.

mod cells;
mod columns;
mod labels;
mod lines;
mod number;
mod read_table;
mod source;
mod table;
#[cfg(feature = "table")]
mod values;

use std::io::Read;
use std::path::Path;

pub use self::cells::Cells;
use self::columns::{Columns, Values};
use self::lines::{Delimiter, Fault, Row, Rows};
use self::number::Format;
#[cfg(feature = "table")]
pub(crate) use self::number::{Field, LEAVE_OUT};
use self::source::Source;
pub use self::table::Table;
use super::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// Reads a table of comma-separated values: which columns are targets, and how the file is written.
///
/// Every column that is neither a target nor ignored is an input. Columns go by the names in the first line, or by
/// number, counted from 0; [`Csv::header`] says whether there are names where that is ambiguous. Values may be in
/// quotes, blanks around them do not count, and lines may end in any way. `True` and `False` are 1 and 0.
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
///     "csv: line 2, column 'species': 'setosa' is not a number; correct it, remove the row, or leave the column out with \
///      ignore(...)"
/// );
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// Numbers are read as f64. A column whose differences would be lost in f32, such as one of timestamps, is an error that
/// names [`Csv::subtract`].
#[derive(Clone, Debug)]
pub struct Csv {
    targets: Targets,
    ignored: Vec<Column>,
    weights: Option<Column>,
    classes: Vec<String>,
    header: Option<bool>,
    delimiter: Option<Delimiter>,
    comment: Option<char>,
    format: Format,
    missing: Missing,
    subtracted: Vec<(Column, f64)>,
}

#[derive(Clone, Debug)]
enum Targets {
    Labels(Column),
    Values(Vec<Column>),
    /// All that is read is the table.
    None,
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

/// What [`Csv`] does with a row in which an input, a target or a label is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// An error that says where it is.
    #[default]
    Refuse,
    /// The row is left out; the log says how many were.
    DropRow,
}

impl Csv {
    /// A table for classification: this column holds labels, text or whole numbers. They become class numbers [n, 1],
    /// as [`CrossEntropy`](crate::nn::CrossEntropy) takes them ([`Dataset::one_hot`] for other losses), and
    /// [`Dataset::class_names`] keeps them.
    ///
    /// The classes are numbered in the order of their labels: of their values where all are numbers, whose spelling then
    /// does not count (`1`, `1.0` and `01` are one class).
    pub fn labels(column: impl Into<Column>) -> Self {
        Self::of(Targets::Labels(column.into()))
    }

    /// A table for regression: these columns are the targets, in this order.
    pub fn values(columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        Self::of(Targets::Values(columns.into_iter().map(Into::into).collect()))
    }

    /// Any table, as text: for [`Csv::table`], which [`Table::read`] calls where the file needs none of the settings here.
    ///
    /// ```
    /// use wgrad::data::Csv;
    ///
    /// let homes = Csv::any().delimiter(';').decimal(',').table_from("area;heating\n70,5;gas\n".as_bytes())?;
    /// assert_eq!(homes.names(), ["area", "heating"]);
    /// assert_eq!(homes.to_csv(), "area,heating\n\"70,5\",gas\n");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn any() -> Self {
        Self::of(Targets::None)
    }

    fn of(targets: Targets) -> Self {
        Self {
            targets,
            ignored: Vec::new(),
            weights: None,
            classes: Vec::new(),
            header: None,
            delimiter: None,
            comment: None,
            format: Format { decimal: '.', thousands: None, missing: Vec::new() },
            missing: Missing::Refuse,
            subtracted: Vec::new(),
        }
    }

    /// Leaves out these columns.
    pub fn ignore(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.ignored.extend(columns.into_iter().map(Into::into));
        self
    }

    /// This column holds the samples' weights: [`Dataset::weights`].
    ///
    /// ```
    /// use wgrad::data::Csv;
    ///
    /// let table = "area,price,times seen\n70,210,1\n120,340,3\n";
    /// let homes = Csv::values(["price"]).weights("times seen").read_from(table.as_bytes())?;
    /// assert_eq!((homes.inputs(), homes.weights()), (&[70.0, 120.0][..], Some(&[1.0, 3.0][..])));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn weights(mut self, column: impl Into<Column>) -> Self {
        self.weights = Some(column.into());
        self
    }

    /// The labels in the order of their class numbers; any other label is an error. So several files share their
    /// numbers, even if some class is missing in one. A label such as `NA` that would mark a missing value is a class if
    /// it is named here.
    pub fn classes(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.classes = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the first line holds the names of the columns.
    ///
    /// Without this call it does if a column is asked for by name. Else the first line holds names if there is text
    /// where inputs or values should be, and the first sample if its label is found again below; a line that could be
    /// either is an error.
    pub fn header(mut self, is_there: bool) -> Self {
        self.header = Some(is_there);
        self
    }

    /// What separates values (`';'`, `b'\t'`); a comma by default, or as given in a first line such as Excel's `sep=;`.
    pub fn delimiter(mut self, delimiter: impl Into<char>) -> Self {
        self.delimiter = Some(Delimiter::Character(delimiter.into()));
        self
    }

    /// Values are separated by any number of spaces and tabs.
    pub fn whitespace(mut self) -> Self {
        self.delimiter = Some(Delimiter::Whitespace);
        self
    }

    /// The decimal mark; by default a point.
    ///
    /// ```
    /// use wgrad::data::Csv;
    ///
    /// let table = "people;area;price\n12.500;7,4;340\n";
    /// let homes = Csv::values(["price"]).delimiter(';').decimal(',').thousands('.').read_from(table.as_bytes())?;
    /// assert_eq!(homes.inputs(), [12_500.0, 7.4]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn decimal(mut self, mark: impl Into<char>) -> Self {
        self.format.decimal = mark.into();
        self
    }

    /// The thousands separator; by default none.
    pub fn thousands(mut self, mark: impl Into<char>) -> Self {
        self.format.thousands = Some(mark.into());
        self
    }

    /// What starts a comment, which ends with its line; by default nothing.
    pub fn comment(mut self, mark: impl Into<char>) -> Self {
        self.comment = Some(mark.into());
        self
    }

    /// What to do with rows in which something is missing.
    ///
    /// ```
    /// use wgrad::data::{Csv, Missing};
    ///
    /// let table = "area,age,price\n70,30,210\n120,NA,340\n90,10,300\n";
    /// let error = Csv::values(["price"]).read_from(table.as_bytes()).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "csv: line 3, column 'age': the value is missing ('NA'); fill it in, leave the column out with ignore(...), or \
    ///      leave out such rows with missing(Missing::DropRow)"
    /// );
    /// assert_eq!(Csv::values(["price"]).missing(Missing::DropRow).read_from(table.as_bytes())?.len(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// More markers of a missing value, such as `-999` or `.`, besides the usual ones: pandas' (an empty field, `NA`,
    /// `N/A`, `NaN`, `NULL`, `None` and so on) and `?`.
    pub fn na_values(mut self, marks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.format.missing.extend(marks.into_iter().map(Into::into));
        self
    }

    /// Subtracts a number from all values of a column before they become f32, which has 24 bits: seconds since 1970 are
    /// known to 128 s only, seconds since yesterday to a hundredth of one.
    ///
    /// ```
    /// use wgrad::data::Csv;
    ///
    /// let table = "time,load\n1700000000,3\n1700000001,5\n";
    /// assert!(Csv::values(["load"]).read_from(table.as_bytes()).is_err());
    /// let loads = Csv::values(["load"]).subtract("time", 1.7e9).read_from(table.as_bytes())?;
    /// assert_eq!(loads.inputs(), [0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn subtract(mut self, column: impl Into<Column>, number: f64) -> Self {
        self.subtracted.push((column.into(), number));
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read, is in another format than text in UTF-8, or has no rows; a column that is not there, or
    /// two of that name; a first line that could be names or a sample. With the line's number: a quote that is not
    /// closed, rows of another length than the first; in a column of inputs or values a value that is missing, no number
    /// or not finite; a negative weight; a label that is missing, a fraction or not among those given. A column whose
    /// differences are lost in f32.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| files::unreadable("csv", path, &error))?;
        self.parse(&Source::new(Some(path)), &bytes)
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
        self.parse(&Source::new(None), &bytes)
    }

    fn parse(&self, source: &Source<'_>, bytes: &[u8]) -> Result<Dataset> {
        let at = |(line, detail): Fault| source.error_at(line, &detail);
        let (first, mut rows, delimiter) = self.open(source, bytes)?;
        let columns = Columns::new(self, source, &first, &rows, delimiter)?;
        let mut values = Values::default();
        if !columns.has_header() {
            columns.take_in(source, &first, &mut values)?;
        }
        while let Some(row) = rows.next().map_err(at)? {
            columns.take_in(source, &row, &mut values)?;
        }
        columns.dataset(source, values)
    }

    /// The first row, those below it, and what separates values.
    fn open<'t>(&self, source: &Source<'_>, bytes: &'t [u8]) -> Result<(Row<'t>, Rows<'t>, Delimiter)> {
        let text = source.text(bytes)?;
        let (text, line, named) = match sep_line(text) {
            Some((delimiter, rest)) => (rest, 2, Some(Delimiter::Character(delimiter))),
            None => (text, 1, None),
        };
        let delimiter = self.delimiter.or(named).unwrap_or(Delimiter::Character(','));
        self.check_marks(source, delimiter)?;
        let mut rows = Rows::new(text, line, delimiter, self.comment);
        let first = rows.next().map_err(|(line, detail)| source.error_at(line, &detail))?;
        let first = first.ok_or_else(|| source.error("the table is empty; give at least one row"))?;
        Ok((first, rows, delimiter))
    }

    /// Marks that would mean two things.
    fn check_marks(&self, source: &Source<'_>, delimiter: Delimiter) -> Result<()> {
        let mut marks = vec![("decimal", self.format.decimal)];
        marks.extend(self.format.thousands.map(|mark| ("thousands", mark)));
        marks.extend(self.comment.map(|mark| ("comment", mark)));
        if let Delimiter::Character(mark) = delimiter {
            // A number in quotes may hold the delimiter.
            marks.push(("delimiter", mark));
        }
        for (i, (name, mark)) in marks.iter().enumerate() {
            let in_numbers = mark.is_alphanumeric() || matches!(mark, '+' | '-');
            if matches!(mark, '"' | '\n' | '\r') || (*name != "delimiter" && in_numbers) {
                return Err(
                    source.error(&format!("{name}({mark:?}): this character has a meaning of its own; give another"))
                );
            }
            let is_twin = |(other, twin): &&(&str, char)| {
                twin == mark && !(*other == "delimiter" && matches!(*name, "decimal" | "thousands"))
            };
            if let Some((other, _)) = marks[i + 1..].iter().find(is_twin) {
                let way_out = match (*name, *mark) {
                    ("decimal", '.') => "; where points separate thousands, say what marks decimals: decimal(',')",
                    _ => "; give two characters",
                };
                return Err(source.error(&format!("{name} and {other} are both {mark:?}{way_out}")));
            }
        }
        Ok(())
    }
}

/// The delimiter that Excel's first line `sep=;` names, and the text below it.
fn sep_line(text: &str) -> Option<(char, &str)> {
    let end = text.find(['\n', '\r'])?;
    let (line, rest) = text.split_at(end);
    let start = line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep="))?;
    let mut name = line[start.len()..].chars();
    match (name.next(), name.next()) {
        (Some(delimiter), None) => Some((delimiter, rest.strip_prefix("\r\n").unwrap_or(&rest[1..]))),
        _ => None,
    }
}
