//! What the CPU path runs of a set at a time: a recording, or several alike ones side by side.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::alike::{Numbered, Place, alike, is_held_by_others};
use crate::device::cpu::{Cpu, message};
use crate::device::kernel::{Call, Kernel, MAX_INPUTS, MAX_OUTPUTS};
use crate::device::lanes::{LaneCall, MEMBERS, Values};
use crate::device::{Dispatch, Recording, Tensor};
use crate::error::{Error, Result};
use crate::simd;

/// Fewer members than this take longer side by side, with lanes that are idle, than one after the other.
const FEWEST: usize = 4;
/// What a step writes for all members side by side, in bytes: more leaves the processor's caches, and one member after the
/// other is as fast.
const MOST_BYTES: usize = 2 << 20;

/// Recordings that run together: one, or up to [`MEMBERS`] side by side.
pub(super) struct Unit {
    /// Their numbers.
    pub(super) members: Vec<usize>,
    dispatches: Vec<Bound>,
    buffers: Vec<Local>,
}

/// A dispatch, with the unit's buffers in place of tensors.
struct Bound {
    kernel: &'static Kernel,
    inputs: Vec<Place>,
    outputs: Vec<Place>,
}

/// A buffer of the unit.
enum Local {
    /// Of each member its own, element by element.
    Own {
        slots: Vec<usize>,
        /// Where it is written, and others can see that.
        is_result: bool,
        /// Where others can write it, or have.
        is_given: bool,
        values: Vec<f32>,
    },
    /// The same one of all members, and of other units.
    Shared { slot: usize, values: Arc<Vec<f32>> },
}

fn slot(tensor: &Tensor) -> usize {
    // A recording holds tensors of its device alone.
    tensor.buffer.cpu_slot().unwrap_or(usize::MAX)
}

impl Unit {
    pub(super) fn all(cpu: &Cpu, recordings: &[Recording]) -> Vec<Self> {
        let numbered: Vec<_> = recordings.iter().map(Numbered::new).collect();
        let mut users: HashMap<u64, HashSet<usize>> = HashMap::new();
        for (member, numbered) in numbered.iter().enumerate() {
            numbered.buffers.iter().for_each(|tensor| {
                users.entry(tensor.buffer.id()).or_default().insert(member);
            });
        }
        let is_shared = |tensor: &Tensor| users.get(&tensor.buffer.id()).is_some_and(|users| users.len() > 1);
        let mut units = Vec::new();
        for members in alike(recordings, &numbered) {
            for members in members.chunks(MEMBERS) {
                let numbered: Vec<_> = members.iter().map(|member| &numbered[*member]).collect();
                let (first, recording) = (numbered[0], &recordings[members[0]]);
                let pays = members.len() >= FEWEST && 4 * MEMBERS * first.written() <= MOST_BYTES;
                // What one of them shares with other members all must share.
                let alike = (0..first.buffers.len()).all(|i| {
                    let ids: HashSet<_> = numbered.iter().map(|numbered| numbered.buffers[i].buffer.id()).collect();
                    ids.len() == members.len() || (ids.len() == 1 && is_shared(first.buffers[i]))
                });
                if pays && alike {
                    units.push(Self::new(members, &numbered, recording, is_shared));
                } else {
                    let single = |(member, numbered): (&usize, &&Numbered<'_>)| {
                        Self::new(&[*member], &[*numbered], &recordings[*member], is_shared)
                    };
                    units.extend(members.iter().zip(&numbered).map(single));
                }
            }
        }
        // What nobody else holds is never loaded again.
        cpu.with_memory(|buffers| units.iter_mut().for_each(|unit| unit.load_own(buffers, true)));
        units
    }

