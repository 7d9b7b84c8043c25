//! Errors that a GPU reports at any time, kept until the next call can return them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Gpu;
use crate::error::{Error, ErrorKind, Result};

#[derive(Default)]
pub(super) struct Faults {
    reported: Mutex<Reported>,
    #[cfg(test)]
    pub(super) injected: super::injected::Injected,
}

#[derive(Default)]
struct Reported {
    /// Stays.
    lost: Option<Error>,
    /// The first since the last check.
    other: Option<Error>,
}

impl Faults {
    /// Listens to a device. (wgpu's own handler panics.)
    pub(super) fn watch(device: &wgpu::Device, name: &str) -> Arc<Self> {
        let faults = Arc::new(Self::default());
        let (lost, reported) = (faults.clone(), faults.clone());
        let (name, same_name) = (name.to_string(), name.to_string());
        device.set_device_lost_callback(move |reason, message| {
            lost.lose(&name, &format!("was lost ({reason:?}: {message})"));
        });
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = match &error {
                wgpu::Error::OutOfMemory { .. } => {
                    let detail = format!("{same_name} reported: {error}; use smaller batches");
                    Error::new(ErrorKind::OutOfMemory, "device", detail)
                }
                _ => Error::kernel(
                    "device",
                    format!(
                        "{same_name} refused a call: {error}; check kernels of your own, else please report it with the \
                         output of Device::describe()"
                    ),
                ),
            };
            reported.reported().other.get_or_insert(error);
        }));
        faults
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device is unusable from now on, for the reason that was given first.
    pub(super) fn lose(&self, name: &str, what: &str) -> Error {
        let detail = format!(
            "{name} {what}; its tensors are gone: open a Device again and go on from the last saved parameters, or use \
             Device::cpu()"
        );
        let error = Error::new(ErrorKind::DeviceLost, "device", detail);
        self.reported().lost.get_or_insert(error).clone()
    }

    /// The error that came in since the last check. A lost device stays lost.
    fn check(&self) -> Result<()> {
        let mut reported = self.reported();
        match &reported.lost {
            Some(error) => Err(error.clone()),
            None => reported.other.take().map_or(Ok(()), Err),
        }
    }
}

impl Gpu {
    /// The error that came in since the last check, or for good the loss of the device.
    pub(super) fn check(&self) -> Result<()> {
        #[cfg(test)]
        if self.faults.injected.loses() {
            self.device.destroy();
        }
        self.faults.check().map_err(|error| self.cause(error))
    }

    /// The loss of the device, if that is why a call has failed: a lost device refuses everything, in many words.
    pub(super) fn cause(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::DeviceLost {
            return error;
        }
        // It tells when it is asked, and what it was doing is over; wgpu panics where the driver says that it is lost.
        let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(Duration::from_secs(1)) };
        let _ = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        self.faults.reported().lost.clone().unwrap_or(error)
    }
}
