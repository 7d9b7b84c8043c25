//! Embeddings, batch normalisation and other layers: values and gradients against PyTorch's (`tests/oracle/layers.json`), and
//! what becomes of running statistics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, EPSILON, ROUNDING, compare, floats, list, number, numbers, on_every_device, oracle};
use wgrad::nn::{
    Average, Backprop, BatchNorm1d, Embedding, Linear, Loss, Module, Mse, Parameters, Residual, Sequential, Tanh,
};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, ErrorKind, Graph, Result, Tensor, gradients, lower};

on_every_device!(embeddings_match_pytorch, batch_normalisation_matches_pytorch, running_statistics_move_once_a_run,);

#[track_caller]
fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn embeddings_match_pytorch(devices: &Devices) {
    let file = oracle("layers.json");
    let case = &file["embedding"];
    for (_, device) in devices {
        let layer = Embedding::new(5, 3);
        Parameters::new(device, &layer, 0).unwrap();
        layer.weight().value().unwrap().write(&floats(&case["weight"])).unwrap();
        let mut graph = Graph::new(device);
        let numbers_ = graph.input(&Tensor::new(device, 4, 2, &floats(&case["numbers"])).unwrap()).unwrap();
        let upstream = graph.input(&Tensor::new(device, 4, 6, &floats(&case["upstream"])).unwrap()).unwrap();
        let y = layer.forward(&mut graph, numbers_).unwrap();
        let product = graph.mul(y, upstream).unwrap();
        let loss = graph.sum(product).unwrap();
        let weight = layer.weight().var(&mut graph).unwrap();
        let slope = gradients(&mut graph, loss, &[weight]).unwrap()[0].unwrap();
        let lowered = lower(&graph, &[y, slope]).unwrap();
        lowered.run().unwrap();
        // Sums of up to four sixty-fourths are exact; row 1 and 3 have no gradient.
        assert_eq!(lowered.read(y).unwrap(), floats(&case["value"]));
        assert_eq!(lowered.read(slope).unwrap(), floats(&case["gradient"]));
    }
}

/// A batch that a normalisation has gone through: what its rounding is measured by.
struct Column {
    /// 1 / √(variance + eps)
    inverse: f64,
    /// By how much roundings of x grow: its magnitude in standard deviations.
    condition: f64,
    mean_square: f64,
}

impl Column {
    fn new(x: &[f64], eps: f64) -> Self {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + eps).sqrt();
        let largest = x.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        Self { inverse, condition: 1.0 + largest * inverse, mean_square: variance + mean * mean }
    }
}

