//! Activations, row-wise functions and losses against PyTorch's values and gradients (`tests/oracle/functions.json`),
//! at large magnitudes too, on the CPU and on every GPU. How far they may be off is `tests/common/accuracy.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Accuracy, Devices, EPSILON, ROUNDING, compare, floats, list, numbers, on_every_device, oracle, shape, text,
};
use serde_json::Value;
use wgrad::data::{Labels, disk};
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Huber, Init, Linear, Loss, Mae, Module, Mse, Parameters, ReLU, Reduction, Sequential,
};
use wgrad::ops::Activation;
use wgrad::ops::loss::Elementwise;
use wgrad::optim::Sgd;
use wgrad::{Device, ErrorKind, Fit, Graph, Result, Tensor, Trainer, Var, gradients, lower};

on_every_device!(
    activations_and_their_derivatives_match_pytorch,
    softmax_and_its_logarithm_match_pytorch,
    losses_and_their_gradients_match_pytorch,
);

/// The value that `f` gives for x, and the gradient of the sum of upstream * value.
fn value_and_gradient(
    device: &Device,
    [rows, cols]: [usize; 2],
    x: &[f32],
    upstream: Option<&[f32]>,
    f: impl Fn(&mut Graph, Var) -> Result<Var>,
) -> Result<[Vec<f32>; 2]> {
    let mut graph = Graph::new(device);
    let x = graph.input(&Tensor::new(device, rows, cols, x)?)?;
    let y = f(&mut graph, x)?;
    let weighted = match upstream {
        Some(upstream) => {
            let upstream = graph.input(&Tensor::new(device, rows, cols, upstream)?)?;
            graph.mul(y, upstream)?
        }
        None => y,
    };
    let sum = graph.sum(weighted)?;
    let dx = gradients(&mut graph, sum, &[x])?[0].unwrap();
    let lowered = lower(&graph, &[y, dx])?;
    lowered.run()?;
    Ok([lowered.read(y)?, lowered.read(dx)?])
}

/// All faults of all devices, or nothing.
#[track_caller]
fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn option(case: &Value, name: &str) -> f32 {
    common::number(&case[name]) as f32
}

fn activation(case: &Value) -> Activation {
    match text(&case["name"]) {
        "relu" => Activation::ReLU,
        "leaky_relu" => Activation::LeakyReLU { slope: option(case, "slope") },
        "elu" => Activation::ELU { alpha: option(case, "alpha") },
        "gelu" if text(&case["approximate"]) == "tanh" => Activation::GELUTanh,
        "gelu" => Activation::GELU,
        "silu" => Activation::SiLU,
        "softplus" if option(case, "beta") == 1.0 => Activation::Softplus,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        _ => panic!("no activation for {case}"),
    }
}

fn activations_and_their_derivatives_match_pytorch(devices: &Devices) {
    let file = oracle("functions.json");
    let grid = floats(&file["grid"]);
    let mut faults = Vec::new();
    for case in list(&file["elementwise"]) {
        let activation = activation(case);
        let [y, d] = ["value", "derivative"].map(|key| numbers(&case[key]));
        for (label, device) in devices {
            let accuracy = Accuracy::of(device);
            let shape = [1, grid.len()];
            let [value, derivative] =
                value_and_gradient(device, shape, &grid, None, |graph, x| graph.activation(x, activation)).unwrap();
            let x = |i: usize| f64::from(grid[i]);
            let name = format!("{activation:?} on {label}");
            // PyTorch's f64 takes 1 + erf and 1 + tanh, of which far out only f64's rounding is left.
            let of_oracle = |i: usize| 4.0 * f64::EPSILON * (1.0 + x(i).abs());
            let bound = |i: usize| accuracy.value(activation, x(i), y[i]) + of_oracle(i);
            faults.extend(compare(&name, &value, &y, 0.0, bound).err());
            let bound = |i: usize| accuracy.derivative(activation, x(i), y[i], d[i]) + of_oracle(i);
            faults.extend(compare(&format!("{name}, derivative"), &derivative, &d, 0.0, bound).err());
        }
    }
    report(faults);
}

