//! Rows of logits side by side, one in each lane: of a batch, or of an ensemble's members.

use super::{BLOCK, Params};
use crate::device::{Call, LaneCall, Lanes, MEMBERS, Values};
use crate::ops::elementary::{exp, ln_1p};
use crate::ops::metrics::class;
use crate::simd::{element, widest};

/// Rows relative to their largest logits, whose exponentials are 1.
pub(super) struct Rows<'a> {
    z: &'a [Lanes],
    /// Probabilities, or a single class number.
    t: &'a [Lanes],
    /// 0, or NaN where the class number is none.
    unknown: Lanes,
    largest: Lanes,
    /// The index of the largest; of equals, the first. NaN counts as the largest.
    at: Lanes,
    /// The sum of the other exponentials, apart: what is left of a confident row would be lost in 1 + rest.
    rest: Lanes,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    pub(super) fn new(z: &'a [Lanes], t: &'a [Lanes]) -> Self {
        let (mut largest, mut at) = (z[0], [0.0; MEMBERS]);
        for (j, z) in z.iter().enumerate().skip(1) {
            element();
            for i in 0..MEMBERS {
                let is_larger = (z[i] > largest[i]) | (z[i].is_nan() & !largest[i].is_nan());
                largest[i] = if is_larger { z[i] } else { largest[i] };
                at[i] = if is_larger { j as f32 } else { at[i] };
            }
        }
        let mut rest = [0f64; MEMBERS];
        for (j, z) in z.iter().enumerate() {
            element();
            for i in 0..MEMBERS {
                let e = exp(z[i] - largest[i]);
                rest[i] += f64::from(if at[i] == j as f32 { 0.0 } else { e });
            }
        }
        // A NaN that is the largest is not among the rest.
        let rest = std::array::from_fn(|i| if largest[i].is_nan() { largest[i] } else { rest[i] as f32 });
        let unknown = match t {
            [numbers] => numbers.map(|number| if class(number, z.len()).is_some() { 0.0 } else { f32::NAN }),
            _ => [0.0; MEMBERS],
        };
        Self { z, t, unknown, largest, at, rest }
    }

    /// The targets of class j.
    #[inline(always)]
    fn target(&self, j: usize) -> Lanes {
        match self.t {
            [numbers] => std::array::from_fn(|i| self.unknown[i] + if numbers[i] == j as f32 { 1.0 } else { 0.0 }),
            probabilities => probabilities[j],
        }
    }

    /// The rows' losses.
    #[inline(always)]
    pub(super) fn losses(&self) -> [f64; MEMBERS] {
        let log_sum = self.rest.map(ln_1p);
        let mut sums = [0f64; MEMBERS];
        for (j, z) in self.z.iter().enumerate() {
            element();
            let t = self.target(j);
            for i in 0..MEMBERS {
                let term = t[i] * (log_sum[i] - (z[i] - self.largest[i]));
                // 0 times an infinite logarithm counts as 0.
                sums[i] += f64::from(if t[i] == 0.0 { 0.0 } else { term });
            }
        }
        sums
    }

    /// Their gradients, class by class: softmax * total - t. Subtracted are the shares of the others, which are exact where
    /// they are small.
    #[inline(always)]
    pub(super) fn slopes(&self, mut put: impl FnMut(usize, Lanes)) {
        let mut totals = [0f64; MEMBERS];
        for j in 0..self.z.len() {
            element();
            let t = self.target(j);
            totals.iter_mut().zip(t).for_each(|(total, t)| *total += f64::from(t));
        }
        for (j, z) in self.z.iter().enumerate() {
            element();
            let t = self.target(j);
            put(
                j,
                std::array::from_fn(|i| {
                    let (e, rest) = (exp(z[i] - self.largest[i]), self.rest[i]);
                    let others = if self.at[i] == j as f32 { rest } else { 1.0 + rest - e };
                    (e * (totals[i] as f32 - t[i]) - others * t[i]) / (1.0 + rest)
                }),
            );
        }
    }
}

/// [`forward`](super::forward) of each member.
pub(super) fn forward(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let [Values::Own(logits), Values::Own(target), ..] = call.inputs else { return call.one_by_one(cpu) };
    let params: Params = call.common_params();
    let [sums, ..] = call.outputs;
    run(&params, [logits, target], &mut sums[call.step.min(params.last_slot as usize)..], None);
}

/// [`both`](super::both) of each member.
pub(super) fn both(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let [Values::Own(logits), Values::Own(target), d_loss, ..] = call.inputs else { return call.one_by_one(cpu) };
    let params: Params = call.common_params();
    let [sums, gradient, ..] = call.outputs;
    let factor = d_loss.at(0).map(|d_loss| d_loss * params.scale);
    run(&params, [logits, target], &mut sums[call.step.min(params.last_slot as usize)..], Some((factor, gradient)));
}

/// The sums of the blocks of rows, and the gradient times a factor.
fn run(params: &Params, [logits, target]: [&[Lanes]; 2], sums: &mut [Lanes], gradient: Option<(Lanes, &mut [Lanes])>) {
    let [classes, target_cols] = [params.cols, params.target_cols].map(|cols| cols as usize);
    let (factor, gradient) = gradient.unwrap_or_default();
    let mut gradient = gradient.chunks_exact_mut(classes);
    widest(
        #[inline(always)]
        || {
            let blocks = logits.chunks(BLOCK * classes).zip(target.chunks(BLOCK * target_cols));
            for (sums, (logits, target)) in sums.iter_mut().zip(blocks) {
                let mut totals = [0f64; MEMBERS];
                for (z, t) in logits.chunks_exact(classes).zip(target.chunks_exact(target_cols)) {
                    let rows = Rows::new(z, t);
                    totals.iter_mut().zip(rows.losses()).for_each(|(total, loss)| *total += loss);
                    if let Some(gradient) = gradient.next() {
                        rows.slopes(|j, slopes| gradient[j] = std::array::from_fn(|i| factor[i] * slopes[i]));
                    }
                }
                *sums = totals.map(|total| params.scale * total as f32);
            }
        },
    );
}
