//! How the CPU path runs many rows: chunk by chunk, on several threads.
//!
//! A stage is a run of dispatches that are cut into the same chunks of rows, and of which each chunk needs only its own rows of
//! what the stage computes: a chunk goes through all of them while it is in the cache. What needs more (a sum over all rows,
//! an update) waits for the next stage.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cut::{Cut, Share};
use super::kernel::{Call, MAX_INPUTS, MAX_OUTPUTS};
use super::recording::Dispatch;
use super::tensor::Tensor;
use crate::simd::{self, Disjoint, Ranges};

/// Some dispatches, by their numbers.
pub(super) struct Stage {
    pub(super) dispatches: Vec<usize>,
    cut: Option<Pieces>,
}

/// The dispatches of a stage in pieces.
struct Pieces {
    disjoint: Disjoint,
    /// The parameters of each dispatch of each piece.
    params: Vec<Vec<Vec<u8>>>,
    /// On so many threads.
    threads: usize,
}

/// The stages of a recording, if any dispatch is cut. Dispatches change places only if neither needs what the other writes.
pub(super) fn stages(dispatches: &[Dispatch]) -> Option<Vec<Stage>> {
    let cuts: Vec<Option<Cut>> = dispatches.iter().map(|dispatch| (dispatch.kernel.cut)(dispatch)).collect();
    if cuts.iter().all(Option::is_none) {
        return None;
    }
    let mut stages = Vec::new();
    let mut rest: Vec<usize> = (0..dispatches.len()).collect();
    while !rest.is_empty() {
        let (mut stage, mut later): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for at in rest {
            let free = later.iter().all(|other| !conflict(&dispatches[*other], &dispatches[at]));
            let fits = stage.iter().all(|other| match (&cuts[*other], &cuts[at]) {
                (None, None) => true,
                (Some(a), Some(b)) => follows((&dispatches[*other], a), (&dispatches[at], b)),
                _ => false,
            });
            if free && fits { stage.push(at) } else { later.push(at) }
        }
        let of_all: Option<Vec<_>> =
            stage.iter().map(|at| cuts[*at].as_ref().map(|cut| (&dispatches[*at], cut))).collect();
        stages.push(Stage { cut: of_all.and_then(|all| Pieces::new(&all)), dispatches: stage });
        rest = later;
    }
    Some(stages)
}

/// What a dispatch binds, and whether it writes it.
fn bound(dispatch: &Dispatch) -> impl Iterator<Item = (&Tensor, bool)> {
    dispatch.inputs.iter().map(|x| (x, false)).chain(dispatch.outputs.iter().map(|x| (x, true)))
}

/// Whether the order of two dispatches matters.
fn conflict(a: &Dispatch, b: &Dispatch) -> bool {
    bound(a).any(|(x, written)| bound(b).any(|(y, too)| (written || too) && x.overlaps(y)))
}

/// Whether each piece of the second dispatch touches nothing of other pieces of the first.
fn follows((a, a_cut): (&Dispatch, &Cut), (b, b_cut): (&Dispatch, &Cut)) -> bool {
    let shares = |cut: &Cut| cut.inputs.iter().chain(&cut.outputs).copied().collect::<Vec<_>>();
    let (a_shares, b_shares) = (shares(a_cut), shares(b_cut));
    let apart = |((x, written), share): ((&Tensor, bool), Share), ((y, too), other): ((&Tensor, bool), Share)| {
        !((written || too) && x.overlaps(y)) || (share != Share::Whole && share == other && x.offset == y.offset)
    };
    (a_cut.rows, a_cut.piece) == (b_cut.rows, b_cut.piece)
        && bound(a).zip(a_shares).all(|a| bound(b).zip(b_shares.iter().copied()).all(|b| apart(a, b)))
}

impl Pieces {
    /// `None` if the pieces are in each other's way, or there is but one.
    fn new(stage: &[(&Dispatch, &Cut)]) -> Option<Self> {
        let (_, first) = stage.first()?;
        let (mut ranges, mut params) = (Vec::new(), Vec::new());
        for (number, start) in (0..first.rows).step_by(first.piece).enumerate() {
            let rows = start..first.rows.min(start + first.piece);
            let of = |tensors: &[Tensor], shares: &[Share]| -> Ranges {
                let range = |(tensor, share): (&Tensor, &Share)| {
                    let part = match share {
                        Share::Whole => 0..tensor.len(),
                        Share::Rows(each) => each * rows.start..each * rows.end,
                        Share::Piece(each) => each * number..each * (number + 1),
                    };
                    let slot = tensor.buffer.cpu_slot().unwrap_or(usize::MAX);
                    (slot, tensor.offset + part.start..tensor.offset + part.end.min(tensor.len()))
                };
                tensors.iter().zip(shares).map(range).collect()
            };
            let call = |(dispatch, cut): &(&Dispatch, &Cut)| {
                [of(&dispatch.inputs, &cut.inputs), of(&dispatch.outputs, &cut.outputs)]
            };
            ranges.push(stage.iter().map(call).collect());
            params.push(stage.iter().map(|(dispatch, cut)| (cut.params)(&dispatch.params, rows.clone())).collect());
        }
        let disjoint = Disjoint::new(ranges).filter(|disjoint| disjoint.len() > 1)?;
        let work: u64 = stage.iter().map(|(dispatch, _)| dispatch.work).sum();
        Some(Self { disjoint, params, threads: simd::worth(usize::try_from(work).unwrap_or(usize::MAX)) })
    }
}

impl Stage {
    /// How many pieces it has, or dispatches if it is not cut.
    pub(super) fn len(&self) -> usize {
        self.cut.as_ref().map_or(self.dispatches.len(), |cut| cut.disjoint.len())
    }

    /// All of these, in order, as many at a time as run at once.
    pub(super) fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let (len, at_once) = (self.len(), self.cut.as_ref().map_or(1, |cut| cut.threads.max(1)));
        (0..len).step_by(at_once).map(move |start| start..len.min(start + at_once))
    }

    /// Runs these pieces, or calls `whole` with these dispatches if the stage is not cut. Either way `at` is set to the
    /// number of the dispatch that runs, or of one of those that do.
    pub(super) fn run(
        &self,
        part: Range<usize>,
        dispatches: &[Dispatch],
        buffers: &mut [Vec<f32>],
        step: usize,
        at: &AtomicUsize,
        whole: impl Fn(&mut [Vec<f32>], &Dispatch),
    ) {
        let Some(Pieces { disjoint, params, threads }) = &self.cut else {
            for number in &self.dispatches[part] {
                at.store(*number, Ordering::Relaxed);
                whole(buffers, &dispatches[*number]);
            }
            return;
        };
        at.store(self.dispatches[0], Ordering::Relaxed);
        let call = |piece: usize, number: usize, inputs: [&[f32]; MAX_INPUTS], outputs: [&mut [f32]; MAX_OUTPUTS]| {
            let kernel = dispatches[self.dispatches[number]].kernel;
            (kernel.cpu)(Call { params: &params[piece][number], step, last: step, inputs, outputs });
        };
        disjoint.run(*threads, part, buffers, &call);
    }
}
