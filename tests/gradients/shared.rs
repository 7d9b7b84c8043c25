//! Gradients of parameters that several parts of a network share, and how they add up over backward passes.

use wgrad::nn::{Backprop, Linear, Module, Parameter, Parameters};
use wgrad::ops::Reduction;
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Result as Recorded, Tensor, Var, gradients, lower};

use crate::common::{EPSILON, assert_close, assert_same_bits, signed};
use crate::harness::{Mat, central_differences};

/// One layer used twice: `tanh(x Wᵀ + b) Wᵀ + b`.
struct Twice(Linear);

impl Module for Twice {
    fn forward(&self, graph: &mut Graph, x: Var) -> Recorded<Var> {
        let once = self.0.forward(graph, x)?;
        let active = graph.tanh(once)?;
        self.0.forward(graph, active)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
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

    /// The graph, and the loss.
    fn graph(&self) -> (Graph, Var) {
        let device = self.parameters.device();
        let mut graph = Graph::new(device);
        let x = graph.input(&Tensor::new(device, ROWS, WIDTH, &self.x).unwrap()).unwrap();
        let target = graph.input(&Tensor::new(device, ROWS, WIDTH, &self.target).unwrap()).unwrap();
        let y = self.model.forward(&mut graph, x).unwrap();
        let loss = graph.mse(y, target, Reduction::Sum).unwrap();
        (graph, loss)
    }

    fn backprop(&self) -> Backprop {
        let (mut graph, loss) = self.graph();
        Backprop::new(&mut graph, &self.parameters, loss, &[]).unwrap()
    }

    /// Weights, then biases.
    fn gradients(&self) -> Vec<f32> {
        let layer = &self.model.0;
        let read = |tensor: Recorded<Tensor>| tensor.unwrap().read().unwrap();
        [read(layer.weight().gradient()), read(layer.bias().unwrap().gradient())].concat()
    }
}

#[test]
fn gradients_of_a_shared_layer_match_central_differences() {
    let setup = Setup::new();
    let pass = setup.backprop();
    pass.forward().unwrap();
    pass.backward().unwrap();

    let layer = &setup.model.0;
    let exact = |tensor: Tensor| {
        let values = tensor.read().unwrap();
        Mat::from_fn(tensor.rows(), tensor.cols(), |i, j| f64::from(values[i * tensor.cols() + j]))
    };
    let at = [exact(layer.weight().value().unwrap()), exact(layer.bias().unwrap().value().unwrap())];
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
    let (pass, optimizer) = (setup.backprop(), Optimizer::new(&setup.parameters, Sgd::new(0.1)).unwrap());
    pass.forward().unwrap();
    pass.backward().unwrap();
    let once = setup.gradients();
    pass.backward().unwrap();
    let largest = once.iter().fold(0.0, |max: f32, g| max.max(g.abs()));
    let twice: Vec<f32> = once.iter().map(|g| 2.0 * g).collect();
    // The second pass may add its terms one by one to the sum of the first: two roundings a term.
    assert_close("twice", &setup.gradients(), &twice, 0.0, 8.0 * EPSILON * f64::from(largest));
    optimizer.zero_grad().unwrap();
    assert_same_bits("zeroed", &setup.gradients(), &vec![0.0; once.len()]);
    pass.backward().unwrap();
    assert_same_bits("after zero_grad", &setup.gradients(), &once);
}

/// Where the same weights serve as two parameters that are added, both get the same gradient, which one call computes.
#[test]
fn one_gradient_adds_to_two_parameters() {
    struct Sum([Linear; 2]);
    impl Module for Sum {
        fn forward(&self, graph: &mut Graph, x: Var) -> Recorded<Var> {
            let [a, b] = [self.0[0].weight().var(graph)?, self.0[1].weight().var(graph)?];
            let (both, bias) = (graph.add(a, b)?, self.0[0].bias().unwrap().var(graph)?);
            graph.linear(x, both, bias)
        }

        fn named_parameters(&self) -> Vec<(String, Parameter)> {
            let [a, b] = &self.0;
            vec![
                ("a".into(), a.weight().clone()),
                ("b".into(), b.weight().clone()),
                ("bias".into(), a.bias().unwrap().clone()),
            ]
        }
    }
    let model = Sum([Linear::new(3, 2), Linear::new(3, 2)]);
    let device = Device::cpu();
    let parameters = Parameters::new(&device, &model, 1).unwrap();
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::new(&device, 4, 3, &signed(1, 12)).unwrap()).unwrap();
    let y = model.forward(&mut graph, x).unwrap();
    let loss = graph.sum(y).unwrap();
    let weight = model.0[0].weight().var(&mut graph).unwrap();
    let alone = gradients(&mut graph, loss, &[weight]).unwrap()[0].unwrap();
    let lowered = lower(&graph, &[alone]).unwrap();
    lowered.run().unwrap();
    let pass = Backprop::new(&mut graph, &parameters, loss, &[]).unwrap();
    pass.forward().unwrap();
    pass.backward().unwrap();
    for layer in &model.0 {
        let gradient = layer.weight().gradient().unwrap().read().unwrap();
        assert_same_bits("a gradient for two", &gradient, &lowered.read(alone).unwrap());
    }
}
