//! Reading tables as they are.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use super::Csv;
use super::cells::Cells;
use super::columns::{better_reading, check_len};
use super::lines::{Fault, Row};
use super::source::Source;
use super::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

impl Csv {
    /// Reads a file as a [`Table`]: columns that are not ignored, as text. Without [`Csv::header`] the first line holds the
    /// names, unless a number is among them; then it must be said.
    ///
    /// # Errors
    /// A file that can't be read, is in another format than text in UTF-8, or has no rows; two columns of one name; a first
    /// line that may be names or a sample; a quote that is not closed; rows of another length than the first.
    pub fn table(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| files::unreadable("csv", path, &error))?;
        self.parse_table(&Source::new(Some(path)), &bytes, Some(path))
    }

    /// The same from anything else that gives text.
    ///
    /// # Errors
    /// As [`Csv::table`].
    pub fn table_from(&self, mut reader: impl Read) -> Result<Table> {
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Io, "csv", format!("the table can't be read: {error}")))?;
        self.parse_table(&Source::new(None), &bytes, None)
    }

    fn parse_table(&self, source: &Source<'_>, bytes: &[u8], path: Option<&Path>) -> Result<Table> {
        let at = |(line, detail): Fault| source.error_at(line, &detail);
        let (first, mut rows, delimiter) = self.open(source, bytes)?;
        if let Some(hint) = better_reading(self, &first.fields, delimiter) {
            return Err(source.error_at(first.line, &hint));
        }
        let has_header = match self.header {
            Some(said) => said,
            None => self.has_names(source, &first)?,
        };
        let cols = first.fields.len();
        let mut table = Table {
            path: path.map(Path::to_path_buf),
            names: if has_header { names(&first) } else { (0..cols).map(|i| i.to_string()).collect() },
            columns: Vec::new(),
            lines: Vec::new(),
            format: self.format.clone(),
        };
        table.check_names(source)?;
        let mut columns = vec![Vec::new(); cols];
        let mut take_in = |row: &Row<'_>| {
            columns.iter_mut().zip(&row.fields).for_each(|(column, field)| column.push(field.to_string()));
            table.lines.push(row.line);
        };
        if !has_header {
            take_in(&first);
        }
        while let Some(row) = rows.next().map_err(at)? {
            check_len(source, &row, cols, first.line, delimiter)?;
            take_in(&row);
        }
        if table.lines.is_empty() {
            return Err(source.error("there are no rows below the names of the columns; give at least one"));
        }
        table.columns = columns.into_iter().map(Cells::Texts).collect();
        table.without(self.ignored.clone())
    }

    /// Whether the first line holds names, where nobody says.
    fn has_names(&self, source: &Source<'_>, first: &Row<'_>) -> Result<bool> {
        if first.fields.iter().all(|field| self.format.number(field).is_none()) {
            return Ok(true);
        }
        let line: String = first.fields.join(", ").chars().take(60).collect();
        let detail = format!(
            "line {} ({line}) may be the names of the columns or the first sample; call header(true) or header(false)",
            first.line
        );
        Err(source.error(&detail))
    }
}

/// The names in the first line; columns without one are called as pandas calls them.
fn names(first: &Row<'_>) -> Vec<String> {
    let name = |(i, field): (usize, &Cow<'_, str>)| match &**field {
        "" => format!("Unnamed: {i}"),
        name => name.to_string(),
    };
    first.fields.iter().enumerate().map(name).collect()
}
