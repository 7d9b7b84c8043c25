//! Merges neighbours of a finished recording where one launch can do the work of two. Modules and operations know
//! nothing of it: each rule looks for a pair of launches, and the file of the kernel that takes over makes the merged
//! one.

use crate::device::{Dispatch, Tensor};
use crate::ops::{activation, bias, cross_entropy, loss, matmul, reduce};

/// A launch that takes the place of the two at `first` and `second`.
struct Merge {
    first: usize,
    second: usize,
    merged: Dispatch,
    /// A tensor that is no longer written, and the one that is read in its place.
    renamed: Option<(Tensor, Tensor)>,
}

/// A recording while it is being fused, and the tensors that will be read after a run.
struct Launches<'a> {
    list: Vec<Dispatch>,
    wanted: &'a [&'a Tensor],
}

/// Applies the rules until none finds a pair.
pub(crate) fn fuse(list: Vec<Dispatch>, wanted: &[&Tensor]) -> Vec<Dispatch> {
    let rules = [
        Launches::activation_into_matmul,
        Launches::loss_and_gradient,
        Launches::derivative_into_producer,
        Launches::bias_into_weight_gradient,
        Launches::sum_to_history,
    ];
    let mut launches = Launches { list, wanted };
    // Each merge shortens the list, so this ends.
    while let Some(merge) = (0..launches.list.len()).find_map(|i| rules.iter().find_map(|rule| rule(&launches, i))) {
        let list = &mut launches.list;
        list[merge.first] = merge.merged;
        list.remove(merge.second);
        if let Some((old, new)) = merge.renamed {
            for input in list.iter_mut().flat_map(|dispatch| &mut dispatch.inputs).filter(|input| input.is(&old)) {
                *input = new.clone();
            }
        }
    }
    launches.list
}

fn writes(dispatch: &Dispatch, tensor: &Tensor) -> bool {
    dispatch.outputs.iter().any(|output| output.overlaps(tensor))
}

fn reads(dispatch: &Dispatch, tensor: &Tensor) -> bool {
    dispatch.inputs.iter().any(|input| input.overlaps(tensor))
}

