//! A device's memory.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::read::PendingRead;
use crate::device::{Device, Runner};
#[cfg(feature = "gpu")]
use crate::error::Error;
use crate::error::Result;

/// A range of a device's memory, in f32 elements; freed with its last tensor.
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
        match (self.device.runner(), &self.storage) {
            (Runner::Cpu(cpu), Storage::Cpu(slot)) => cpu.write(*slot, offset, values),
            #[cfg(feature = "gpu")]
            (Runner::Gpu(gpu), Storage::Gpu(buffer)) => gpu.write(buffer, offset, values),
            #[cfg(feature = "gpu")]
            _ => Err(mixed()),
        }
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Result<PendingRead> {
        match (self.device.runner(), &self.storage) {
            (Runner::Cpu(cpu), Storage::Cpu(slot)) => Ok(PendingRead::ready(cpu.read(*slot, offset..offset + len)?)),
            #[cfg(feature = "gpu")]
            (Runner::Gpu(gpu), Storage::Gpu(buffer)) => {
                Ok(PendingRead::on_gpu(gpu.read(buffer, offset, len)?, &self.device))
            }
            #[cfg(feature = "gpu")]
            _ => Err(mixed()),
        }
    }
}

#[cfg(feature = "gpu")]
pub(super) fn mixed() -> Error {
    Error::input("buffer", "a buffer of one backend on a device of another")
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match (self.device.runner(), &self.storage) {
            (Runner::Cpu(cpu), Storage::Cpu(slot)) => cpu.free(*slot),
            #[cfg(feature = "gpu")]
            _ => {}
        }
    }
}
