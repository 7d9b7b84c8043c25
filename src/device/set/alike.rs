//! Which recordings of a set have the same dispatches and differ in their tensors alone.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::device::kernel::Kernel;
use crate::device::{Dispatch, Recording, Tensor};

/// Which elements of a recording's buffers a tensor is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) buffer: usize,
    pub(super) range: Range<usize>,
}

/// What a dispatch must have in common with that of another recording for both to go side by side.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    kernel: *const Kernel,
    workgroups: [u32; 2],
    /// Unless the members may have their own.
    params: Option<&'a [u8]>,
    places: Vec<Place>,
}

/// The buffers of a recording, numbered by first use, and where its dispatches find their tensors.
pub(super) struct Numbered<'a> {
    pub(super) buffers: Vec<&'a Tensor>,
    pub(super) places: Vec<[Vec<Place>; 2]>,
}

impl<'a> Numbered<'a> {
    pub(super) fn new(recording: &'a Recording) -> Self {
        let (mut buffers, mut numbers) = (Vec::new(), HashMap::new());
        let mut place = |tensor: &'a Tensor| {
            let buffer = *numbers.entry(tensor.buffer.id()).or_insert_with(|| {
                buffers.push(tensor);
                buffers.len() - 1
            });
            Place { buffer, range: tensor.offset..tensor.offset + tensor.len() }
        };
        let mut both = |dispatch: &'a Dispatch| {
            [&dispatch.inputs, &dispatch.outputs].map(|tensors| tensors.iter().map(&mut place).collect())
        };
        let places = recording.dispatches().iter().map(&mut both).collect();
        Self { buffers, places }
    }

    /// Elements that a step writes, each counted once.
    pub(super) fn written(&self) -> usize {
        let places: HashSet<&Place> = self.places.iter().flat_map(|[_, outputs]| outputs).collect();
        places.into_iter().map(|place| place.range.len()).sum()
    }

    fn likeness(&self, recording: &'a Recording) -> Vec<Likeness<'a>> {
        let dispatch = |(dispatch, places): (&'a Dispatch, &[Vec<Place>; 2])| Likeness {
            kernel: dispatch.kernel,
            workgroups: dispatch.workgroups,
            params: (!dispatch.kernel.own_params).then_some(&dispatch.params[..]),
            places: places.concat(),
        };
        recording.dispatches().iter().zip(&self.places).map(dispatch).collect()
    }
}

/// The recordings' numbers, those of recordings alike together.
pub(super) fn alike(recordings: &[Recording], numbered: &[Numbered<'_>]) -> Vec<Vec<usize>> {
    let mut numbers: HashMap<Vec<Likeness<'_>>, usize> = HashMap::new();
    let mut alike: Vec<Vec<usize>> = Vec::new();
    for (member, (numbered, recording)) in numbered.iter().zip(recordings).enumerate() {
        let number = *numbers.entry(numbered.likeness(recording)).or_insert(alike.len());
        if number == alike.len() {
            alike.push(Vec::new());
        }
        alike[number].push(member);
    }
    alike
}

/// Whether others than a recording hold a tensor's memory: they may have written it, and may read it.
pub(super) fn is_held_by_others(tensor: &Tensor, recording: &Recording) -> bool {
    let tensors = recording.dispatches().iter().flat_map(|dispatch| dispatch.inputs.iter().chain(&dispatch.outputs));
    let held = tensors.filter(|other| Arc::ptr_eq(&other.buffer, &tensor.buffer)).count();
    Arc::strong_count(&tensor.buffer) > held
}
