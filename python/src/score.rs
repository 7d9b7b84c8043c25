//! What scikit-learn's estimators are scored by, on the outputs of a network.

use wgrad::data::Dataset;

/// How a row's outputs are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Score {
    /// The share of rows whose largest output is that of their class number.
    Classes,
    /// The share of rows all of whose logits are on the right side of 0.
    Labels,
    /// R², the mean over the outputs.
    R2,
}

impl Score {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "classes" => Self::Classes,
            "labels" => Self::Labels,
            "r2" => Self::R2,
            _ => return None,
        })
    }

    /// Of outputs [n, o] for these samples, by their weights.
    pub(crate) fn of(self, outputs: &[f32], data: &Dataset) -> f64 {
        let (cols, target_cols) = (outputs.len() / data.len(), data.target_cols());
        let rows = || outputs.chunks(cols).zip(data.targets().chunks(target_cols)).enumerate();
        let weight = |row: usize| data.weights().map_or(1.0, |weights| f64::from(weights[row]));
        let share = |is_right: &dyn Fn(&[f32], &[f32]) -> bool| {
            let right = rows().filter(|(_, (outputs, targets))| is_right(outputs, targets)).map(|(row, _)| weight(row));
            right.sum::<f64>() / (0..data.len()).map(weight).sum::<f64>()
        };
        match self {
            Self::Classes => share(&|outputs, targets| {
                let first = |best: usize, at: usize| if outputs[at] > outputs[best] { at } else { best };
                (0..cols).fold(0, first) as f32 == targets[0]
            }),
            Self::Labels => share(&|outputs, targets| {
                outputs.iter().zip(targets).all(|(output, target)| (*output > 0.0) == (*target > 0.5))
            }),
            Self::R2 => {
                let column = |col: usize| {
                    let target = |row: usize| f64::from(data.targets()[row * target_cols + col]);
                    let total: f64 = (0..data.len()).map(weight).sum();
                    let mean = (0..data.len()).map(|row| weight(row) * target(row)).sum::<f64>() / total;
                    let sum = |of: &dyn Fn(usize) -> f64| {
                        (0..data.len()).map(|row| weight(row) * of(row).powi(2)).sum::<f64>()
                    };
                    let errors = sum(&|row| target(row) - f64::from(outputs[row * cols + col]));
                    let spread = sum(&|row| target(row) - mean);
                    // As scikit-learn has it for targets that are all alike.
                    if spread == 0.0 { f64::from(u8::from(errors == 0.0)) } else { 1.0 - errors / spread }
                };
                (0..cols).map(column).sum::<f64>() / cols as f64
            }
        }
    }
}
