//! The CPU path: runs a recording by calling each kernel's function, in order. It imports no wgpu.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::device::fair::Fair;
use crate::device::kernel::{Call, MAX_INPUTS, MAX_OUTPUTS};
use crate::device::recording::{Dispatch, Recording};
use crate::device::stages::Stage;
use crate::device::tensor::{MAX_ELEMENTS, Tensor};
use crate::device::{Backend, Capabilities, Counters, DeviceInfo, DeviceKind};
use crate::error::{Error, ErrorKind, Result};

pub(crate) struct Cpu {
    info: DeviceInfo,
    /// Held for a step of a run at a time, or for a dispatch of a long one.
    memory: Fair<Memory>,
}

/// The most elements of freed buffers that are kept for the next ones, 32 MiB of them. Memory that is new to the process costs
/// more than a small network's pass over it: predictions of another number of rows each time took twice as long.
const SPARE_ELEMENTS: usize = 1 << 23;

/// Elements that are written before others may have the memory: 1 MiB of them.
const WRITTEN_AT_ONCE: usize = 1 << 18;

#[derive(Default)]
struct Memory {
    buffers: Vec<Vec<f32>>,
    free: Vec<usize>,
    /// Freed buffers, the oldest first.
    spare: VecDeque<Vec<f32>>,
    counters: Counters,
}

impl Cpu {
    pub(crate) fn new() -> Self {
        Self { info: Self::describe(), memory: Fair::default() }
    }

    pub(crate) fn describe() -> DeviceInfo {
        DeviceInfo {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            backend: Backend::Cpu,
            driver: format!("wgrad {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
            capabilities: Capabilities {
                // What the kernels can count to.
                max_tensor_bytes: MAX_ELEMENTS as u64 * 4,
                workgroup_memory: 0,
                ..Capabilities::of(DeviceKind::Cpu, Backend::Cpu)
            },
        }
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(crate) fn counters(&self) -> Counters {
        self.memory.lock().counters
    }

    pub(crate) fn allocate(&self, len: usize) -> Result<usize> {
        let mut buffer = self.memory.lock().take_spare(len);
        if buffer.try_reserve_exact(len).is_err() {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                "tensor",
                format!("{len} elements ({} MiB) do not fit in memory; use smaller batches", len >> 18),
            ));
        }
        buffer.resize(len, 0.0);
        let mut memory = self.memory.lock();
        let slot = memory.free.pop().unwrap_or(memory.buffers.len());
        if slot == memory.buffers.len() {
            memory.buffers.push(buffer);
        } else {
            memory.buffers[slot] = buffer;
        }
        Ok(slot)
    }

    pub(crate) fn free(&self, slot: usize) {
        let mut memory = self.memory.lock();
        let buffer = std::mem::take(&mut memory.buffers[slot]);
        memory.free.push(slot);
        let unwanted = memory.keep(buffer);
        // Large ones take their time.
        drop(memory);
        drop(unwanted);
    }

    pub(crate) fn write(&self, slot: usize, offset: usize, values: &[f32]) -> Result<()> {
        let mut memory = self.memory.lock();
        memory.counters.uploads += values.len() as u64;
        // A dataset takes longer than others should wait.
        for (number, part) in values.chunks(WRITTEN_AT_ONCE).enumerate() {
            if number > 0 {
                memory = self.memory.yielded(memory);
            }
            let start = offset + number * WRITTEN_AT_ONCE;
            memory.buffers[slot][start..start + part.len()].copy_from_slice(part);
        }
        Ok(())
    }

    pub(crate) fn read(&self, slot: usize, range: Range<usize>) -> Result<Vec<f32>> {
        let mut memory = self.memory.lock();
        memory.counters.reads += 1;
        Ok(memory.buffers[slot][range].to_vec())
    }

