//! Dropout: how many elements it drops, that its masks follow from the seed alone, and when it is off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, EPSILON, Guarded, assert_close, assert_same_bits, on_every_device, signed};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Dropout, Linear, Module, Mse, Parameters, Sequential};
use wgrad::ops;
use wgrad::optim::Sgd;
use wgrad::{Device, ErrorKind, Fit, Graph, Lowered, Lowering, Recording, Tensor, Trainer, Var, gradients, lower};

on_every_device!(
    a_share_p_is_dropped_and_the_rest_scaled,
    neighbours_steps_and_keys_are_independent,
    masks_are_those_of_the_cpu,
    the_backward_pass_uses_the_forward_masks,
    runs_differ_and_the_same_seed_repeats_them,
    evaluation_drops_nothing,
    a_trainer_repeats_itself_whatever_the_submits,
);

/// The outputs of a dispatch at one step, for inputs of 1.
fn masked(device: &Device, len: usize, (p, key): (f32, u32), clock: u32, step: u32) -> Vec<f32> {
    let ones = Tensor::new(device, 1, len, &vec![1.0; len]).unwrap();
    let clock = Tensor::new(device, 1, 1, &[f32::from_bits(clock)]).unwrap();
    let out = Guarded::poisoned(device, [1, len]);
    let mut recording = Recording::new(device);
    ops::dropout::apply(&mut recording, [&ones, &clock], (p, key), out.tensor(), false).unwrap();
    recording.run_steps(step..step + 1).unwrap();
    out.read().unwrap()
}

fn kept(values: &[f32]) -> Vec<bool> {
    values.iter().map(|v| *v != 0.0).collect()
}

/// Whether a count of n draws with this chance lies within four standard deviations.
fn assert_share(name: &str, count: usize, n: usize, chance: f64) {
    let (mean, deviation) = (n as f64 * chance, (n as f64 * chance * (1.0 - chance)).sqrt());
    assert!((count as f64 - mean).abs() <= 4.0 * deviation, "{name}: {count} of {n}, expected {mean} ± {deviation}");
}

fn a_share_p_is_dropped_and_the_rest_scaled(devices: &Devices) {
    const LEN: usize = 100_000;
    for (label, device) in devices {
        for p in [0.0, 0.1, 0.5, 0.9] {
            let out = masked(device, LEN, (p, 17), 3, 2);
            let name = format!("p {p} on {label}");
            assert!(out.iter().all(|v| *v == 0.0 || *v == 1.0 / (1.0 - p)), "{name}: another value");
            let dropped = out.iter().filter(|v| **v == 0.0).count();
            assert_share(&name, dropped, LEN, f64::from(p));
        }
    }
}

/// Two masks agree in half of their elements, whatever distinguishes them.
fn neighbours_steps_and_keys_are_independent(devices: &Devices) {
    const LEN: usize = 40_000;
    for (label, device) in devices {
        let mask = |key, clock, step| kept(&masked(device, LEN, (0.5, key), clock, step));
        let first = mask(1, 0, 0);
        let agreements = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| a == b).count();
        for shift in [1, 2, 3, 16, 25, 32, 64, 256, 1000] {
            let n = LEN - shift;
            assert_share(&format!("shift {shift} on {label}"), agreements(&first[shift..], &first), n, 0.5);
        }
        for other in 1..20 {
            assert_share(&format!("step {other} on {label}"), agreements(&first, &mask(1, 0, other)), LEN, 0.5);
            assert_share(&format!("key {other} on {label}"), agreements(&first, &mask(1 + other, 0, 0)), LEN, 0.5);
        }
        // Step 3 of a run that began at clock 5 is step 8.
        assert_eq!(mask(1, 5, 3), mask(1, 0, 8), "clock and step on {label}");
    }
}

fn masks_are_those_of_the_cpu(devices: &Devices) {
    let cpu = Device::cpu();
    for (label, device) in devices {
        for (len, p, key, clock, step) in
            [(1, 0.5, 0, 0, 0), (65, 0.3, 7, 1, 2), (5000, 0.75, u32::MAX, u32::MAX, 1), (4_194_305, 0.5, 1, 2, 3)]
        {
            let (actual, expected) =
                (masked(device, len, (p, key), clock, step), masked(&cpu, len, (p, key), clock, step));
            assert_same_bits(&format!("{len} elements, p {p} on {label}"), &actual, &expected);
        }
    }
}

