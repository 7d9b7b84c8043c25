//! What bad input gets: an `Error`, or the result that IEEE 754 has for it; never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, on_every_device};
use wgrad::data::{Dataset, Table};
use wgrad::metrics::Decision;
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Huber, Init, LayerNorm, LeakyReLU, Linear, Loss, Module, Mse, Parameter, Parameters,
    ReLU, Sequential, summary,
};
use wgrad::ops::{Activation, Reduction};
use wgrad::optim::Sgd;
use wgrad::{Device, ErrorKind, Fit, Graph, Result, Tensor, Trainer, Var, gradients, lower};

on_every_device!(
    functions_beyond_their_domain_give_what_ieee_has,
    divisions_by_zero_give_what_ieee_has,
    a_class_out_of_range_makes_the_loss_nan,
    a_fit_with_a_class_out_of_range_is_an_error,
    a_training_that_diverges_is_an_error,
    infinite_logits_are_no_nan_where_there_is_a_limit,
);

#[track_caller]
fn assert_kind<T>(what: &str, result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

/// Equal, or both NaN; numbers within the accuracy that WGSL has for powers of small numbers.
fn same(actual: f32, expected: f32) -> bool {
    if expected.is_nan() || expected.is_infinite() || expected == 0.0 {
        return actual == expected || (actual.is_nan() && expected.is_nan());
    }
    (actual - expected).abs() <= 1e-5 * expected.abs()
}

/// The values wanted of a graph, after a run.
fn run<const N: usize>(graph: &Graph, wanted: [Var; N]) -> [Vec<f32>; N] {
    let lowered = lower(graph, &wanted).unwrap();
    lowered.run().unwrap();
    wanted.map(|var| lowered.read(var).unwrap())
}

/// Gradients of values that the loss depends on.
fn all_gradients<const N: usize>(graph: &mut Graph, loss: Var, by: [Var; N]) -> [Var; N] {
    let found: Vec<_> = gradients(graph, loss, &by).unwrap().into_iter().map(Option::unwrap).collect();
    found.try_into().unwrap()
}

/// Values and derivatives.
fn applied(device: &Device, activation: Activation, x: &[f32]) -> [Vec<f32>; 2] {
    let mut graph = Graph::new(device);
    let x = graph.input(&Tensor::new(device, 1, x.len(), x).unwrap()).unwrap();
    let y = graph.activation(x, activation).unwrap();
    let sum = graph.sum(y).unwrap();
    // What does not depend on x has no gradient.
    match gradients(&mut graph, sum, &[x]).unwrap()[0] {
        Some(dx) => run(&graph, [y, dx]),
        None => {
            let [y] = run(&graph, [y]);
            let dx = vec![0.0; y.len()];
            [y, dx]
        }
    }
}

fn functions_beyond_their_domain_give_what_ieee_has(devices: &Devices) {
    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    let pow = |exponent| Activation::Pow { exponent };
    // Function, x, value, derivative.
    let cases: &[(Activation, f32, f32, f32)] = &[
        (Activation::Log, 0.0, -INF, INF),
        (Activation::Log, 1.0, 0.0, 1.0),
        (Activation::Log, -1.0, NAN, -1.0),
        (Activation::Log, -INF, NAN, 0.0),
        (Activation::Log, INF, INF, 0.0),
        (Activation::Exp, 1000.0, INF, INF),
        (Activation::Exp, -1000.0, 0.0, 0.0),
        (pow(2.0), -3.0, 9.0, -6.0),
        (pow(3.0), -2.0, -8.0, 12.0),
        (pow(1.0), -2.0, -2.0, 1.0),
        (pow(-1.0), -2.0, -0.5, -0.25),
        (pow(-2.0), -2.0, 0.25, 0.25),
        (pow(0.5), -2.0, NAN, NAN),
        (pow(-0.5), -2.0, NAN, NAN),
        (pow(1.5), -4.0, NAN, NAN),
        (pow(0.5), 4.0, 2.0, 0.25),
        (pow(2.0), 0.0, 0.0, 0.0),
        (pow(1.0), 0.0, 0.0, 1.0),
        (pow(0.5), 0.0, 0.0, INF),
        (pow(-1.0), 0.0, INF, -INF),
        (pow(-2.0), 0.0, INF, -INF),
        (pow(0.0), 0.0, 1.0, 0.0),
        (pow(0.0), -5.0, 1.0, 0.0),
        (pow(2.0), 1e30, INF, 2e30),
        (pow(3.0), -1e30, -INF, INF),
    ];
    let mut faults = Vec::new();
    for (label, device) in devices {
        for (activation, x, value, derivative) in cases {
            // Neighbours must not be touched by what goes wrong.
            let [values, derivatives] = applied(device, *activation, &[1.0, *x, 2.0]);
            let mut check = |what: &str, actual: f32, expected: f32| {
                if !same(actual, expected) {
                    faults.push(format!("{activation:?} at {x}, {what} on {label}: {actual}, expected {expected}"));
                }
            };
            check("value", values[1], *value);
            // 0 times an infinite power is IEEE's NaN, though the derivative of a constant is 0.
            if *activation == pow(0.0) && *x == 0.0 {
                assert!(derivatives[1].is_nan() || derivatives[1] == 0.0);
            } else {
                check("derivative", derivatives[1], *derivative);
            }
            for neighbour in [0, 2] {
                let x = [1.0, 0.0, 2.0][neighbour];
                check("value beside", values[neighbour], activation.apply(x));
                check(
                    "derivative beside",
                    derivatives[neighbour],
                    activation.derivative(if activation.derivative_needs_input() { x } else { activation.apply(x) }),
                );
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn divisions_by_zero_give_what_ieee_has(devices: &Devices) {
    let (a, b) = ([1.0, -1.0, 0.0, 6.0], [0.0, 0.0, 0.0, 3.0]);
    for (label, device) in devices {
        let mut graph = Graph::new(device);
        let [a, b] = [a, b].map(|v| graph.input(&Tensor::new(device, 1, 4, &v).unwrap()).unwrap());
        let quotient = graph.div(a, b).unwrap();
        let sum = graph.sum(quotient).unwrap();
        let [da, db] = all_gradients(&mut graph, sum, [a, b]);
        let [value, da, db] = run(&graph, [quotient, da, db]);
        let expect = |what: &str, actual: Vec<f32>, expected: [f32; 4]| {
            let equal = actual.iter().zip(expected).all(|(a, e)| same(*a, e));
            assert!(equal, "{what} on {label}: {actual:?}, expected {expected:?}");
        };
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        expect("a / b", value, [inf, -inf, nan, 2.0]);
        expect("1 / b", da, [inf, inf, inf, 1.0 / 3.0]);
        expect("-a / b²", db, [-inf, inf, nan, -2.0 / 3.0]);
    }
}

/// The loss of two rows of three classes, and the logits' gradient.
fn cross_entropy(device: &Device, logits: &[f32; 6], target: &[f32]) -> (f32, Vec<f32>) {
    let mut graph = Graph::new(device);
    let z = graph.input(&Tensor::new(device, 2, 3, logits).unwrap()).unwrap();
    let t = graph.input(&Tensor::new(device, 2, target.len() / 2, target).unwrap()).unwrap();
    let loss = graph.cross_entropy(z, t, Reduction::Sum).unwrap();
    let [dz] = all_gradients(&mut graph, loss, [z]);
    let [loss, dz] = run(&graph, [loss, dz]);
    (loss[0], dz)
}

fn a_class_out_of_range_makes_the_loss_nan(devices: &Devices) {
    let logits = [1.0, 2.0, 3.0, -1.0, 0.5, 0.0];
    for (label, device) in devices {
        for class in [3.0, -1.0, 0.5, 1e9, 3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let (loss, gradient) = cross_entropy(device, &logits, &[1.0, class]);
            assert!(loss.is_nan(), "class {class} on {label}: a loss of {loss}");
            let (right, wrong) = gradient.split_at(3);
            assert!(wrong.iter().all(|g| g.is_nan()), "class {class} on {label}: gradients {gradient:?}");
            assert!(right.iter().all(|g| g.is_finite()), "class {class} on {label}: gradients {gradient:?}");
        }
        let (loss, gradient) = cross_entropy(device, &logits, &[2.0, 0.0]);
        assert!(loss.is_finite() && gradient.iter().all(|g| g.is_finite()), "{loss} and {gradient:?} on {label}");
    }
}

fn infinite_logits_are_no_nan_where_there_is_a_limit(devices: &Devices) {
    // A class that cannot be: masked out. Its probability and its gradient are 0.
    let logits = [1.0, f32::NEG_INFINITY, 1.0, 0.0, 0.0, f32::NEG_INFINITY];
    for (label, device) in devices {
        for target in [&[0.0, 1.0][..], &[0.5, 0.0, 0.5, 0.25, 0.75, 0.0]] {
            let (loss, gradient) = cross_entropy(device, &logits, target);
            assert!((loss - 2.0 * 2f32.ln()).abs() < 1e-5, "{loss} on {label}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?} on {label}");
            assert_eq!((gradient[1], gradient[5]), (0.0, 0.0), "on {label}");
        }
        // Where the impossible class is the target, the loss is infinite.
        let (loss, _) = cross_entropy(device, &logits, &[1.0, 0.0]);
        assert_eq!(loss, f32::INFINITY, "on {label}");
    }
}

fn classes(targets: &[f32]) -> Dataset {
    let inputs = (0..2 * targets.len()).map(|i| i as f32 / 10.0).collect();
    Dataset::new(inputs, 2, targets.to_vec(), 1).unwrap()
}

fn a_fit_with_a_class_out_of_range_is_an_error(devices: &Devices) {
    let good = classes(&[0.0, 1.0, 2.0, 1.0]);
    for (label, device) in devices {
        let new = || Trainer::new(device, Linear::new(2, 3), CrossEntropy::new(), Sgd::new(0.1), 0).unwrap();
        for (row, class) in [(0, 3.0), (2, -1.0), (3, 1.5)] {
            let mut targets = good.targets().to_vec();
            targets[row] = class;
            let bad = classes(&targets);
            let mut trainer = new();
            let before = trainer.predict(&[0.5, 0.5], 2).unwrap();
            let error = trainer.fit(&bad, Fit::new(1, 2)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{label}: {error}");
            let message = error.to_string();
            assert!(message.contains(&format!("row {row}")) && message.contains("0 to 2"), "{label}: {message}");
            assert_eq!(trainer.predict(&[0.5, 0.5], 2).unwrap(), before, "{label}: it trained all the same");
            assert_kind("validation", new().fit(&good, Fit::new(1, 2).validation(&bad)), ErrorKind::InvalidInput);
            assert_kind("evaluation", new().evaluate(&bad), ErrorKind::InvalidInput);
        }
        let history = new().fit(&good, Fit::new(2, 3).validation(&good)).unwrap();
        assert!(history.step_losses.iter().all(|loss| loss.is_finite()));
    }
}

fn a_training_that_diverges_is_an_error(devices: &Devices) {
    let data = classes(&[0.0, 1.0, 2.0, 1.0]);
    for (label, device) in devices {
        let model = Sequential::new().add(Linear::new(2, 8)).add(ReLU).add(Linear::new(8, 1));
        let mut trainer = Trainer::new(device, model, Mse::new(), Sgd::new(1e6), 0).unwrap();
        let error = trainer.fit(&data, Fit::new(30, 2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite, "{label}: {error}");
        assert!(error.to_string().contains("learning rate"), "{label}: {error}");
    }
}

/// A graph and matrices of these shapes on it.
fn graph_of<const N: usize>(shapes: [[usize; 2]; N]) -> (Graph, [Var; N]) {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let vars = shapes.map(|[rows, cols]| graph.input(&Tensor::zeros(&device, rows, cols).unwrap()).unwrap());
    (graph, vars)
}

#[test]
fn shapes_that_do_not_broadcast_are_errors() {
    let pairs = [[[2, 3], [3, 2]], [[2, 3], [2, 2]], [[1, 3], [2, 2]], [[4, 1], [3, 5]], [[2, 3], [1, 2]]];
    for [a, b] in pairs {
        for [a, b] in [[a, b], [b, a]] {
            let (mut graph, [x, y]) = graph_of([a, b]);
            let what = format!("{a:?} and {b:?}");
            assert_kind(&what, graph.add(x, y), ErrorKind::Shape);
            assert_kind(&what, graph.sub(x, y), ErrorKind::Shape);
            assert_kind(&what, graph.mul(x, y), ErrorKind::Shape);
            assert_kind(&what, graph.div(x, y), ErrorKind::Shape);
        }
    }
    let (mut graph, [a, b]) = graph_of([[2, 3], [3, 2]]);
    let message = graph.add(a, b).unwrap_err().to_string();
    assert!(message.contains("add") && message.contains("2 x 3") && message.contains("broadcast"), "{message}");
}

#[test]
fn slices_and_concatenations_that_do_not_fit_are_errors() {
    let (mut graph, [a, b]) = graph_of([[2, 3], [3, 2]]);
    for (first, end) in [(0, 0), (2, 1), (3, 3), (0, 4), (4, 5), (usize::MAX, usize::MAX), (0, usize::MAX)] {
        assert_kind(&format!("columns {first}..{end}"), graph.slice_cols(a, first, end), ErrorKind::Shape);
    }
    assert_kind("rows that differ", graph.concat_cols(&[a, b]), ErrorKind::Shape);
    assert_kind("nothing to join", graph.concat_cols(&[]), ErrorKind::InvalidInput);
}

#[test]
fn losses_refuse_targets_that_do_not_fit() {
    let (mut graph, [p, t, column, one]) = graph_of([[4, 3], [3, 4], [4, 1], [1, 1]]);
    for target in [t, column, one] {
        assert_kind("a target of another shape", graph.mse(p, target, Reduction::Mean), ErrorKind::Shape);
    }
    let fixed = |graph: &mut Graph, rows, cols| {
        let tensor = Tensor::zeros(graph.device(), rows, cols).unwrap();
        graph.input(&tensor).unwrap()
    };
    for [rows, cols] in [[3, 3], [4, 2], [3, 1], [1, 3], [1, 1]] {
        let target = fixed(&mut graph, rows, cols);
        assert_kind("a target", graph.cross_entropy(p, target, Reduction::Mean), ErrorKind::Shape);
    }
    let target = fixed(&mut graph, 4, 1);
    assert_kind("a single class", graph.cross_entropy(column, target, Reduction::Mean), ErrorKind::Shape);
    // Class numbers are constants, with no gradient to be had.
    let loss = graph.cross_entropy(p, column, Reduction::Mean).unwrap();
    let [by_p, by_class] = gradients(&mut graph, loss, &[p, column]).unwrap().try_into().unwrap();
    assert!(by_p.is_some() && by_class.is_none());
    // Huber's delta is where a parabola turns into a line.
    for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let (mut graph, [p, t]) = graph_of([[2, 2], [2, 2]]);
        assert_kind(&format!("delta {delta}"), Huber::new(delta).forward(&mut graph, p, t), ErrorKind::InvalidInput);
    }
}

#[test]
fn values_of_other_graphs_and_devices_are_errors() {
    let (mut graph, [here]) = graph_of([[2, 2]]);
    let (_, [there]) = graph_of([[2, 2]]);
    assert_kind("add", graph.add(here, there), ErrorKind::InvalidInput);
    assert_kind("softmax", graph.softmax(there), ErrorKind::InvalidInput);
    assert_kind("concat_cols", graph.concat_cols(&[here, there]), ErrorKind::InvalidInput);
    assert_kind("cross_entropy", graph.cross_entropy(here, there, Reduction::Sum), ErrorKind::InvalidInput);
    assert_kind("dropout", graph.dropout(there, 0.5), ErrorKind::InvalidInput);
    let stranger = Tensor::zeros(&Device::cpu(), 2, 2).unwrap();
    assert_kind("a tensor of another device", graph.input(&stranger), ErrorKind::InvalidInput);
    assert_kind("a loss of another shape", gradients(&mut graph, here, &[here]), ErrorKind::Shape);
}

/// A model without parameters.
struct Nothing;

impl Module for Nothing {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        graph.tanh(x)
    }
}

#[test]
fn logits_take_targets_from_0_to_1() {
    let of = |targets: Vec<f32>| Dataset::new(vec![0.0; targets.len()], 1, targets, 1).unwrap();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 1), BceWithLogits::new(), Sgd::new(0.1), 0).unwrap();
    for bad in [2.0, -0.1, 1.5] {
        let data = of(vec![0.0, 1.0, bad]);
        let message = trainer.fit(&data, Fit::new(1, 1)).unwrap_err().to_string();
        assert!(
            message.contains(&format!("row 2 has the target {bad}")) && message.contains("from 0 to 1"),
            "{message}"
        );
        assert_kind("evaluation", trainer.evaluate(&data), ErrorKind::InvalidInput);
    }
    trainer.fit(&of(vec![0.0, 0.25, 1.0]), Fit::new(1, 1)).unwrap();
}

/// A threshold that nothing is above or below, targets that are no probabilities, constants that are no numbers.
#[test]
fn settings_of_losses_and_layers_must_make_sense() {
    fn fit(layers: Sequential, loss: impl Loss + 'static, targets: &[f32], cols: usize) -> Result<()> {
        let data = Dataset::new(vec![0.5; targets.len() / cols * 2], 2, targets.to_vec(), cols)?;
        Trainer::new(&Device::cpu(), layers, loss, Sgd::new(0.1), 0)?.fit(&data, Fit::new(1, 1)).map(drop)
    }
    let layers = |outputs| Sequential::new().add(Linear::new(2, outputs));
    let none = Mse::new().decision(Decision::between(f32::NAN, 1.0));
    let leaky = LeakyReLU { slope: f32::NAN };
    let cases = [
        (fit(layers(1), none, &[0.0, 1.0], 1), "a threshold of NaN"),
        (fit(layers(2), CrossEntropy::new(), &[-1.0, 1.0, 1.0, -1.0], 2), "row 0 has the target -1"),
        (fit(layers(1).add(leaky), Mse::new(), &[0.0, 1.0], 1), "LeakyReLU { slope: NaN }"),
        (fit(layers(4).add(LayerNorm::new(3)), Mse::new(), &[0.0; 8], 4), "layer_norm: the input is 1 x 4, but"),
        // Which would be broadcast.
        (fit(layers(4).add(LayerNorm::new(1)), Mse::new(), &[0.0; 8], 4), "the layer takes 1 columns"),
    ];
    for (result, words) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn there_must_be_something_to_train() {
    let device = Device::cpu();
    assert_kind("no parameters", Parameters::new(&device, &Nothing, 0), ErrorKind::InvalidInput);
    let trainer = Trainer::new(&device, Nothing, Mse::new(), Sgd::new(0.1), 0);
    assert_kind("a trainer without parameters", trainer, ErrorKind::InvalidInput);
    assert_kind("a layer without inputs", Parameters::new(&device, &Linear::new(0, 3), 0), ErrorKind::Shape);
    let mut graph = Graph::new(&device);
    let unplaced = Parameter::new(2, 2, Init::Linear);
    assert_kind("a parameter on no device", unplaced.var(&mut graph), ErrorKind::InvalidInput);
}

/// Found by tests/properties.
#[test]
fn sizes_beyond_what_can_be_counted_are_errors() {
    let data = Dataset::from_rows(&[[1.0], [2.0]], &[[0.0], [1.0]]).unwrap();
    assert_kind("weights of too many classes", data.balanced_class_weights(usize::MAX), ErrorKind::InvalidInput);
    assert_kind("rows of no table", Table::new().select(&[0]), ErrorKind::InvalidInput);
    assert_kind("a summary of a huge layer", summary(&Linear::new(3, usize::MAX / 2), 3), ErrorKind::Shape);
    assert_eq!(Reduction::Mean.scale(1 << 40, 1 << 40), 2_f32.powi(-80));
}
