//! The CPU path: runs a recording by calling each kernel's function, in order. It imports no wgpu.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::kernel::{Call, MAX_INPUTS, MAX_OUTPUTS};
use crate::device::recording::{Dispatch, Recording};
use crate::device::tensor::{MAX_ELEMENTS, Tensor};
use crate::device::{Counters, DeviceInfo};
use crate::error::{Error, ErrorKind, Result};

pub(crate) struct Cpu(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    buffers: Vec<Vec<f32>>,
    free: Vec<usize>,
    counters: Counters,
}

impl Cpu {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    pub(crate) fn info() -> DeviceInfo {
        DeviceInfo {
            name: "cpu".into(),
            kind: "cpu",
            backend: "cpu",
            driver: format!("wgrad {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
            // What the kernels can count to.
            max_tensor_bytes: MAX_ELEMENTS as u64 * 4,
            workgroup_memory: 0,
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.memory().counters
    }

    /// A panic in another thread leaves whole numbers behind, so a poisoned lock is as good as any.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn allocate(&self, len: usize) -> Result<usize> {
        let mut buffer = Vec::new();
        if len > MAX_ELEMENTS || buffer.try_reserve_exact(len).is_err() {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                "tensor",
                format!("{len} elements ({} MiB) do not fit in memory; use smaller batches", len >> 18),
            ));
        }
        buffer.resize(len, 0.0);
        let mut memory = self.memory();
        let slot = memory.free.pop().unwrap_or(memory.buffers.len());
        if slot == memory.buffers.len() {
            memory.buffers.push(buffer);
        } else {
            memory.buffers[slot] = buffer;
        }
        Ok(slot)
    }

    pub(crate) fn free(&self, slot: usize) {
        let mut memory = self.memory();
        memory.buffers[slot] = Vec::new();
        memory.free.push(slot);
    }

    pub(crate) fn write(&self, slot: usize, offset: usize, values: &[f32]) -> Result<()> {
        let mut memory = self.memory();
        memory.counters.uploads += values.len() as u64;
        memory.buffers[slot][offset..offset + values.len()].copy_from_slice(values);
        Ok(())
    }

    pub(crate) fn read(&self, slot: usize, range: Range<usize>) -> Result<Vec<f32>> {
        let mut memory = self.memory();
        memory.counters.reads += 1;
        Ok(memory.buffers[slot][range].to_vec())
    }

    pub(crate) fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        let mut memory = self.memory();
        let memory = &mut *memory;
        memory.counters.submits += 1;
        memory.counters.launches += u64::from(steps.end.saturating_sub(steps.start)) * recording.len() as u64;
        for step in steps {
            for dispatch in recording.dispatches() {
                call(&mut memory.buffers, dispatch, step as usize);
            }
        }
        Ok(())
    }
}

fn place(tensor: &Tensor) -> (usize, Range<usize>) {
    // `Recording::push` took tensors of this device only.
    let slot = tensor.buffer.cpu_slot().unwrap_or(usize::MAX);
    (slot, tensor.offset..tensor.offset + tensor.len())
}

/// Calls the kernel's function on slices of the buffers. The outputs' buffers are taken out of the list meanwhile: a buffer
/// that is written is bound only once, which `Recording::push` checks.
fn call(buffers: &mut [Vec<f32>], dispatch: &Dispatch, step: usize) {
    let mut taken: [Vec<f32>; MAX_OUTPUTS] = Default::default();
    for (taken, output) in taken.iter_mut().zip(&dispatch.outputs) {
        *taken = std::mem::take(&mut buffers[place(output).0]);
    }
    let mut outputs: [&mut [f32]; MAX_OUTPUTS] = Default::default();
    for ((slice, buffer), output) in outputs.iter_mut().zip(&mut taken).zip(&dispatch.outputs) {
        *slice = &mut buffer[place(output).1];
    }
    let mut inputs: [&[f32]; MAX_INPUTS] = Default::default();
    for (slice, input) in inputs.iter_mut().zip(&dispatch.inputs) {
        let (slot, range) = place(input);
        *slice = &buffers[slot][range];
    }
    (dispatch.kernel.cpu)(Call { params: &dispatch.params, step, inputs, outputs });
    for (taken, output) in taken.iter_mut().zip(&dispatch.outputs) {
        buffers[place(output).0] = std::mem::take(taken);
    }
}
