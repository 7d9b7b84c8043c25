//! Losses of members side by side.

use super::{Elementwise, Params, for_each_error};
use crate::device::{Call, LaneCall, Lanes, MEMBERS, Values};
use crate::ops::Activation;
use crate::ops::elementary::sum_of_pairs_by_member;
use crate::simd::{element, widest};

pub(super) fn forward(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    let [Values::Own(prediction), Values::Own(target), ..] = call.inputs else { return call.one_by_one(cpu) };
    let [sums, ..] = call.outputs;
    put_sums(&params, prediction, target, &mut sums[call.step.min(params.last_slot as usize)..]);
}

fn put_sums(params: &Params, prediction: &[Lanes], target: &[Lanes], sums: &mut [Lanes]) {
    let (error, block) = (params.error(), params.block as usize);
    widest(
        #[inline(always)]
        || {
            for_each_error!(error => {
                for ((sums, prediction), target) in
                    sums.iter_mut().zip(prediction.chunks(block)).zip(target.chunks(block))
                {
                    let totals = sum_of_pairs_by_member(prediction, target, |p, t| error.error(p, t));
                    *sums = totals.map(|total| params.scale * total);
                }
            });
        },
    );
}

pub(super) fn both(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    let [Values::Own(prediction), Values::Own(target), d_loss, before, ..] = call.inputs else {
        return call.one_by_one(cpu);
    };
    let at = match before {
        _ if params.has_before == 0 => prediction,
        Values::Own(before) => before,
        Values::Shared(_) => return call.one_by_one(cpu),
    };
    let [sums, gradient, ..] = call.outputs;
    put_sums(&params, prediction, target, &mut sums[call.step.min(params.last_slot as usize)..]);
    let error = params.error();
    let factor = d_loss.at(0).map(|d_loss| d_loss * params.scale);
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    widest(
        #[inline(always)]
        || {
            for_each_error!(error => for ((gradient, p), t) in gradient.iter_mut().zip(prediction).zip(target) {
                element();
                // Not `from_fn`, which is not made part of this loop.
                for i in 0..MEMBERS {
                    gradient[i] = factor[i] * error.derivative(p[i], t[i]);
                }
            });
            if activation != Activation::Identity {
                activation.multiply_by_derivative(gradient.as_flattened_mut(), at.as_flattened());
            }
        },
    );
}