    /// See [`Device::copy`](crate::Device).
    pub(crate) fn copy(&self, pairs: &[[Tensor; 2]]) -> Result<()> {
        let mut memory = self.memory.lock();
        for [(from, source), (to, target)] in pairs.iter().map(|pair| [&pair[0], &pair[1]].map(place)) {
            if from == to {
                memory.buffers[to].copy_within(source, target.start);
                continue;
            }
            let mut written = std::mem::take(&mut memory.buffers[to]);
            written[target].copy_from_slice(&memory.buffers[from][source]);
            memory.buffers[to] = written;
        }
        Ok(())
    }

    /// Calls `f` with all buffers, by their slots.
    pub(crate) fn with_memory<T>(&self, f: impl FnOnce(&mut [Vec<f32>]) -> T) -> T {
        f(&mut self.memory.lock().buffers)
    }

    /// Counts a run whose dispatches were called by someone else.
    pub(crate) fn count(&self, dispatches: u64) {
        let mut memory = self.memory.lock();
        memory.counters.submits += 1;
        memory.counters.dispatches += dispatches;
    }

    /// Writes values to the first tensor, runs all dispatches once, and reads the second.
    pub(crate) fn run_through(
        &self,
        recording: &Recording,
        (input, values): (&Tensor, &[f32]),
        output: &Tensor,
    ) -> Result<Vec<f32>> {
        recording.stages();
        let mut memory = self.memory.lock();
        memory.counters.uploads += values.len() as u64;
        memory.counters.submits += 1;
        memory.counters.dispatches += recording.len() as u64;
        memory.counters.reads += 1;
        let [(from, range), (to, out)] = [place(input), place(output)];
        memory.buffers[from][range].copy_from_slice(values);
        run_step(&mut memory.buffers, recording, 0..1)?;
        Ok(memory.buffers[to][out].to_vec())
    }

    pub(crate) fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        // Made before the first run, while nobody waits.
        recording.stages();
        let mut memory = self.memory.lock();
        memory.counters.submits += 1;
        let at_once = recording.steps_at_once();
        for step in steps.clone().step_by(at_once as usize) {
            memory = self.memory.yielded(memory);
            memory.counters.dispatches += recording.len() as u64;
            let end = steps.end.min(step.saturating_add(at_once));
            let steps = step as usize..end as usize;
            if recording.open_dispatches() > 0 {
                memory = self.run_in_parts(memory, recording, steps)?;
            } else {
                run_step(&mut memory.buffers, recording, steps)?;
            }
        }
        Ok(())
    }

    /// [`run_step`], and between its parts, as long as they are open, whoever waits for the memory has it.
    fn run_in_parts<'a>(
        &'a self,
        mut memory: MutexGuard<'a, Memory>,
        recording: &Recording,
        steps: Range<usize>,
    ) -> Result<MutexGuard<'a, Memory>> {
        let (dispatches, mut is_open) = (recording.dispatches(), true);
        for stage in recording.stages().unwrap_or_default() {
            is_open &= stage.dispatches.iter().all(|number| *number < recording.open_dispatches());
            for part in stage.parts() {
                if is_open {
                    memory = self.memory.yielded(memory);
                }
                caught(recording, &steps, |at| run_stage(stage, part, dispatches, &mut memory.buffers, &steps, at))?;
            }
        }
        if recording.stages().is_none() {
            for (number, dispatch) in dispatches.iter().enumerate() {
                if number < recording.open_dispatches() {
                    memory = self.memory.yielded(memory);
                }
                caught(recording, &steps, |at| {
                    at.store(number, Ordering::Relaxed);
                    call(&mut memory.buffers, dispatch, &steps);
                })?;
            }
        }
        Ok(memory)
    }
}

