//! The GPU backend, on wgpu: memory and submits. The adapter is chosen in `adapter.rs`, kernels are compiled in
//! `pipeline.rs`, results come back in `readback.rs`, errors in `faults.rs`.

mod adapter;
mod faults;
mod pipeline;
mod readback;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use adapter::{has_hardware, list};
use faults::Faults;
use pipeline::Pipeline;
pub(crate) use readback::Readback;

use crate::device::kernel::MAX_PARAMS_SIZE;
use crate::device::recording::{Dispatch, Recording};
use crate::device::tensor::Tensor;
use crate::device::{Counters, DeviceInfo, DeviceOptions};
use crate::error::{Error, ErrorKind, Result};

/// Distance between parameter blocks in a uniform buffer.
const UNIFORM_STRIDE: u64 = MAX_PARAMS_SIZE as u64;
/// Size of what is bound in place of a tensor that a launch leaves out.
const UNUSED_BYTES: u64 = 256;
/// A submit is closed once its estimated time reaches this, well below the two seconds after which systems reset a GPU.
const SUBMIT_MICROSECONDS: f64 = 50_000.0;
/// Submits under way at a time: one runs while the next is recorded.
const SUBMITS_IN_FLIGHT: usize = 3;
/// A GPU that gives no answer for this long hangs: submits are cut to a fraction of a second.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    faults: Arc<Faults>,
    checked_shaders: bool,
    pace: Pace,
    step_layout: wgpu::BindGroupLayout,
    /// Bound for inputs and for outputs that a launch leaves out.
    unused: [wgpu::Buffer; 2],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the address of the kernel, as names of kernels from outside the crate need not be unique, and the constants
    /// that it is compiled for.
    pipelines: HashMap<(usize, Vec<u64>), Pipeline>,
    steps: Option<Steps>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    counters: Counters,
}

/// The uniform that tells a kernel the number of its step: slot i holds i, and a dynamic offset picks the slot.
#[derive(Clone)]
struct Steps {
    bind_group: wgpu::BindGroup,
    len: u32,
}

/// How long work takes on this kind of adapter, to a factor of a few and on the slow side.
#[derive(Clone, Copy)]
struct Pace {
    launch_microseconds: f64,
    work_per_microsecond: f64,
}

impl Pace {
    fn of(kind: &str) -> Self {
        let (launch_microseconds, work_per_microsecond) = match kind {
            "discrete" => (3.0, 500_000.0),
            "integrated" => (6.0, 50_000.0),
            _ => (30.0, 1_000.0),
        };
        Self { launch_microseconds, work_per_microsecond }
    }

    fn microseconds(&self, dispatch: &Dispatch) -> f64 {
        self.launch_microseconds + dispatch.work as f64 / self.work_per_microsecond
    }
}

/// A recording with everything that a replay needs at hand.
pub(crate) struct Prepared {
    launches: Vec<Launch>,
    microseconds: f64,
}

struct Launch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 2],
    uses_step: bool,
}

fn bytes(elements: usize) -> u64 {
    elements as u64 * 4
}

