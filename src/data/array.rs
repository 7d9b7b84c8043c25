//! Datasets from ndarray's matrices.

use ndarray::ArrayView2;

use super::Dataset;
use crate::error::Result;

impl Dataset {
    /// A dataset from matrices of inputs and of targets, a sample in each row, in whatever order they lie in memory.
    ///
    /// ```
    /// use ndarray::{Array2, ArrayView2, array};
    /// use wgrad::data::Dataset;
    ///
    /// let inputs: Array2<f32> = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    /// let targets: Array2<f32> = array![[0.0, 1.0, 1.0, 0.0]];
    /// let xor = Dataset::from_arrays(inputs.view(), targets.t())?;
    /// assert_eq!((xor.len(), xor.target_cols()), (4, 1));
    ///
    /// // And back, without a copy.
    /// let back = ArrayView2::from_shape((xor.len(), xor.input_cols()), xor.inputs()).unwrap();
    /// assert_eq!(back, inputs);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Dataset::new`] refuses.
    pub fn from_arrays(inputs: ArrayView2<'_, f32>, targets: ArrayView2<'_, f32>) -> Result<Self> {
        let values = |array: ArrayView2<'_, f32>| array.iter().copied().collect();
        Self::new(values(inputs), inputs.ncols(), values(targets), targets.ncols())
    }
}
