//! The compiled part of the Python package `wgrad`: networks that train and predict, and what they take. All that scikit-learn
//! asks of an estimator is in Python.

mod data;
mod device;
mod errors;
mod fit;
mod model;
mod score;
mod trainer;
mod watch;

use pyo3::prelude::*;

#[pymodule]
fn _wgrad(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    module.add_class::<data::Dataset>()?;
    module.add_class::<trainer::Trainer>()?;
    module.add_class::<trainer::Predictor>()?;
    module.add_function(wrap_pyfunction!(fit::fit_all, module)?)?;
    module.add_function(wrap_pyfunction!(device::devices, module)?)
}
