//! What a metric of one's own is, and what it gave.

use crate::data::Dataset;
use crate::error::Result;

type Measure<'a> = Box<dyn FnMut(&[f32], &Dataset) -> Result<f64> + Send + 'a>;

/// A metric of one's own, with its name.
pub(super) struct OwnMetric<'a> {
    pub(super) name: String,
    pub(super) measure: Measure<'a>,
}

/// What a metric of one's own gave after an epoch: see [`Fit::metric`](crate::Fit::metric).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// On the training data.
    pub train: Option<f64>,
    /// On the validation data, if there is any.
    pub validation: Option<f64>,
}
