//! A device's memory, and values on their way back from it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

#[cfg(feature = "gpu")]
use crate::device::gpu;
use crate::device::{Backend, Device};
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::error::{Error, ErrorKind};

/// A stretch of a device's memory, in f32 elements; freed with its last tensor.
pub(crate) struct Buffer {
    device: Device,
    id: u64,
    storage: Storage,
}

/// Where the memory is.
pub(crate) enum Storage {
    Cpu(usize),
    #[cfg(feature = "gpu")]
    Gpu(wgpu::Buffer),
}

impl Buffer {
    pub(crate) fn new(device: &Device, storage: Storage) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self { device: device.clone(), id: NEXT_ID.fetch_add(1, Ordering::Relaxed), storage }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Unique in this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The buffer's place in the CPU path's memory; `None` on a GPU.
    pub(crate) fn cpu_slot(&self) -> Option<usize> {
        match self.storage {
            Storage::Cpu(slot) => Some(slot),
            #[cfg(feature = "gpu")]
            Storage::Gpu(_) => None,
        }
    }

    /// The GPU's buffer; `None` on the CPU path.
    #[cfg(feature = "gpu")]
    pub(crate) fn gpu_buffer(&self) -> Option<&wgpu::Buffer> {
        match &self.storage {
            Storage::Cpu(_) => None,
            Storage::Gpu(buffer) => Some(buffer),
        }
    }

    pub(crate) fn write(&self, offset: usize, values: &[f32]) -> Result<()> {
        match (self.device.backend(), &self.storage) {
            (Backend::Cpu(cpu), Storage::Cpu(slot)) => cpu.write(*slot, offset, values),
            #[cfg(feature = "gpu")]
            (Backend::Gpu(gpu), Storage::Gpu(buffer)) => gpu.write(buffer, offset, values),
            #[cfg(feature = "gpu")]
            _ => Err(mixed()),
        }
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Result<PendingRead> {
        match (self.device.backend(), &self.storage) {
            (Backend::Cpu(cpu), Storage::Cpu(slot)) => {
                Ok(PendingRead(Pending::Ready(cpu.read(*slot, offset..offset + len)?)))
            }
            #[cfg(feature = "gpu")]
            (Backend::Gpu(gpu), Storage::Gpu(buffer)) => {
                Ok(PendingRead(Pending::Gpu(gpu.read(buffer, offset, len)?, self.device.clone())))
            }
            #[cfg(feature = "gpu")]
            _ => Err(mixed()),
        }
    }
}

#[cfg(feature = "gpu")]
fn mixed() -> Error {
    Error::new(ErrorKind::InvalidInput, "buffer", "a buffer of one backend on a device of another")
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match (self.device.backend(), &self.storage) {
            (Backend::Cpu(cpu), Storage::Cpu(slot)) => cpu.free(*slot),
            #[cfg(feature = "gpu")]
            _ => {}
        }
    }
}

/// Values on their way back from a device: a future, or something to [`wait`](PendingRead::wait) for.
///
/// The values are those at the time of [`Tensor::read_async`](crate::Tensor::read_async), whatever runs later.
#[must_use = "await it or call `wait`"]
pub struct PendingRead(Pending);

enum Pending {
    Ready(Vec<f32>),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Readback, Device),
}

impl PendingRead {
    /// Waits for the values. Not in a browser: nothing may block there; `.await` instead.
    ///
    /// # Errors
    /// A lost device.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self.0 {
            Pending::Ready(values) => Ok(values),
            #[cfg(feature = "gpu")]
            Pending::Gpu(readback, device) => match device.backend() {
                Backend::Gpu(gpu) => readback.wait(gpu),
                Backend::Cpu(_) => Err(mixed()),
            },
        }
    }
}

impl Future for PendingRead {
    type Output = Result<Vec<f32>>;

    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "what is there at once needs no waking"))]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Pending::Ready(values) => Poll::Ready(Ok(std::mem::take(values))),
            #[cfg(feature = "gpu")]
            Pending::Gpu(readback, device) => match device.backend() {
                Backend::Gpu(gpu) => readback.poll(gpu, context),
                Backend::Cpu(_) => Poll::Ready(Err(mixed())),
            },
        }
    }
}

impl fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingRead")
    }
}
