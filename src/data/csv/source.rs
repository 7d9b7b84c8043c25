//! Where a table comes from, for messages, and what its first bytes say about it.

use std::path::Path;

use super::lines::Delimiter;
use crate::error::{Error, Result};

/// What is read.
pub(super) struct Source<'a> {
    operation: &'static str,
    name: Option<&'a Path>,
}

/// The first bytes of files that are no tables of text, what these are, and the way out.
const FORMATS: [(&[u8], &str); 26] = [
    (b"\x1f\x8b", "is compressed with gzip; decompress it (gunzip)"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet (.xlsx, .ods); unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet (.xls); save the sheet as CSV"),
    (b"BZh", "is compressed with bzip2; decompress it (bunzip2)"),
    (b"\xfd7zXZ", "is compressed with xz; decompress it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; decompress it (unzstd)"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4; decompress it (unlz4)"),
    (b"\x1f\x9d", "is compressed with compress; decompress it (uncompress)"),
    (b"Rar!", "is a RAR archive; unpack it"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it"),
    (b"%PDF", "is a PDF; copy the table into a text file"),
    (b"{\\rtf", "is an RTF document; save it as plain text"),
    (b"PAR1", "is a Parquet file; convert it (pandas.read_parquet(...).to_csv(..., index=False))"),
    (b"ARROW1", "is an Arrow file; convert it (pandas.read_feather(...).to_csv(..., index=False))"),
    (b"Obj\x01", "is an Avro file; convert it to CSV"),
    (b"ORC", "is an ORC file; convert it (pandas.read_orc(...).to_csv(..., index=False))"),
    (b"\x89HDF", "is an HDF5 file; convert it (pandas.read_hdf(...).to_csv(..., index=False))"),
    (b"\x93NUMPY", "is a NumPy array; convert it (numpy.savetxt(..., delimiter=','))"),
    (b"SQLite format 3", "is an SQLite database; export the table as CSV"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the table itself; run git lfs pull"),
    (b"\xff\xfe\0\0", "is UTF-32 text; save it as UTF-8"),
    (b"\0\0\xfe\xff", "is UTF-32 text; save it as UTF-8"),
    (b"\xff\xfe", "is UTF-16 text (Excel's \"Unicode text\"); save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text; save it as UTF-8"),
    (b"\x80\x04", "is a Python pickle; load it in Python and call to_csv(..., index=False)"),
    (b"\x80\x05", "is a Python pickle; load it in Python and call to_csv(..., index=False)"),
];

impl<'a> Source<'a> {
    pub(super) fn new(name: Option<&'a Path>) -> Self {
        Self { operation: "csv", name }
    }

    /// A table that was read from there before, for an operation on it.
    pub(super) fn of_table(name: Option<&'a Path>) -> Self {
        Self { operation: "table", name }
    }

    pub(super) fn error(&self, detail: &str) -> Error {
        match self.name {
            Some(path) => Error::input(self.operation, format!("{}: {detail}", path.display())),
            None => Error::input(self.operation, detail),
        }
    }

    pub(super) fn error_at(&self, line: usize, detail: &str) -> Error {
        self.error(&format!("line {line}: {detail}"))
    }

    pub(super) fn error_in(&self, line: usize, column: &str, detail: &str) -> Error {
        self.error(&format!("line {line}, column {column}: {detail}"))
    }

    /// The bytes as text, without a byte order mark.
    pub(super) fn text<'b>(&self, bytes: &'b [u8]) -> Result<&'b str> {
        if let Some((_, what)) = FORMATS.iter().find(|(start, _)| bytes.starts_with(start)) {
            return Err(self.error(&format!("the file {what}")));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let start = bytes.trim_ascii_start();
        let begins = |tag: &[u8]| start.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag));
        if [&b"<!doctype"[..], b"<html", b"<table", b"<?xml"].into_iter().any(begins) {
            return Err(self.error("the file is a web page (or XML), not a table; download the file itself"));
        }
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let content = lines.find(|line| !line.is_empty() && !line.starts_with(b"%")).unwrap_or_default();
        if content.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"@relation")) {
            return Err(
                self.error("the file is an ARFF file (Weka's); remove the lines up to @data, call header(false)")
            );
        }
        if begins(b"{") || begins(b"[{") || begins(b"[[") {
            return Err(self.error("the file is JSON; convert it (pandas.read_json(...).to_csv(..., index=False))"));
        }
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            let detail = "there is a NUL byte: the file is binary, or UTF-16 text; give UTF-8 text";
            return Err(self.error_at(line_of(bytes, at), detail));
        }
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let detail = format!(
                "the byte 0x{:02x} is not UTF-8; save the table as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 for most tables of \
                 western languages)",
                bytes.get(at).copied().unwrap_or_default()
            );
            self.error_at(line_of(bytes, at), &detail)
        })
    }
}

/// The number of the line that holds this byte.
fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + super::lines::line_ends(&String::from_utf8_lossy(&bytes[..at]))
}

/// The call that would separate this line's values, if another delimiter than the one used stands in it.
pub(super) fn better_delimiter(line: &str, used: Delimiter) -> Option<String> {
    let count = |c: char| line.matches(c).count();
    let best = [';', '\t', ',', '|'].into_iter().max_by_key(|c| (count(*c), usize::from(*c != ',')))?;
    if count(best) > 0 && used != Delimiter::Character(best) {
        return Some(format!("the values look separated by {best:?}: call delimiter({best:?})"));
    }
    let blanks = line.split_whitespace().count() > 1 && count(best) == 0;
    (blanks && used != Delimiter::Whitespace)
        .then(|| "the values look separated by spaces: call whitespace()".to_string())
}
