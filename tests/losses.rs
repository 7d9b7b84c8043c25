//! Losses with weights and options: values and gradients against PyTorch's (`tests/oracle/layers.json`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Accuracy, Devices, EPSILON, ROUNDING, compare, floats, list, number, numbers, on_every_device, oracle, shape, text,
};
use serde_json::Value;
use wgrad::nn::{Activation, BceWithLogits, CrossEntropy, Huber, Loss, Mae, Mse, Quantile, Reduction};
use wgrad::ops::loss::Elementwise;
use wgrad::{Device, Graph, Result, Tensor, gradients, lower};

on_every_device!(losses_and_their_gradients_match_pytorch);

#[track_caller]
fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn loss(case: &Value, reduction: Reduction) -> Box<dyn Loss> {
    let option = |name: &str| case.get(name).map(|value| number(value) as f32);
    match text(&case["name"]) {
        "mse" => Box::new(Mse::new().reduction(reduction)),
        "mae" => Box::new(Mae::new().reduction(reduction)),
        "huber" => Box::new(Huber::new(option("delta").unwrap()).reduction(reduction)),
        "bce_with_logits" => Box::new(BceWithLogits::new().reduction(reduction)),
        "quantile" => Box::new(Quantile::new(option("quantile").unwrap()).reduction(reduction)),
        "cross_entropy" => {
            let mut loss = CrossEntropy::new().reduction(reduction);
            if let Some(smoothing) = option("label_smoothing") {
                loss = loss.label_smoothing(smoothing);
            }
            if let Some(class) = option("ignore_index") {
                loss = loss.ignore_index(class as i32);
            }
            if let Some(weights) = case.get("class_weights") {
                loss = loss.class_weights(floats(weights));
            }
            Box::new(loss)
        }
        other => panic!("no loss {other}"),
    }
}

/// The errors, before the reduction, of each element's loss (of each row's, in its first element) and gradient.
fn errors(case: &Value, accuracy: &Accuracy) -> Vec<(f64, f64)> {
    let [rows, cols] = shape(&case["shape"]);
    let p = floats(&case["prediction"]);
    let weight = |row: usize| case.get("weights").map_or(1.0, |weights| numbers(weights)[row]);
    if text(&case["name"]) != "cross_entropy" {
        let t = floats(&case["target"]);
        let element = |i: usize| {
            let (value, slope) = element_errors(case, accuracy, f64::from(p[i]), f64::from(t[i]));
            (weight(i / cols) * value, weight(i / cols) * slope)
        };
        return (0..rows * cols).map(element).collect();
    }
    let smoothing = case.get("label_smoothing").map_or(0.0, number);
    let row = |row: usize| {
        let base = |j: usize| match case.get("classes") {
            Some(classes) => f64::from(u8::from(numbers(classes)[row] == j as f64)),
            None => numbers(&case["target"])[row * cols + j],
        };
        let ignored = case.get("classes").is_some_and(|classes| {
            case.get("ignore_index").is_some_and(|ignored| number(ignored) == numbers(classes)[row])
        });
        let of_class = |j: usize| case.get("class_weights").map_or(1.0, |weights| numbers(weights)[j]);
        let t: Vec<f64> = (0..cols)
            .map(|j| match ignored {
                true => 0.0,
                false => ((1.0 - smoothing) * base(j) + smoothing / cols as f64) * of_class(j) * weight(row),
            })
            .collect();
        let z = &p[row * cols..][..cols];
        let (value, gradient) = accuracy.cross_entropy(z, &t);
        // The targets themselves are rounded some six times.
        let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = z.iter().map(|z| f64::from(z - largest).exp()).sum::<f64>().ln();
        let logs: f64 = z.iter().zip(&t).map(|(z, t)| t * (log_sum - f64::from(z - largest))).sum();
        let total: f64 = t.iter().sum();
        let errors = gradient.into_iter().enumerate().map(move |(j, error)| {
            let of_targets = 6.0 * EPSILON * (total + t[j]);
            (if j == 0 { value + 6.0 * EPSILON * logs } else { 0.0 }, error + of_targets)
        });
        errors.collect::<Vec<_>>()
    };
    (0..rows).flat_map(row).collect()
}