fn softmax_and_its_logarithm_match_pytorch(devices: &Devices) {
    let file = oracle("functions.json");
    let mut faults = Vec::new();
    for case in list(&file["rowwise"]) {
        let log = text(&case["name"]) == "log_softmax";
        let [rows, cols] = shape(&case["shape"]);
        let (x, upstream) = (floats(&case["x"]), floats(&case["upstream"]));
        let [y, d] = ["value", "gradient"].map(|key| numbers(&case[key]));
        for (label, device) in devices {
            let [value, gradient] = value_and_gradient(device, [rows, cols], &x, Some(&upstream), |graph, x| {
                if log { graph.log_softmax(x) } else { graph.softmax(x) }
            })
            .unwrap();
            let accuracy = Accuracy::of(device);
            let row = |i: usize| i / cols * cols..i / cols * cols + cols;
            let errors = |i: usize| accuracy.softmax(log, &x[row(i)], &y[row(i)], &upstream[row(i)]);
            let name = format!("{} [{rows} x {cols}] on {label}", text(&case["name"]));
            faults.extend(compare(&name, &value, &y, 0.0, |i| errors(i).0[i % cols]).err());
            faults.extend(compare(&format!("{name}, gradient"), &gradient, &d, 0.0, |i| errors(i).1[i % cols]).err());
        }
    }
    report(faults);
}

fn loss(case: &Value, reduction: Reduction) -> Box<dyn Loss> {
    match text(&case["name"]) {
        "mse" => Box::new(Mse::new().reduction(reduction)),
        "mae" => Box::new(Mae::new().reduction(reduction)),
        "huber" => Box::new(Huber::new(option(case, "delta")).reduction(reduction)),
        "bce_with_logits" => Box::new(BceWithLogits::new().reduction(reduction)),
        "cross_entropy" => Box::new(CrossEntropy::new().reduction(reduction)),
        other => panic!("no loss {other}"),
    }
}

/// The errors, before the reduction, of each element's loss (of each row's, in its first element) and gradient.
fn loss_errors(case: &Value, accuracy: &Accuracy) -> Vec<(f64, f64)> {
    let [rows, cols] = shape(&case["shape"]);
    let p = floats(&case["prediction"]);
    if text(&case["name"]) == "cross_entropy" {
        let row = |row: usize| {
            let z = &p[row * cols..][..cols];
            let t: Vec<f64> = match case.get("target") {
                Some(target) => numbers(target)[row * cols..][..cols].to_vec(),
                None => (0..cols).map(|j| f64::from(u8::from(j as f64 == numbers(&case["classes"])[row]))).collect(),
            };
            let (value, gradient) = accuracy.cross_entropy(z, &t);
            gradient
                .into_iter()
                .enumerate()
                .map(|(j, error)| (if j == 0 { value } else { 0.0 }, error))
                .collect::<Vec<_>>()
        };
        return (0..rows).flat_map(row).collect();
    }
    let t = floats(&case["target"]);
    let error = match text(&case["name"]) {
        "mse" => Elementwise::Squared,
        "mae" => Elementwise::Absolute,
        "huber" => Elementwise::Huber { delta: option(case, "delta") },
        "bce_with_logits" => Elementwise::BceWithLogits,
        other => panic!("no loss {other}"),
    };
    p.iter().zip(&t).map(|(p, t)| accuracy.loss(error, (*p).into(), (*t).into())).collect()
}

