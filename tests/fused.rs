//! Fused recordings: short, and with the results of the list as it was.

mod common;

use common::{EPSILON, assert_same_bits, compare, cpu_and_gpus, rng, signed};
use rand::RngExt;
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Huber, Linear, Loss, Mae, Module, Mse, Parameter, Parameters, Reduction, Sequential,
    prefixed,
};
use wgrad::ops::{self, Activation};
use wgrad::optim::{Adam, Optimizer, Sgd};
use wgrad::{Device, Recording, Result, Tape, Tensor, Var};

const ACTIVATIONS: [Activation; 9] = [
    Activation::ReLU,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::LeakyReLU { slope: 0.1 },
    Activation::ELU { alpha: 1.5 },
    Activation::GELU,
    Activation::GELUTanh,
    Activation::SiLU,
    Activation::Softplus,
];

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

/// A training step as `Trainer` records it: a mini-batch, both passes, the loss to a history, the update.
struct Step {
    recording: Recording,
    parameters: Parameters,
    losses: Tensor,
}

impl Step {
    fn new(device: &Device, model: &dyn Module, loss: &dyn Loss, [inputs, outputs]: [usize; 2], rows: usize) -> Self {
        let parameters = Parameters::new(device, model, 7).unwrap();
        let optimizer = Optimizer::new(&parameters, Sgd::new(0.1)).unwrap();
        let data = Tensor::new(device, rows, inputs, &signed(1, rows * inputs)).unwrap();
        let mut rng = rng(2);
        // Probabilities, which every loss takes.
        let targets: Vec<f32> = (0..rows * outputs).map(|_| rng.random()).collect();
        let targets = Tensor::new(device, rows, outputs, &targets).unwrap();
        let order: Vec<f32> = (0..rows as u32).rev().map(f32::from_bits).collect();
        let order = Tensor::new(device, 1, rows, &order).unwrap();
        let losses = Tensor::zeros(device, 1, 4).unwrap();
        let x = Tensor::zeros(device, rows, inputs).unwrap();
        let t = Tensor::zeros(device, rows, outputs).unwrap();
        let mut recording = Recording::new(device);
        ops::gather(&mut recording, &order, [&data, &targets], [&x, &t], rows).unwrap();
        let mut tape = Tape::new(device);
        let (x, t) = (tape.input(&x).unwrap(), tape.input(&t).unwrap());
        let y = model.forward(&mut tape, x).unwrap();
        let value = loss.forward(&mut tape, y, t).unwrap();
        let scalar = tape.tensor(value).unwrap();
        let graph = tape.backward_overwriting(value).unwrap();
        recording.append(graph.forward_recording()).unwrap();
        ops::reduce::sum(&mut recording, &scalar, 1.0, &losses).unwrap();
        recording.append(graph.backward_recording()).unwrap();
        recording.append(optimizer.update()).unwrap();
        Self { recording, parameters, losses }
    }

    /// The losses of three steps, then the gradients of the last.
    fn run(&self, recording: &Recording) -> (Vec<f32>, Vec<f32>) {
        let initial = self.parameters.values().read().unwrap();
        recording.run_steps(0..3).unwrap();
        let results = (self.losses.read().unwrap(), self.parameters.gradients().read().unwrap());
        self.parameters.values().write(&initial).unwrap();
        results
    }

    /// Both ways give the same: to the bit on the CPU path, which does the same arithmetic in the same order, and on
    /// a GPU up to the rounding of sums (`chain` terms long in all, with gradients of magnitude `largest`).
    fn check(&self, name: &str, chain: usize) {
        let (losses, gradients) = self.run(&self.recording);
        let (fused_losses, fused_gradients) = self.run(&self.recording.fused(&[]));
        if self.recording.device().name() == "cpu" {
            assert_same_bits(name, &fused_losses, &losses);
            assert_same_bits(name, &fused_gradients, &gradients);
            return;
        }
        let largest = gradients.iter().fold(0.0, |largest, g| f64::max(largest, f64::from(g.abs())));
        let tolerance = chain as f64 * EPSILON;
        let loss_check = compare(name, &fused_losses, &losses, tolerance, |_| 0.0);
        let gradient_check = compare(name, &fused_gradients, &gradients, 0.0, |_| tolerance * largest);
        loss_check.and(gradient_check).unwrap_or_else(|fault| panic!("{fault}\n{}", self.recording.fused(&[])));
    }
}

#[test]
fn the_disk_networks_step_takes_fourteen_launches() {
    let losses: [Box<dyn Loss>; 5] = [
        Box::new(Mse::new()),
        Box::new(Mae::new().reduction(Reduction::Sum)),
        Box::new(Huber::new(0.5)),
        Box::new(BceWithLogits::new()),
        Box::new(CrossEntropy::new()),
    ];
    for (i, loss) in losses.iter().enumerate() {
        for hidden in ACTIVATIONS {
            // A cross-entropy takes logits; the others are also taken after an activation.
            for output in [None, Some(hidden)].into_iter().take(if i == 4 { 1 } else { 2 }) {
                let model = network(&[2, 25, 25, 25, 2], hidden, output);
                let step = Step::new(&Device::cpu(), &model, &**loss, [2, 2], 32);
                let fused = step.recording.fused(&[]);
                assert!(
                    fused.len() <= 14,
                    "loss {i}, {hidden:?}, output {output:?}: {} launches\n{fused}",
                    fused.len()
                );
                step.check(&format!("loss {i}, {hidden:?}, output {output:?}"), 0);
            }
        }
    }
}

