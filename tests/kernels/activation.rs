//! `shaders/activation.wgsl`

use wgrad::ops::Activation::{self, Affine, ELU, Exp, GELU, GELUTanh, Identity, LeakyReLU, Log, Pow, ReLU};
use wgrad::ops::Activation::{SiLU, Sigmoid, Softplus, Tanh};
use wgrad::ops::activation;

use crate::case::Case;
use crate::common::{CPU, EPSILON, SHAPES, WGSL, signed};

/// Whether the derivative is told from the function's value, not from its argument.
pub(crate) fn is_told_by_value(function: Activation) -> bool {
    use Activation::{ELU, LeakyReLU, ReLU, Sigmoid, Tanh};
    matches!(function, ReLU | Tanh | Sigmoid | LeakyReLU { .. } | ELU { .. })
}

/// Those that can end a product.
pub(crate) const EPILOGUES: [Activation; 10] =
    [Identity, ReLU, Tanh, Sigmoid, LeakyReLU { slope: 0.2 }, ELU { alpha: 1.5 }, GELU, GELUTanh, SiLU, Softplus];

const OTHERS: [Activation; 6] = [
    Exp,
    Log,
    Pow { exponent: 2.5 },
    Pow { exponent: 3.0 },
    Pow { exponent: -2.0 },
    Affine { scale: -1.25, shift: 0.5 },
];

/// More than 65,535 workgroups of 64.
pub(crate) const MANY_GROUPS: [usize; 2] = [65_537, 64];

/// How far a GPU's activation of x and the reference's may lie apart.
pub(crate) fn error(activation: Activation, x: f32) -> f64 {
    let y = f64::from(activation.apply(x));
    WGSL.value(activation, x.into(), y) + CPU.value(activation, x.into(), y)
}

/// Inputs through and far beyond the curved part, where a naive tanh or exp overflows; within the function's domain.
fn inputs(activation: Activation, seed: u64, len: usize) -> Vec<f32> {
    let mut x: Vec<f32> = signed(seed, len).into_iter().map(|x| 12.0 * x * x * x).collect();
    let mut special = [0.0, 100.0, -100.0, 15.5, -15.5, 3e38, -3e38, 1e-30];
    match activation {
        Affine { .. } => special = [0.0, 100.0, -100.0, 15.5, -15.5, 2e38, -2e38, 1e-30],
        Exp => special = [0.0, 80.0, -80.0, 15.5, -15.5, -300.0, -3e38, 1e-30],
        Log | Pow { .. } => special = [0.5, 1.0, 2.0, 1000.0, 0.001, 4.0, 1e5, 0.75],
        _ => {}
    }
    for (x, special) in x.iter_mut().skip(1).step_by(5).zip(special) {
        *x = special;
    }
    x.iter_mut().for_each(|x| *x = in_domain(activation, *x));
    x
}

fn in_domain(activation: Activation, x: f32) -> f32 {
    match activation {
        Log => x.abs(),
        Pow { exponent } if exponent.fract() != 0.0 => x.abs(),
        // The negative, too.
        Pow { .. } if x.abs() < 0.01 => 0.01,
        _ => x,
    }
}

/// The activations for shape i: all of them for the first few, then some in turn, one for a large matrix.
fn chosen(i: usize, len: usize) -> Vec<Activation> {
    let all: Vec<Activation> = EPILOGUES.into_iter().chain(OTHERS).collect();
    match i {
        _ if len > 100_000 => vec![ReLU],
        2..5 => all,
        _ => all.into_iter().skip(i % 4).step_by(4).collect(),
    }
}

pub(crate) fn forward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        for activation in chosen(i, shape[0] * shape[1]) {
            let x = inputs(activation, i as u64, shape[0] * shape[1]);
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
        for (activation, accumulate) in chosen(i, len).into_iter().flat_map(|a| [(a, false), (a, true)]) {
            if len > 100_000 && accumulate {
                continue;
            }
            let x = signed(i as u64, len).into_iter().map(|x| in_domain(activation, 3.0 * x));
            let x: Vec<f32> = x.collect();
            let y: Vec<f32> = x.iter().map(|x| activation.apply(*x)).collect();
            let (dy, before) = (signed(50 + i as u64, len), accumulate.then(|| signed(100 + i as u64, len)));
            let tolerances: Vec<f64> = (0..len)
                .map(|i| {
                    let (dy, added) = (f64::from(dy[i].abs()), before.as_ref().map_or(0.0, |b| f64::from(b[i].abs())));
                    derivative_error(activation, x[i], y[i]) * dy
                        + 2.0 * EPSILON * (dy * f64::from(activation.derivative(x[i], y[i]).abs()) + added)
                })
                .collect();
            let name = format!("{activation:?} backward {shape:?}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                let inputs = [inputs[0], inputs[1], inputs[2]];
                activation::backward(recording, activation, inputs, outputs[0], accumulate)
            });
            let case = case.input(*shape, x).input(*shape, y).input(*shape, dy);
            cases.push(case.close(*shape, move |i, _| tolerances[i]).before(before));
        }
    }
    cases
}

/// How far a GPU's derivative and the reference's may lie apart.
pub(crate) fn derivative_error(activation: Activation, x: f32, y: f32) -> f64 {
    let d = f64::from(activation.derivative(x, y));
    let off = |accuracy: crate::common::Accuracy| accuracy.derivative(activation, x.into(), y.into(), d);
    off(WGSL) + off(CPU)
}