impl Launches<'_> {
    /// The launch before `at` that writes `tensor`, if it is the only one in the list and the launch at `at` could
    /// run right after it: nothing in between touches what that one writes, or writes what it reads.
    fn producer(&self, at: usize, tensor: &Tensor) -> Option<usize> {
        let mut writers = (0..self.list.len()).filter(|i| writes(&self.list[*i], tensor));
        let (first, None) = (writers.next()?, writers.next()) else { return None };
        let moved = &self.list[at];
        let free = self.list.get(first + 1..at)?.iter().all(|other| {
            !moved.inputs.iter().any(|input| writes(other, input))
                && !moved.outputs.iter().any(|output| writes(other, output) || reads(other, output))
        });
        free.then_some(first)
    }

    /// Whether a tensor is read by launches other than these, or after the run.
    fn is_read_beyond(&self, tensor: &Tensor, known: impl Fn(usize, &Dispatch) -> bool) -> bool {
        let in_list = self.list.iter().enumerate().any(|(i, d)| reads(d, tensor) && !known(i, d));
        in_list || self.wanted.iter().any(|wanted| wanted.overlaps(tensor))
    }

    /// product z; y = activation(z)
    fn activation_into_matmul(&self, second: usize) -> Option<Merge> {
        let forward = self.list.get(second).filter(|d| d.is(&activation::FORWARD))?;
        let (z, y) = (&forward.inputs[0], &forward.outputs[0]);
        let first = self.producer(second, z)?;
        let product = Some(&self.list[first]).filter(|d| matmul::is_matmul(d) && d.outputs[0].is(z))?;
        let (function, _) = activation::of(forward);
        // Others may want z: the activation's own backward pass where its derivative is told from it.
        let keep = self.is_read_beyond(z, |i, _| i == second);
        let merged = matmul::with_activation(product, function, y, keep)?;
        let renamed = (!keep).then(|| (z.clone(), y.clone()));
        Some(Merge { first, second, merged, renamed })
    }

    /// loss = sum of errors; gradient = their derivatives
    fn loss_and_gradient(&self, second: usize) -> Option<Merge> {
        type Merger = fn(&Dispatch, &Dispatch) -> Option<Dispatch>;
        let backward = self.list.get(second)?;
        let (kernel, merge): (_, Merger) = if backward.is(&loss::BACKWARD) {
            (&loss::FORWARD, loss::with_backward)
        } else if backward.is(&cross_entropy::BACKWARD) {
            (&cross_entropy::FORWARD, cross_entropy::with_backward)
        } else {
            return None;
        };
        let same_operands = |d: &Dispatch| d.inputs.iter().zip(&backward.inputs).all(|(one, other)| one.is(other));
        let first = (0..second).find(|i| self.list[*i].is(kernel) && same_operands(&self.list[*i]))?;
        let forward = &self.list[first];
        // The loss's own gradient has to be there before the loss is: a constant.
        let constant = !self.list.iter().any(|d| writes(d, &backward.inputs[2]));
        if !constant || self.producer(second, &forward.outputs[0]) != Some(first) {
            return None;
        }
        Some(Merge { first, second, merged: merge(forward, backward)?, renamed: None })
    }

    /// dy = product, or a loss's gradient; dx = dy activation'(x)
    fn derivative_into_producer(&self, second: usize) -> Option<Merge> {
        let backward = self.list.get(second).filter(|d| d.is(&activation::BACKWARD))?;
        let [at, dy] = <&[Tensor; 2]>::try_from(&backward.inputs[..]).ok()?;
        let dx = &backward.outputs[0];
        let (function, accumulates) = activation::of(backward);
        let first = self.producer(second, dy)?;
        if accumulates || self.is_read_beyond(dy, |i, _| i == second) {
            return None;
        }
        let producer = &self.list[first];
        let merged = if matmul::is_matmul(producer) && producer.outputs[0].is(dy) {
            matmul::with_derivative(producer, function, at, dx)?
        } else if producer.is(&loss::BOTH) && producer.outputs[1].is(dy) {
            let before = (!at.is(&producer.inputs[0])).then_some(at);
            loss::with_activation(producer, function, before, dx)?
        } else {
            return None;
        };
        Some(Merge { first, second, merged, renamed: None })
    }

    /// dW = dYᵀ X; db = sums of dY's columns, behind dW in the flat buffer of gradients
    fn bias_into_weight_gradient(&self, second: usize) -> Option<Merge> {
        let sums = self.list.get(second).filter(|d| d.is(&bias::BACKWARD))?;
        let (dy, db) = (&sums.inputs[0], &sums.outputs[0]);
        (0..second).find_map(|first| {
            let product = Some(&self.list[first]).filter(|d| matmul::is_matmul(d) && reads(d, dy))?;
            let once = |gradient: &Tensor| self.list.iter().filter(|d| writes(d, gradient)).count() == 1;
            if !once(db) || self.producer(second, &product.outputs[0]) != Some(first) {
                return None;
            }
            let merged = matmul::with_row_sums(product, dy, db, bias::accumulates(sums))?;
            Some(Merge { first, second, merged, renamed: None })
        })
    }

    /// loss = sum; history[step] = loss
    fn sum_to_history(&self, second: usize) -> Option<Merge> {
        let copy = self.list.get(second)?;
        let scalar = reduce::copied(copy)?;
        let history = &copy.outputs[0];
        let first = self.producer(second, scalar)?;
        let producer = &self.list[first];
        if self.is_read_beyond(scalar, |i, _| i == second) || !producer.outputs[0].is(scalar) {
            return None;
        }
        let merged = if producer.is(&loss::FORWARD) || producer.is(&loss::BOTH) {
            loss::with_history(producer, history)
        } else if producer.is(&cross_entropy::FORWARD) || producer.is(&cross_entropy::BOTH) {
            cross_entropy::with_history(producer, history)
        } else if producer.is(&reduce::SUM) {
            reduce::with_history(producer, history)
        } else {
            return None;
        };
        Some(Merge { first, second, merged, renamed: None })
    }
}
