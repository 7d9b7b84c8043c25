//! `shaders/activation.wgsl`

use wgrad::ops::Activation::{self, Affine, ELU, Exp, GELU, GELUTanh, Identity, LeakyReLU, Log, Pow, ReLU};
use wgrad::ops::Activation::{SiLU, Sigmoid, Softplus, Tanh};
use wgrad::ops::activation;
use wgrad::{Recording, Tensor};

use crate::case::Case;
use crate::common::{CPU, EPSILON, SHAPES, TINY, WGSL, assert_close, exponents, flushed, gpus, signed};

/// Those that can end a product.
pub(crate) const EPILOGUES: [Activation; 11] = [
    Identity,
    ReLU,
    Tanh,
    Sigmoid,
    LeakyReLU { slope: 0.2 },
    ELU { alpha: 1.5 },
    GELU,
    GELUTanh,
    SiLU,
    Softplus,
    ELU { alpha: -0.7 },
];

pub(crate) const OTHERS: [Activation; 7] = [
    Exp,
    Log,
    Pow { exponent: 2.5 },
    Pow { exponent: 3.0 },
    Pow { exponent: -2.0 },
    Affine { scale: -1.25, shift: 0.5 },
    LeakyReLU { slope: -0.5 },
];

/// Every function of the table is tested, and in the shaders each is its own: none is the identity, or left out.
#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_function_of_the_table_has_an_arm_in_the_shaders() {
    let same_kind = |a: &Activation, b: &Activation| std::mem::discriminant(a) == std::mem::discriminant(b);
    let x: Vec<f32> = vec![0.25, 0.75, 1.5, 2.5];
    for function in Activation::all([0.3, 0.2]) {
        let tested = EPILOGUES.iter().chain(&OTHERS).any(|other| same_kind(other, &function));
        assert!(tested, "{function:?} has no cases");
        for negative in [false, true] {
            let x: Vec<f32> = x.iter().map(|x| if negative { -*x } else { *x }).collect();
            let x: Vec<f32> = x.into_iter().map(|x| in_domain(function, x)).collect();
            let y: Vec<f32> = x.iter().map(|x| function.apply(*x)).collect();
            let differs = function == Identity || y.iter().zip(&x).any(|(y, x)| y != x);
            assert!(differs || !negative, "{function:?} is the identity on the CPU path");
            let at = if function.derivative_needs_input() { &x } else { &y };
            let d: Vec<f32> = at.iter().map(|at| function.derivative(*at)).collect();
            for gpu in gpus() {
                let [x, y_tensor, ones, value, slope] = [&x, &y, &vec![1.0; 4], &vec![0.0; 4], &vec![0.0; 4]]
                    .map(|values| Tensor::new(&gpu.device, 1, 4, values).unwrap());
                let mut recording = Recording::new(&gpu.device);
                activation::forward(&mut recording, function, &x, &value).unwrap();
                activation::backward(&mut recording, function, [&x, &y_tensor, &ones], &slope, false).unwrap();
                recording.run().unwrap();
                let name = format!("{function:?} on {}", gpu.label);
                assert_close(&name, &value.read().unwrap(), &y, 1e-4, 1e-6);
                assert_close(&format!("{name}, derivative"), &slope.read().unwrap(), &d, 1e-4, 1e-6);
            }
        }
    }
}

/// More than 65,535 workgroups of 64.
pub(crate) const MANY_GROUPS: [usize; 2] = [65_537, 64];

/// How far a GPU's activation of x and the reference's may lie apart.
pub(crate) fn error(activation: Activation, x: f32) -> f64 {
    let y = f64::from(activation.apply(x));
    let flushed = (y - f64::from(activation.apply(flushed(x)))).abs();
    WGSL.value(activation, x.into(), y) + CPU.value(activation, x.into(), y) + flushed
}

/// Inputs of both signs over all exponents of f32, as far as the function's value and derivative fit f32.
fn inputs(activation: Activation, seed: u64, len: usize) -> Vec<f32> {
    let (smallest, largest) = match activation {
        Exp => (1e-38, 80.0),
        Affine { .. } => (1e-38, 1e38),
        Log => (1.2e-38, 3e38),
        Pow { exponent } if exponent > 0.0 => (1e-9, 1e9),
        Pow { .. } => (1e-9, 1e9),
        _ => (1e-38, 3e38),
    };
    let mut x = exponents(seed, len, smallest, largest);
    // Those that are curved need more of the middle.
    for (x, middle) in x.iter_mut().zip(signed(seed + 1, len)).skip(1).step_by(2) {
        *x = (12.0 * middle * middle * middle).clamp(-largest, largest);
    }
    if !matches!(activation, Log | Pow { .. }) {
        for (x, special) in x.iter_mut().skip(1).step_by(5).zip([0.0, -0.0, 1e-45, -1e-40, 15.5, -15.5, 0.5, -0.625]) {
            *x = special;
        }
    }
    x.iter_mut().for_each(|x| *x = in_domain(activation, *x));
    x
}

pub(crate) fn in_domain(activation: Activation, x: f32) -> f32 {
    match activation {
        Log => x.abs(),
        Pow { exponent } if exponent.fract() != 0.0 => x.abs(),
        // The negative, too.
        Pow { .. } if x.abs() < 1e-9 => 1e-9,
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
            let x = inputs(activation, i as u64, len);
            let y: Vec<f32> = x.iter().map(|x| activation.apply(*x)).collect();
            let (dy, before) = (signed(50 + i as u64, len), accumulate.then(|| signed(100 + i as u64, len)));
            let tolerances: Vec<f64> = (0..len)
                .map(|i| {
                    let (dy, added) = (f64::from(dy[i].abs()), before.as_ref().map_or(0.0, |b| f64::from(b[i].abs())));
                    TINY + derivative_error(activation, x[i], y[i]) * dy
                        + 2.0 * EPSILON * (dy * slope(activation, x[i], y[i]).abs() + added)
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

/// How far a GPU's derivative and the reference's may lie apart, both computed from the same number.
pub(crate) fn derivative_error(activation: Activation, x: f32, y: f32) -> f64 {
    let at = derived_at(activation, x, y);
    let d = f64::from(activation.derivative(at));
    let off = |accuracy: crate::common::Accuracy| accuracy.derivative_at(activation, at.into(), d);
    off(WGSL) + off(CPU) + (d - f64::from(activation.derivative(flushed(at)))).abs()
}

/// What the derivative is computed from.
pub(crate) fn derived_at(activation: Activation, x: f32, y: f32) -> f32 {
    if activation.derivative_needs_input() { x } else { y }
}

/// The derivative, as the reference has it.
pub(crate) fn slope(activation: Activation, x: f32, y: f32) -> f64 {
    activation.derivative(derived_at(activation, x, y)).into()
}
