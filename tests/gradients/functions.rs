//! Activations and other functions of one variable, and those of a row.

use wgrad::nn::{LayerNorm, Module, Parameters};
use wgrad::ops::Activation;

use crate::harness::{Input, Mat, Op, any, positive};

fn unary(activation: Activation, input: Input, f: impl Fn(f64) -> f64 + 'static) -> Op {
    let build = move |graph: &mut wgrad::Graph, v: &[wgrad::Var]| graph.activation(v[0], activation);
    Op::new(format!("{activation:?}"), &[input], build, move |x| x[0].map(&f))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The error function by its Taylor series, which is exact for the small numbers here.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..60 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// The logarithm of the softmax of a row.
fn log_softmax(x: &Mat) -> Mat {
    let log_sum = |i: usize| (0..x.cols).map(|j| x[(i, j)].exp()).sum::<f64>().ln();
    Mat::from_fn(x.rows, x.cols, |i, j| x[(i, j)] - log_sum(i))
}

/// (x - mean) / √(variance + 1e-5) of each row.
fn normalised(x: &Mat) -> Mat {
    let row = |i: usize| (0..x.cols).map(move |j| x[(i, j)]);
    let mean = |i: usize| row(i).sum::<f64>() / x.cols as f64;
    let variance = |i: usize| row(i).map(|x| (x - mean(i)).powi(2)).sum::<f64>() / x.cols as f64;
    Mat::from_fn(x.rows, x.cols, |i, j| (x[(i, j)] - mean(i)) / (variance(i) + 1e-5).sqrt())
}

pub(crate) fn operations() -> Vec<Op> {
    let (slope, alpha) = (0.125, 1.5);
    let x = any(3, 7);
    vec![
        unary(Activation::Identity, x, |x| x),
        unary(Activation::ReLU, x, |x| x.max(0.0)),
        unary(Activation::Tanh, x, f64::tanh),
        unary(Activation::Sigmoid, x, sigmoid),
        unary(Activation::LeakyReLU { slope: 0.125 }, x, move |x| if x > 0.0 { x } else { slope * x }),
        unary(Activation::ELU { alpha: 1.5 }, x, move |x| if x > 0.0 { x } else { alpha * (x.exp() - 1.0) }),
        unary(Activation::GELU, x, |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))),
        unary(Activation::GELUTanh, x, gelu_tanh),
        unary(Activation::SiLU, x, |x| x * sigmoid(x)),
        unary(Activation::Softplus, x, |x| (1.0 + x.exp()).ln()),
        Op::new("relu", &[x], |graph, v| graph.relu(v[0]), |x| x[0].map(|x| x.max(0.0))),
        Op::new("tanh", &[x], |graph, v| graph.tanh(v[0]), |x| x[0].map(f64::tanh)),
        Op::new("sigmoid", &[x], |graph, v| graph.sigmoid(v[0]), |x| x[0].map(sigmoid)),
        Op::new("exp", &[x], |graph, v| graph.exp(v[0]), |x| x[0].map(f64::exp)),
        Op::new("log", &[positive(3, 7)], |graph, v| graph.log(v[0]), |x| x[0].map(f64::ln)),
        Op::new("square", &[x], |graph, v| graph.pow(v[0], 2.0), |x| x[0].map(|x| x * x)),
        Op::new("cube", &[x], |graph, v| graph.pow(v[0], 3.0), |x| x[0].map(|x| x * x * x)),
        Op::new("reciprocal", &[positive(3, 7)], |graph, v| graph.pow(v[0], -1.0), |x| x[0].map(|x| 1.0 / x)),
        Op::new("root", &[positive(3, 7)], |graph, v| graph.pow(v[0], 0.5), |x| x[0].map(f64::sqrt)),
        Op::new("softmax", &[any(4, 5)], |graph, v| graph.softmax(v[0]), |x| log_softmax(&x[0]).map(f64::exp)),
        Op::new("log_softmax", &[any(4, 5)], |graph, v| graph.log_softmax(v[0]), |x| log_softmax(&x[0])),
        Op::new("softmax of one", &[any(4, 1)], |graph, v| graph.softmax(v[0]), |x| x[0].map(|_| 1.0)),
        // Fresh from its initialiser, it multiplies by 1 and adds 0.
        Op::new(
            "LayerNorm",
            &[any(4, 5)],
            |graph, v| {
                let layer = LayerNorm::new(5);
                Parameters::new(graph.device(), &layer, 0)?;
                layer.forward(graph, v[0])
            },
            |x| normalised(&x[0]),
        ),
        // As LayerNorm does it, with the gradients of scale and shift.
        Op::new(
            "scale and shift of normalised rows",
            &[any(4, 5), any(1, 5), any(1, 5)],
            |graph, v| {
                let layer = LayerNorm::new(5);
                Parameters::new(graph.device(), &layer, 0)?;
                let normal = layer.forward(graph, v[0])?;
                let scaled = graph.mul(normal, v[1])?;
                graph.add(scaled, v[2])
            },
            |x| {
                let normal = normalised(&x[0]);
                Mat::from_fn(4, 5, |i, j| normal[(i, j)] * x[1][(0, j)] + x[2][(0, j)])
            },
        ),
    ]
}
