//! CSV and tables: texts of random cells, read and changed in random ways.

use wgrad::data::{Cells, Column, Csv, Missing, Table};

use crate::draw::Draw;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[("csv", csv), ("tables", tables)];

const CELLS: &[&str] = &[
    "1", "2.5", "-3e2", "", "NA", "nan", "a", "b", "\"q\"", "1,5", "1_000", "inf", "1e999", "x y", "é", "\u{feff}",
    "-", "yes",
];

/// A text with a delimiter, mostly in rows of equal length.
fn text(d: &mut Draw, delimiter: char) -> String {
    let (rows, cols) = (d.small(), d.small());
    let mut text = String::new();
    if d.chance(0.8) {
        let names: Vec<String> =
            (0..cols).map(|col| if d.chance(0.05) { d.text() } else { format!("c{col}") }).collect();
        text += &(names.join(&delimiter.to_string()) + "\n");
    }
    for _ in 0..rows {
        let numbers = d.chance(0.7);
        let cells: Vec<&str> = (0..d.near(cols)).map(|_| if numbers { "1.5" } else { d.pick(CELLS) }).collect();
        text += &cells.join(&delimiter.to_string());
        text += d.pick(&["\n", "\n", "\n", "\r\n", "", "\n\n"]);
    }
    text
}

fn column(d: &mut Draw) -> Column {
    match d.below(3) {
        0 => d.text().into(),
        1 => format!("c{}", d.below(5)).into(),
        _ => d.size().into(),
    }
}

fn csv(d: &mut Draw) {
    let delimiter = d.pick(&[',', ';', '\t', ' ', '"', '\n', 'é', '.', '0']);
    let text = text(d, delimiter);
    let mut csv = match d.below(3) {
        0 => Csv::labels(column(d)),
        1 => Csv::values((0..d.small()).map(|_| column(d)).collect::<Vec<_>>()),
        _ => Csv::any(),
    };
    for _ in 0..d.below(4) {
        csv = match d.below(12) {
            0 => csv.ignore([column(d)]),
            1 => csv.weights(column(d)),
            2 => csv.classes((0..d.small()).map(|_| d.text()).collect::<Vec<_>>()),
            3 => csv.header(d.chance(0.5)),
            4 => csv.delimiter(delimiter),
            5 => csv.whitespace(),
            6 => csv.decimal(d.pick(&[',', '.', '1', '-'])),
            7 => csv.thousands(d.pick(&[',', '.', '\'', ' '])),
            8 => csv.comment(d.pick(&['#', '1', ','])),
            9 => csv.missing(Missing::DropRow),
            10 => csv.na_values([d.text(), "1.5".into()]),
            _ => csv.subtract(column(d), d.share()),
        };
    }
    let data = csv.read_from(text.as_bytes());
    if let Some(data) = d.see(data) {
        assert!(data.inputs().iter().chain(data.targets()).all(|value| value.is_finite()));
    }
    let table = csv.table_from(text.as_bytes());
    d.see(table);
    let path = path("csv");
    std::fs::write(&path, &text).unwrap();
    let (data, table) = (csv.read(&path), csv.table(&path));
    d.see(data);
    d.see(table);
}

fn tables(d: &mut Draw) {
    let text = text(d, ',');
    let read = Table::read_from(text.as_bytes());
    let mut table = d.see(read).unwrap_or_else(Table::new);
    for _ in 0..d.below(6) {
        let next = match d.below(8) {
            0 => {
                let len = d.near(table.len()).min(100);
                let cells: Cells = match d.below(3) {
                    0 => d.reals(len).into(),
                    1 => (0..len).map(|_| d.share()).collect::<Vec<_>>().into(),
                    _ => (0..len).map(|_| d.pick(CELLS)).collect::<Vec<_>>().into(),
                };
                table.clone().with_column(d.text(), cells)
            }
            1 => table.clone().without([column(d)]),
            2 => {
                let rows = d.sizes(table.len());
                table.select(&rows)
            }
            3 => table.drop_missing(column(d)),
            4 => table.split(d.share(), d.seed()).map(|(first, _)| first),
            5 => table.split_stratified(column(d), d.share(), d.seed()).map(|(_, second)| second),
            6 => {
                let values: Vec<(String, String)> = (0..d.small()).map(|_| (d.text(), d.text())).collect();
                Table::from_row(values)
            }
            _ => match d.dataset() {
                Some(data) => {
                    let names: Vec<String> = (0..d.small()).map(|_| d.text()).collect();
                    Table::from_dataset(&data.with_class_names(names))
                }
                None => Ok(Table::new()),
            },
        };
        table = d.see(next).unwrap_or(table);
        let (column, names) = (column(d), table.names().len());
        let cells = table.column(column).map(|_| ());
        d.see(cells);
        assert!(names > 0 || table.len() == 0);
    }
    let path = path("table.csv");
    let saved = table.save(&path);
    if d.see(saved).is_some() {
        let again = Table::read(&path);
        d.see(again);
    }
    let again = Table::read_from(table.to_csv().as_bytes());
    d.see(again);
}