const ROWS: usize = 40;
const COLS: usize = 25;

/// loss = sum of (dropout(2 x) ∘ w), twice: two operations, with masks of their own; and a backward pass after a forward
/// pass, each lowered by itself.
struct Recorded {
    forward: Lowered,
    backward: Lowered,
    gradient: Var,
    outputs: [Var; 2],
    upstream: Vec<f32>,
}

fn record(device: &Device, p: f32, seed: u32) -> Recorded {
    let upstream = signed(2, ROWS * COLS);
    let mut graph = Graph::new(device).seed(seed);
    let x = graph.input(&Tensor::new(device, ROWS, COLS, &signed(1, ROWS * COLS)).unwrap()).unwrap();
    let w = graph.input(&Tensor::new(device, ROWS, COLS, &upstream).unwrap()).unwrap();
    let doubled = graph.mul_scalar(x, 2.0).unwrap();
    let outputs = [graph.dropout(doubled, p).unwrap(), graph.dropout(doubled, p).unwrap()];
    let both = graph.add(outputs[0], outputs[1]).unwrap();
    let weighted = graph.mul(both, w).unwrap();
    let loss = graph.sum(weighted).unwrap();
    let gradient = gradients(&mut graph, loss, &[x]).unwrap()[0].unwrap();
    let forward = lower(&graph, &[outputs[0], outputs[1], loss]).unwrap();
    let backward = Lowering::default().after(&forward).lower(&graph, &[gradient]).unwrap();
    Recorded { forward, backward, gradient, outputs, upstream }
}

impl Recorded {
    /// Both masks of a run: what each element is multiplied by.
    fn run(&self) -> [Vec<f32>; 2] {
        self.forward.run().unwrap();
        self.backward.run().unwrap();
        let x = signed(1, ROWS * COLS);
        let mask = |out: Var| self.forward.read(out).unwrap().iter().zip(&x).map(|(out, x)| out / (2.0 * x)).collect();
        self.outputs.map(mask)
    }

    fn gradient(&self) -> Vec<f32> {
        self.backward.read(self.gradient).unwrap()
    }
}

fn the_backward_pass_uses_the_forward_masks(devices: &Devices) {
    for (label, device) in devices {
        let recorded = record(device, 0.4, 9);
        for run in 0..3 {
            let [first, second] = recorded.run();
            assert_ne!(kept(&first), kept(&second), "two operations share a mask on {label}");
            let gradient = recorded.gradient();
            let expected: Vec<f64> = (0..gradient.len())
                .map(|i| 2.0 * f64::from(recorded.upstream[i]) * (f64::from(first[i]) + f64::from(second[i])))
                .collect();
            // The masks are quotients; scaling, doubling, adding: a handful of roundings of at most 7.
            assert_close(&format!("run {run} on {label}"), &gradient, &expected, 0.0, 40.0 * EPSILON);
            // A second backward pass of the same forward pass.
            recorded.backward.run().unwrap();
            let again = recorded.gradient();
            assert_same_bits(&format!("again, run {run} on {label}"), &again, &gradient);
        }
    }
}

fn runs_differ_and_the_same_seed_repeats_them(devices: &Devices) {
    let masks = |device: &Device, seed: u32| -> Vec<Vec<bool>> {
        let recorded = record(device, 0.5, seed);
        (0..4).flat_map(|_| recorded.run().map(|mask| kept(&mask))).collect()
    };
    let expected = masks(&Device::cpu(), 3);
    for (i, mask) in expected.iter().enumerate() {
        assert!(!expected[..i].contains(mask), "run {} of operation {} repeats a mask", i / 2, i % 2);
    }
    for (label, device) in devices {
        assert!(masks(device, 3) == expected, "seed 3 gives other masks on {label}");
        assert!(masks(device, 4) != expected, "seed 4 gives the masks of seed 3 on {label}");
    }
}

fn network() -> Sequential {
    Sequential::new().add(Linear::new(2, 32)).add(Dropout::new(0.5)).add(Linear::new(32, 2))
}

