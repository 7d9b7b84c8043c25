//! Errors that a GPU reports at any time, kept until the next call can return them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};

#[derive(Default)]
pub(super) struct Faults(Mutex<Option<Error>>);

impl Faults {
    /// Listens to a device. (wgpu's own handler panics.)
    pub(super) fn watch(device: &wgpu::Device, name: &str) -> Arc<Self> {
        let faults = Arc::new(Self::default());
        let (lost, reported) = (faults.clone(), faults.clone());
        let (name, same_name) = (name.to_string(), name.to_string());
        device.set_device_lost_callback(move |reason, message| {
            let detail = format!(
                "{name} was lost ({reason:?}: {message}); its tensors are gone: open a Device again and go on from \
                 the last saved parameters, or use Device::cpu()"
            );
            *lost.first() = Some(Error::new(ErrorKind::DeviceLost, "device", detail));
        });
        device.on_uncaptured_error(Arc::new(move |error| {
            let (kind, advice) = match &error {
                wgpu::Error::OutOfMemory { .. } => (ErrorKind::OutOfMemory, "use smaller batches"),
                _ => (ErrorKind::DeviceLost, "please report it, with the output of Device::describe()"),
            };
            let detail = format!("{same_name} reported: {error}; {advice}");
            reported.first().get_or_insert_with(|| Error::new(kind, "device", detail));
        }));
        faults
    }

    fn first(&self) -> MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error that came in since the last check. A lost device stays lost.
    pub(super) fn check(&self) -> Result<()> {
        let mut first = self.first();
        match &*first {
            None => Ok(()),
            Some(error) if error.kind() == ErrorKind::DeviceLost => Err(error.clone()),
            Some(_) => first.take().map_or(Ok(()), Err),
        }
    }
}
