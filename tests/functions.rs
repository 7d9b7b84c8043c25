//! Activations, row-wise functions and losses against PyTorch's values and gradients (`tests/oracle/functions.json`),
//! at large magnitudes too, on the CPU and on every GPU. How far they may be off is `tests/common/accuracy.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Accuracy, Devices, EPSILON, ROUNDING, TINY, compare, floats, list, numbers, on_every_device, oracle, shape, text,
};
use serde_json::Value;
use wgrad::nn::{BceWithLogits, CrossEntropy, Huber, Loss, Mae, Mse, Reduction};
use wgrad::ops::Activation;
use wgrad::{Device, Result, Tape, Tensor, Var};

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
    f: impl Fn(&mut Tape, Var) -> Result<Var>,
) -> Result<[Vec<f32>; 2]> {
    let mut tape = Tape::new(device);
    let x = tape.variable(&Tensor::new(device, rows, cols, x)?)?;
    let y = f(&mut tape, x)?;
    let weighted = match upstream {
        Some(upstream) => {
            let upstream = tape.input(&Tensor::new(device, rows, cols, upstream)?)?;
            tape.mul(y, upstream)?
        }
        None => y,
    };
    let sum = tape.sum(weighted)?;
    let value = tape.tensor(y)?;
    let graph = tape.backward(sum)?;
    graph.forward()?;
    graph.backward()?;
    Ok([value.read()?, graph.gradient(x).unwrap().read()?])
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
                value_and_gradient(device, shape, &grid, None, |tape, x| tape.activation(x, activation)).unwrap();
            let x = |i: usize| f64::from(grid[i]);
            let name = format!("{activation:?} on {label}");
            faults.extend(compare(&name, &value, &y, 0.0, |i| accuracy.value(activation, x(i), y[i])).err());
            let bound = |i: usize| accuracy.derivative(activation, x(i), y[i], d[i]);
            faults.extend(compare(&format!("{name}, derivative"), &derivative, &d, 0.0, bound).err());
        }
    }
    report(faults);
}

/// A row of softmax: the error of each exp(z - largest), relative, and the error and value of their sum's logarithm.
struct Normaliser {
    exps: Vec<f64>,
    sum: f64,
    log: f64,
}

impl Normaliser {
    fn new(accuracy: &Accuracy, z: &[f32]) -> Self {
        let z: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shifts: Vec<f64> = z.iter().map(|z| z - largest).collect();
        let sum: f64 = shifts.iter().map(|s| s.exp()).sum();
        // The difference is rounded, and what is below the normal numbers may be 0.
        let exps: Vec<f64> = shifts.iter().map(|s| (accuracy.exp)(*s) + ROUNDING * s.abs()).collect();
        let of_terms: f64 = shifts.iter().zip(&exps).map(|(s, error)| s.exp() * error + TINY).sum();
        let of_sum = of_terms / sum + z.len() as f64 * ROUNDING;
        let log = of_sum + (accuracy.log)(sum, sum.ln()) + ROUNDING * sum.ln().abs();
        Self { exps, sum: of_sum, log }
    }
}