impl Memory {
    /// A freed buffer of about this size, emptied, or a new one.
    fn take_spare(&mut self, len: usize) -> Vec<f32> {
        let fitting = self.spare.iter().rposition(|spare| (len..=len.saturating_mul(2)).contains(&spare.capacity()));
        let mut buffer = fitting.and_then(|fitting| self.spare.remove(fitting)).unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Keeps a freed buffer. Those that are too many come back.
    fn keep(&mut self, buffer: Vec<f32>) -> Vec<Vec<f32>> {
        self.spare.push_back(buffer);
        let mut elements: usize = self.spare.iter().map(Vec::capacity).sum();
        let too_many = self.spare.iter().take_while(|spare| {
            let over = elements > SPARE_ELEMENTS;
            elements -= spare.capacity();
            over
        });
        let too_many = too_many.count().max(self.spare.len().saturating_sub(32));
        self.spare.drain(..too_many).collect()
    }
}

/// Runs all dispatches, once for these steps. A reference implementation that panics is an error, and leaves the memory intact.
fn run_step(buffers: &mut [Vec<f32>], recording: &Recording, steps: Range<usize>) -> Result<()> {
    let dispatches = recording.dispatches();
    caught(recording, &steps, |at| {
        if let Some(stages) = recording.stages() {
            for stage in stages {
                run_stage(stage, 0..stage.len(), dispatches, buffers, &steps, at);
            }
            return;
        }
        for (number, dispatch) in dispatches.iter().enumerate() {
            at.store(number, Ordering::Relaxed);
            call(buffers, dispatch, &steps);
        }
    })
}

fn run_stage(
    stage: &Stage,
    part: Range<usize>,
    dispatches: &[Dispatch],
    buffers: &mut [Vec<f32>],
    steps: &Range<usize>,
    at: &AtomicUsize,
) {
    stage.run(part, dispatches, buffers, steps.start, at, |buffers, dispatch| call(buffers, dispatch, steps));
}

/// Runs some dispatches, whose number `run` keeps where it is told. A panic of one is an error.
fn caught(recording: &Recording, steps: &Range<usize>, run: impl FnOnce(&AtomicUsize)) -> Result<()> {
    let at = AtomicUsize::new(0);
    catch_unwind(AssertUnwindSafe(|| run(&at))).map_err(|panic| {
        let at = at.into_inner();
        let name = recording.dispatches().get(at).map_or("run", |dispatch| dispatch.kernel.name);
        let message = message(&*panic);
        Error::kernel(
            name,
            format!("its reference implementation panicked in dispatch {at} of step {}: {message}", steps.start),
        )
    })
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn place(tensor: &Tensor) -> (usize, Range<usize>) {
    // `Recording::dispatch` took tensors of this device only.
    let slot = tensor.buffer.cpu_slot().unwrap_or(usize::MAX);
    (slot, tensor.offset..tensor.offset + tensor.len())
}

/// The outputs' buffers, taken out of the list until the kernel has run, or has panicked.
struct Taken<'a> {
    buffers: &'a mut [Vec<f32>],
    outputs: &'a [Tensor],
    taken: [Vec<f32>; MAX_OUTPUTS],
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        for (taken, output) in self.taken.iter_mut().zip(self.outputs) {
            self.buffers[place(output).0] = std::mem::take(taken);
        }
    }
}

/// Calls the kernel's function on slices of the buffers. The outputs' buffers are taken out of the list meanwhile: a buffer
/// that is written is bound only once, which `Recording::dispatch` checks.
#[inline(always)]
fn call(buffers: &mut [Vec<f32>], dispatch: &Dispatch, steps: &Range<usize>) {
    let mut all = Taken { buffers, outputs: &dispatch.outputs, taken: Default::default() };
    for (taken, output) in all.taken.iter_mut().zip(all.outputs) {
        *taken = std::mem::take(&mut all.buffers[place(output).0]);
    }
    let mut outputs: [&mut [f32]; MAX_OUTPUTS] = Default::default();
    for ((slice, buffer), output) in outputs.iter_mut().zip(&mut all.taken).zip(all.outputs) {
        *slice = &mut buffer[place(output).1];
    }
    let mut inputs: [&[f32]; MAX_INPUTS] = Default::default();
    for (slice, input) in inputs.iter_mut().zip(&dispatch.inputs) {
        let (slot, range) = place(input);
        *slice = &all.buffers[slot][range];
    }
    (dispatch.kernel.cpu)(Call { params: &dispatch.params, step: steps.start, last: steps.end - 1, inputs, outputs });
}

#[cfg(test)]
mod tests;
