//! Layers that are composed of other operations, and rows by number.

use wgrad::Tensor;
use wgrad::nn::{Average, BatchNorm1d, Identity, Module, Parameters, Residual, Tanh};

use crate::harness::{Mat, Op, any};

const NUMBERS: [f32; 6] = [3.0, 0.0, 1.0, 3.0, 3.0, 0.0];

pub(crate) fn operations() -> Vec<Op> {
    let row = |i: usize| NUMBERS[i] as usize;
    vec![
        Op::new(
            "embedding",
            &[any(4, 3)],
            |graph, v| {
                let numbers = graph.input(&Tensor::new(graph.device(), 3, 2, &NUMBERS)?)?;
                graph.embedding(numbers, v[0])
            },
            move |x| Mat::from_fn(3, 6, |i, j| x[0][(row(2 * i + j / 3), j % 3)]),
        ),
        Op::new(
            "one_hot",
            &[any(4, 3)],
            |graph, v| {
                let numbers = graph.input(&Tensor::new(graph.device(), 6, 1, &NUMBERS)?)?;
                let rows = graph.one_hot(numbers, 4)?;
                graph.matmul(rows, v[0])
            },
            move |x| Mat::from_fn(6, 3, |i, j| x[0][(row(i), j)]),
        ),
        Op::new(
            "BatchNorm1d",
            &[any(5, 3)],
            |graph, v| {
                let layer = BatchNorm1d::new(3).eps(0.25);
                Parameters::new(graph.device(), &layer, 0)?;
                layer.forward(graph, v[0])
            },
            |x| {
                let mean = |f: &dyn Fn(usize) -> f64| (0..5).map(f).sum::<f64>() / 5.0;
                let means: Vec<f64> = (0..3).map(|j| mean(&|i| x[0][(i, j)])).collect();
                let variances: Vec<f64> = (0..3).map(|j| mean(&|i| (x[0][(i, j)] - means[j]).powi(2))).collect();
                Mat::from_fn(5, 3, |i, j| (x[0][(i, j)] - means[j]) / (variances[j] + 0.25).sqrt())
            },
        ),
        Op::new(
            "Average",
            &[any(4, 3)],
            |graph, v| Average::new([Residual::new(Identity), Residual::new(Tanh)]).forward(graph, v[0]),
            |x| x[0].map(|x| (3.0 * x + x.tanh()) / 2.0),
        ),
        Op::new(
            "Residual",
            &[any(4, 3)],
            |graph, v| Residual::new(Identity).forward(graph, v[0]),
            |x| x[0].map(|x| x + x),
        ),
    ]
}
