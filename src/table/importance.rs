//! How much a model's score depends on each column.

use rand::seq::SliceRandom;

use super::fitted::Fitted;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::random;
use crate::train::Statistics;

/// How much worse the score is where a column's values are shuffled among the rows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Importance {
    /// The column.
    pub column: String,
    /// The mean loss of score over the repeats.
    pub mean: f64,
    /// Its standard deviation (of the sample).
    pub deviation: f64,
}

impl Fitted {
    /// The importance of each column that has inputs, the most important first. `score` is given the network's outputs.
    pub(super) fn importance(
        &self,
        table: &Table,
        repeats: usize,
        seed: u64,
        score: impl Fn(&[f32]) -> Result<f64>,
    ) -> Result<Vec<Importance>> {
        if repeats == 0 {
            return Err(Error::input("permutation_importance", "0 repeats; give at least 1"));
        }
        let cols = self.columns.input_cols();
        let inputs = self.columns.apply(table, self.unknown)?;
        let whole = score(&self.predictor.predict(&inputs, cols)?)?;
        let mut rng = random::permutation(seed);
        let mut order: Vec<usize> = (0..table.len()).collect();
        let (mut found, mut start) = (Vec::new(), 0);
        for column in self.columns.columns.iter().filter(|column| column.treatment.inputs() > 0) {
            let end = start + column.treatment.inputs();
            let mut losses = Vec::new();
            for _ in 0..repeats {
                order.shuffle(&mut rng);
                let mut shuffled = inputs.clone();
                for (row, from) in shuffled.chunks_exact_mut(cols).zip(&order) {
                    row[start..end].copy_from_slice(&inputs[from * cols + start..from * cols + end]);
                }
                losses.push(whole - score(&self.predictor.predict(&shuffled, cols)?)?);
            }
            if let Some(Statistics { mean, deviation, .. }) = Statistics::of(losses) {
                found.push(Importance { column: column.name.clone(), mean, deviation });
            }
            start = end;
        }
        found.sort_by(|a, b| b.mean.total_cmp(&a.mean));
        Ok(found)
    }
}
