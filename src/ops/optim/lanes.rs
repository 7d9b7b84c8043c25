//! Updates of members side by side, each with constants of its own.

use super::{Constants, Update};
use crate::device::{Call, LaneCall, Lanes, MEMBERS, Values};
use crate::simd::{element, widest};

/// The members' constants, in an order in which a vector has that of every member.
#[derive(Clone, Copy)]
struct Members {
    rate: Lanes,
    kept: Lanes,
    decay: Lanes,
    clip_value: Lanes,
    norm_scale: Lanes,
    momentum: Lanes,
    nesterov: [bool; MEMBERS],
    beta1: Lanes,
    beta2: Lanes,
    epsilon: Lanes,
    corrections: [Lanes; 2],
}

impl Members {
    fn of(call: &LaneCall<'_>) -> Self {
        let updates: [Update; MEMBERS] = call.params();
        let [_, rates, squared_norm, ..] = call.inputs;
        let all: [Constants; MEMBERS] = std::array::from_fn(|member| {
            let update = &updates[member];
            let row = 4 * call.step.min(update.last_rate as usize);
            let norm = if update.clip_norm > 0.0 { squared_norm.of(member, 0) } else { 0.0 };
            Constants::new(update, std::array::from_fn(|i| rates.of(member, row + i)), norm)
        });
        Self {
            rate: all.map(|of| of.rate),
            kept: all.map(|of| of.kept),
            decay: all.map(|of| of.decay),
            clip_value: all.map(|of| of.clip_value),
            norm_scale: all.map(|of| of.norm_scale),
            momentum: all.map(|of| of.momentum),
            nesterov: all.map(|of| of.nesterov),
            beta1: all.map(|of| of.beta1),
            beta2: all.map(|of| of.beta2),
            epsilon: all.map(|of| of.epsilon),
            corrections: [0, 1].map(|i| all.map(|of| of.corrections[i])),
        }
    }

    #[inline(always)]
    fn member(&self, i: usize) -> Constants {
        Constants {
            rate: self.rate[i],
            kept: self.kept[i],
            decay: self.decay[i],
            clip_value: self.clip_value[i],
            norm_scale: self.norm_scale[i],
            momentum: self.momentum[i],
            nesterov: self.nesterov[i],
            beta1: self.beta1[i],
            beta2: self.beta2[i],
            epsilon: self.epsilon[i],
            corrections: [self.corrections[0][i], self.corrections[1][i]],
        }
    }
}

/// A loop over all elements, and over the members of each.
macro_rules! update {
    ($name:ident: $($state:ident),*) => {
        pub(super) fn $name(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
            let members = Members::of(&call);
            let Values::Own(gradients) = call.inputs[0] else { return call.one_by_one(cpu) };
            let [values, $($state,)* ..] = call.outputs;
            widest(
                #[inline(always)]
                || {
                    // Copies, which stay in registers.
                    let constants = members;
                    $(let mut $state = $state.iter_mut();)*
                    for (value, gradient) in values.iter_mut().zip(gradients) {
                        $(let Some($state) = $state.next() else { return };)*
                        element();
                        let (mut new, $(mut $state,)* old) = (*value, $(*$state,)* ($($state,)*));
                        for i in 0..MEMBERS {
                            constants.member(i).$name(gradient[i], &mut new[i] $(, &mut $state[i])*);
                        }
                        *value = new;
                        update!(@store old: $($state),*);
                    }
                },
            );
        }
    };
    (@store $old:ident:) => { let () = $old; };
    (@store $old:ident: $one:ident) => { *$old.0 = $one; };
    (@store $old:ident: $one:ident, $two:ident) => { (*$old.0, *$old.1) = ($one, $two); };
}

update!(sgd:);
update!(momentum: velocity);
update!(adam: mean, square);
update!(rmsprop: velocity, square);
