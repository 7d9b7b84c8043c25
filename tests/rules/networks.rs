//! Training steps: short when merged, and with the same results as call by call.

use wgrad::data::Dataset;
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Huber, Linear, Loss, Mae, Module, Mse, Parameter, Reduction, Sequential, prefixed,
};
use wgrad::ops::Activation;
use wgrad::optim::{Adam, Algorithm, Sgd};
use wgrad::{Device, DeviceKind, Fit, Graph, Result, StepPath, Trainer, Var};

use crate::common::{EPSILON, assert_same_bits, compare, cpu_and_gpus, signed};
use crate::support::EPILOGUES;

fn network(sizes: &[usize], hidden: Activation, output: Option<Activation>) -> Sequential {
    let last = sizes.len() - 2;
    sizes.windows(2).enumerate().fold(Sequential::new(), |model, (i, size)| {
        let model = model.add(Linear::new(size[0], size[1]));
        match output {
            _ if i < last => model.add(hidden),
            Some(output) => model.add(output),
            None => model,
        }
    })
}

/// Signed inputs, and probabilities as targets, which every loss takes.
fn data(rows: usize, [inputs, outputs]: [usize; 2]) -> Dataset {
    let targets = signed(2, rows * outputs).iter().map(|t| t.abs()).collect();
    Dataset::new(signed(1, rows * inputs), inputs, targets, outputs).unwrap()
}

/// A training of a few steps, merged or not.
struct Trained {
    losses: Vec<f32>,
    parameters: Vec<f32>,
    /// Of a step.
    dispatches: u64,
}

/// Of an epoch, of which there are three.
const STEPS: usize = 2;

fn train(
    device: &Device,
    model: impl Module + 'static,
    loss: impl Loss + 'static,
    algorithm: impl Algorithm + 'static,
    (rows, sides): (usize, [usize; 2]),
    fused: bool,
) -> Trained {
    let data = data(STEPS * rows, sides);
    let mut trainer = Trainer::new(device, model, loss, algorithm, 7).unwrap();
    let mut run = |epochs: usize| {
        let before = device.counters().dispatches;
        trainer
            .fit(
                &data,
                Fit::new(epochs, rows).evaluate_every(0).path(if fused {
                    StepPath::Layered
                } else {
                    StepPath::Unmerged
                }),
            )
            .unwrap();
        device.counters().dispatches - before
    };
    // What a call of fit costs besides falls away in the difference. An epoch begins with a dispatch that keeps what was, and
    // ends with one that adds up the parameters.
    let once = run(1);
    let dispatches = (run(2) - once - 2) / STEPS as u64;
    let losses = trainer.history().step_losses.clone();
    Trained { losses, parameters: trainer.parameters().read().unwrap(), dispatches }
}

/// Both ways give the same: to the bit on the CPU path, which does the same arithmetic in the same order, and on
/// a GPU up to the rounding of sums (`chain` terms long in all).
fn check(device: &Device, name: &str, chain: usize, trained: impl Fn(bool) -> Trained) -> [u64; 2] {
    let (plain, merged) = (trained(false), trained(true));
    if device.describe().kind == DeviceKind::Cpu {
        assert_same_bits(name, &merged.losses, &plain.losses);
        assert_same_bits(name, &merged.parameters, &plain.parameters);
    } else {
        let tolerance = chain as f64 * EPSILON;
        compare(name, &merged.losses, &plain.losses, tolerance, |_| 0.0).unwrap();
        compare(name, &merged.parameters, &plain.parameters, 0.0, |_| tolerance).unwrap();
    }
    [plain.dispatches, merged.dispatches]
}

const DISK: [usize; 5] = [2, 25, 25, 25, 2];

/// Gather; four layers with their activations; the loss with its gradient through the last activation, into the history;
/// four gradients of weights with those of biases; three of what layers read, through the activations before; the update.
#[test]
fn the_disk_networks_step_takes_fourteen_dispatches_for_twenty_eight() {
    let device = Device::cpu();
    for &hidden in &EPILOGUES[1..] {
        let dispatches = check(&device, &format!("{hidden:?}"), 0, |fused| {
            train(&device, network(&DISK, hidden, Some(hidden)), Mse::new(), Sgd::new(0.1), (32, [2, 2]), fused)
        });
        assert_eq!(dispatches, [28, 14], "{hidden:?}");
    }
}

