//! Initial values: their statistics, seeds, and that they are the same on every device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, assert_same_bits, on_every_device};
use wgrad::nn::{Init, Linear, Module, Parameter, Parameters, Sequential, prefixed};
use wgrad::{Device, ErrorKind, Graph, Result, Var};

on_every_device!(every_device_draws_the_same_values);

const INPUTS: usize = 300;
const OUTPUTS: usize = 200;

/// A layer's weights and biases.
fn drawn(weight: Init, bias: Init, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let layer = Linear::new(INPUTS, OUTPUTS).init(weight, bias);
    Parameters::new(&Device::cpu(), &layer, seed).unwrap();
    let read = |parameter: &Parameter| parameter.value().unwrap().read().unwrap();
    (read(layer.weight()), read(layer.bias().unwrap()))
}

fn moment(values: &[f32], power: i32) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(power)).sum::<f64>() / values.len() as f64
}

/// What a distribution of mean 0 must show: its standard deviation, its fourth moment over the standard deviation's
/// fourth power, and its largest magnitude, if it has one.
struct Shape {
    std: f64,
    kurtosis: f64,
    bound: Option<f64>,
}

fn uniform(bound: f64) -> Shape {
    Shape { std: bound / 3f64.sqrt(), kurtosis: 9.0 / 5.0, bound: Some(bound) }
}

fn normal(std: f64) -> Shape {
    Shape { std, kurtosis: 3.0, bound: None }
}

/// Mean, variance and fourth moment within four standard errors; magnitudes within the bound, and close to it.
fn check(name: &str, values: &[f32], shape: &Shape) {
    let n = values.len() as f64;
    let Shape { std, kurtosis, bound } = *shape;
    let within = |what: &str, value: f64, expected: f64, error: f64| {
        assert!((value - expected).abs() <= 4.0 * error, "{name}: {what} {value:e}, expected {expected:e} ± {error:e}");
    };
    within("mean", moment(values, 1), 0.0, std / n.sqrt());
    within("variance", moment(values, 2), std.powi(2), std.powi(2) * ((kurtosis - 1.0) / n).sqrt());
    // The eighth moment of the normal distribution is 105 std^8, of the uniform one bound^8 / 9 = 9 std^8.
    let eighth = if bound.is_some() { 9.0 } else { 105.0 };
    let error = std.powi(4) * ((eighth - kurtosis * kurtosis) / n).sqrt();
    within("fourth moment", moment(values, 4), kurtosis * std.powi(4), error);
    // The shares of positive values, and of those beyond one standard deviation.
    let share = |f: &dyn Fn(f64) -> bool| values.iter().filter(|v| f(f64::from(**v))).count() as f64 / n;
    within("positive share", share(&|v| v > 0.0), 0.5, 0.5 / n.sqrt());
    let beyond = if bound.is_some() { 1.0 - 1.0 / 3f64.sqrt() } else { 0.317_310_507_863 };
    within("share beyond a deviation", share(&|v| v.abs() > std), beyond, (beyond * (1.0 - beyond) / n).sqrt());

    let largest = values.iter().fold(0.0, |max: f64, v| max.max(f64::from(v.abs())));
    match bound {
        Some(bound) => {
            assert!(largest <= bound * (1.0 + 1e-6), "{name}: {largest} is beyond the bound {bound}");
            // All n values below (1 - 20 / n) of the bound: a chance of e^-20.
            assert!(largest >= bound * (1.0 - 20.0 / n), "{name}: no value comes near the bound {bound}: {largest}");
        }
        // Of 60,000 values one in 15,787 lies beyond four deviations, one in 10^8 beyond six and a half.
        None => assert!((3.5 * std..6.5 * std).contains(&largest), "{name}: the largest is {largest}"),
    }
}

#[test]
fn weights_are_distributed_as_documented() {
    let (i, o) = (INPUTS as f64, OUTPUTS as f64);
    let gain = 2f32.sqrt();
    let cases = [
        (Init::Uniform { bound: 0.3 }, uniform(0.3)),
        (Init::Normal { std: 0.7 }, normal(0.7)),
        (Init::XavierUniform { gain: 1.0 }, uniform((6.0 / (i + o)).sqrt())),
        (Init::XavierUniform { gain }, uniform(2f64.sqrt() * (6.0 / (i + o)).sqrt())),
        (Init::XavierNormal { gain: 1.0 }, normal((2.0 / (i + o)).sqrt())),
        (Init::XavierNormal { gain: 5.0 / 3.0 }, normal(5.0 / 3.0 * (2.0 / (i + o)).sqrt())),
        (Init::HeUniform, uniform((6.0 / i).sqrt())),
        (Init::HeNormal, normal((2.0 / i).sqrt())),
        (Init::Linear, uniform((1.0 / i).sqrt())),
    ];
    for (init, shape) in cases {
        for seed in 0..3 {
            let (weights, _) = drawn(init, Init::Constant(0.0), seed);
            assert_eq!(weights.len(), INPUTS * OUTPUTS);
            check(&format!("{init:?}, seed {seed}"), &weights, &shape);
        }
    }
}

