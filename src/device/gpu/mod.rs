//! The GPU backend, on wgpu. The adapter is chosen in `adapter.rs`; buffers and uploads are in `memory.rs`; a recording is
//! made ready in `prepare.rs`, its kernels in `pipeline.rs`, and run in `submit.rs`; results come back in `readback.rs`,
//! errors in `faults.rs`; `reply.rs` waits.

mod adapter;
mod faults;
#[cfg(test)]
mod injected;
mod memory;
mod pipeline;
mod prepare;
mod readback;
mod reply;
mod submit;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use adapter::{Found, best, find, list};
use faults::Faults;
use memory::{Uploads, bytes};
use pipeline::{Key, Pipeline};
pub(crate) use prepare::Prepared;
pub(crate) use readback::Readback;
use submit::{Steps, Submission};

use crate::device::kernel::{MAX_BINDINGS, MAX_PARAMS_SIZE};
use crate::device::{Counters, DeviceInfo, DeviceOptions};
use crate::error::Result;

/// Distance between parameter blocks in a uniform buffer.
const UNIFORM_STRIDE: u64 = MAX_PARAMS_SIZE as u64;
/// Size of what is bound in place of a tensor that a dispatch leaves out. Each takes a part of its own: no two outputs
/// may overlap.
const UNUSED_BYTES: u64 = 256;

pub(crate) struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    checked_shaders: bool,
    timeout: Duration,
    step_layout: wgpu::BindGroupLayout,
    /// Bound for inputs and for outputs that a dispatch leaves out.
    unused: [wgpu::Buffer; 2],
    state: Mutex<State>,
    /// Held during a submit, so that uploads keep their place in the order of submits.
    uploads: Mutex<Uploads>,
}

#[derive(Default)]
struct State {
    pipelines: HashMap<Key, Pipeline>,
    steps: Option<Steps>,
    in_flight: VecDeque<Submission>,
    counters: Counters,
}

impl Gpu {
    pub(crate) async fn open(found: Found, options: &DeviceOptions) -> Result<Self> {
        let (device, queue, info) = adapter::request_device(found, options.default_limits).await?;
        let faults = Faults::watch(&device, &info.name);
        let step_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[0, 1].map(|binding| layout_entry(binding, wgpu::BufferBindingType::Uniform, true)),
        });
        let unused = [(); 2].map(|()| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("unused"),
                size: UNUSED_BYTES * MAX_BINDINGS as u64,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        Ok(Self {
            info,
            device,
            queue,
            faults,
            checked_shaders: options.checked_shaders,
            timeout: options.timeout,
            step_layout,
            unused,
            state: Mutex::default(),
            uploads: Mutex::default(),
        })
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(crate) fn counters(&self) -> Counters {
        self.state().counters
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self, buffer: &wgpu::Buffer, offset: usize, len: usize) -> Result<Readback> {
        self.check()?;
        self.state().counters.reads += 1;
        Readback::start(self, buffer, bytes(offset), bytes(len))
    }
}

fn layout_entry(binding: u32, ty: wgpu::BufferBindingType, dynamic: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
        count: None,
    }
}

fn bind(binding: u32, buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    let size = std::num::NonZeroU64::new(size);
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }),
    }
}
