//! Networks that are no chain of layers: values used twice, weights shared, branches, and parts that are frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, EPSILON, assert_close, assert_same_bits, on_every_device, signed, tanh_error};
use wgrad::data::{Labels, disk};
use wgrad::nn::{Backprop, Linear, Loss, Module, Mse, Parameter, Parameters, Sequential, Sigmoid, Tanh, prefixed};
use wgrad::ops::Reduction;
use wgrad::optim::{Adam, Algorithm, Optimizer, RmsProp, Sgd};
use wgrad::{Device, ErrorKind, Fit, Graph, Result, Tensor, Trainer, Var, gradients, lower};

on_every_device!(
    a_value_used_in_many_ways_gets_all_gradients,
    a_siamese_network_learns_with_the_right_gradients,
    branches_join_with_the_right_gradients,
    frozen_parameters_get_no_work_and_do_not_change,
    clipping_looks_only_at_what_is_trained,
);

/// `y = x Wᵀ + b` in f64, W [out, in].
fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let row = |x: &[f64]| -> Vec<f64> {
        let dot = |w: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        weight.chunks_exact(inputs).zip(bias).map(|(w, b)| dot(w) + b).collect()
    };
    x.chunks_exact(inputs).flat_map(row).collect()
}

fn exact(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// `(f(p + h) - f(p - h)) / 2h` for each element of each parameter: in f64, right to about 1e-10.
fn central_differences(parameters: &[Vec<f64>], f: impl Fn(&[Vec<f64>]) -> f64) -> Vec<Vec<f64>> {
    const STEP: f64 = 1e-5;
    let mut at = parameters.to_vec();
    let mut differences = parameters.to_vec();
    for i in 0..at.len() {
        for j in 0..at[i].len() {
            let mut moved = |by: f64| {
                at[i][j] = parameters[i][j] + by;
                let value = f(&at);
                at[i][j] = parameters[i][j];
                value
            };
            differences[i][j] = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        }
    }
    differences
}

/// All parameters, or their gradients.
fn read_all(parameters: &Parameters, what: fn(&Parameter) -> Result<Tensor>) -> Vec<Vec<f32>> {
    parameters.named().map(|(_, parameter)| what(parameter).unwrap().read().unwrap()).collect()
}

/// The gradients on the device against differences of the same loss in f64. A gradient is a sum over no more than
/// `terms` products of a dozen factors of the order of 1, each rounded, and each as far off as tanh is.
fn check_gradients(name: &str, parameters: &Parameters, terms: usize, loss: impl Fn(&[Vec<f64>]) -> f64) {
    let values: Vec<_> = read_all(parameters, Parameter::value).iter().map(|v| exact(v)).collect();
    let expected = central_differences(&values, loss);
    let largest = expected.iter().flatten().fold(1.0, |max: f64, d| max.max(d.abs()));
    let rounding = (terms + 12) as f64 * EPSILON + 12.0 * tanh_error(parameters.device());
    for (i, (gradient, expected)) in read_all(parameters, Parameter::gradient).iter().zip(&expected).enumerate() {
        assert_close(&format!("{name}, gradient {i}"), gradient, expected, 0.0, rounding * largest);
    }
}

/// loss = sum of (x x + tanh(x) x + 3 (x - row sums of x) + x).
fn a_value_used_in_many_ways_gets_all_gradients(devices: &Devices) {
    let values = signed(1, 12);
    // Each of a row's four columns gets back its row's sum of -3, four times.
    let expected: Vec<f64> = exact(&values)
        .iter()
        .map(|x| 2.0 * x + x.tanh() + x * (1.0 - x.tanh().powi(2)) + 3.0 - 4.0 * 3.0 + 1.0)
        .collect();
    for (label, device) in devices {
        let mut graph = Graph::new(device);
        let x = graph.input(&Tensor::new(device, 3, 4, &values).unwrap()).unwrap();
        let square = graph.mul(x, x).unwrap();
        let curved = graph.tanh(x).unwrap();
        let product = graph.mul(curved, x).unwrap();
        let rows = graph.sum_cols(x).unwrap();
        let centred = graph.sub(x, rows).unwrap();
        let centred = graph.mul_scalar(centred, 3.0).unwrap();
        let mut all = x;
        for part in [square, product, centred] {
            all = graph.add(all, part).unwrap();
        }
        let loss = graph.sum(all).unwrap();
        let gradient = gradients(&mut graph, loss, &[x]).unwrap()[0].unwrap();
        let lowered = lower(&graph, &[gradient]).unwrap();
        for run in 0..2 {
            lowered.run().unwrap();
            let tolerance = 32.0 * EPSILON + 4.0 * tanh_error(device);
            let gradient = lowered.read(gradient).unwrap();
            assert_close(&format!("run {run} on {label}"), &gradient, &expected, 0.0, tolerance);
        }
    }
}

/// Two inputs go through the same tower; the output is the squared distance of what comes out.
struct Siamese {
    tower: Sequential,
}

const PAIRS: usize = 9;

impl Siamese {
    fn new() -> Self {
        Self { tower: Sequential::new().add(Linear::new(3, 5)).add(Tanh).add(Linear::new(5, 2)).add(Tanh) }
    }
}

impl Module for Siamese {
    /// `x` holds a pair in a row: three columns each.
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let (left, right) = (graph.slice_cols(x, 0, 3)?, graph.slice_cols(x, 3, 6)?);
        let (left, right) = (self.tower.forward(graph, left)?, self.tower.forward(graph, right)?);
        let difference = graph.sub(left, right)?;
        let squares = graph.mul(difference, difference)?;
        graph.sum_cols(squares)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("tower", &self.tower)
    }
}