fn losses_and_their_gradients_match_pytorch(devices: &Devices) {
    let file = oracle("functions.json");
    let reductions = [
        ("mean", Reduction::Mean),
        ("sum", Reduction::Sum),
        ("sample_mean", Reduction::SampleMean),
        ("output_mean", Reduction::OutputMean),
    ];
    let mut faults = Vec::new();
    let mut compared = 0;
    for case in list(&file["losses"]) {
        let [rows, cols] = shape(&case["shape"]);
        let prediction = floats(&case["prediction"]);
        let target = floats(case.get("target").unwrap_or(&case["classes"]));
        for (key, reduction) in reductions {
            let Some(expected) = case.get(key) else { continue };
            // What PyTorch divides by, from the gradients: cross-entropy's mean is over the rows.
            let divisor = match (key, text(&case["name"])) {
                ("sum", _) => 1.0,
                ("sample_mean", _) | ("mean", "cross_entropy") => rows as f64,
                ("output_mean", _) => cols as f64,
                _ => (rows * cols) as f64,
            };
            let (value, gradient) = (common::number(&expected["value"]), numbers(&expected["gradient"]));
            for (label, device) in devices {
                let errors = loss_errors(case, &Accuracy::of(device));
                let loss = loss(case, reduction);
                let [actual, slope] = value_and_gradient(device, [rows, cols], &prediction, None, |graph, p| {
                    let t = graph.input(&Tensor::new(graph.device(), rows, target.len() / rows, &target)?)?;
                    loss.forward(graph, p, t)
                })
                .unwrap();
                // All terms are positive, so that adding n of them errs by n roundings of the sum; then the scaling.
                let sum = (rows * cols) as f64 * ROUNDING + EPSILON;
                let bound = errors.iter().map(|e| e.0).sum::<f64>() / divisor + sum * value.abs();
                let name = format!("{} ({key}) on {label}", text(&case["name"]));
                faults.extend(compare(&name, &actual, &[value], 0.0, |_| bound).err());
                let bound = |i: usize| errors[i].1 / divisor + 2.0 * EPSILON * gradient[i].abs();
                faults.extend(compare(&format!("{name}, gradient"), &slope, &gradient, 0.0, bound).err());
                compared += 1;
            }
        }
    }
    // Five losses with four reductions and three with three.
    assert_eq!(compared, (5 * 4 + 3 * 3) * devices.len());
    report(faults);
}

/// `tests/numbers.rs` has the functions by themselves, on every device.
#[test]
fn a_nan_stays_one_on_the_cpu() {
    let device = Device::cpu();
    let all = Activation::all([0.75, 0.25]);
    // More values than a vector holds.
    let x: Vec<f32> = (0..37).map(|i| if i % 3 == 0 { f32::NAN } else { 0.5 }).collect();
    let layer = Linear::new(1, 1).init(Init::Constant(1.0), Init::Constant(0.0));
    Parameters::new(&device, &layer, 0).unwrap();
    for activation in all {
        let [values, _] =
            value_and_gradient(&device, [1, 37], &x, None, |graph, x| graph.activation(x, activation)).unwrap();
        let mut graph = Graph::new(&device);
        let column = graph.input(&Tensor::new(&device, 37, 1, &x).unwrap()).unwrap();
        let product = layer.forward(&mut graph, column).unwrap();
        let y = graph.activation(product, activation).unwrap();
        let lowered = lower(&graph, &[y]).unwrap();
        lowered.run().unwrap();
        for (i, (alone, fused)) in values.iter().zip(lowered.read(y).unwrap()).enumerate() {
            assert_eq!([alone.is_nan(), fused.is_nan()], [i % 3 == 0; 2], "{activation:?} of {}", x[i]);
        }
    }
    // A parameter that is NaN makes the loss NaN, whatever layers follow.
    let model = Sequential::new().add(Linear::new(2, 4)).add(ReLU).add(Linear::new(4, 1));
    let mut trainer = Trainer::new(&device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
    let (_, bias) = trainer.parameters().named().nth(1).unwrap();
    bias.value().unwrap().write(&[f32::NAN; 4]).unwrap();
    let error = trainer.fit(&disk(4, 0, Labels::ZeroOne).unwrap(), Fit::new(1, 2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFinite, "{error}");
}