/// Of an error in up to eight roundings, and of its derivative.
fn element_errors(case: &Value, accuracy: &Accuracy, p: f64, t: f64) -> (f64, f64) {
    if text(&case["name"]) != "bce_with_logits" {
        let e = (p - t).abs();
        return (8.0 * EPSILON * (e * e + e), 8.0 * EPSILON * (2.0 * e + 1.0));
    }
    let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let value = |x: f64| accuracy.value(Activation::Softplus, x, softplus(x)) + 2.0 * EPSILON * softplus(x);
    let slope = |x: f64| accuracy.sigmoid(x, sigmoid(x)) + 2.0 * EPSILON * sigmoid(x);
    let (of_value, of_slope) = (t * value(-p) + (1.0 - t) * value(p), t * slope(-p) + (1.0 - t) * slope(p));
    // The kernel's own form, for samples without weights.
    let kernel = accuracy.loss(Elementwise::BceWithLogits, p, t);
    (of_value.max(kernel.0), of_slope.max(kernel.1))
}

fn losses_and_their_gradients_match_pytorch(devices: &Devices) {
    let file = oracle("layers.json");
    let reductions = [
        ("mean", Reduction::Mean),
        ("sum", Reduction::Sum),
        ("sample_mean", Reduction::SampleMean),
        ("output_mean", Reduction::OutputMean),
    ];
    let (mut faults, mut compared) = (Vec::new(), 0);
    for case in list(&file["losses"]) {
        let [rows, cols] = shape(&case["shape"]);
        let prediction = floats(&case["prediction"]);
        let target = floats(case.get("classes").unwrap_or(&case["target"]));
        for (key, reduction) in reductions {
            let Some(expected) = case.get(key) else { continue };
            let (value, gradient) = (number(&expected["value"]), numbers(&expected["gradient"]));
            let divisor = number(&case["sum"]["value"]) / value;
            for (label, device) in devices {
                let run = || -> Result<[Vec<f32>; 2]> {
                    let mut graph = Graph::new(device);
                    let p = graph.input(&Tensor::new(device, rows, cols, &prediction)?)?;
                    let t = graph.input(&Tensor::new(device, rows, target.len() / rows, &target)?)?;
                    let loss = loss(case, reduction);
                    let loss = match case.get("weights") {
                        None => loss.forward(&mut graph, p, t)?,
                        Some(weights) => {
                            let weights = graph.input(&Tensor::new(device, rows, 1, &floats(weights))?)?;
                            loss.weighted(&mut graph, p, t, weights)?
                        }
                    };
                    let slope = gradients(&mut graph, loss, &[p])?[0].unwrap();
                    let lowered = lower(&graph, &[loss, slope])?;
                    lowered.run()?;
                    Ok([lowered.read(loss)?, lowered.read(slope)?])
                };
                let [actual, slope] = run().unwrap();
                let errors = errors(case, &Accuracy::of(device));
                // All terms are positive: adding n of them errs by n roundings of the sum, as does the sum of the weights;
                // then a division and a scaling.
                let sum = 2.0 * (rows * cols) as f64 * ROUNDING + 4.0 * EPSILON;
                let bound = errors.iter().map(|e| e.0).sum::<f64>() / divisor + sum * value.abs();
                let options = ["label_smoothing", "ignore_index", "class_weights", "weights", "quantile", "delta"];
                let options: Vec<_> = options.into_iter().filter(|name| case.get(*name).is_some()).collect();
                let name = format!("{} with {options:?} ({key}) on {label}", text(&case["name"]));
                faults.extend(compare(&name, &actual, &[value], 0.0, |_| bound).err());
                let bound = |i: usize| errors[i].1 / divisor + (sum + 2.0 * EPSILON) * gradient[i].abs();
                faults.extend(compare(&format!("{name}, gradient"), &slope, &gradient, 0.0, bound).err());
                compared += 1;
            }
        }
    }
    // Cross-entropies of twelve options with and without weights, and six losses with them, two without.
    assert_eq!(compared, (24 * 2 + 6 * 4 + 2 * 2) * devices.len());
    report(faults);
}
#[test]
fn losses_say_what_does_not_fit() {
    let device = Device::cpu();
    let told = |build: &dyn Fn(&mut Graph) -> Result<()>| build(&mut Graph::new(&device)).unwrap_err();
    let input = |graph: &mut Graph, rows: usize, cols: usize| {
        graph.input(&Tensor::zeros(&device, rows, cols).unwrap()).unwrap()
    };
    let loss = |loss: &dyn Loss, target: usize, weights: Option<[usize; 2]>| {
        told(&|graph| {
            let (p, t) = (input(graph, 4, 3), input(graph, 4, target));
            match weights {
                None => loss.forward(graph, p, t).map(drop),
                Some([rows, cols]) => {
                    let weights = input(graph, rows, cols);
                    loss.weighted(graph, p, t, weights).map(drop)
                }
            }
        })
        .to_string()
    };
    let plain = CrossEntropy::new();
    assert!(loss(&plain.clone().label_smoothing(1.5), 1, None).contains("a label smoothing of 1.5"));
    assert!(loss(&plain.clone().class_weights([1.0, 2.0]), 1, None).contains("2 class weights for 3 classes"));
    assert!(loss(&plain.clone().class_weights([1.0, -2.0, 1.0]), 1, None).contains("a class weight of -2"));
    assert!(loss(&plain.clone().ignore_index(-100), 3, None).contains("the targets are probabilities"));
    assert!(loss(&plain.clone().label_smoothing(0.1), 2, None).contains("the target is 4 x 2"));
    for weighted in [&plain as &dyn Loss, &Mse::new(), &Huber::new(1.0)] {
        let target = if weighted.decision() == plain.decision() { 1 } else { 3 };
        let error = loss(weighted, target, Some([4, 3]));
        assert_eq!(error, "weighted loss: weights 4 x 3 for 4 samples; give 4 x 1");
    }
    assert!(loss(&Mse::new(), 2, Some([4, 1])).contains("they must have the same shape"));
    for quantile in [0.0, 1.0, -0.5, f32::NAN] {
        let of_each = [loss(&Quantile::new(quantile), 3, None), loss(&Quantile::new(quantile), 3, Some([4, 1]))];
        assert!(of_each.iter().all(|error| error.starts_with("quantile: a quantile of")), "{of_each:?}");
    }
}