#[test]
fn a_long_batch_takes_three_launches_a_layer_and_three() {
    let model = network(&[3, 70, 70, 2], Activation::Tanh, Some(Activation::Sigmoid));
    let step = Step::new(&Device::cpu(), &model, &Mse::new(), [3, 2], 5000);
    let fused = step.recording.fused(&[]);
    assert!(fused.len() <= 3 * 3 + 3, "{} launches\n{fused}", fused.len());
    step.check("5,000 rows", 0);
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn fused_is_unfused_on_every_device() {
    for (device_name, device) in cpu_and_gpus() {
        for hidden in ACTIVATIONS {
            let model = network(&[2, 25, 25, 25, 2], hidden, Some(hidden));
            let step = Step::new(&device, &model, &Mse::new(), [2, 2], 33);
            // Four sums over a layer's width forward and three backward, one over the batch; three steps.
            step.check(&format!("{hidden:?} on {device_name}"), 3 * (7 * 25 + 33));
        }
        let model = network(&[70, 65, 3], Activation::ReLU, None);
        let step = Step::new(&device, &model, &CrossEntropy::new(), [70, 3], 300);
        step.check(&format!("tiles on {device_name}"), 3 * (70 + 65 + 300 + 70));
        // More rows than one launch adds up: gradients come in two launches, which stay as they are.
        let model = network(&[2, 3, 2], Activation::Tanh, None);
        let step = Step::new(&device, &model, &Mse::new(), [2, 2], 33_000);
        step.check(&format!("33,000 rows on {device_name}"), 3 * (33_000 + 10));
    }
}

/// Uses what goes into its activation twice, and its layer, too.
struct Residual(Linear);

impl Module for Residual {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let before = self.0.forward(tape, x)?;
        let after = tape.relu(before)?;
        let sum = tape.add(before, after)?;
        let again = self.0.forward(tape, sum)?;
        tape.tanh(again)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("inner", &self.0)
    }
}

#[test]
fn values_that_others_read_are_kept() {
    let step = Step::new(&Device::cpu(), &Residual(Linear::new(6, 6)), &Mse::new(), [6, 6], 10);
    step.check("residual", 0);
    assert!(step.recording.fused(&[]).len() < step.recording.len());
}

#[test]
fn wanted_tensors_are_written() {
    let device = Device::cpu();
    let model = Linear::new(2, 3);
    Parameters::new(&device, &model, 0).unwrap();
    let x = Tensor::new(&device, 1, 2, &[1.0, -1.0]).unwrap();
    let mut tape = Tape::new(&device);
    let input = tape.input(&x).unwrap();
    let before = model.forward(&mut tape, input).unwrap();
    let after = tape.relu(before).unwrap();
    let (before, after) = (tape.tensor(before).unwrap(), tape.tensor(after).unwrap());
    let forward = tape.finish();
    let run = |recording: &Recording| {
        before.write(&[9.0; 3]).unwrap();
        recording.run().unwrap();
        (before.read().unwrap(), after.read().unwrap())
    };
    let expected = run(&forward);
    assert_eq!(run(&forward.fused(&[&before, &after])), expected);
    assert_eq!(forward.fused(&[&before, &after]).len(), 1);
    // Not wanted, it is left alone.
    assert_eq!(run(&forward.fused(&[&after])), (vec![9.0; 3], expected.1));
}

#[test]
fn accumulating_gradients_and_other_rules_fuse_alike() {
    let device = Device::cpu();
    let model = network(&[2, 5, 2], Activation::SiLU, None);
    let parameters = Parameters::new(&device, &model, 1).unwrap();
    let mut optimizer = Optimizer::new(&parameters, Adam::new(0.01).clip_norm(1.0)).unwrap();
    let x = Tensor::new(&device, 8, 2, &signed(1, 16)).unwrap();
    let t = Tensor::new(&device, 8, 2, &signed(2, 16)).unwrap();
    let mut tape = Tape::new(&device);
    let (x, t) = (tape.input(&x).unwrap(), tape.input(&t).unwrap());
    let y = model.forward(&mut tape, x).unwrap();
    let loss = tape.mse(y, t, Reduction::Mean).unwrap();
    let graph = tape.backward(loss).unwrap();
    let mut list = Recording::new(&device);
    list.append(graph.forward_recording()).unwrap();
    list.append(graph.backward_recording()).unwrap();
    let run = |recording: &Recording| {
        parameters.gradients().write(&vec![0.0; parameters.gradients().len()]).unwrap();
        recording.run().unwrap();
        recording.run().unwrap();
        parameters.gradients().read().unwrap()
    };
    let expected = run(&list);
    assert_same_bits("accumulated twice", &run(&list.fused(&[])), &expected);
    optimizer.step().unwrap();
    assert!(parameters.values().read().unwrap().iter().all(|v| v.is_finite()));
}
