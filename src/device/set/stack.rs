//! Recordings of one dispatch each, as one dispatch with a workgroup for each.

use super::alike::{Numbered, alike, is_held_by_others};
use crate::device::{Device, Dispatch, MAX_WORKGROUPS, Recording, Tensor};
use crate::error::{ErrorKind, Result};

/// Several recordings of one dispatch, which is the same but for its tensors.
pub(super) struct Stack {
    /// Their numbers.
    pub(super) members: Vec<usize>,
    pub(super) recording: Recording,
    /// What others may write, copied before each run from the member's tensors into its share of the stack's.
    pub(super) before: Vec<[Tensor; 2]>,
    /// What others may read, copied back after it.
    pub(super) after: Vec<[Tensor; 2]>,
}

impl Stack {
    /// Stacks of those recordings that can be stacked, if there are several alike.
    pub(super) fn all(recordings: &[Recording]) -> Result<Vec<Self>> {
        let takes = |recording: &Recording| matches!(recording.dispatches(), [dispatch] if dispatch.kernel.stacks && dispatch.workgroups == [1, 1]);
        let numbered: Vec<_> = recordings.iter().map(Numbered::new).collect();
        let mut stacks = Vec::new();
        for members in alike(recordings, &numbered) {
            for members in members.chunks(MAX_WORKGROUPS) {
                let first = &recordings[members[0]];
                if members.len() < 2 || !takes(first) {
                    continue;
                }
                match Self::new(first.device(), recordings, members.to_vec()) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                        log::info!("{} members go one after the other: {error}", members.len());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(stacks)
    }

    /// A stack of those of the recordings that are `members`, which are alike.
    ///
    /// # Errors
    /// Memory that does not suffice.
    fn new(device: &Device, recordings: &[Recording], members: Vec<usize>) -> Result<Self> {
        let dispatches: Vec<&Dispatch> = members.iter().map(|member| &recordings[*member].dispatches()[0]).collect();
        let first = dispatches[0];
        let mut stack = Self { members, recording: Recording::new(device), before: Vec::new(), after: Vec::new() };
        let mut once = Vec::new();
        let mut stacked = |tensors: Vec<&Tensor>, may_be_shared: bool, written: bool| -> Result<Tensor> {
            if may_be_shared && tensors.iter().all(|tensor| tensor.is(tensors[0])) {
                return Ok(tensors[0].clone());
            }
            let len = tensors[0].len();
            let all = Tensor::zeros(device, tensors.len(), len)?;
            for (number, (tensor, member)) in tensors.into_iter().zip(&stack.members).enumerate() {
                let share = all.stretch(number * len, len);
                if !is_held_by_others(tensor, &recordings[*member]) {
                    once.push([tensor.clone(), share]);
                    continue;
                }
                stack.before.push([tensor.clone(), share.clone()]);
                if written {
                    stack.after.push([share, tensor.clone()]);
                }
            }
            Ok(all)
        };
        let inputs = (0..first.inputs.len())
            .map(|i| stacked(dispatches.iter().map(|dispatch| &dispatch.inputs[i]).collect(), i == 0, false))
            .collect::<Result<_>>()?;
        let outputs = (0..first.outputs.len())
            .map(|i| stacked(dispatches.iter().map(|dispatch| &dispatch.outputs[i]).collect(), false, true))
            .collect::<Result<_>>()?;
        device.copy(&once)?;
        let rounds = stack.members.len().div_ceil(device.capabilities().workgroups_at_once()) as u64;
        let workgroups = [stack.members.len() as u32, 1];
        let work = first.work.saturating_mul(rounds);
        stack.recording = Recording::of(device, vec![Dispatch { workgroups, inputs, outputs, work, ..first.clone() }]);
        Ok(stack)
    }
}
