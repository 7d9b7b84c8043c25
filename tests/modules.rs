//! Modules on the CPU and on every GPU: values and gradients against plain loops, run twice, in odd batches; the
//! hand-driven cycle; reading back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{EPSILON, assert_close, assert_same_bits, cpu_and_gpus, signed};
use wgrad::nn::{
    Backprop, Identity, Init, Linear, Loss, Module, Mse, Parameters, ReLU, Reduction, Sequential, Sigmoid, Tanh,
};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Recording, Tensor, Var, ops};

const INPUTS: usize = 3;
const OUTPUTS: usize = 2;
/// One row, odd ones, and one more than a workgroup.
const BATCHES: [usize; 4] = [1, 7, 33, 65];

fn models() -> Vec<(&'static str, Sequential)> {
    let mut models = vec![("linear", Sequential::new().add(Linear::new(INPUTS, OUTPUTS)))];
    for (name, activation) in [("relu", ReLU), ("tanh", Tanh), ("sigmoid", Sigmoid), ("identity", Identity)] {
        models.push((name, Sequential::new().add(Linear::new(INPUTS, OUTPUTS)).add(activation)));
    }
    let deep = Sequential::new().add(Linear::new(INPUTS, 17)).add(Tanh).add(Linear::new(17, 70)).add(ReLU);
    models.push(("deep", deep.add(Linear::new(70, OUTPUTS)).add(Sigmoid)));
    // A sequential within a sequential.
    let inner = Sequential::new().add(Linear::new(INPUTS, 5)).add(Tanh);
    models.push(("nested", Sequential::new().add(inner).add(Linear::new(5, OUTPUTS))));
    models
}

/// A model on a device, with a batch.
struct Placed {
    parameters: Parameters,
    optimizer: Optimizer,
    pass: Backprop,
    output: Var,
}