/// The mean squared error of the distances, in f64.
fn siamese_loss(p: &[Vec<f64>], x: &[f64], target: &[f64]) -> f64 {
    let tower = |x: &[f64]| -> Vec<f64> {
        let hidden: Vec<f64> = linear(x, &p[0], &p[1]).into_iter().map(f64::tanh).collect();
        linear(&hidden, &p[2], &p[3]).into_iter().map(f64::tanh).collect()
    };
    let error = |(pair, target): (&[f64], &f64)| {
        let (left, right) = (tower(&pair[..3]), tower(&pair[3..]));
        let distance: f64 = left.iter().zip(&right).map(|(l, r)| (l - r).powi(2)).sum();
        (distance - target).powi(2)
    };
    x.chunks_exact(6).zip(target).map(error).sum::<f64>() / PAIRS as f64
}

fn a_siamese_network_learns_with_the_right_gradients(devices: &Devices) {
    let x: Vec<f32> = signed(5, PAIRS * 6).iter().map(|x| 2.0 * x).collect();
    let target: Vec<f32> = (0..PAIRS).map(|pair| (pair % 2) as f32).collect();
    for (label, device) in devices {
        let model = Siamese::new();
        let parameters = Parameters::new(device, &model, 2).unwrap();
        assert_eq!(parameters.named().count(), 4, "the towers share their parameters");
        let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.3).momentum(0.5)).unwrap();
        let (pass, loss) = passes(device, (&model, &parameters), (&x, 6), (&target, 1), Mse::new());
        let mut losses = Vec::new();
        for step in 0..30 {
            optimizer.zero_grad().unwrap();
            pass.forward().unwrap();
            pass.backward().unwrap();
            if step % 5 == 0 {
                let loss = |p: &[Vec<f64>]| siamese_loss(p, &exact(&x), &exact(&target));
                // Both towers, over all pairs.
                check_gradients(&format!("step {step} on {label}"), &parameters, 2 * PAIRS, loss);
            }
            losses.push(pass.read(loss).unwrap()[0]);
            optimizer.step().unwrap();
        }
        assert!(losses[29] < 0.5 * losses[0], "it did not learn on {label}: {losses:?}");
    }
}

/// The passes of this model and loss over a batch, and the loss.
fn passes(
    device: &Device,
    (model, parameters): (&dyn Module, &Parameters),
    (x, inputs): (&[f32], usize),
    (target, outputs): (&[f32], usize),
    loss: Mse,
) -> (Backprop, Var) {
    let mut graph = Graph::new(device);
    let x = graph.input(&Tensor::new(device, x.len() / inputs, inputs, x).unwrap()).unwrap();
    let target = graph.input(&Tensor::new(device, target.len() / outputs, outputs, target).unwrap()).unwrap();
    let y = model.forward(&mut graph, x).unwrap();
    let loss = loss.forward(&mut graph, y, target).unwrap();
    (Backprop::new(&mut graph, parameters, loss, &[]).unwrap(), loss)
}

/// A tanh and a sigmoid branch of different widths, side by side into one layer, and a way around both.
struct Branches([Linear; 3]);

impl Module for Branches {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let (left, right) = (self.0[0].forward(graph, x)?, self.0[1].forward(graph, x)?);
        let (left, right) = (graph.tanh(left)?, Sigmoid.forward(graph, right)?);
        let joined = graph.concat_cols(&[left, x, right])?;
        self.0[2].forward(graph, joined)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        ["left", "right", "out"].iter().zip(&self.0).flat_map(|(name, part)| prefixed(name, part)).collect()
    }
}

