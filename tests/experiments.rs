//! The experiments of the reports, from PyTorch's initial parameters and in its order of samples: the first 50 losses
//! are PyTorch's (`tests/oracle/experiments`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use common::{Devices, EPSILON, ROUNDING, compare, floats, list, number, numbers, on_every_device, oracle, shape};
use common::{sigmoid_error, tanh_error, text};
use serde_json::Value;
use wgrad::nn::{Activation, Backprop, Linear, Loss, Module, Mse, Parameters, Reduction, Sequential};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Result, Tensor, Var};

on_every_device!(the_first_losses_are_those_of_pytorch);

const EXPERIMENTS: &[&str] = &[
    "worch",
    "pytorch-like",
    "pytorch-like-own",
    "without-autograd-1",
    "without-autograd-2",
    "without-autograd-3",
    "hotgrad",
    "five-activations",
    "five-activations-decay",
    "five-activations-literal-decay",
];

/// What an experiment's file holds.
struct Experiment {
    file: Value,
}

impl Experiment {
    fn new(name: &str) -> Self {
        Self { file: oracle(&format!("experiments/{name}.json")) }
    }

    /// The activation after each layer.
    fn activations(&self) -> Vec<Activation> {
        let activation = |name: &Value| match text(name) {
            "none" => Activation::Identity,
            "relu" => Activation::ReLU,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            other => panic!("no activation {other}"),
        };
        list(&self.file["hidden"]).iter().chain([&self.file["output"]]).map(activation).collect()
    }

    fn model(&self) -> Sequential {
        let weights = list(&self.file["parameters"]).iter().step_by(2);
        weights.zip(self.activations()).fold(Sequential::new(), |model, (weight, activation)| {
            let [outputs, inputs] = shape(&weight["shape"]);
            let model = model.add(Linear::new(inputs, outputs));
            if activation == Activation::Identity { model } else { model.add(activation) }
        })
    }

    fn loss(&self) -> Mse {
        Mse::new().reduction(match text(&self.file["reduction"]) {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            "sample_mean" => Reduction::SampleMean,
            "output_mean" => Reduction::OutputMean,
            other => panic!("no reduction {other}"),
        })
    }

    /// The losses of PyTorch's mini-batches, each before its update.
    fn losses(&self, device: &Device) -> Result<Vec<f32>> {
        let model = self.model();
        let parameters = Parameters::new(device, &model, 0)?;
        let initial = list(&self.file["parameters"]);
        assert_eq!(parameters.named().count(), initial.len());
        for ((_, parameter), values) in parameters.named().zip(initial) {
            assert_eq!(parameter.shape(), shape(&values["shape"]));
            parameter.value()?.write(&floats(&values["values"]))?;
        }
        let setting = |key: &str| number(&self.file[key]) as f32;
        let rule = Sgd::new(setting("rate")).weight_decay(setting("weight_decay")).shrink(setting("unscaled_decay"));
        let mut optimizer = Optimizer::new(&parameters, rule)?;

        let (points, targets) = (floats(&self.file["points"]), floats(&self.file["target"]));
        let outputs = number(&self.file["outputs"]) as usize;
        let mut steps: HashMap<usize, Step> = HashMap::new();
        let mut losses = Vec::new();
        for batch in list(&self.file["batches"]) {
            let samples: Vec<usize> = numbers(batch).iter().map(|sample| *sample as usize).collect();
            // The last mini-batch of an epoch may be shorter: a graph of its own over the same parameters.
            let step = match steps.entry(samples.len()) {
                Entry::Occupied(step) => step.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(Step::new(&parameters, &model, &self.loss(), [samples.len(), outputs])?)
                }
            };
            let rows = |data: &[f32], cols: usize| -> Vec<f32> {
                samples.iter().flat_map(|sample| data[sample * cols..][..cols].to_vec()).collect()
            };
            step.x.write(&rows(&points, 2))?;
            step.target.write(&rows(&targets, outputs))?;
            optimizer.zero_grad()?;
            step.pass.forward()?;
            step.pass.backward()?;
            losses.push(step.pass.read(step.loss)?[0]);
            optimizer.step()?;
        }
        Ok(losses)
    }

    /// How many roundings the least exact activation of the network is off by, on this device.
    fn roundings(&self, device: &Device) -> f64 {
        let error = |activation| match activation {
            Activation::Tanh => tanh_error(device),
            Activation::Sigmoid => sigmoid_error(device),
            _ => 0.0,
        };
        self.activations().into_iter().map(error).fold(1.0, |most, error| most.max(error / ROUNDING))
    }
}

/// A recorded training step on a mini-batch of one size.
struct Step {
    x: Tensor,
    target: Tensor,
    loss: Var,
    pass: Backprop,
}

impl Step {
    fn new(parameters: &Parameters, model: &Sequential, loss: &Mse, [rows, outputs]: [usize; 2]) -> Result<Self> {
        let device = parameters.device();
        let (x, target) = (Tensor::zeros(device, rows, 2)?, Tensor::zeros(device, rows, outputs)?);
        let mut graph = Graph::new(device);
        let (input, wanted) = (graph.input(&x)?, graph.input(&target)?);
        let y = model.forward(&mut graph, input)?;
        let loss = loss.forward(&mut graph, y, wanted)?;
        Ok(Self { x, target, loss, pass: Backprop::new(&mut graph, parameters, loss, &[])? })
    }
}

/// `sensitivity` is what half a unit in the last place of every parameter does to the losses, in the worst of 16 runs;
/// ours adds up sums in another order too, hence four times that, and as much for rounding the loss. A device whose
/// tanh or sigmoid is off by more than a rounding may be off by so many times more.
fn the_first_losses_are_those_of_pytorch(devices: &Devices) {
    let mut faults = Vec::new();
    for name in EXPERIMENTS {
        let experiment = Experiment::new(name);
        let [expected, sensitivity] = ["losses", "sensitivity"].map(|key| numbers(&experiment.file[key]));
        assert_eq!(expected.len(), 50);
        for (label, device) in devices {
            let losses = experiment.losses(device).unwrap();
            let roundings = experiment.roundings(device);
            let bound = |i: usize| 4.0 * roundings * (sensitivity[i] + EPSILON * expected[i]);
            faults.extend(compare(&format!("{name} on {label}"), &losses, &expected, 0.0, bound).err());
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_experiment_is_among_them() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/experiments")).unwrap();
    let mut files: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = EXPERIMENTS.iter().map(|name| format!("{name}.json")).collect();
    files.sort_unstable();
    names.sort_unstable();
    assert_eq!(files, names);
}
