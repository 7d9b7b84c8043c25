//! A table's text as rows of fields, each with the line it begins on.

use std::borrow::Cow;

/// What separates the fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimiter {
    Character(char),
    /// Any run of spaces and tabs.
    Whitespace,
}

/// The number of a line, and what is wrong there.
pub(super) type Fault = (usize, String);

/// A row, and where it begins.
#[derive(Debug, PartialEq)]
pub(super) struct Row<'a> {
    /// Counted from 1, as editors do.
    pub(super) line: usize,
    pub(super) fields: Vec<Cow<'a, str>>,
}

/// Walks through a text row by row. Lines end in `\n`, `\r\n` or `\r`; blank lines and comments are passed over.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: usize,
    delimiter: Delimiter,
    comment: Option<char>,
}

impl<'a> Rows<'a> {
    /// From `text`, whose first line is number `line`.
    pub(super) fn new(text: &'a str, line: usize, delimiter: Delimiter, comment: Option<char>) -> Self {
        Self { rest: text, line, delimiter, comment }
    }

    /// The next row; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row<'a>>, Fault> {
        loop {
            // A tab that separates is a value, not a blank.
            let trimmed = self.rest.trim_start_matches(|c: char| self.is_blank(c));
            let is_comment = self.comment.is_some_and(|comment| trimmed.starts_with(comment));
            if trimmed.is_empty() {
                return Ok(None);
            } else if is_comment || trimmed.starts_with(['\n', '\r']) {
                self.rest = &trimmed[trimmed.find(['\n', '\r']).unwrap_or(trimmed.len())..];
                self.end_line();
            } else {
                self.rest = trimmed;
                return self.row().map(Some);
            }
        }
    }

    fn row(&mut self) -> Result<Row<'a>, Fault> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| self.is_blank(c));
            fields.push(if self.rest.starts_with('"') { self.quoted()? } else { self.plain() });
            self.rest = self.rest.trim_start_matches(|c: char| self.is_blank(c));
            match self.rest.chars().next() {
                None => break,
                Some('\n' | '\r') => {
                    self.end_line();
                    break;
                }
                Some(c) if self.delimiter == Delimiter::Character(c) => self.rest = &self.rest[c.len_utf8()..],
                Some(comment) if self.comment == Some(comment) => {
                    self.rest = &self.rest[self.rest.find(['\n', '\r']).unwrap_or(self.rest.len())..];
                    self.end_line();
                    break;
                }
                // The next field: blanks separated it.
                Some(_) => {}
            }
        }
        Ok(Row { line, fields })
    }

    /// Takes a field up to what ends it, without the blanks around it.
    fn plain(&mut self) -> Cow<'a, str> {
        let is_end = |c: char| matches!(c, '\n' | '\r') || self.separates(c) || self.comment == Some(c);
        let (field, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        Cow::Borrowed(field.trim_matches(is_blank))
    }

    /// Takes a field in quotes; two quotes within it stand for one.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Fault> {
        let opened = self.line;
        let inside = &self.rest[1..];
        let mut end = 0;
        loop {
            let Some(quote) = inside[end..].find('"') else {
                let detail =
                    "a quote opens here and is never closed; close it, or remove it if it is part of the value";
                return Err((opened, detail.into()));
            };
            end += quote + 1;
            if !inside[end..].starts_with('"') {
                break;
            }
            end += 1;
        }
        let (field, rest) = (&inside[..end - 1], &inside[end..]);
        self.line += line_ends(field);
        self.rest = rest;
        let behind = rest.trim_start_matches(|c: char| self.is_blank(c));
        let ends_here = |c: char| matches!(c, '\n' | '\r') || self.separates(c) || self.comment == Some(c);
        if !(behind.is_empty() || behind.starts_with(ends_here) || rest.starts_with(|c| self.separates(c))) {
            let text: String = behind.chars().take_while(|c| !matches!(c, '\n' | '\r')).take(20).collect();
            let detail = format!(
                "a quote opens here and closes before '{text}' in line {}; write quotes that are part of a value twice",
                self.line
            );
            return Err((opened, detail));
        }
        let field = field.trim_matches(is_blank);
        Ok(if field.contains("\"\"") { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) })
    }

    /// Steps behind the end of a line, if one is here.
    fn end_line(&mut self) {
        let end = if self.rest.starts_with("\r\n") { 2 } else { usize::from(!self.rest.is_empty()) };
        self.rest = &self.rest[end..];
        self.line += usize::from(end > 0);
    }

    fn is_blank(&self, c: char) -> bool {
        is_blank(c) && !matches!(c, '\n' | '\r') && self.delimiter != Delimiter::Character(c)
    }

    fn separates(&self, c: char) -> bool {
        match self.delimiter {
            Delimiter::Character(delimiter) => c == delimiter,
            Delimiter::Whitespace => matches!(c, ' ' | '\t'),
        }
    }
}

/// White space, and what has no width: byte order marks, where files were joined, and the zero-width spaces of web pages.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// How many lines end in this text, whichever way they do.
pub(super) fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |i: &usize| bytes[*i] == b'\n' || (bytes[*i] == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
    (0..bytes.len()).filter(ends).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with the lines they begin on.
    type Numbered = Vec<(usize, Vec<String>)>;

    fn rows(text: &str, delimiter: Delimiter) -> Result<Numbered, Fault> {
        let mut rows = Rows::new(text, 1, delimiter, Some('#'));
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((row.line, row.fields.into_iter().map(Cow::into_owned).collect()));
        }
        Ok(found)
    }

    type Expected<'a> = &'a [(usize, &'a [&'a str])];

    fn owned(rows: Expected<'_>) -> Numbered {
        rows.iter().map(|(line, fields)| (*line, fields.iter().map(|f| f.to_string()).collect())).collect()
    }

    #[test]
    fn fields_lines_and_quotes() {
        let comma = Delimiter::Character(',');
        let cases: [(&str, Expected<'_>); 10] = [
            ("a,b\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]),
            ("a,b\r\n\r\n1,2\r\n", &[(1, &["a", "b"]), (3, &["1", "2"])]),
            ("a,b\r\r1,2\r", &[(1, &["a", "b"]), (3, &["1", "2"])]),
            (" a , \"b, c\" \n , ", &[(1, &["a", "b, c"]), (2, &["", ""])]),
            ("\"two\r\nlines\",1\nx,", &[(1, &["two\r\nlines", "1"]), (3, &["x", ""])]),
            ("\"say \"\"x\"\"\",\"\"", &[(1, &["say \"x\"", ""])]),
            ("# all\na,1 # tail\n  # more\nb,2", &[(2, &["a", "1"]), (4, &["b", "2"])]),
            ("5\" pipe,2", &[(1, &["5\" pipe", "2"])]),
            ("\"#1\",é", &[(1, &["#1", "é"])]),
            ("\n \n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(rows(text, comma), Ok(owned(expected)), "{text:?}");
        }
        assert_eq!(
            rows("a\t\t1 b\n\t\n", Delimiter::Character('\t')),
            Ok(owned(&[(1, &["a", "", "1 b"]), (2, &["", ""])]))
        );
        let runs = "  1.5   2 \t \"a b\"  \n3\t4 c\n";
        assert_eq!(rows(runs, Delimiter::Whitespace), Ok(owned(&[(1, &["1.5", "2", "a b"]), (2, &["3", "4", "c"])])));
        assert_eq!(rows("a,1\n\"b,2\nc,3", comma).map_err(|e| e.0), Err(2));
        assert_eq!(rows("a,1\n\"b,2\nc,\"d\"", comma).map_err(|e| e.0), Err(2));
    }
}