impl Placed {
    fn new(device: &Device, model: &Sequential, rows: usize) -> Self {
        let parameters = Parameters::new(device, model, 4).unwrap();
        let optimizer = Optimizer::new(&parameters, Sgd::new(0.25)).unwrap();
        let mut graph = Graph::new(device);
        let x = Tensor::new(device, rows, INPUTS, &signed(1, rows * INPUTS)).unwrap();
        let target = Tensor::new(device, rows, OUTPUTS, &signed(2, rows * OUTPUTS)).unwrap();
        let (x, target) = (graph.input(&x).unwrap(), graph.input(&target).unwrap());
        let y = model.forward(&mut graph, x).unwrap();
        let loss = Mse::new().reduction(Reduction::Sum).forward(&mut graph, y, target).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, loss, &[y]).unwrap();
        Self { parameters, optimizer, pass, output: y }
    }

    fn pass(&self) -> Vec<f32> {
        self.pass.forward().unwrap();
        self.pass.backward().unwrap();
        self.gradients()
    }

    fn output(&self) -> Vec<f32> {
        self.pass.read(self.output).unwrap()
    }

    /// Laid out as [`Parameters::read`] lays out the values.
    fn gradients(&self) -> Vec<f32> {
        let mut all = Vec::new();
        for (_, parameter) in self.parameters.named() {
            all.extend(parameter.gradient().unwrap().read().unwrap());
            all.resize(all.len().next_multiple_of(64), 0.0);
        }
        all
    }
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(1.0, |max, v| f64::from(v.abs()).max(max))
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn modules_agree_on_all_devices_and_run_twice() {
    for i in 0..models().len() {
        // Values have one home, and gradients add up in it, so each has a model of its own.
        let (model_name, model) = (models().remove(i).0, || models().remove(i).1);
        for rows in BATCHES {
            let cpu = Placed::new(&Device::cpu(), &model(), rows);
            let (gradients, output) = (cpu.pass(), cpu.output());
            for (device_name, device) in cpu_and_gpus() {
                let name = format!("{model_name}, {rows} rows, {device_name}");
                let placed = Placed::new(&device, &model(), rows);
                let once = placed.pass();
                // WGSL leaves tanh 1e-5, which three layers of weights below 1 pass on; sums over up to 70 columns or
                // 65 rows lie within 80 epsilons of the largest value.
                let tolerance = 3e-5 + 80.0 * EPSILON;
                assert_close(&format!("{name}, output"), &placed.output(), &output, 0.0, tolerance);
                let tolerance = tolerance * largest(&gradients) * rows as f64;
                assert_close(&format!("{name}, gradients"), &once, &gradients, 0.0, tolerance);

                let doubled: Vec<f32> = once.iter().map(|g| 2.0 * g).collect();
                // The CPU's column sums add the batch's rows one by one to what is there: a rounding each.
                let tolerance = (rows + 1) as f64 * EPSILON * largest(&doubled);
                assert_close(&format!("{name}, twice"), &placed.pass(), &doubled, 0.0, tolerance);
                placed.optimizer.zero_grad().unwrap();
                let zeroed = placed.gradients();
                assert_same_bits(&format!("{name}, zeroed"), &zeroed, &vec![0.0; once.len()]);
                assert_same_bits(&format!("{name}, again"), &placed.pass(), &once);
            }
        }
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_hand_driven_step_moves_every_parameter_against_its_gradient() {
    for (name, device) in cpu_and_gpus() {
        let (_, model) = models().remove(5);
        let mut placed = Placed::new(&device, &model, 7);
        for rate in [0.25, 0.0625] {
            placed.optimizer.set_learning_rate(rate).unwrap();
            placed.optimizer.zero_grad().unwrap();
            let (before, gradients) = (placed.parameters.read().unwrap(), placed.pass());
            placed.optimizer.step().unwrap();
            let after = placed.parameters.read().unwrap();
            let expected: Vec<f32> = before.iter().zip(&gradients).map(|(v, g)| v - rate * g).collect();
            // The rate is a power of two, so there is one rounding, fused or not.
            assert_same_bits(&name, &after, &expected);
            assert_ne!(after, before, "{name}");
        }
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn gradients_and_parameters_are_read_by_name() {
    for (name, device) in cpu_and_gpus() {
        let (_, model) = models().remove(5);
        let placed = Placed::new(&device, &model, 7);
        let all = placed.pass();
        let shapes: Vec<_> = placed.parameters.named().map(|(name, p)| (name.to_string(), p.shape())).collect();
        let expected = [
            ("0.weight", [17, 3]),
            ("0.bias", [1, 17]),
            ("2.weight", [70, 17]),
            ("2.bias", [1, 70]),
            ("4.weight", [2, 70]),
            ("4.bias", [1, 2]),
        ];
        assert_eq!(shapes, expected.map(|(name, shape)| (name.to_string(), shape)), "{name}");
        assert_eq!(placed.parameters.count(), 17 * 3 + 17 + 70 * 17 + 70 + 2 * 70 + 2);
        let mut start = 0;
        for (_, parameter) in placed.parameters.named() {
            let gradient = parameter.gradient().unwrap().read().unwrap();
            assert_eq!(gradient, all[start..start + gradient.len()], "{name}");
            start += gradient.len().next_multiple_of(64);
        }
        assert_eq!(start, all.len());
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_seed_gives_the_same_parameters_on_every_device() {
    let drawn = |device: &Device, seed| Parameters::new(device, &models().remove(5).1, seed).unwrap().read().unwrap();
    let expected = drawn(&Device::cpu(), 9);
    assert_ne!(drawn(&Device::cpu(), 10), expected);
    for (name, device) in cpu_and_gpus() {
        assert_same_bits(&name, &drawn(&device, 9), &expected);
    }
}

#[test]
fn initial_values_follow_their_distributions() {
    const IN: usize = 150;
    const OUT: usize = 100;
    let (i, o) = (IN as f64, OUT as f64);
    // Bound (none for normal ones) and standard deviation.
    let uniform = |bound: f64| (bound, bound / 3f64.sqrt());
    let normal = |std: f64| (f64::INFINITY, std);
    let inits = [
        (Init::Uniform { bound: 0.5 }, uniform(0.5)),
        (Init::Normal { std: 0.25 }, normal(0.25)),
        (Init::XavierUniform { gain: 2.0 }, uniform(2.0 * (6.0 / (i + o)).sqrt())),
        (Init::XavierNormal { gain: 2.0 }, normal(2.0 * (2.0 / (i + o)).sqrt())),
        (Init::HeUniform, uniform((6.0 / i).sqrt())),
        (Init::HeNormal, normal((2.0 / i).sqrt())),
        (Init::Linear, uniform(1.0 / i.sqrt())),
    ];
    for (init, (bound, std)) in inits {
        let layer = Linear::new(IN, OUT).init(init, init);
        Parameters::new(&Device::cpu(), &layer, 3).unwrap();
        let weights = layer.weight().value().unwrap().read().unwrap();
        let n = weights.len() as f64;
        let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / n;
        let variance = weights.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>() / n;
        // Five standard errors of a mean and of a variance of n values (a normal one's, the larger).
        assert!(mean.abs() <= 5.0 * std / n.sqrt(), "{init:?}: mean {mean}");
        assert!((variance / (std * std) - 1.0).abs() <= 5.0 * (2.0 / n).sqrt(), "{init:?}: variance {variance}");
        let within = |values: &[f32]| values.iter().all(|v| f64::from(v.abs()) <= bound * (1.0 + EPSILON));
        assert!(within(&weights), "{init:?}");
        // A bias is drawn as its layer's weights are.
        let biases = layer.bias().unwrap().value().unwrap().read().unwrap();
        assert!(within(&biases) && biases.iter().any(|b| f64::from(b.abs()) > 0.8 * std), "{init:?}: {biases:?}");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn asynchronous_reads_give_what_blocking_ones_give() {
    for (name, device) in cpu_and_gpus() {
        let values = signed(1, 1000);
        let x = Tensor::new(&device, 10, 100, &values).unwrap();
        let (early, waited) = (x.read_async().unwrap(), x.read_async().unwrap());
        // What is asked for before a write is what was there, whenever it is taken.
        let mut overwrite = Recording::new(&device);
        ops::fill::fill(&mut overwrite, 2.0, &x).unwrap();
        overwrite.run().unwrap();
        let late = x.read_async().unwrap();
        assert_eq!(x.read().unwrap(), [2.0; 1000], "{name}");
        x.write(&[3.0; 1000]).unwrap();
        assert_eq!(pollster::block_on(late).unwrap(), [2.0; 1000], "{name}");
        assert_same_bits(&name, &pollster::block_on(early).unwrap(), &values);
        assert_same_bits(&name, &waited.wait().unwrap(), &values);
        assert_eq!(pollster::block_on(x.read_async().unwrap()).unwrap(), x.read().unwrap(), "{name}");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn threads_share_a_device() {
    for (name, device) in cpu_and_gpus() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (name, device) = (&name, &device);
                scope.spawn(move || {
                    let x = Tensor::zeros(device, 1, 10).unwrap();
                    for i in 0..100 {
                        let value = (100 * thread + i) as f32;
                        let mut recording = Recording::new(device);
                        ops::fill::fill(&mut recording, value, &x).unwrap();
                        recording.run().unwrap();
                        // One thread's wait may finish another's.
                        assert_eq!(x.read().unwrap(), [value; 10], "{name}");
                    }
                });
            }
        });
    }
}
