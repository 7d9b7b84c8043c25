//! Devices by name. A GPU is opened once in a process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use wgrad::{Backend, Device};

use crate::errors::outside;

/// The GPUs that were opened, by the names that were asked for.
static OPENED: Mutex<Option<HashMap<String, (u32, Device)>>> = Mutex::new(None);

/// The devices present, best first; the CPU path is the last.
#[pyfunction]
pub(crate) fn devices(py: Python<'_>) -> PyResult<Vec<String>> {
    outside(py, || Ok(Device::list().iter().map(ToString::to_string).collect()))
}

/// The device of this name. Each call gives a CPU path of its own, so that trainings in several threads don't take turns.
pub(crate) fn open(py: Python<'_>, name: &str) -> PyResult<Device> {
    if name.trim().eq_ignore_ascii_case("cpu") {
        return Ok(Device::cpu());
    }
    let known = OPENED.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|all| all.get(name).cloned());
    if let Some((process, device)) = known {
        if process != std::process::id() {
            return Err(forked());
        }
        return Ok(device);
    }
    let device = outside(py, || if name == "auto" { Device::auto() } else { Device::named(name) })?;
    if device.describe().backend != Backend::Cpu {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get_or_insert_default().insert(name.to_string(), (std::process::id(), device.clone()));
    }
    Ok(device)
}

/// A device that is lost stays lost: the next one is opened anew.
pub(crate) fn forget_lost() {
    *OPENED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The CPU path works in a forked process, with one thread; a GPU's driver does not.
pub(crate) fn check_process(process: u32, device: &Device) -> PyResult<()> {
    if process != std::process::id() && device.describe().backend != Backend::Cpu {
        return Err(forked());
    }
    Ok(())
}

fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "this process was forked from one that had opened the GPU, which can't be used in both; start processes with \
         multiprocessing's method 'spawn' or 'forkserver', or use device='cpu'",
    )
}
