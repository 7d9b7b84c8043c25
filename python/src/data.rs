//! Arrays of NumPy: in by reference where they are float32 and contiguous, out without a copy.

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use wgrad::data::Dataset as Samples;

use crate::errors::{invalid, outside};

/// The rows of a matrix that lies as wgrad wants it.
pub(crate) fn contiguous<'a>(what: &str, array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<&'a [f32]> {
    array.as_slice().map_err(|_| invalid(format!("{what} is not C-contiguous; pass numpy.ascontiguousarray({what})")))
}

/// Takes a vector over as a matrix of so many columns.
pub(crate) fn matrix(py: Python<'_>, values: Vec<f32>, cols: usize) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let rows = values.len() / cols.max(1);
    numpy::PyArray1::from_vec(py, values).reshape([rows, cols])
}

/// Samples for training: one copy of the arrays, which all trainings share.
#[pyclass(frozen, module = "wgrad._wgrad")]
pub(crate) struct Dataset(pub(crate) Samples);

#[pymethods]
impl Dataset {
    #[new]
    #[pyo3(signature = (x, y, weights = None))]
    fn new(
        py: Python<'_>,
        x: PyReadonlyArray2<'_, f32>,
        y: PyReadonlyArray2<'_, f32>,
        weights: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        let (inputs, targets) = (contiguous("x", &x)?, contiguous("y", &y)?);
        let (cols, target_cols) = (x.shape()[1], y.shape()[1]);
        let weights = match &weights {
            Some(weights) => Some(weights.as_slice().map_err(|_| invalid("weights is not contiguous"))?),
            None => None,
        };
        outside(py, || {
            let data = Samples::new(inputs.to_vec(), cols, targets.to_vec(), target_cols)?;
            Ok(Self(match weights {
                Some(weights) => data.with_weights(weights.to_vec())?,
                None => data,
            }))
        })
    }

    /// The same samples with other weights: a copy.
    fn with_weights(&self, py: Python<'_>, weights: PyReadonlyArray1<'_, f32>) -> PyResult<Self> {
        let weights = weights.as_slice().map_err(|_| invalid("weights is not contiguous"))?;
        outside(py, || self.0.clone().with_weights(weights.to_vec()).map(Self))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Columns of the inputs and of the targets.
    #[getter]
    fn columns(&self) -> (usize, usize) {
        (self.0.input_cols(), self.0.target_cols())
    }
}