fn batch_normalisation_matches_pytorch(devices: &Devices) {
    let file = oracle("layers.json");
    let mut faults = Vec::new();
    for (case, (label, device)) in
        list(&file["batch_norm"]).iter().flat_map(|case| devices.iter().map(move |device| (case, device)))
    {
        let (momentum, eps) = (number(&case["momentum"]) as f32, number(&case["eps"]) as f32);
        let layer = BatchNorm1d::new(3).momentum(momentum).eps(eps);
        let parameters = Parameters::new(device, &layer, 0).unwrap();
        let named: Vec<_> = parameters.named().map(|(_, parameter)| parameter.clone()).collect();
        let (weight, bias) = (&named[0], &named[1]);
        weight.value().unwrap().write(&floats(&case["weight"])).unwrap();
        bias.value().unwrap().write(&floats(&case["bias"])).unwrap();
        let w = numbers(&case["weight"]);
        // How far a running statistic may be off after the batches so far.
        let mut off = [[0.0; 3]; 2];
        for (number, batch) in list(&case["batches"]).iter().enumerate() {
            let (x, upstream) = (floats(&batch["x"]), floats(&batch["upstream"]));
            let rows = x.len() / 3;
            let mut graph = Graph::new(device);
            let x_var = graph.input(&Tensor::new(device, rows, 3, &x).unwrap()).unwrap();
            let upstream_var = graph.input(&Tensor::new(device, rows, 3, &upstream).unwrap()).unwrap();
            let y = layer.forward(&mut graph, x_var).unwrap();
            let product = graph.mul(y, upstream_var).unwrap();
            let loss = graph.sum(product).unwrap();
            let by = [x_var, weight.var(&mut graph).unwrap(), bias.var(&mut graph).unwrap()];
            let slopes: Vec<_> = gradients(&mut graph, loss, &by).unwrap().into_iter().flatten().collect();
            let lowered = lower(&graph, &[&[y], &slopes[..]].concat()).unwrap();
            lowered.run().unwrap();

            let column = |j: usize| -> Vec<f64> { x.iter().skip(j).step_by(3).map(|x| f64::from(*x)).collect() };
            let columns: Vec<Column> = (0..3).map(|j| Column::new(&column(j), eps.into())).collect();
            let n = rows as f64;
            // On the way lie sums over the rows, and some forty operations, each rounded relative to the largest of what it
            // adds; a power is off by some ten roundings (see `Accuracy`).
            let steps = (4.0 * n + 50.0) * EPSILON;
            let largest = |values: &[f64]| values.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            let expected = numbers(&batch["value"]);
            let bound = |i: usize| {
                let Column { condition, .. } = columns[i % 3];
                steps * (w[i % 3].abs() * condition * condition.min(n.sqrt() + 1.0) + expected[i].abs())
            };
            let name = format!("batch {number} of momentum {momentum} on {label}");
            faults.extend(compare(&name, &lowered.read(y).unwrap(), &expected, 0.0, bound).err());
            let up: Vec<f64> = upstream.iter().map(|u| f64::from(*u)).collect();
            // (dy - mean(dy) - x̂ mean(dy x̂)) w / σ, where |x̂| is at most √n.
            let by_x = |i: usize| {
                let Column { inverse, condition, .. } = columns[i % 3];
                steps * condition * w[i % 3].abs() * inverse * largest(&up) * (2.0 + n)
            };
            let by_weight = |i: usize| steps * columns[i].condition * largest(&up) * n;
            let by_bias = |_| n * ROUNDING * largest(&up) * n;
            let read = |i: usize| lowered.read(slopes[i]).unwrap();
            faults.extend(compare(&format!("{name}, by x"), &read(0), &numbers(&batch["by_x"]), 0.0, by_x).err());
            let expected = numbers(&batch["by_weight"]);
            faults.extend(compare(&format!("{name}, by weight"), &read(1), &expected, 0.0, by_weight).err());
            let expected = numbers(&batch["by_bias"]);
            faults.extend(compare(&format!("{name}, by bias"), &read(2), &expected, 0.0, by_bias).err());

            for (which, key) in ["running_mean", "running_var"].into_iter().enumerate() {
                for j in 0..3 {
                    let Column { mean_square, .. } = columns[j];
                    let size = if which == 0 { mean_square.sqrt() } else { 2.0 * mean_square };
                    off[which][j] += (n + 12.0) * EPSILON * (size + numbers(&batch[key])[j].abs());
                }
                let actual = named[2 + which].value().unwrap().read().unwrap();
                let bound = |j: usize| off[which][j];
                faults.extend(compare(&format!("{name}, {key}"), &actual, &numbers(&batch[key]), 0.0, bound).err());
            }
        }
        let (x, expected) = (floats(&case["evaluation"]["x"]), numbers(&case["evaluation"]["value"]));
        let mut graph = Graph::for_evaluation(device);
        let x = graph.input(&Tensor::new(device, 3, 3, &x).unwrap()).unwrap();
        let y = layer.forward(&mut graph, x).unwrap();
        let lowered = lower(&graph, &[y]).unwrap();
        lowered.run().unwrap();
        let last = list(&case["batches"]).last().unwrap();
        let bound = |i: usize| {
            let inverse = 1.0 / (numbers(&last["running_var"])[i % 3] + f64::from(eps)).sqrt();
            let of_mean = (off[0][i % 3] + 8.0 * EPSILON) * inverse;
            let of_var = 0.5 * off[1][i % 3] * inverse * inverse + 20.0 * EPSILON;
            w[i % 3].abs() * of_mean + (expected[i].abs() + 1.0) * of_var
        };
        faults.extend(compare("evaluation", &lowered.read(y).unwrap(), &expected, 0.0, bound).err());
    }
    report(faults);
}

