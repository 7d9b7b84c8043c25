//! `shaders/activation.wgsl`

use wgrad::ops::Activation::{self, Identity, ReLU, Sigmoid, Tanh};
use wgrad::ops::activation;

use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

pub(crate) const ALL: [Activation; 4] = [Identity, ReLU, Tanh, Sigmoid];

/// More than 65,535 workgroups of 64.
pub(crate) const MANY_GROUPS: [usize; 2] = [65_537, 64];

/// How far WGSL lets an activation of the input x be off. tanh: 1e-5, absolutely. exp(-|x|): 3 + 2|x| units in the
/// last place; the sums and the division (2.5) of the sigmoid add some; a result below the normal numbers may be 0.
pub(crate) fn error(activation: Activation, x: f32) -> f64 {
    match activation {
        Tanh => 1e-5,
        Sigmoid => (10.0 + 2.0 * f64::from(x.abs())) * EPSILON * f64::from(Sigmoid.apply(x)) + 1.2e-38,
        _ => 0.0,
    }
}

/// Inputs through and far beyond the curved part, where a naive tanh or exp overflows.
fn inputs(seed: u64, len: usize) -> Vec<f32> {
    let mut x: Vec<f32> = signed(seed, len).into_iter().map(|x| 12.0 * x * x * x).collect();
    for (x, special) in x.iter_mut().skip(1).step_by(5).zip([0.0, 100.0, -100.0, 15.5, -15.5, 3e38, -3e38, 1e-30]) {
        *x = special;
    }
    x
}

pub(crate) fn forward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        let len = shape[0] * shape[1];
        let all = if len > 100_000 { &ALL[1..2] } else { &ALL[..] };
        for activation in all.iter().copied() {
            let x = inputs(i as u64, len);
            let at = x.clone();
            let case = Case::new(format!("{activation:?} {shape:?}"), move |recording, inputs, outputs| {
                activation::forward(recording, activation, inputs[0], outputs[0])
            });
            cases.push(case.input(*shape, x).close(*shape, move |i, _| error(activation, at[i])));
        }
    }
    cases
}

pub(crate) fn backward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        let len = shape[0] * shape[1];
        let all = if len > 100_000 { &ALL[2..3] } else { &ALL[..] };
        for (activation, accumulate) in all.iter().flat_map(|a| [(*a, false), (*a, true)]) {
            if len > 100_000 && accumulate {
                continue;
            }
            let x: Vec<f32> = signed(i as u64, len).into_iter().map(|x| 3.0 * x).collect();
            let y: Vec<f32> = x.iter().map(|x| activation.apply(*x)).collect();
            let (dy, before) = (signed(50 + i as u64, len), accumulate.then(|| signed(100 + i as u64, len)));
            // 1 - y y, or y (1 - y), may be fused, then two more roundings: at most 4 of them, of numbers up to 2 |dy|,
            // and of what is added to.
            let scale: Vec<f64> = (0..len)
                .map(|i| 2.0 * f64::from(dy[i].abs()) + before.as_ref().map_or(0.0, |b| f64::from(b[i].abs())))
                .collect();
            let name = format!("{activation:?} backward {shape:?}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                let inputs = [inputs[0], inputs[1], inputs[2]];
                activation::backward(recording, activation, inputs, outputs[0], accumulate)
            });
            let case = case.input(*shape, x).input(*shape, y).input(*shape, dy);
            cases.push(case.close(*shape, move |i, _| 4.0 * EPSILON * scale[i]).before(before));
        }
    }
    cases
}