    fn new(
        members: &[usize],
        numbered: &[&Numbered<'_>],
        recording: &Recording,
        is_shared: impl Fn(&Tensor) -> bool,
    ) -> Self {
        let first = numbered[0];
        let bound = |(dispatch, [inputs, outputs]): (&Dispatch, &[Vec<Place>; 2])| Bound {
            kernel: dispatch.kernel,
            inputs: inputs.clone(),
            outputs: outputs.clone(),
        };
        let local = |(i, tensor): (usize, &&Tensor)| {
            if is_shared(tensor) {
                return Local::Shared { slot: slot(tensor), values: Arc::default() };
            }
            let is_given = is_held_by_others(tensor, recording);
            let mut written = first.places.iter().flat_map(|[_, outputs]| outputs);
            let slots: Vec<_> = numbered.iter().map(|numbered| slot(numbered.buffers[i])).collect();
            Local::Own {
                slots,
                is_result: is_given && written.any(|place| place.buffer == i),
                is_given,
                values: Vec::new(),
            }
        };
        Self {
            members: members.to_vec(),
            dispatches: recording.dispatches().iter().zip(&first.places).map(bound).collect(),
            buffers: first.buffers.iter().enumerate().map(local).collect(),
        }
    }

    /// Numbers of an element.
    fn width(&self) -> usize {
        if self.members.len() == 1 { 1 } else { MEMBERS }
    }

    /// What others may have written since the last run.
    pub(super) fn load(&mut self, memory: &[Vec<f32>], shared: &mut HashMap<usize, Arc<Vec<f32>>>) {
        for buffer in &mut self.buffers {
            if let Local::Shared { slot, values } = buffer {
                *values = shared.entry(*slot).or_insert_with(|| Arc::new(memory[*slot].clone())).clone();
            }
        }
        self.load_own(memory, false);
    }

    fn load_own(&mut self, memory: &[Vec<f32>], all: bool) {
        let width = self.width();
        for buffer in &mut self.buffers {
            let Local::Own { slots, is_given, values, .. } = buffer else { continue };
            if !all && !*is_given {
                continue;
            }
            values.resize(memory[slots[0]].len() * width, 0.0);
            if width == 1 {
                values.copy_from_slice(&memory[slots[0]]);
                continue;
            }
            // Idle lanes repeat the last member.
            let members: [&[f32]; MEMBERS] = std::array::from_fn(|lane| &memory[slots[lane.min(slots.len() - 1)]][..]);
            simd::interleave(members, values.as_chunks_mut().0);
        }
    }

    /// Makes results visible to others; with `all` what nobody else holds, too.
    pub(super) fn store(&self, memory: &mut [Vec<f32>], all: bool) {
        for buffer in &self.buffers {
            let Local::Own { slots, is_result, is_given, values } = buffer else { continue };
            let is_hidden = !is_given;
            if !(if all { is_hidden } else { *is_result }) {
                continue;
            }
            if self.width() == 1 {
                memory[slots[0]].copy_from_slice(values);
                continue;
            }
            for (lane, slot) in slots.iter().enumerate() {
                simd::take_lane(values.as_chunks().0, lane, &mut memory[*slot]);
            }
        }
    }

    pub(super) fn run(&mut self, recordings: &[Recording], steps: Range<u32>) -> Result<()> {
        let mut at = 0;
        let mut step = steps.start;
        let run = AssertUnwindSafe(|| {
            for now in steps {
                step = now;
                for number in 0..self.dispatches.len() {
                    at = number;
                    self.call(recordings, number, now as usize);
                }
            }
        });
        catch_unwind(run).map_err(|panic| {
            let name = self.dispatches[at].kernel.name;
            let said = message(&*panic);
            Error::kernel(
                name,
                format!("its reference implementation panicked in dispatch {at} of step {step}: {said}"),
            )
        })
    }

    fn call(&mut self, recordings: &[Recording], number: usize, step: usize) {
        let Bound { kernel, inputs: places, outputs } = &self.dispatches[number];
        let width = self.width();
        let params = |member: &usize| &recordings[*member].dispatches()[number].params[..];
        let mut taken = Taken { buffers: &mut self.buffers, outputs, taken: Default::default() };
        taken.take();
        let Taken { buffers, taken, .. } = &mut taken;
        let scaled = |range: &Range<usize>| range.start * width..range.end * width;
        let mut slices: [&mut [f32]; MAX_OUTPUTS] = Default::default();
        for ((slice, values), place) in slices.iter_mut().zip(taken).zip(outputs) {
            *slice = &mut values[scaled(&place.range)];
        }
        if width == 1 {
            let mut inputs: [&[f32]; MAX_INPUTS] = Default::default();
            for (slice, place) in inputs.iter_mut().zip(places) {
                *slice = match &buffers[place.buffer] {
                    Local::Own { values, .. } => &values[place.range.clone()],
                    Local::Shared { values, .. } => &values[place.range.clone()],
                };
            }
            return (kernel.cpu)(Call { params: params(&self.members[0]), step, last: step, inputs, outputs: slices });
        }
        let mut inputs = [Values::default(); MAX_INPUTS];
        for (input, place) in inputs.iter_mut().zip(places) {
            *input = match &buffers[place.buffer] {
                Local::Own { values, .. } => Values::Own(values[scaled(&place.range)].as_chunks().0),
                Local::Shared { values, .. } => Values::Shared(&values[place.range.clone()]),
            };
        }
        let last = self.members.len() - 1;
        let call = LaneCall {
            params: std::array::from_fn(|lane| params(&self.members[lane.min(last)])),
            step,
            inputs,
            outputs: slices.map(|slice| slice.as_chunks_mut().0),
        };
        match kernel.lanes {
            Some(lanes) => lanes(call, kernel.cpu),
            None => call.one_by_one(kernel.cpu),
        }
    }
}

/// The outputs' buffers, taken out of the list until the kernel has run, or has panicked.
struct Taken<'a> {
    buffers: &'a mut [Local],
    outputs: &'a [Place],
    taken: [Vec<f32>; MAX_OUTPUTS],
}

impl Taken<'_> {
    /// Swaps the lists with those in the buffers.
    fn take(&mut self) {
        for (taken, place) in self.taken.iter_mut().zip(self.outputs) {
            if let Local::Own { values, .. } = &mut self.buffers[place.buffer] {
                std::mem::swap(taken, values);
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.take();
    }
}
