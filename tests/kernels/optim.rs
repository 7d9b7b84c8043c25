//! `shaders/optim.wgsl`

use std::ops::Range;

use wgrad::ops::optim::{self, Stretch, Update};
use wgrad::{Recording, Result};

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

type Record = fn(&mut Recording, Update, Stretch<'_>) -> Result<()>;

/// A rule and what it keeps: each state's values are positive where the rule has their square root.
struct Rule {
    record: Record,
    states: &'static [bool],
}

const SIGNED: bool = false;
const POSITIVE: bool = true;

/// Everything an update can do, one thing or several at a time.
fn updates() -> Vec<Update> {
    let mut plain = Update::default();
    (plain.momentum, plain.beta1, plain.beta2, plain.epsilon) = (0.9, 0.9, 0.99, 1e-8);
    let [mut grouped, mut clamped, mut clipped, mut all] = [plain; 4];
    (grouped.rate_factor, grouped.decay) = (0.25, 0.5);
    (clamped.decoupled_decay, clamped.clip_value) = (0.5, 0.3);
    (clipped.shrink, clipped.clip_norm, clipped.nesterov) = (0.25, 0.75, 1);
    (all.decay, all.clip_value, all.clip_norm, all.epsilon, all.nesterov) = (0.1, 0.5, 100.0, 1e-3, 1);
    vec![plain, grouped, clamped, clipped, all]
}

/// Steps beyond the rows of rates take the last.
const STEPS: [Range<u32>; 3] = [0..1, 1..2, 4..7];
const RATES: [f32; 12] = [0.5, 1.5, 1.25, 9.0, 0.25, 1.25, 1.125, 9.0, 0.125, 1.125, 1.0625, 9.0];

impl Rule {
    fn cases(self) -> Vec<Case> {
        let shapes = SHAPES.iter().chain([&MANY_GROUPS]).enumerate();
        let cases = shapes.flat_map(|(i, shape)| {
            let updates = updates();
            let chosen = if shape[0] * shape[1] < 100 { updates } else { vec![updates[i % updates.len()]] };
            chosen.into_iter().map(move |update| (i, *shape, update))
        });
        cases.map(|(i, shape, update)| self.case(i, shape, update)).collect()
    }

    fn case(&self, i: usize, shape: [usize; 2], update: Update) -> Case {
        let len = shape[0] * shape[1];
        let record = self.record;
        let name = format!("{shape:?}, {update:?}, steps {:?}", STEPS[i % 3]);
        let case = Case::new(name, move |recording, inputs, outputs| {
            let (values, state) = outputs.split_first().unwrap();
            let state: Vec<_> = state.iter().map(|state| (*state).clone()).collect();
            let [gradients, rates, squared_norm] = [inputs[0], inputs[1], inputs[2]];
            record(recording, update, Stretch { gradients, values, state: &state, rates, squared_norm })
        });
        // At most three steps. Values, velocities and means of the order of 1 are off by a few roundings each, a
        // quotient by a root by 7 units and some roundings more. Mean squares are at least 0.05, so that a gradient
        // over their root is at most 4.5, and a velocity of three of them at most 15.
        let (few, update_units) = (8.0 * EPSILON, 3.0 * 16.0 * 15.0 * EPSILON);
        let value_tolerance = if self.states.contains(&POSITIVE) { update_units } else { 8.0 * few };
        let mut case = case
            .input(shape, signed(i as u64, len))
            .input([3, 4], RATES.to_vec())
            .input([1, 1], vec![9.0])
            .steps(STEPS[i % 3].clone())
            .close(shape, move |_, value| value_tolerance + few * value.abs())
            .before(Some(signed(50 + i as u64, len)));
        for (seed, positive) in (60 + i as u64..).zip(self.states) {
            let mut state = signed(seed, len);
            if *positive {
                state.iter_mut().for_each(|v| *v = v.abs());
            }
            let tolerance = if *positive { few } else { value_tolerance };
            case = case.close(shape, move |_, value| tolerance + few * value.abs()).before(Some(state));
        }
        case
    }
}

pub(crate) fn sgd() -> Vec<Case> {
    Rule { record: optim::sgd, states: &[] }.cases()
}

pub(crate) fn momentum() -> Vec<Case> {
    Rule { record: optim::momentum, states: &[SIGNED] }.cases()
}

pub(crate) fn adam() -> Vec<Case> {
    Rule { record: optim::adam, states: &[SIGNED, POSITIVE] }.cases()
}

pub(crate) fn rmsprop() -> Vec<Case> {
    Rule { record: optim::rmsprop, states: &[SIGNED, POSITIVE] }.cases()
}
