//! Labels, and the numbers of their classes.

use std::collections::HashMap;

use super::number::{Format, boolean};
use super::source::Source;
use crate::error::Result;

/// The labels of a table's rows.
#[derive(Default)]
pub(super) struct Labels {
    /// Each spelling once, and the line it is first met in.
    spellings: Vec<(String, usize)>,
    places: HashMap<String, usize>,
    /// The spelling in each row.
    rows: Vec<usize>,
}

/// What makes two labels one class.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// The bits of a number.
    Number(u64),
    Text(String),
}

impl Labels {
    pub(super) fn push(&mut self, label: &str, line: usize) {
        let place = match self.places.get(label) {
            Some(place) => *place,
            None => {
                let place = self.spellings.len();
                self.places.insert(label.into(), place);
                self.spellings.push((label.into(), line));
                place
            }
        };
        self.rows.push(place);
    }

    /// The class number of each row, and the classes: the given ones, or those that there are, in their order. `advice` is
    /// what to do where labels are measurements.
    pub(super) fn numbered(
        self,
        source: &Source<'_>,
        format: &Format,
        given: &[String],
        advice: &str,
    ) -> Result<(Vec<f32>, Vec<String>)> {
        // From 2^53 on, several whole numbers share an f64.
        let number = |label: &str| format.number(label).filter(|number| number.abs() < 9_007_199_254_740_992.0);
        let number = |label: &str| number(label).or_else(|| boolean(label));
        let all_numbers = match given {
            [] => self.spellings.iter().all(|(label, _)| number(label).is_some()),
            given => given.iter().all(|label| number(label).is_some()),
        };
        let value = |label: &str| if all_numbers { number(label) } else { None };
        // Adding 0 makes one zero of the two.
        let key = |label: &str| value(label).map_or(Key::Text(label.into()), |v| Key::Number((v + 0.0).to_bits()));
        let classes: Vec<String> = if given.is_empty() {
            let mut classes = self.spellings.clone();
            for (label, line) in &classes {
                if value(label).is_some_and(|v| v.fract() != 0.0) {
                    let detail = format!(
                        "the label '{label}' is a fraction, so this looks like a column of measurements: numbers to predict \
                         {advice}"
                    );
                    return Err(source.error_at(*line, &detail));
                }
            }
            // By value, then by line: the first spelling is the name.
            classes.sort_by(|(a, first), (b, second)| match (value(a), value(b)) {
                (Some(x), Some(y)) => x.total_cmp(&y).then(first.cmp(second)),
                _ => a.cmp(b),
            });
            classes.dedup_by(|(a, _), (b, _)| key(a) == key(b));
            classes.into_iter().map(|(label, _)| label).collect()
        } else {
            given.to_vec()
        };
        let mut numbers = HashMap::new();
        for (class, label) in classes.iter().enumerate() {
            if numbers.insert(key(label), class).is_some() {
                return Err(source.error(&format!("the class '{label}' is given twice; remove one")));
            }
        }
        let mut of_spelling = Vec::new();
        for (label, line) in &self.spellings {
            let Some(class) = numbers.get(&key(label)) else {
                let detail = format!("the label '{label}' is not among the classes {}", classes.join(", "));
                return Err(source.error_at(*line, &detail));
            };
            of_spelling.push(*class as f32);
        }
        Ok((self.rows.iter().map(|spelling| of_spelling[*spelling]).collect(), classes))
    }
}