#[test]
fn constants_are_constant_and_zero_widths_are_zero() {
    let (weights, biases) = drawn(Init::Constant(-1.5), Init::Constant(0.25), 0);
    assert!(weights.iter().all(|w| *w == -1.5) && biases.iter().all(|b| *b == 0.25));
    let (weights, biases) = drawn(Init::Uniform { bound: 0.0 }, Init::Normal { std: 0.0 }, 0);
    assert!(weights.iter().chain(&biases).all(|v| *v == 0.0));
}

/// A layer's biases, from the fans of the layer and not of their own shape; many layers for enough of them.
#[test]
fn biases_have_a_distribution_of_their_own() {
    let (i, o) = (INPUTS as f64, OUTPUTS as f64);
    let cases = [
        (Init::Linear, uniform((1.0 / i).sqrt())),
        (Init::HeUniform, uniform((6.0 / i).sqrt())),
        (Init::XavierNormal { gain: 1.0 }, normal((2.0 / (i + o)).sqrt())),
        (Init::Normal { std: 2.0 }, normal(2.0)),
    ];
    for (init, shape) in cases {
        let biases: Vec<f32> = (0..300).flat_map(|seed| drawn(Init::Constant(7.0), init, seed).1).collect();
        check(&format!("biases, {init:?}"), &biases, &shape);
        let (weights, _) = drawn(Init::Constant(7.0), init, 0);
        assert!(weights.iter().all(|w| *w == 7.0), "the biases' initialiser changed the weights");
    }
}

fn network() -> Sequential {
    Sequential::new().add(Linear::new(7, 13)).add(Linear::new(13, 13).init(Init::HeNormal, Init::Linear))
}

fn values(device: &Device, seed: u64) -> Vec<Vec<f32>> {
    let model = network();
    let parameters = Parameters::new(device, &model, seed).unwrap();
    parameters.named().map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
}

#[test]
fn a_seed_gives_the_same_values_again_and_another_seed_others() {
    let device = Device::cpu();
    let first = values(&device, 5);
    assert_eq!(first, values(&device, 5));
    for (parameter, other) in first.iter().zip(values(&device, 6)) {
        assert!(parameter.iter().zip(&other).all(|(a, b)| a != b), "seeds 5 and 6 share a value");
    }
    // Layers of one shape are not copies of each other.
    let twins = Sequential::new().add(Linear::new(9, 9)).add(Linear::new(9, 9));
    let parameters = Parameters::new(&device, &twins, 0).unwrap();
    let all: Vec<_> = parameters.named().map(|(_, p)| p.value().unwrap().read().unwrap()).collect();
    assert_ne!(all[0], all[2]);
    assert_ne!(all[1], all[3]);
}

fn every_device_draws_the_same_values(devices: &Devices) {
    let expected = values(&Device::cpu(), 11);
    for (label, device) in devices {
        for (i, (actual, expected)) in values(device, 11).iter().zip(&expected).enumerate() {
            assert_same_bits(&format!("parameter {i} on {label}"), actual, expected);
        }
    }
}

/// The first values of seed 0, so that a new version of a generator, or another system, does not change them unseen.
#[test]
fn the_values_of_a_seed_stay_what_they_are() {
    let (weights, biases) = drawn(Init::Uniform { bound: 1.0 }, Init::Normal { std: 1.0 }, 0);
    assert_eq!(weights[..4], FIRST_WEIGHTS);
    assert_eq!(biases[..4], FIRST_BIASES);
}

const FIRST_WEIGHTS: [f32; 4] = [0.30939424, 0.41815078, 0.4597398, -0.0681566];
const FIRST_BIASES: [f32; 4] = [0.88163984, 0.14301693, -0.22299288, -0.740202];

/// A module whose parameters are one parameter, under two names.
struct Tied(Linear);

impl Module for Tied {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        self.0.forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        [prefixed("one", &self.0), prefixed("two", &self.0)].concat()
    }
}

#[test]
fn a_shared_parameter_is_placed_once() {
    let parameters = Parameters::new(&Device::cpu(), &Tied(Linear::new(3, 2)), 0).unwrap();
    let names: Vec<_> = parameters.named().map(|(name, _)| name).collect();
    assert_eq!(names, ["one.weight", "one.bias"]);
    assert_eq!(parameters.count(), 8);
}

#[test]
fn impossible_initialisers_are_errors() {
    let bad = [
        Init::Uniform { bound: -1.0 },
        Init::Uniform { bound: f32::NAN },
        Init::Uniform { bound: f32::INFINITY },
        Init::Normal { std: -1.0 },
        Init::Normal { std: f32::NAN },
        Init::XavierUniform { gain: f32::NAN },
        Init::XavierNormal { gain: f32::INFINITY },
        Init::Constant(f32::NAN),
        Init::Constant(f32::INFINITY),
    ];
    for init in bad {
        let error = Parameters::new(&Device::cpu(), &Linear::new(2, 2).init(init, Init::Linear), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{init:?}: {error}");
    }
}