/// PyTorch has NaN here.
#[test]
fn a_mean_of_nothing_is_0() {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let p = graph.input(&Tensor::new(&device, 2, 2, &[1.0, 2.0, 3.0, 4.0]).unwrap()).unwrap();
    let nothing = graph.input(&Tensor::new(&device, 2, 1, &[-100.0; 2]).unwrap()).unwrap();
    let loss = CrossEntropy::new().ignore_index(-100).forward(&mut graph, p, nothing).unwrap();
    let zero = graph.input(&Tensor::zeros(&device, 2, 1).unwrap()).unwrap();
    let weighted = Mse::new().weighted(&mut graph, p, p, zero).unwrap();
    let slope = gradients(&mut graph, loss, &[p]).unwrap()[0].unwrap();
    let lowered = lower(&graph, &[loss, weighted, slope]).unwrap();
    lowered.run().unwrap();
    assert_eq!((lowered.read(loss).unwrap(), lowered.read(weighted).unwrap()), (vec![0.0], vec![0.0]));
    assert_eq!(lowered.read(slope).unwrap(), [0.0; 4]);
    // A number that is no class is still not ignored.
    let mut graph = Graph::new(&device);
    let p = graph.input(&Tensor::zeros(&device, 2, 2).unwrap()).unwrap();
    let t = graph.input(&Tensor::new(&device, 2, 1, &[0.0, 7.0]).unwrap()).unwrap();
    let loss = CrossEntropy::new().ignore_index(-100).forward(&mut graph, p, t).unwrap();
    let lowered = lower(&graph, &[loss]).unwrap();
    lowered.run().unwrap();
    assert!(lowered.read(loss).unwrap()[0].is_nan());
}
