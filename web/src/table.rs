//! A table of the user's own, by wgrad's own reader.

use wgrad::Result;
use wgrad::data::{Cells, Csv, Table};

use crate::data::{Kind, Samples};

/// What becomes of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The network sees it.
    Input,
    /// The network predicts it, as a class.
    Class,
    /// The network predicts it, as a number.
    Number,
    /// It is left out.
    Ignored,
}

/// A column, and what is proposed to become of it.
#[derive(Clone, Debug)]
pub struct Column {
    /// As the first line names it.
    pub name: String,
    /// Its first values.
    pub first: Vec<String>,
    /// Whether all its values are numbers.
    pub is_number: bool,
    /// What is proposed.
    pub role: Role,
}

/// What separates the values of a table: what its first line has most of.
fn delimiter(text: &str) -> char {
    let line = text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |c: &char| line.matches(*c).count();
    // Of equally many the last, so the comma.
    ['|', '\t', ';', ','].into_iter().max_by_key(count).unwrap_or(',')
}

fn reader(csv: Csv, text: &str) -> Csv {
    let delimiter = delimiter(text);
    let csv = csv.delimiter(delimiter).header(true);
    // Where semicolons separate values, commas are the decimal mark.
    let comma = |cell: &str| {
        cell.split_once(',').is_some_and(|(whole, part)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(whole.trim_start_matches('-')) && digits(part)
        })
    };
    let decimal = delimiter == ';' && text.lines().take(50).any(|line| line.split(';').any(|cell| comma(cell.trim())));
    if decimal { csv.decimal(',') } else { csv }
}

/// The columns of a table with names in its first line, the last of which is proposed to be predicted.
///
/// # Errors
/// What [`Csv::table`] refuses, with the line.
pub fn columns(text: &str) -> Result<Vec<Column>> {
    let table = reader(Csv::any(), text).table_from(text.as_bytes())?;
    let decimal = delimiter(text) == ';';
    let is_number = |text: &String| {
        let text = if decimal { text.replace(',', ".") } else { text.clone() };
        text.trim().parse::<f64>().is_ok_and(f64::is_finite)
    };
    let names = table.names().to_vec();
    let mut columns = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let texts = texts(&table, i)?;
        let numbers = texts.iter().filter(|text| is_number(text)).count();
        let mut different: Vec<&String> = texts.iter().collect();
        different.sort_unstable();
        different.dedup();
        // A few faulty cells make no text of a column: they are for the reader to tell.
        let is_number = 2 * numbers > texts.len();
        let is_last = i + 1 == names.len();
        let few = different.len() <= 12 && different.iter().all(|text| !text.contains(['.', ',']));
        let role = match (is_last, is_number) {
            (true, true) if !few => Role::Number,
            (true, _) => Role::Class,
            (false, true) => Role::Input,
            (false, false) => Role::Ignored,
        };
        columns.push(Column { name: name.clone(), first: texts.iter().take(3).cloned().collect(), is_number, role });
    }
    Ok(columns)
}

fn texts(table: &Table, column: usize) -> Result<Vec<String>> {
    Ok(match table.column(column)? {
        Cells::Texts(texts) => texts.clone(),
        Cells::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    })
}

/// The samples of a table whose columns have these roles: one of them is predicted.
///
/// # Errors
/// What [`Csv::read`] refuses, with the line; no column to predict, or none to predict it from.
pub fn samples(text: &str, roles: &[Role]) -> Result<Samples, String> {
    let all = columns(text).map_err(|error| error.to_string())?;
    let of = |wanted: fn(Role) -> bool| {
        let chosen = all.iter().zip(roles).enumerate().filter(move |(_, (_, role))| wanted(**role));
        chosen.map(|(i, (column, role))| (i, column.name.clone(), *role)).collect::<Vec<_>>()
    };
    let targets = of(|role| matches!(role, Role::Class | Role::Number));
    let inputs = of(|role| role == Role::Input);
    let ignored: Vec<usize> = of(|role| role == Role::Ignored).into_iter().map(|(i, ..)| i).collect();
    let [(at, target, role)] = &targets[..] else {
        return Err(format!("{} columns are to be predicted; choose one.", targets.len()));
    };
    if inputs.is_empty() {
        return Err("No column is left for the network to see; choose at least one input.".into());
    }
    let csv = if *role == Role::Class { Csv::labels(*at) } else { Csv::values([*at]) };
    let data = reader(csv, text).ignore(ignored).read_from(text.as_bytes()).map_err(|error| error.to_string())?;
    let kind = if *role == Role::Class { Kind::Classes(data.class_names().to_vec()) } else { Kind::Numbers };
    match &kind {
        Kind::Classes(names) if names.len() < 2 => {
            return Err(format!("All rows have the same {target}; there is nothing to tell apart."));
        }
        Kind::Classes(names) if names.len() > 30 => {
            return Err(format!("{target} has {} classes; the page takes at most 30.", names.len()));
        }
        _ => {}
    }
    if data.len() < 4 {
        return Err(format!("The table has {} rows; give at least 4.", data.len()));
    }
    let names = inputs.into_iter().map(|(_, name, _)| name).collect();
    Ok(Samples { data, kind, names, target: target.clone(), scaled: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_proposes_roles_and_is_read_by_them() {
        let text = "id;size;weight;fruit\na;1,5;3;apple\nb;2,5;1;pear\nc;1,0;3;apple\nd;2,0;2;pear\n";
        let columns = columns(text).unwrap();
        let roles: Vec<Role> = columns.iter().map(|column| column.role).collect();
        assert_eq!(roles, [Role::Ignored, Role::Input, Role::Input, Role::Class]);
        let read = samples(text, &roles).unwrap();
        assert_eq!(read.data.inputs()[..4], [1.5, 3.0, 2.5, 1.0]);
        assert_eq!(read.kind, Kind::Classes(vec!["apple".into(), "pear".into()]));
        assert_eq!((read.names, read.target), (vec!["size".into(), "weight".into()], "fruit".into()));
    }

    #[test]
    fn faults_have_their_line() {
        let text = "x,y,price\n1,2,10.5\n2,oops,11.5\n3,4,12.5\n4,5,13.5\n";
        let roles: Vec<Role> = columns(text).unwrap().iter().map(|column| column.role).collect();
        assert_eq!(roles, [Role::Input, Role::Input, Role::Number]);
        let fault = samples(text, &roles).unwrap_err();
        assert!(fault.contains("line 3") && fault.contains("oops"), "{fault}");
        assert!(columns("a,b\n1,2\n3\n").unwrap_err().to_string().contains("line 3"));
        assert!(
            samples(text, &[Role::Ignored, Role::Ignored, Role::Number]).unwrap_err().contains("at least one input")
        );
    }
}
