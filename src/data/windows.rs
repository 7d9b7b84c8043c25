//! Time series as samples.

use super::{Dataset, with_room};
use crate::error::{Error, Result};

impl Dataset {
    /// A time series cut into windows: each sample's inputs are `length` values in a row, its targets the `horizon` values
    /// that follow. Windows begin at every value, so a series of n gives n - length - horizon + 1 samples, in order of time.
    ///
    /// Cut the series into its parts for training and for testing first, and each of them into windows: windows overlap, and
    /// a split of theirs would test on values that were learnt.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let sales = [3.0, 5.0, 4.0, 6.0, 8.0, 7.0];
    /// let data = Dataset::windows(&sales, 3, 1)?; // the next value from the last three
    /// assert_eq!((data.len(), data.input_cols(), data.target_cols()), (3, 3, 1));
    /// assert_eq!((&data.inputs()[3..6], data.targets()), (&[5.0, 4.0, 6.0][..], &[6.0, 8.0, 7.0][..]));
    ///
    /// let error = Dataset::windows(&sales, 5, 2).unwrap_err();
    /// assert_eq!(error.to_string(), "windows: a series of 6 values has no window of 5 + 2; give shorter ones, or more values");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A series shorter than a window; a length or a horizon of 0; a NaN or an infinity; more than
    /// memory has room for.
    pub fn windows(series: &[f32], length: usize, horizon: usize) -> Result<Self> {
        if length == 0 || horizon == 0 {
            let detail = format!("a length of {length} and a horizon of {horizon}; give at least 1 of each");
            return Err(Error::input("windows", detail));
        }
        let window = length.checked_add(horizon).filter(|window| *window <= series.len());
        let Some(window) = window else {
            let detail = format!(
                "a series of {} values has no window of {length} + {horizon}; give shorter ones, or more values",
                series.len()
            );
            return Err(Error::shape("windows", detail));
        };
        if let Some(at) = series.iter().position(|value| !value.is_finite()) {
            let detail = format!("value {at} of the series is {}; fill in what is missing", series[at]);
            return Err(Error::input("windows", detail));
        }
        let count = series.len() - window + 1;
        let too_large = || format!("{count} windows of {window} values do not fit in memory; give shorter ones");
        let mut inputs = with_room("windows", count.saturating_mul(length), too_large)?;
        let mut targets = with_room("windows", count.saturating_mul(horizon), too_large)?;
        for window in series.windows(window) {
            inputs.extend_from_slice(&window[..length]);
            targets.extend_from_slice(&window[length..]);
        }
        Self::new(inputs, length, targets, horizon)
    }
}