#[test]
fn every_loss_joins_its_step() {
    let device = Device::cpu();
    type Make = fn() -> Box<dyn Loss>;
    let losses: [(Make, bool); 5] = [
        (|| Box::new(Mse::new()), true),
        (|| Box::new(Mae::new().reduction(Reduction::Sum)), true),
        (|| Box::new(Huber::new(0.5)), true),
        (|| Box::new(BceWithLogits::new()), true),
        (|| Box::new(CrossEntropy::new()), false),
    ];
    for (i, (loss, goes_through)) in losses.iter().enumerate() {
        for output in [None, Some(Activation::Tanh)] {
            let name = format!("loss {i}, output {output:?}");
            let [plain, merged] = check(&device, &name, 0, |fused| {
                let model = network(&DISK, Activation::Tanh, output);
                train(&device, model, loss(), Sgd::new(0.1), (32, [2, 2]), fused)
            });
            let activation = u64::from(output.is_some());
            // A cross-entropy takes logits, and goes through no activation.
            let own = u64::from(!goes_through) * activation;
            assert_eq!([plain, merged], [26 + 2 * activation, 14 + own], "{name}");
        }
    }
}

/// The gradients of a layer's weight and bias are summed chunk by chunk, and the sums added up.
#[test]
fn a_long_batch_takes_six_dispatches_a_layer_and_three() {
    let device = Device::cpu();
    let [_, merged] = check(&device, "5,000 rows", 0, |fused| {
        let model = network(&[3, 70, 70, 2], Activation::Tanh, Some(Activation::Sigmoid));
        train(&device, model, Mse::new(), Sgd::new(0.1), (5000, [3, 2]), fused)
    });
    assert!(merged <= 6 * 3 + 3, "{merged} dispatches");
}

/// Uses what goes into its activation twice, and its layer, too.
struct Residual(Linear);

impl Module for Residual {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let before = self.0.forward(graph, x)?;
        let after = graph.relu(before)?;
        let sum = graph.add(before, after)?;
        let again = self.0.forward(graph, sum)?;
        graph.tanh(again)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("inner", &self.0)
    }
}

/// A product that is added to another is rounded in another order, so that the bits may differ here.
#[test]
fn values_that_others_read_are_kept() {
    let device = Device::cpu();
    let trained = |fused| {
        train(&device, Residual(Linear::new(6, 6)), Mse::new(), Adam::new(0.01).clip_norm(1.0), (10, [6, 6]), fused)
    };
    let (plain, merged) = (trained(false), trained(true));
    assert!(merged.dispatches < plain.dispatches, "{} of {}", merged.dispatches, plain.dispatches);
    // Sums over six columns, four layers deep, and over ten rows; the update divides by what they are.
    let tolerance = (3 * STEPS) as f64 * (4 * 6 + 10) as f64 * EPSILON;
    compare("losses", &merged.losses, &plain.losses, tolerance, |_| 0.0).unwrap();
    compare("parameters", &merged.parameters, &plain.parameters, 0.0, |_| tolerance).unwrap();
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn merged_is_unmerged_on_every_device() {
    for (device_name, device) in &cpu_and_gpus()[1..] {
        for &hidden in &EPILOGUES[1..] {
            // Four sums over a layer's width forward and three backward, one over the batch; six steps.
            check(device, &format!("{hidden:?} on {device_name}"), 6 * (7 * 25 + 33), |fused| {
                train(device, network(&DISK, hidden, Some(hidden)), Mse::new(), Sgd::new(0.1), (33, [2, 2]), fused)
            });
        }
        check(device, &format!("tiles on {device_name}"), 6 * (70 + 65 + 300 + 70), |fused| {
            let model = network(&[70, 65, 3], Activation::ReLU, None);
            train(device, model, CrossEntropy::new(), Sgd::new(0.1), (300, [70, 3]), fused)
        });
        // More rows than one dispatch adds up: gradients come in two, and their sums by themselves.
        check(device, &format!("33,000 rows on {device_name}"), 6 * (33_000 + 10), |fused| {
            let model = network(&[2, 3, 2], Activation::Tanh, None);
            train(device, model, Mse::new(), Sgd::new(0.1), (33_000, [2, 2]), fused)
        });
    }
}
