//! Errors as Python's exceptions, with their messages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyErr, create_exception};
use wgrad::{Error, ErrorKind};

create_exception!(
    wgrad,
    DeviceLost,
    PyRuntimeError,
    "The GPU was lost, reset or unplugged, or did not respond in time."
);
create_exception!(wgrad, NoDevice, PyRuntimeError, "No such device, or none that is usable.");
create_exception!(wgrad, NotFinite, PyValueError, "Training gave NaN or infinity.");
create_exception!(wgrad, InternalError, PyRuntimeError, "A fault of wgrad itself: please report it.");

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("DeviceLost", py.get_type::<DeviceLost>())?;
    module.add("NoDevice", py.get_type::<NoDevice>())?;
    module.add("NotFinite", py.get_type::<NotFinite>())?;
    module.add("InternalError", py.get_type::<InternalError>())
}

/// The exception that an error is in Python.
pub(crate) fn exception(error: &Error) -> PyErr {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Shape | ErrorKind::InvalidInput => PyValueError::new_err(message),
        ErrorKind::NoDevice => NoDevice::new_err(message),
        ErrorKind::DeviceLost => {
            crate::device::forget_lost();
            DeviceLost::new_err(message)
        }
        ErrorKind::OutOfMemory => PyMemoryError::new_err(message),
        ErrorKind::NotFinite => NotFinite::new_err(message),
        ErrorKind::Io => PyOSError::new_err(message),
        _ => PyRuntimeError::new_err(message),
    }
}

/// Runs `work` without the interpreter, so that other threads of Python go on. A panic is an exception, too.
pub(crate) fn outside<T: Send>(py: Python<'_>, work: impl FnOnce() -> wgrad::Result<T> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(|error| exception(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(InternalError::new_err(format!("wgrad panicked, which is a fault of its own: {text}")))
        }
    }
}

/// A `ValueError` that names what was given.
pub(crate) fn invalid(detail: impl Into<String>) -> PyErr {
    PyValueError::new_err(detail.into())
}

/// Whether an exception is what Ctrl-C raises.
pub(crate) fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) && !error.is_instance_of::<PyException>(py)
}
