//! A checkpoint's numbers, validated: an error names the one that is out of range.

use std::fmt::Display;
use std::str::FromStr;

use safetensors::Dtype;

use super::file::Contained;
use crate::error::{Error, Result};

/// More steps or epochs than anyone trains: sums and products of a few of them are far from overflowing.
const MAX_COUNT: u64 = 1 << 48;

impl Contained<'_> {
    /// A text that is a number, or another thing that has a text form.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name).ok_or_else(|| self.no_checkpoint(name, &"is missing"))?;
        text.parse().map_err(|_| self.no_checkpoint(name, &format!("is '{text:.40}'")))
    }

    /// A number of steps or epochs.
    pub(crate) fn count(&self, name: &str) -> Result<u64> {
        let count = self.parsed(name)?;
        if count <= MAX_COUNT { Ok(count) } else { Err(self.no_checkpoint(name, &format!("is {count}"))) }
    }

    /// A number that is finite and not negative.
    pub(crate) fn amount<T: FromStr + Copy + Display + Into<f64>>(&self, name: &str) -> Result<T> {
        let amount: T = self.parsed(name)?;
        if is_amount(amount.into()) { Ok(amount) } else { Err(self.no_checkpoint(name, &format!("is {amount}"))) }
    }

    /// The values of an F32 tensor of one dimension, of this length if one is given.
    pub(crate) fn vector(&self, name: &str, len: Option<usize>) -> Result<Vec<f32>> {
        let tensor = self.tensor(name).ok_or_else(|| self.no_checkpoint(name, &"is missing"))?;
        match tensor.shape[..] {
            [found] if tensor.dtype == Dtype::F32 && len.is_none_or(|len| found == len) => self.floats(name),
            _ => {
                let wanted = len.map_or(String::new(), |len| format!(", expected F32 [{len}]"));
                Err(self.no_checkpoint(name, &format!("is {} {:?}{wanted}", tensor.dtype, tensor.shape)))
            }
        }
    }

    /// The rows of an F64 tensor [n, N].
    pub(crate) fn rows<const N: usize>(&self, name: &str) -> Result<Vec<[f64; N]>> {
        let tensor = self.tensor(name).ok_or_else(|| self.no_checkpoint(name, &"is missing"))?;
        if tensor.dtype != Dtype::F64 || !matches!(tensor.shape[..], [_, cols] if cols == N) {
            let found = format!("is {} {:?}, expected F64 [n, {N}]", tensor.dtype, tensor.shape);
            return Err(self.no_checkpoint(name, &found));
        }
        Ok(self.doubles(name)?.chunks_exact(N).filter_map(|row| row.try_into().ok()).collect())
    }

    /// An error that names the invalid part of a checkpoint.
    pub(crate) fn no_checkpoint(&self, name: &str, fault: &dyn Display) -> Error {
        self.error(format!("no checkpoint of this training, or a damaged one: {name} {fault}"))
    }
}

/// Whether a number can be a duration.
pub(crate) fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// The count that a double holds.
pub(crate) fn whole(value: f64) -> Option<usize> {
    let is_count = value.fract() == 0.0 && (0.0..=MAX_COUNT as f64).contains(&value);
    is_count.then_some(value as usize)
}