fn branches_join_with_the_right_gradients(devices: &Devices) {
    const ROWS: usize = 7;
    let (x, target) = (signed(8, ROWS * 2), signed(9, ROWS * 3));
    for (label, device) in devices {
        let model = Branches([Linear::new(2, 4), Linear::new(2, 3), Linear::new(4 + 2 + 3, 3)]);
        let parameters = Parameters::new(device, &model, 6).unwrap();
        let loss = Mse::new().reduction(Reduction::SampleMean);
        let (pass, _) = passes(device, (&model, &parameters), (&x, 2), (&target, 3), loss);
        pass.forward().unwrap();
        pass.backward().unwrap();
        let loss = |p: &[Vec<f64>]| {
            let x = exact(&x);
            let left: Vec<f64> = linear(&x, &p[0], &p[1]).into_iter().map(f64::tanh).collect();
            let right: Vec<f64> = linear(&x, &p[2], &p[3]).into_iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect();
            let row = |r: usize| [&left[4 * r..][..4], &x[2 * r..][..2], &right[3 * r..][..3]].concat();
            let joined: Vec<f64> = (0..ROWS).flat_map(row).collect();
            let errors = linear(&joined, &p[4], &p[5]).into_iter().zip(exact(&target)).map(|(y, t)| (y - t).powi(2));
            errors.sum::<f64>() / ROWS as f64
        };
        check_gradients(label, &parameters, 3 * ROWS, loss);
    }
}

fn three_layers() -> [Linear; 3] {
    [Linear::new(2, 4), Linear::new(4, 4), Linear::new(4, 1)]
}

fn chain(layers: &[Linear; 3]) -> Sequential {
    let [a, b, c] = layers.clone();
    Sequential::new().add(a).add(Tanh).add(b).add(Tanh).add(c)
}

fn freeze(layer: &Linear, frozen: bool) {
    layer.weight().set_frozen(frozen);
    layer.bias().unwrap().set_frozen(frozen);
}