impl Gpu {
    pub(crate) fn open(options: &DeviceOptions) -> Result<Self> {
        let (adapter, info) = adapter::find(&options.name)?;
        let (device, queue, info) = adapter::request_device(&adapter, info, options.default_limits)?;
        let faults = Faults::watch(&device, &info.name);
        let step_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[layout_entry(0, wgpu::BufferBindingType::Uniform, true)],
        });
        let pace = Pace::of(info.kind);
        let unused = [(); 2].map(|()| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("unused"),
                size: UNUSED_BYTES,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let checked_shaders = options.checked_shaders;
        Ok(Self { info, device, queue, faults, checked_shaders, pace, step_layout, unused, state: Mutex::default() })
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

    pub(crate) fn allocate(&self, len: usize) -> Result<wgpu::Buffer> {
        self.faults.check()?;
        let too_large = |limit: &str, advice: &str| {
            Error::new(
                ErrorKind::OutOfMemory,
                "tensor",
                format!("{len} elements ({} MiB) exceed {limit} of {}; {advice}", bytes(len) >> 20, self.info.name),
            )
        };
        if bytes(len) > self.info.max_tensor_bytes {
            let limit = format!("the {} MiB a matrix may have", self.info.max_tensor_bytes >> 20);
            return Err(too_large(&limit, "use smaller batches or Device::cpu()"));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes(len),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(too_large(
                "the free memory",
                "use smaller batches, keep less data there (Fit::resident_bytes), or use Device::cpu()",
            )),
        }
    }

    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: usize, values: &[f32]) -> Result<()> {
        self.faults.check()?;
        self.state().counters.uploads += values.len() as u64;
        self.queue.write_buffer(buffer, bytes(offset), bytemuck::cast_slice(values));
        Ok(())
    }

    pub(crate) fn read(&self, buffer: &wgpu::Buffer, offset: usize, len: usize) -> Result<Readback> {
        self.faults.check()?;
        self.state().counters.reads += 1;
        Ok(Readback::start(self, buffer, bytes(offset), bytes(len)))
    }

    pub(crate) fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let result = self.device.poll(wgpu::PollType::Wait { submission_index: submission, timeout: Some(TIMEOUT) });
        self.faults.check()?;
        result.map(drop).map_err(|error| {
            Error::new(
                ErrorKind::DeviceLost,
                "wait",
                format!(
                    "{} gave no answer within {} s ({error}); it hangs, or another program holds it",
                    self.info.name,
                    TIMEOUT.as_secs()
                ),
            )
        })
    }

    pub(crate) fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        self.faults.check()?;
        let prepared = recording.prepared(|| self.prepare(recording))?;
        if prepared.launches.is_empty() {
            return Ok(());
        }
        let table = self.steps(steps.end);
        let per_submit = ((SUBMIT_MICROSECONDS / prepared.microseconds) as u32).max(1);
        let mut first = steps.start;
        while first < steps.end {
            let end = steps.end.min(first.saturating_add(per_submit));
            self.submit(prepared, &table, first..end)?;
            first = end;
        }
        Ok(())
    }

    fn submit(&self, prepared: &Prepared, table: &Steps, steps: Range<u32>) -> Result<()> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in steps.clone() {
            for launch in &prepared.launches {
                pass.set_pipeline(&launch.pipeline);
                pass.set_bind_group(0, &launch.bind_group, &[]);
                if launch.uses_step {
                    pass.set_bind_group(1, &table.bind_group, &[step * UNIFORM_STRIDE as u32]);
                }
                pass.dispatch_workgroups(launch.workgroups[0], launch.workgroups[1], 1);
            }
        }
        drop(pass);
        let submission = self.queue.submit([encoder.finish()]);
        let oldest = {
            let mut state = self.state();
            state.counters.submits += 1;
            state.counters.launches += u64::from(steps.end - steps.start) * prepared.launches.len() as u64;
            state.in_flight.push_back(submission);
            (state.in_flight.len() > SUBMITS_IN_FLIGHT).then(|| state.in_flight.pop_front()).flatten()
        };
        match oldest {
            Some(submission) => self.wait_for(Some(submission)),
            None => self.faults.check(),
        }
    }

    /// The table of step numbers, with at least `len` of them.
    fn steps(&self, len: u32) -> Steps {
        let mut state = self.state();
        if let Some(steps) = state.steps.as_ref().filter(|steps| steps.len >= len) {
            return steps.clone();
        }
        let len = len.next_power_of_two().max(256);
        let numbers: Vec<[u32; 64]> = (0..len).map(|i| [i; 64]).collect();
        let buffer = self.uniform("steps", bytemuck::cast_slice(&numbers));
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &self.step_layout,
            entries: &[bind(0, &buffer, 0, UNIFORM_STRIDE)],
        });
        state.steps.insert(Steps { bind_group, len }).clone()
    }

    fn uniform(&self, label: &str, contents: &[u8]) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: contents.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// Pipelines, bind groups, and one uniform buffer with the parameters of every launch.
    fn prepare(&self, recording: &Recording) -> Result<Prepared> {
        let dispatches = recording.dispatches();
        let mut contents = vec![0; dispatches.len().max(1) * UNIFORM_STRIDE as usize];
        for (block, dispatch) in contents.chunks_mut(UNIFORM_STRIDE as usize).zip(dispatches) {
            block[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let params = self.uniform("params", &contents);
        let mut launches = Vec::with_capacity(dispatches.len());
        for (i, dispatch) in dispatches.iter().enumerate() {
            let pipeline = self.pipeline(dispatch)?;
            // A size of 0 would bind all that follows, which a long recording has too much of.
            let params_size = dispatch.params.len().max(4) as u64;
            let mut entries = vec![bind(0, &params, i as u64 * UNIFORM_STRIDE, params_size)];
            let [unused_input, unused_output] = &self.unused;
            let bindings = [
                (&dispatch.inputs, dispatch.kernel.inputs, unused_input),
                (&dispatch.outputs, dispatch.kernel.outputs, unused_output),
            ];
            for (tensors, count, unused) in bindings {
                for place in 0..count {
                    let binding = entries.len() as u32;
                    entries.push(match tensors.get(place) {
                        Some(tensor) => bind_tensor(binding, tensor)?,
                        None => bind(binding, unused, 0, UNUSED_BYTES),
                    });
                }
            }
            launches.push(Launch {
                bind_group: self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(dispatch.kernel.name),
                    layout: &pipeline.layout,
                    entries: &entries,
                }),
                pipeline: pipeline.pipeline,
                workgroups: dispatch.workgroups,
                uses_step: dispatch.kernel.uses_step,
            });
        }
        self.faults.check()?;
        let microseconds = dispatches.iter().map(|d| self.pace.microseconds(d)).sum();
        Ok(Prepared { launches, microseconds })
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

fn bind_tensor(binding: u32, tensor: &Tensor) -> Result<wgpu::BindGroupEntry<'_>> {
    let buffer = tensor.buffer.gpu_buffer().ok_or_else(|| Error::input("run", "a tensor of the CPU path on a GPU"))?;
    Ok(bind(binding, buffer, bytes(tensor.offset), bytes(tensor.len())))
}