fn evaluation_drops_nothing(devices: &Devices) {
    let data = disk(50, 0, Labels::OneHot).unwrap();
    for (label, device) in devices {
        let with = Trainer::new(device, network(), Mse::new(), Sgd::new(0.1), 4).unwrap();
        let plain = Sequential::new().add(Linear::new(2, 32)).add(Linear::new(32, 2));
        let without = Trainer::new(device, plain, Mse::new(), Sgd::new(0.1), 4).unwrap();
        let outputs = with.predict(data.inputs(), 2).unwrap();
        assert_same_bits(&format!("predict on {label}"), &outputs, &without.predict(data.inputs(), 2).unwrap());
        assert_eq!(with.evaluate(&data).unwrap(), without.evaluate(&data).unwrap(), "evaluate on {label}");

        let mut graph = Graph::for_evaluation(device);
        assert!(!graph.is_training());
        let x = graph.input(&Tensor::zeros(device, 3, 2).unwrap()).unwrap();
        assert_eq!(graph.dropout(x, 0.5).unwrap(), x, "an operation in evaluation");
        // In training the same network gives something else.
        let model = network();
        Parameters::new(device, &model, 4).unwrap();
        let mut graph = Graph::new(device);
        let x = graph.input(&Tensor::new(device, 50, 2, data.inputs()).unwrap()).unwrap();
        let y = model.forward(&mut graph, x).unwrap();
        let lowered = lower(&graph, &[y]).unwrap();
        lowered.run().unwrap();
        assert_ne!(lowered.read(y).unwrap(), outputs, "nothing was dropped on {label}");
    }
}

fn a_trainer_repeats_itself_whatever_the_submits(devices: &Devices) {
    // The same row over and over and a rate of 0: the masks alone distinguish the steps.
    let data = Dataset::new([0.25, -0.75].repeat(70), 2, [1.0, 0.0].repeat(70), 2).unwrap();
    let losses = |device: &Device, seed, submits: u32, calls: usize| {
        let mut trainer = Trainer::new(device, network(), Mse::new(), Sgd::new(0.0), seed).unwrap();
        for _ in 0..calls {
            trainer.fit(&data, Fit::new(4 / calls, 16).steps_per_submit(submits)).unwrap();
        }
        trainer.history().step_losses.clone()
    };
    for (label, device) in devices {
        let expected = losses(device, 5, u32::MAX, 1);
        assert_eq!(expected.len(), 20);
        for (i, loss) in expected.iter().enumerate() {
            assert!(!expected[..i].contains(loss), "step {i} drops what an earlier one did, on {label}");
        }
        assert_same_bits(&format!("submits of one step on {label}"), &losses(device, 5, 1, 1), &expected);
        assert_same_bits(&format!("two calls of fit on {label}"), &losses(device, 5, 2, 2), &expected);
        assert_ne!(losses(device, 6, u32::MAX, 1), expected, "another seed on {label}");
    }
}

#[test]
fn impossible_probabilities_are_errors() {
    let device = Device::cpu();
    for p in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY] {
        let mut graph = Graph::new(&device);
        let x = graph.input(&Tensor::zeros(&device, 2, 2).unwrap()).unwrap();
        let error = graph.dropout(x, p).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{p}: {error}");
        let model = Sequential::new().add(Linear::new(2, 2)).add(Dropout::new(p));
        let mut trainer = Trainer::new(&device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
        let data = disk(4, 0, Labels::OneHot).unwrap();
        assert_eq!(trainer.fit(&data, Fit::new(1, 2)).unwrap_err().kind(), ErrorKind::InvalidInput, "{p}");
    }
}

#[test]
fn the_mean_of_many_runs_is_the_input() {
    // Each run keeps x / (1 - p) with the chance 1 - p: variance x² p / (1 - p).
    const RUNS: u32 = 4000;
    let device = Device::cpu();
    let p = 0.25f32;
    let mut sums = vec![0.0; 50];
    for step in 0..RUNS {
        masked(&device, 50, (p, 77), 0, step).iter().zip(&mut sums).for_each(|(v, sum)| *sum += f64::from(*v));
    }
    let deviation = f64::from(p / (1.0 - p) / RUNS as f32).sqrt();
    for (i, sum) in sums.iter().enumerate() {
        let mean = sum / f64::from(RUNS);
        // Fifty elements: five deviations.
        assert!((mean - 1.0).abs() < 5.0 * deviation, "element {i}: {mean} ± {deviation}");
    }
}
