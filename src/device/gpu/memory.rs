//! Buffers and uploads. An upload is copied to a staging buffer at once, and from there by the next submit. (wgpu's own
//! `write_buffer` treats the device as lost when memory runs out.)

use super::Gpu;
use crate::device::Tensor;
use crate::device::gpu::submit::Submission;
use crate::error::{Error, ErrorKind, Result};

/// Uploads are handed over in pieces of this size, and submitted when this much is pending.
pub(super) const UPLOAD_BYTES: u64 = 16 << 20;
/// What an upload costs at least, in bytes that it may as well have.
const LEAST_BYTES: u64 = 16 << 10;

/// What waits for the next submit.
#[derive(Default)]
pub(super) struct Uploads {
    list: Vec<Upload>,
    bytes: u64,
}

struct Upload {
    staging: wgpu::Buffer,
    target: wgpu::Buffer,
    offset: u64,
}

impl Uploads {
    /// The copies, as commands to submit.
    pub(super) fn take(&mut self, device: &wgpu::Device) -> Option<wgpu::CommandBuffer> {
        let Self { list, .. } = std::mem::take(self);
        if list.is_empty() {
            return None;
        }
        let mut encoder = device.create_command_encoder(&Default::default());
        for Upload { staging, target, offset } in &list {
            encoder.copy_buffer_to_buffer(staging, 0, target, *offset, staging.size());
        }
        Some(encoder.finish())
    }
}

/// Elements, of which no tensor has more than 2^31, as bytes.
pub(super) fn bytes(elements: usize) -> u64 {
    elements as u64 * 4
}

impl Gpu {
    pub(crate) fn allocate(&self, len: usize) -> Result<wgpu::Buffer> {
        self.check()?;
        let (name, limit) = (&self.info.name, self.info.capabilities.max_tensor_bytes);
        if bytes(len) > limit {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                "tensor",
                format!(
                    "{len} elements ({} MiB) exceed the {} MiB a matrix may have of {name}; use smaller batches or \
                     Device::cpu()",
                    bytes(len) >> 20,
                    limit >> 20
                ),
            ));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.create_buffer("tensor", bytes(len), usage, false)
    }

    pub(super) fn create_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<wgpu::Buffer> {
        let create = || {
            let label = Some(label);
            self.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        // A page may not wait for the scope: there the error is kept for the next call.
        #[cfg(target_arch = "wasm32")]
        return Ok(create());
        #[cfg(not(target_arch = "wasm32"))]
        {
            let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let buffer = create();
            let is_there = pollster::block_on(scope.pop()).is_none();
            #[cfg(test)]
            let is_there = is_there && !self.faults.injected.refuses();
            match is_there {
                true => Ok(buffer),
                false => Err(self.cause(Error::new(
                    ErrorKind::OutOfMemory,
                    label,
                    format!(
                        "{} elements ({} MiB) exceed the free memory of {}; use smaller batches, keep less data there \
                         (Fit::resident_bytes), or use Device::cpu()",
                        size / 4,
                        size >> 20,
                        self.info.name
                    ),
                ))),
            }
        }
    }

    /// See [`Device::copy`](crate::Device).
    pub(crate) fn copy(&self, pairs: &[[Tensor; 2]]) -> Result<()> {
        self.check()?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for [from, to] in pairs {
            let (Some(source), Some(target)) = (from.buffer.gpu_buffer(), to.buffer.gpu_buffer()) else { continue };
            encoder.copy_buffer_to_buffer(source, bytes(from.offset), target, bytes(to.offset), bytes(from.len()));
        }
        self.submit(Some(encoder.finish()));
        self.check()
    }

    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: usize, values: &[f32]) -> Result<()> {
        self.check()?;
        self.state().counters.uploads += values.len() as u64;
        self.upload(buffer, bytes(offset), bytemuck::cast_slice(values))
    }

    /// The contents are there for all that is submitted from now on.
    pub(super) fn upload(&self, target: &wgpu::Buffer, mut offset: u64, contents: &[u8]) -> Result<()> {
        for piece in contents.chunks(UPLOAD_BYTES as usize) {
            let size = piece.len() as u64;
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let staging = self.create_buffer("upload", size, usage, true)?;
            match staging.get_mapped_range_mut(..) {
                Ok(mut view) => view.copy_from_slice(piece),
                Err(error) => {
                    let detail = format!("{}: {error}", self.info.name);
                    return Err(self.cause(Error::kernel("upload", detail)));
                }
            }
            staging.unmap();
            let mut uploads = self.uploads();
            uploads.list.push(Upload { staging, target: target.clone(), offset });
            uploads.bytes += size.max(LEAST_BYTES);
            let much = uploads.bytes >= UPLOAD_BYTES;
            drop(uploads);
            if much {
                self.flush()?;
            }
            offset += size;
        }
        Ok(())
    }

    /// Submits the uploads that wait for a submit, and waits until few enough are under way.
    fn flush(&self) -> Result<()> {
        let oldest = self.under_way(Submission::new(self, None), 0);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(oldest) = oldest {
            return pollster::block_on(oldest.done(self));
        }
        drop(oldest);
        self.check()
    }
}
