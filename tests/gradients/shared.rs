//! Gradients of parameters that several parts of a network share, and how they add up over backward passes.

use wgrad::nn::{Linear, Module, Parameters};
use wgrad::ops::Reduction;
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Result as Recorded, Tape, Tensor, Var};

use crate::common::{EPSILON, assert_close, assert_same_bits, signed};
use crate::harness::{Mat, central_differences};

/// One layer used twice: `tanh(x Wᵀ + b) Wᵀ + b`.
struct Twice(Linear);

impl Module for Twice {
    fn forward(&self, tape: &mut Tape, x: Var) -> Recorded<Var> {
        let once = self.0.forward(tape, x)?;
        let active = tape.tanh(once)?;
        self.0.forward(tape, active)
    }

    fn named_parameters(&self) -> Vec<(String, wgrad::nn::Parameter)> {
        self.0.named_parameters()
    }
}

const ROWS: usize = 5;
const WIDTH: usize = 3;

struct Setup {
    model: Twice,
    parameters: Parameters,
    x: Vec<f32>,
    target: Vec<f32>,
}

impl Setup {
    fn new() -> Self {
        let model = Twice(Linear::new(WIDTH, WIDTH));
        let parameters = Parameters::new(&Device::cpu(), &model, 1).unwrap();
        let (x, target) = (signed(1, ROWS * WIDTH), signed(2, ROWS * WIDTH));
        Self { model, parameters, x, target }
    }

    fn graph(&self, overwriting: bool) -> Graph {
        let device = self.parameters.device();
        let mut tape = Tape::new(device);
        let x = tape.input(&Tensor::new(device, ROWS, WIDTH, &self.x).unwrap()).unwrap();
        let target = tape.input(&Tensor::new(device, ROWS, WIDTH, &self.target).unwrap()).unwrap();
        let y = self.model.forward(&mut tape, x).unwrap();
        let loss = tape.mse(y, target, Reduction::Sum).unwrap();
        if overwriting { tape.backward_overwriting(loss).unwrap() } else { tape.backward(loss).unwrap() }
    }

    /// Weights, then biases.
    fn gradients(&self) -> Vec<f32> {
        let layer = &self.model.0;
        let read = |tensor: Recorded<Tensor>| tensor.unwrap().read().unwrap();
        [read(layer.weight().gradient()), read(layer.bias().gradient())].concat()
    }
}

#[test]
fn gradients_of_a_shared_layer_match_central_differences() {
    let setup = Setup::new();
    let graph = setup.graph(false);
    graph.forward().unwrap();
    graph.backward().unwrap();

    let layer = &setup.model.0;
    let exact = |tensor: Tensor| {
        let values = tensor.read().unwrap();
        Mat::from_fn(tensor.rows(), tensor.cols(), |i, j| f64::from(values[i * tensor.cols() + j]))
    };
    let at = [exact(layer.weight().value().unwrap()), exact(layer.bias().value().unwrap())];
    let linear = |x: &Mat, p: &[Mat]| {
        let dot = |i, j| (0..WIDTH).map(|k| x[(i, k)] * p[0][(j, k)]).sum::<f64>();
        Mat::from_fn(ROWS, WIDTH, |i, j| dot(i, j) + p[1][(0, j)])
    };
    let x = Mat::from_fn(ROWS, WIDTH, |i, j| f64::from(setup.x[i * WIDTH + j]));
    let loss = |p: &[Mat]| {
        let y = linear(&linear(&x, p).map(f64::tanh), p);
        Mat::from_fn(ROWS, WIDTH, |i, j| (y[(i, j)] - f64::from(setup.target[i * WIDTH + j])).powi(2)).sum()
    };
    let differences = central_differences(&at, &loss);
    let expected: Vec<f64> = differences.iter().flat_map(|d| d.values.clone()).collect();
    let largest = expected.iter().fold(1.0, |max: f64, d| max.max(d.abs()));
    // Two layers of sums over no more than 15 elements.
    assert_close("shared layer", &setup.gradients(), &expected, 0.0, 64.0 * EPSILON * largest);
}

#[test]
fn gradients_add_up_until_zeroed() {
    let setup = Setup::new();
    let (graph, optimizer) = (setup.graph(false), Optimizer::new(&setup.parameters, Sgd::new(0.1)).unwrap());
    graph.forward().unwrap();
    graph.backward().unwrap();
    let once = setup.gradients();
    graph.backward().unwrap();
    let largest = once.iter().fold(0.0, |max: f32, g| max.max(g.abs()));
    let twice: Vec<f32> = once.iter().map(|g| 2.0 * g).collect();
    // The second pass adds its terms one by one to the sum of the first: two roundings a term.
    assert_close("twice", &setup.gradients(), &twice, 0.0, 8.0 * EPSILON * f64::from(largest));
    optimizer.zero_grad().unwrap();
    assert_same_bits("zeroed", &setup.gradients(), &vec![0.0; once.len()]);
    graph.backward().unwrap();
    assert_same_bits("after zero_grad", &setup.gradients(), &once);
}

#[test]
fn an_overwriting_pass_needs_no_zeroing() {
    let setup = Setup::new();
    let (adding, overwriting) = (setup.graph(false), setup.graph(true));
    adding.forward().unwrap();
    adding.backward().unwrap();
    let once = setup.gradients();
    overwriting.forward().unwrap();
    for pass in ["first", "second"] {
        overwriting.backward().unwrap();
        assert_same_bits(pass, &setup.gradients(), &once);
    }
}