/// An algorithm's name, and how to make it.
type Named = (&'static str, fn() -> Box<dyn Algorithm>);

/// Every way in which an algorithm changes values, also without a gradient.
fn algorithms() -> [Named; 5] {
    [
        ("sgd", || Box::new(Sgd::new(0.1).weight_decay(0.1).shrink(0.01))),
        ("momentum", || Box::new(Sgd::new(0.1).momentum(0.9).decoupled_weight_decay(0.1).clip_norm(0.5))),
        ("adam", || Box::new(Adam::new(0.1).weight_decay(0.1))),
        ("adamw", || Box::new(Adam::new(0.1).decoupled_weight_decay(0.1))),
        ("rmsprop", || Box::new(RmsProp::new(0.1).weight_decay(0.1).shrink(0.01))),
    ]
}

fn frozen_parameters_get_no_work_and_do_not_change(devices: &Devices) {
    const SENTINEL: f32 = 123.25;
    let (x, target) = (signed(3, 12), signed(4, 6));
    for (label, device) in devices {
        let dispatches = |frozen: &[usize]| {
            let layers = three_layers();
            frozen.iter().for_each(|i| freeze(&layers[*i], true));
            let model = chain(&layers);
            let parameters = Parameters::new(device, &model, 1).unwrap();
            let (pass, _) = passes(device, (&model, &parameters), (&x, 2), (&target, 1), Mse::new());
            pass.backward_pass().recording().len()
        };
        // The loss's; weights and biases of each layer in one; and the way through the last and through the middle layer.
        assert_eq!(dispatches(&[]), 6, "{label}");
        // The first layer's weights and biases, and the way to them; the middle's, but not the way through them.
        assert_eq!(dispatches(&[0]), 4, "{label}");
        assert_eq!(dispatches(&[1]), 5, "{label}");
        // The loss, the last layer's weights and its biases.
        assert_eq!(dispatches(&[0, 1]), 2, "{label}");

        for (algorithm, make) in algorithms() {
            for frozen in 0..3 {
                let layers = three_layers();
                let model = chain(&layers);
                let parameters = Parameters::new(device, &model, 1).unwrap();
                freeze(&layers[frozen], true);
                let (pass, _) = passes(device, (&model, &parameters), (&x, 2), (&target, 1), Mse::new());
                let mut optimizer = Optimizer::new(&parameters, make()).unwrap();
                optimizer.zero_grad().unwrap();
                let is_frozen = |i: usize| i / 2 == frozen;
                for (i, (_, parameter)) in parameters.named().enumerate().filter(|(i, _)| is_frozen(*i)) {
                    assert!(parameter.is_frozen(), "parameter {i}");
                    let gradient = parameter.gradient().unwrap();
                    gradient.write(&vec![SENTINEL; gradient.len()]).unwrap();
                }
                let before = read_all(&parameters, Parameter::value);
                for _ in 0..3 {
                    pass.forward().unwrap();
                    pass.backward().unwrap();
                    optimizer.step().unwrap();
                }
                let name = |i: usize| format!("{algorithm}, layer {frozen} frozen, parameter {i} on {label}");
                let after = read_all(&parameters, Parameter::value);
                let gradients = read_all(&parameters, Parameter::gradient);
                for i in 0..before.len() {
                    if is_frozen(i) {
                        assert_same_bits(&name(i), &after[i], &before[i]);
                        assert!(gradients[i].iter().all(|g| *g == SENTINEL), "{}: a gradient was written", name(i));
                    } else {
                        assert!(after[i].iter().zip(&before[i]).all(|(a, b)| a != b), "{}: not trained", name(i));
                    }
                }
                // Thawed, it trains.
                freeze(&layers[frozen], false);
                optimizer.zero_grad().unwrap();
                let (pass, _) = passes(device, (&model, &parameters), (&x, 2), (&target, 1), Mse::new());
                pass.forward().unwrap();
                pass.backward().unwrap();
                optimizer.step().unwrap();
                let thawed = read_all(&parameters, Parameter::value);
                assert!(
                    thawed.iter().flatten().zip(after.iter().flatten()).all(|(a, b)| a != b),
                    "{algorithm} on {label}"
                );
            }
        }
    }
}

/// Gradients that frozen parameters still hold don't count for the norm.
fn clipping_looks_only_at_what_is_trained(devices: &Devices) {
    for (label, device) in devices {
        let layers = three_layers();
        let parameters = Parameters::new(device, &chain(&layers), 1).unwrap();
        freeze(&layers[1], true);
        let mut optimizer = Optimizer::new(&parameters, Sgd::new(1.0).clip_norm(1.0)).unwrap();
        optimizer.zero_grad().unwrap();
        // One gradient of 3 on either side of the frozen layer, whose own are large.
        layers[0].bias().unwrap().gradient().unwrap().write(&[3.0, 0.0, 0.0, 0.0]).unwrap();
        layers[1].weight().gradient().unwrap().write(&[1e3; 16]).unwrap();
        layers[2].bias().unwrap().gradient().unwrap().write(&[3.0]).unwrap();
        let before = layers[0].bias().unwrap().value().unwrap().read().unwrap()[0];
        optimizer.step().unwrap();
        let after = layers[0].bias().unwrap().value().unwrap().read().unwrap()[0];
        let moved = f64::from(before) - f64::from(after);
        assert!((moved - 0.5f64.sqrt()).abs() < 1e-5, "moved by {moved} on {label}");
    }
}

#[test]
fn a_model_that_is_all_frozen_is_an_error() {
    let device = Device::cpu();
    let layers = three_layers();
    let model = chain(&layers);
    let parameters = Parameters::new(&device, &model, 0).unwrap();
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1)).unwrap();
    layers.iter().for_each(|layer| freeze(layer, true));

    let kind = |result: Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(optimizer.step()), ErrorKind::InvalidInput);
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::zeros(&device, 3, 2).unwrap()).unwrap();
    let target = graph.input(&Tensor::zeros(&device, 3, 1).unwrap()).unwrap();
    let y = model.forward(&mut graph, x).unwrap();
    let loss = graph.mse(y, target, Reduction::Mean).unwrap();
    assert_eq!(kind(Backprop::new(&mut graph, &parameters, loss, &[]).map(drop)), ErrorKind::InvalidInput);
    // Trained as it is, nothing would happen.
    let mut trainer = Trainer::new(&device, chain(&layers), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let data = disk(10, 0, Labels::ZeroOne).unwrap();
    assert_eq!(kind(trainer.fit(&data, Fit::new(1, 5)).map(drop)), ErrorKind::InvalidInput);

    // Frozen only after the trainer was made.
    let layers = three_layers();
    let mut trainer = Trainer::new(&device, chain(&layers), Mse::new(), Sgd::new(0.1), 0).unwrap();
    layers.iter().for_each(|layer| freeze(layer, true));
    assert_eq!(kind(trainer.fit(&data, Fit::new(1, 5)).map(drop)), ErrorKind::InvalidInput);
    // Evaluation needs no gradients.
    assert!(trainer.evaluate(&data).unwrap().loss.is_finite());
}
