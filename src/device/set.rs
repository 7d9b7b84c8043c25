//! Recordings that run the same steps, independently of each other: an ensemble's. Those that differ in nothing but their
//! numbers go side by side: on the CPU path a member in each lane of the processor's vectors, and all share the cores; on a
//! GPU a member in each workgroup, if one dispatch trains a member, else dispatch by dispatch in one submit. A recording gives
//! the same bits as if it ran alone.
//!
//! Side by side, members have memory of their own. What others may have written is copied there before a run, and what
//! others may read is copied back after it.

mod alike;
mod stack;
mod unit;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::cpu::Cpu;
use crate::device::{Recording, Runner};
use crate::error::{Error, Result};
use crate::simd;
use stack::Stack;
use unit::Unit;

/// Recordings on one device that write nothing that another one reads or writes.
pub(crate) struct RecordingSet {
    recordings: Vec<Recording>,
    /// What the CPU path runs instead, if there are several; none on a GPU.
    units: Vec<Mutex<Unit>>,
    /// What runs instead of those recordings that are in one.
    stacks: Vec<Stack>,
    /// What runs on a GPU instead of those that are not, if they are several: their dispatches in turn.
    together: Option<Recording>,
    /// The numbers of the others.
    alone: Vec<usize>,
}

impl RecordingSet {
    pub(crate) fn new(recordings: Vec<Recording>) -> Result<Self> {
        check_independent(&recordings)?;
        let units = match recordings.first().map(|recording| recording.device().runner()) {
            // Many rows are shared out to the cores within a step; a kernel that runs many steps goes through them itself.
            Some(Runner::Cpu(cpu)) if recordings.len() > 1 && recordings.iter().all(Recording::is_plain) => {
                Unit::all(cpu, &recordings)
            }
            _ => Vec::new(),
        };
        let stacks = Stack::all(&recordings)?;
        let is_alone = |number: &usize| stacks.iter().all(|stack| !stack.members.contains(number));
        let mut alone: Vec<usize> = (0..recordings.len()).filter(is_alone).collect();
        let together = together(&recordings, &mut alone);
        Ok(Self { recordings, units: units.into_iter().map(Mutex::new).collect(), stacks, together, alone })
    }

    /// The recordings, with all their tensors as the last run left them.
    pub(crate) fn into_recordings(self) -> Vec<Recording> {
        if let Some(Runner::Cpu(cpu)) = self.recordings.first().map(|recording| recording.device().runner()) {
            let units: Vec<_> =
                self.units.into_iter().map(|unit| unit.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
            cpu.with_memory(|buffers| units.iter().for_each(|unit| unit.store(buffers, true)));
        }
        self.recordings
    }

    pub(crate) async fn run_steps(&self, steps: Range<u32>) -> Result<()> {
        match self.recordings.first().map(|recording| recording.device().runner()) {
            Some(Runner::Cpu(cpu)) if !self.units.is_empty() => self.run_units(cpu, steps),
            _ => self.run_in_turn(steps).await,
        }
    }

    async fn run_in_turn(&self, steps: Range<u32>) -> Result<()> {
        for stack in &self.stacks {
            let device = stack.recording.device();
            device.copy(&stack.before)?;
            stack.recording.run_steps_async(steps.clone()).await?;
            device.copy(&stack.after)?;
        }
        if let Some(together) = &self.together {
            together.run_steps_async(steps.clone()).await?;
        }
        for number in &self.alone {
            self.recordings[*number].run_steps_async(steps.clone()).await?;
        }
        Ok(())
    }

    /// Members whose recordings go side by side.
    #[cfg(test)]
    pub(crate) fn side_by_side(&self) -> usize {
        let members = |unit: &Mutex<Unit>| lock(unit).members.len();
        let members = self.units.iter().map(members).filter(|members| *members > 1);
        let members = members.chain(self.stacks.iter().map(|stack| stack.members.len()));
        members.sum()
    }

    /// The device's memory is copied to and from, so that nobody waits for it meanwhile.
    fn run_units(&self, cpu: &Cpu, steps: Range<u32>) -> Result<()> {
        let shared = Mutex::new(HashMap::new());
        let fault = Mutex::new(None);
        simd::share(simd::threads(), self.units.len(), &|number| {
            let mut unit = lock(&self.units[number]);
            cpu.with_memory(|buffers| unit.load(buffers, &mut lock(&shared)));
            match unit.run(&self.recordings, steps.clone()) {
                Ok(()) => cpu.with_memory(|buffers| unit.store(buffers, false)),
                Err(error) => *lock(&fault) = Some(error),
            }
        });
        let dispatches = self.recordings.iter().map(Recording::len).sum::<usize>() as u64 * steps.len() as u64;
        cpu.count(dispatches);
        lock(&fault).take().map_or(Ok(()), Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first dispatch of each recording that a GPU runs step by step, the second of each, and so on. They are alone no more.
fn together(recordings: &[Recording], alone: &mut Vec<usize>) -> Option<Recording> {
    let device = recordings.first()?.device();
    let takes = |number: &usize| recordings[*number].steps_at_once() == 1;
    let members: Vec<&Recording> = alone.iter().filter(|number| takes(number)).map(|n| &recordings[*n]).collect();
    if matches!(device.runner(), Runner::Cpu(_)) || members.len() < 2 {
        return None;
    }
    alone.retain(|number| !takes(number));
    let longest = members.iter().map(|recording| recording.len()).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|i| members.iter().filter_map(move |member| member.dispatches().get(i)));
    Some(Recording::of(device, in_turn.cloned().collect()))
}

/// An error if what one recording writes is used by another.
fn check_independent(recordings: &[Recording]) -> Result<()> {
    let mut users: HashMap<u64, (usize, bool)> = HashMap::new();
    for (number, recording) in recordings.iter().enumerate() {
        for dispatch in recording.dispatches() {
            let inputs = dispatch.inputs.iter().map(|tensor| (tensor, false));
            for (tensor, writes) in inputs.chain(dispatch.outputs.iter().map(|tensor| (tensor, true))) {
                let user = users.entry(tensor.buffer.id()).or_insert((number, writes));
                if user.0 != number && (user.1 || writes) {
                    let detail = "members that share parameters or state; give each layers and an optimizer of its own";
                    return Err(Error::input("ensemble", detail));
                }
                user.1 |= writes;
            }
        }
    }
    Ok(())
}