/// Each run of a training graph moves them once, however often the layer is used in it and whatever is asked for; runs for
/// evaluation and optimizers do not.
fn running_statistics_move_once_a_run(devices: &Devices) {
    for (_, device) in devices {
        let layer = BatchNorm1d::new(1).momentum(0.5);
        let model = Sequential::new().add(layer.clone()).add(Linear::new(1, 1));
        let parameters = Parameters::new(device, &model, 0).unwrap();
        let mean = || layer.running_mean().value().unwrap().read().unwrap()[0];
        let x = Tensor::new(device, 2, 1, &[3.0, 5.0]).unwrap();
        let t = Tensor::zeros(device, 2, 1).unwrap();
        let mut graph = Graph::new(device);
        let (x, t) = (graph.input(&x).unwrap(), graph.input(&t).unwrap());
        let y = model.forward(&mut graph, x).unwrap();
        let loss = Mse::new().forward(&mut graph, y, t).unwrap();
        let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.5).weight_decay(0.5)).unwrap();
        let mut wanted = optimizer.train_step(&mut graph, loss).unwrap();
        // One dispatch updates all that is trained, and the buffers lie behind it.
        assert_eq!(wanted.len(), 1);
        wanted.push(loss);
        let step = lower(&graph, &wanted).unwrap();
        step.run().unwrap();
        assert_eq!(mean(), 2.0);
        step.run().unwrap();
        assert_eq!(mean(), 3.0);
        lower(&graph, &[y]).unwrap().run().unwrap();
        assert_eq!(mean(), 3.5);
        let mut evaluation = Graph::for_evaluation(device);
        let again = evaluation.input(&Tensor::zeros(device, 1, 1).unwrap()).unwrap();
        let y = model.forward(&mut evaluation, again).unwrap();
        lower(&evaluation, &[y]).unwrap().run().unwrap();
        optimizer.step().unwrap();
        assert_eq!(mean(), 3.5);

        // By hand: the forward pass moves them, the backward pass does not.
        let mut graph = Graph::new(device);
        let x = graph.input(&Tensor::new(device, 2, 1, &[3.0, 5.0]).unwrap()).unwrap();
        let y = model.forward(&mut graph, x).unwrap();
        let loss = Mse::new().forward(&mut graph, y, x).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, loss, &[y]).unwrap();
        pass.forward().unwrap();
        assert_eq!(mean(), 3.75);
        pass.backward().unwrap();
        assert_eq!(mean(), 3.75);

        // Used twice: by 4, then by 0, to which the first use has shifted what the second sees.
        layer.running_mean().value().unwrap().write(&[0.0]).unwrap();
        let mut twice = Graph::new(device);
        let x = twice.input(&Tensor::new(device, 2, 1, &[3.0, 5.0]).unwrap()).unwrap();
        let once = BatchNorm1d::forward(&layer, &mut twice, x).unwrap();
        let shifted = twice.mul_scalar(once, 0.0).unwrap();
        let y = layer.forward(&mut twice, shifted).unwrap();
        lower(&twice, &[y]).unwrap().run().unwrap();
        assert_eq!(mean(), 1.0);
    }
}
#[test]
fn layers_say_what_does_not_fit() {
    let device = Device::cpu();
    let told = |build: &dyn Fn(&mut Graph) -> Result<()>| build(&mut Graph::new(&device)).unwrap_err();
    let input = |graph: &mut Graph, rows: usize, cols: usize| {
        graph.input(&Tensor::zeros(&device, rows, cols).unwrap()).unwrap()
    };
    let norm = BatchNorm1d::new(3);
    Parameters::new(&device, &norm, 0).unwrap();
    let forward = |layer: BatchNorm1d, rows: usize, cols: usize| {
        told(&move |graph| {
            let x = input(graph, rows, cols);
            layer.forward(graph, x).map(drop)
        })
    };
    let error = forward(norm.clone(), 1, 3);
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().starts_with("batch_norm: a batch of 1 sample has no variance"), "{error}");
    assert_eq!(
        forward(norm.clone(), 4, 2).to_string(),
        "batch_norm: the input is 4 x 2, but the layer takes 3 columns"
    );
    assert_eq!(forward(norm.clone().momentum(1.5), 4, 3).kind(), ErrorKind::InvalidInput);
    assert_eq!(forward(norm.eps(f32::NAN), 4, 3).kind(), ErrorKind::InvalidInput);

    let residual = Residual::new(Linear::new(3, 2));
    Parameters::new(&device, &residual, 0).unwrap();
    let error = told(&|graph| {
        let x = input(graph, 4, 3);
        residual.forward(graph, x).map(drop)
    });
    assert!(error.to_string().contains("the block takes 4 x 3 and gives 4 x 2"), "{error}");

    let average = Average::new([Linear::new(3, 2), Linear::new(3, 1)]);
    Parameters::new(&device, &average, 0).unwrap();
    let error = told(&|graph| {
        let x = input(graph, 4, 3);
        average.forward(graph, x).map(drop)
    });
    assert!(error.to_string().contains("module 1 gives 4 x 1, module 0 gives 4 x 2"), "{error}");
}

#[test]
fn a_layer_without_a_bias_is_a_product() {
    let device = Device::cpu();
    let layer = Linear::new(3, 2).without_bias();
    let model = Sequential::new().add(layer.clone()).add(Tanh);
    let parameters = Parameters::new(&device, &model, 5).unwrap();
    assert_eq!(parameters.named().map(|(name, _)| name).collect::<Vec<_>>(), ["0.weight"]);
    // The weights are those that a layer with a bias gets.
    let other = Linear::new(3, 2);
    Parameters::new(&device, &other, 5).unwrap();
    let weights = layer.weight().value().unwrap().read().unwrap();
    assert_eq!(weights, other.weight().value().unwrap().read().unwrap());
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::new(&device, 1, 3, &[1.0, 0.0, 0.0]).unwrap()).unwrap();
    let y = layer.forward(&mut graph, x).unwrap();
    let through = model.forward(&mut graph, x).unwrap();
    let lowered = lower(&graph, &[y]).unwrap();
    lowered.run().unwrap();
    assert_eq!(lowered.read(y).unwrap(), [weights[0], weights[3]]);
    // The activation is still merged into the product.
    assert_eq!(lower(&graph, &[through]).unwrap().recording().len(), 1);
}
