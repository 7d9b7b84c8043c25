//! Submits: commands behind the uploads that came before them, and no more under way than a GPU should have.

use std::ops::Range;

use super::memory::bytes;
use super::prepare::Prepared;
use super::reply::{Reply, reply};
use super::{Gpu, UNIFORM_STRIDE, bind};
use crate::device::recording::Recording;
use crate::error::Result;

/// A submit is closed once its estimated time reaches this: well below the two seconds after which systems reset a GPU; in a
/// page, below the time of a frame.
pub(super) const SUBMIT_MICROSECONDS: f64 = if cfg!(target_arch = "wasm32") { 10_000.0 } else { 50_000.0 };
/// Submits under way at a time: one runs while the next is recorded.
const SUBMITS_IN_FLIGHT: usize = 3;

/// Work under way.
pub(super) struct Submission {
    index: wgpu::SubmissionIndex,
    done: Reply<()>,
}

impl Submission {
    pub(super) fn new(gpu: &Gpu, commands: Option<wgpu::CommandBuffer>) -> Self {
        let index = gpu.submit(commands);
        let (done, callback) = reply();
        gpu.queue.on_submitted_work_done(move || callback(()));
        Self { index, done }
    }

    /// Sleeps until the work is done.
    pub(super) async fn done(self, gpu: &Gpu) -> Result<()> {
        std::future::poll_fn(|context| self.done.poll(gpu, &self.index, context)).await
    }
}

/// The uniform with a kernel's step number, and with that of the last step that it runs: slot i holds i, and dynamic
/// offsets pick the slots.
#[derive(Clone)]
pub(super) struct Steps {
    bind_group: wgpu::BindGroup,
    len: u32,
}

impl Gpu {
    /// Submits the uploads so far and these commands behind them, with no other thread's submit in between. In a submit of
    /// their own, as one that is refused for a faulty kernel's sake would take them along.
    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> wgpu::SubmissionIndex {
        let mut uploads = self.uploads();
        let copies = uploads.take(&self.device).map(|copies| self.submit_one(copies));
        match (commands, copies) {
            (Some(commands), _) => self.submit_one(commands),
            (None, Some(submission)) => submission,
            (None, None) => self.queue.submit([]),
        }
    }

    fn submit_one(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        self.state().counters.submits += 1;
        self.queue.submit([commands])
    }

    /// Registers a submit of this many dispatches. Returns the oldest one if too many are under way.
    pub(super) fn under_way(&self, submission: Submission, dispatches: usize) -> Option<Submission> {
        let mut state = self.state();
        state.counters.dispatches += dispatches as u64;
        state.in_flight.push_back(submission);
        (state.in_flight.len() > SUBMITS_IN_FLIGHT).then(|| state.in_flight.pop_front()).flatten()
    }

    pub(crate) async fn wait(&self) -> Result<()> {
        self.check()?;
        let last = Submission::new(self, None);
        self.state().in_flight.clear();
        last.done(self).await?;
        self.check()
    }

    pub(crate) async fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        self.check()?;
        let prepared = self.prepared(recording).await?;
        if prepared.bound.is_empty() {
            return Ok(());
        }
        let table = self.steps(steps.end)?;
        let mut first = steps.start;
        while first < steps.end {
            let end = steps.end.min(first.saturating_add(prepared.steps_per_submit));
            for piece in &prepared.pieces {
                let commands = self.encode(prepared, piece, &table, first..end);
                let submission = Submission::new(self, Some(commands));
                let dispatches = piece.len() * (end - first).div_ceil(prepared.steps_at_once) as usize;
                match self.under_way(submission, dispatches) {
                    Some(oldest) => oldest.done(self).await?,
                    None => self.check()?,
                }
            }
            first = end;
        }
        Ok(())
    }

    fn encode(
        &self,
        prepared: &Prepared,
        piece: &Range<usize>,
        table: &Steps,
        steps: Range<u32>,
    ) -> wgpu::CommandBuffer {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in steps.clone().step_by(prepared.steps_at_once as usize) {
            let last = (steps.end - 1).min(step.saturating_add(prepared.steps_at_once - 1));
            let slots = [step, last].map(|step| step * UNIFORM_STRIDE as u32);
            for dispatch in &prepared.bound[piece.clone()] {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &dispatch.bind_group, &[]);
                if dispatch.uses_step {
                    pass.set_bind_group(1, &table.bind_group, &slots);
                }
                pass.dispatch_workgroups(dispatch.workgroups[0], dispatch.workgroups[1], 1);
            }
        }
        drop(pass);
        encoder.finish()
    }

    /// The table of step numbers, with at least `len` of them.
    fn steps(&self, len: u32) -> Result<Steps> {
        if let Some(steps) = self.state().steps.as_ref().filter(|steps| steps.len >= len) {
            return Ok(steps.clone());
        }
        // Of two threads that get here, both are served, and the later table is kept.
        let len = len.next_power_of_two().max(256);
        let buffer = self.uniform_buffer("steps", u64::from(len) * UNIFORM_STRIDE)?;
        let numbers: Vec<u32> = (0..len).collect();
        // In pieces of about a mebibyte.
        for (i, numbers) in numbers.chunks(4096).enumerate() {
            let block: Vec<[u32; 64]> = numbers.iter().map(|number| [*number; 64]).collect();
            self.upload(&buffer, bytes(i * 4096 * 64), bytemuck::cast_slice(&block))?;
        }
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &self.step_layout,
            entries: &[0, 1].map(|binding| bind(binding, &buffer, 0, UNIFORM_STRIDE)),
        });
        Ok(self.state().steps.insert(Steps { bind_group, len }).clone())
    }
}