/// The errors of value and gradient of a row of softmax or its logarithm, for PyTorch's y and this upstream.
fn row_errors(accuracy: &Accuracy, log: bool, z: &[f32], y: &[f64], upstream: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let normaliser = Normaliser::new(accuracy, z);
    let n = y.len() as f64;
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let dy: Vec<f64> = upstream.iter().map(|u| f64::from(*u)).collect();
    if log {
        let value: Vec<f64> =
            (0..y.len()).map(|j| ROUNDING * (f64::from(z[j] - largest).abs() + y[j].abs()) + normaliser.log).collect();
        let (sum, magnitude) = (dy.iter().sum::<f64>(), dy.iter().map(|d| d.abs()).sum::<f64>());
        // dy - exp(y) (sum of dy)
        let gradient = |j: usize| {
            let (p, off) = (y[j].exp(), (accuracy.exp)(y[j]) + value[j]);
            p * (off * sum.abs() + (n + 1.0) * ROUNDING * magnitude) + TINY + ROUNDING * (dy[j].abs() + p * magnitude)
        };
        return (value.clone(), (0..y.len()).map(gradient).collect());
    }
    let value: Vec<f64> =
        (0..y.len()).map(|j| y[j] * (normaliser.exps[j] + normaliser.sum + accuracy.divide) + 2.0 * TINY).collect();
    let sum: f64 = dy.iter().zip(y).map(|(d, y)| d * y).sum();
    let magnitude: f64 = dy.iter().zip(y).map(|(d, y)| d.abs() * y).sum();
    let of_sum: f64 =
        dy.iter().zip(&value).map(|(d, off)| d.abs() * off).sum::<f64>() + (n + 1.0) * ROUNDING * magnitude;
    // y (dy - sum of dy y)
    let gradient = |j: usize| {
        let difference = (dy[j] - sum).abs();
        value[j] * (difference + of_sum) + y[j] * (of_sum + EPSILON * (dy[j].abs() + sum.abs())) + TINY
    };
    (value.clone(), (0..y.len()).map(gradient).collect())
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
            let [value, gradient] = value_and_gradient(device, [rows, cols], &x, Some(&upstream), |tape, x| {
                if log { tape.log_softmax(x) } else { tape.softmax(x) }
            })
            .unwrap();
            let accuracy = Accuracy::of(device);
            let row = |i: usize| i / cols * cols..i / cols * cols + cols;
            let errors = |i: usize| row_errors(&accuracy, log, &x[row(i)], &y[row(i)], &upstream[row(i)]);
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
            let normaliser = Normaliser::new(accuracy, z);
            let largest = f64::from(z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let log_sum = largest + z.iter().map(|z| (f64::from(*z) - largest).exp()).sum::<f64>().ln();
            let off = normaliser.log + ROUNDING * log_sum.abs();
            let (total, terms) = (t.iter().sum::<f64>(), cols as f64);
            // t (log_sum - z), of which cols are added up; the gradient is exp(z - log_sum) (sum of t) - t.
            let minus_log = |j: usize| (log_sum - f64::from(z[j])).abs();
            let value = (0..cols).map(|j| t[j] * (off + (terms + 2.0) * ROUNDING * minus_log(j))).sum::<f64>();
            let gradient = |j: usize| {
                let softmax = (-minus_log(j)).exp();
                let relative = (accuracy.exp)(minus_log(j)) + off + ROUNDING * minus_log(j);
                softmax * total * (relative + terms * ROUNDING) + TINY + EPSILON * (softmax * total + t[j])
            };
            (0..cols).map(|j| (if j == 0 { value } else { 0.0 }, gradient(j))).collect::<Vec<_>>()
        };
        return (0..rows).flat_map(row).collect();
    }
    let t = floats(&case["target"]);
    let element = |(p, t): (&f32, &f32)| {
        let (p, t) = (f64::from(*p), f64::from(*t));
        let e = (p - t).abs();
        match text(&case["name"]) {
            // max(p, 0) - p t + log(1 + exp(-|p|)); sigmoid(p) - t
            "bce_with_logits" => {
                let s = 1.0 / (1.0 + (-p).exp());
                let value = accuracy.softplus(p) + EPSILON * (p.abs() + (p * t).abs() + 1.0);
                (value, accuracy.sigmoid(p, s) + ROUNDING * (s + t))
            }
            // The differences of the fixture are exact; the rest is a product or two.
            _ => (2.0 * EPSILON * (e * e + e), EPSILON * 2.0 * e),
        }
    };
    p.iter().zip(&t).map(element).collect()
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
                let [actual, slope] = value_and_gradient(device, [rows, cols], &prediction, None, |tape, p| {
                    let t = tape.input(&Tensor::new(tape.device(), rows, target.len() / rows, &target)?)?;
                    loss.forward(tape, p, t)
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
