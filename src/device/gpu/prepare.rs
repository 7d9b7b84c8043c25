//! A prepared recording: pipelines, parameters in uniform buffers, bind groups.

use std::ops::Range;

use super::memory::{UPLOAD_BYTES, bytes};
use super::submit::SUBMIT_MICROSECONDS;
use super::{Gpu, UNIFORM_STRIDE, UNUSED_BYTES, bind};
use crate::device::Capabilities;
use crate::device::recording::{Dispatch, Recording};
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};

/// Dispatches whose parameters lie in one uniform buffer.
const DISPATCHES_PER_BUFFER: usize = (UPLOAD_BYTES / UNIFORM_STRIDE) as usize;

/// What an invocation costs at least, in work: its indices, and barriers that most of a workgroup only waits at. A kernel
/// with a workgroup for each of a million rows of one number does little else.
const WORK_PER_INVOCATION: u64 = 32;

/// A recording with everything that a replay needs.
pub(crate) struct Prepared {
    pub(super) bound: Vec<BoundDispatch>,
    /// The dispatches of one submit: all of them, unless a single step takes too long for that.
    pub(super) pieces: Vec<Range<usize>>,
    /// At least 1.
    pub(super) steps_per_submit: u32,
    /// How many steps a dispatch runs, at least 1.
    pub(super) steps_at_once: u32,
}

pub(super) struct BoundDispatch {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) workgroups: [u32; 2],
    pub(super) uses_step: bool,
}

impl Capabilities {
    /// How long a dispatch takes, to a factor of a few and on the slow side.
    pub(crate) fn microseconds(&self, dispatch: &Dispatch) -> f64 {
        let invocations: u64 =
            dispatch.workgroups.iter().chain(&dispatch.kernel.workgroup_size).map(|n| u64::from(*n)).product();
        let work = dispatch.work.max(invocations.saturating_mul(WORK_PER_INVOCATION));
        self.dispatch_microseconds + work as f64 / self.work_per_microsecond
    }
}

/// Stretches of dispatches that take up to `limit` each, or are a single one.
fn pieces(microseconds: impl Iterator<Item = f64>, limit: f64) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut end, mut sum) = (0, 0, 0.0);
    for time in microseconds {
        if end > start && sum + time > limit {
            pieces.push(start..end);
            (start, sum) = (end, 0.0);
        }
        sum += time;
        end += 1;
    }
    if end > start {
        pieces.push(start..end);
    }
    pieces
}

impl Gpu {
    /// What a recording needs to run, created on first use.
    pub(crate) async fn prepared<'a>(&self, recording: &'a Recording) -> Result<&'a Prepared> {
        let cell = recording.prepared();
        if let Some(prepared) = cell.get() {
            return Ok(prepared);
        }
        self.check()?;
        let prepared = self.prepare(recording.dispatches(), recording.steps_at_once()).await?;
        // If two threads get here, one wins and the other's work is dropped.
        Ok(cell.get_or_init(|| prepared))
    }

    async fn prepare(&self, dispatches: &[Dispatch], steps_at_once: u32) -> Result<Prepared> {
        let pipelines = self.pipelines(dispatches).await?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let bound = self.bind(dispatches, pipelines);
        // Asked for before the next await: scopes are closed in the order of a stack.
        let refused = scope.pop();
        let bound = bound?;
        if let Some(error) = refused.await {
            return Err(self.cause(Error::kernel("run", format!("{} refuses a dispatch: {error}", self.info.name))));
        }
        self.check()?;
        let capabilities = &self.info.capabilities;
        let microseconds = || dispatches.iter().map(|dispatch| capabilities.microseconds(dispatch));
        let step: f64 = microseconds().sum();
        Ok(Prepared {
            bound,
            pieces: pieces(microseconds(), SUBMIT_MICROSECONDS),
            steps_per_submit: ((SUBMIT_MICROSECONDS / step) as u32).max(1),
            steps_at_once,
        })
    }

    fn bind(&self, dispatches: &[Dispatch], pipelines: Vec<super::pipeline::Pipeline>) -> Result<Vec<BoundDispatch>> {
        let mut bound = Vec::with_capacity(dispatches.len());
        let mut pipelines = pipelines.into_iter();
        for dispatches in dispatches.chunks(DISPATCHES_PER_BUFFER) {
            let params = self.params(dispatches)?;
            for ((i, dispatch), pipeline) in dispatches.iter().enumerate().zip(&mut pipelines) {
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
                            None => bind(binding, unused, place as u64 * UNUSED_BYTES, UNUSED_BYTES),
                        });
                    }
                }
                bound.push(BoundDispatch {
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
        }
        Ok(bound)
    }

    /// The parameters of some dispatches, at a distance that every adapter can bind them at.
    fn params(&self, dispatches: &[Dispatch]) -> Result<wgpu::Buffer> {
        let mut contents = vec![0; dispatches.len() * UNIFORM_STRIDE as usize];
        for (block, dispatch) in contents.chunks_mut(UNIFORM_STRIDE as usize).zip(dispatches) {
            block[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let buffer = self.uniform_buffer("params", contents.len() as u64)?;
        self.upload(&buffer, 0, &contents)?;
        Ok(buffer)
    }

    pub(super) fn uniform_buffer(&self, label: &str, size: u64) -> Result<wgpu::Buffer> {
        self.create_buffer(label, size, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST, false)
    }
}

fn bind_tensor(binding: u32, tensor: &Tensor) -> Result<wgpu::BindGroupEntry<'_>> {
    let buffer = tensor.buffer.gpu_buffer().ok_or_else(|| Error::input("run", "a tensor of the CPU path on a GPU"))?;
    Ok(bind(binding, buffer, bytes(tensor.offset), bytes(tensor.len())))
}

#[cfg(test)]
mod tests {
    use super::pieces;
    use crate::{Backend, Call, Capabilities, Device, DeviceKind, Kernel, Recording, Tensor};

    fn nothing(_: Call<'_>) {}

    static ROWS: Kernel = Kernel::new("user.rows", "", "main", [64, 1, 1], nothing).inputs(1);

    #[test]
    fn a_million_rows_of_one_number_are_not_taken_for_a_million_additions() {
        let device = Device::cpu();
        let (x, sums) = (Tensor::zeros(&device, 1, 1).unwrap(), Tensor::zeros(&device, 1, 1).unwrap());
        let mut recording = Recording::new(&device);
        recording.dispatch(&ROWS, [1024, 1024], (), &[&x], &[&sums], 1 << 20).unwrap();
        // llvmpipe takes six seconds.
        let estimate = Capabilities::of(DeviceKind::Software, Backend::Vulkan).microseconds(&recording.dispatches()[0]);
        assert!((1e6..2e7).contains(&estimate), "{estimate} us");
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one piece is a list of one range")]
    fn a_long_step_is_cut_into_pieces_that_cover_it() {
        assert_eq!(pieces([1.0; 5].into_iter(), 10.0), [0..5]);
        assert_eq!(pieces([4.0; 5].into_iter(), 10.0), [0..2, 2..4, 4..5]);
        assert_eq!(pieces([1.0, 99.0, 1.0, 1.0].into_iter(), 10.0), [0..1, 1..2, 2..4]);
        assert_eq!(pieces([99.0].into_iter(), 10.0), [0..1]);
        assert!(pieces([].into_iter(), 10.0).is_empty());
    }
}
