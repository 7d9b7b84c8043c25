//! Every loss with every reduction, amid a graph: the loss is multiplied by a number and added to others.

use wgrad::Tensor;
use wgrad::nn::{BceWithLogits, CrossEntropy, Huber, Loss, Mae, Mse, Quantile};
use wgrad::ops::Reduction;
use wgrad::ops::loss::Elementwise;

use crate::harness::{Mat, Op, any};

const ROWS: usize = 4;
const COLS: usize = 3;

/// The reductions, and what each divides the sum by.
const REDUCTIONS: [(Reduction, f64); 4] =
    [(Reduction::Mean, 12.0), (Reduction::Sum, 1.0), (Reduction::SampleMean, 4.0), (Reduction::OutputMean, 3.0)];

fn squared(p: f64, t: f64) -> f64 {
    (p - t).powi(2)
}

fn absolute(p: f64, t: f64) -> f64 {
    (p - t).abs()
}

fn huber(p: f64, t: f64) -> f64 {
    let (e, delta) = ((p - t).abs(), 0.5);
    if e <= delta { 0.5 * e * e } else { delta * (e - 0.5 * delta) }
}

fn quantile(p: f64, t: f64) -> f64 {
    let e = p - t;
    if e < 0.0 { -0.75 * e } else { 0.25 * e }
}

fn binary_cross_entropy(p: f64, t: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-p).exp());
    -t * sigmoid.ln() - (1.0 - t) * (1.0 - sigmoid).ln()
}

fn summed(x: &[Mat], f: fn(f64, f64) -> f64) -> f64 {
    Mat::from_fn(ROWS, COLS, |i, j| f(x[0][(i, j)], x[1][(i, j)])).sum()
}

const WEIGHTS: [f32; ROWS] = [0.5, 2.0, 0.0, 1.25];

fn weighted(x: &[Mat], f: fn(f64, f64) -> f64) -> f64 {
    Mat::from_fn(ROWS, COLS, |i, j| f64::from(WEIGHTS[i]) * f(x[0][(i, j)], x[1][(i, j)])).sum()
}

fn weighted_divisor(reduction: Reduction) -> f64 {
    let total: f64 = WEIGHTS.iter().map(|weight| f64::from(*weight)).sum();
    match reduction {
        Reduction::Mean => total * COLS as f64,
        Reduction::SampleMean => total,
        Reduction::OutputMean => COLS as f64,
        _ => 1.0,
    }
}

/// Minus the sum of t log_softmax(z).
fn cross_entropy(z: &Mat, t: impl Fn(usize, usize) -> f64) -> f64 {
    let log_sum = |i: usize| (0..z.cols).map(|j| z[(i, j)].exp()).sum::<f64>().ln();
    Mat::from_fn(z.rows, z.cols, |i, j| t(i, j) * (log_sum(i) - z[(i, j)])).sum()
}

const CLASSES: [f32; ROWS] = [2.0, 0.0, 1.0, 2.0];
const PROBABILITIES: [f32; ROWS * COLS] = [0.5, 0.25, 0.25, 0.0, 1.0, 0.0, 0.125, 0.75, 0.125, 0.5, 0.0, 0.25];

pub(crate) fn operations() -> Vec<Op> {
    type Error = fn(f64, f64) -> f64;
    let errors: [(Elementwise, Error); 5] = [
        (Elementwise::Squared, squared),
        (Elementwise::Absolute, absolute),
        (Elementwise::Huber { delta: 0.5 }, huber),
        (Elementwise::BceWithLogits, binary_cross_entropy),
        (Elementwise::Quantile { quantile: 0.75 }, quantile),
    ];
    let mut operations = Vec::new();
    for (reduction, divisor) in REDUCTIONS {
        for (error, formula) in errors {
            // Both have a gradient: prediction and target.
            operations.push(Op::new(
                format!("{error:?}, {reduction:?}"),
                &[any(ROWS, COLS), any(ROWS, COLS)],
                move |graph, v| graph.elementwise_loss(error, v[0], v[1], reduction),
                move |x| Mat::scalar(summed(x, formula) / divisor),
            ));
        }
        let modules: [(&str, Box<dyn Loss>, Error); 5] = [
            ("Mse", Box::new(Mse::new().reduction(reduction)), squared),
            ("Mae", Box::new(Mae::new().reduction(reduction)), absolute),
            ("Huber", Box::new(Huber::new(0.5).reduction(reduction)), huber),
            ("BceWithLogits", Box::new(BceWithLogits::new().reduction(reduction)), binary_cross_entropy),
            ("Quantile", Box::new(Quantile::new(0.75).reduction(reduction)), quantile),
        ];
        for (name, loss, formula) in modules {
            let loss = std::sync::Arc::new(loss);
            let same = loss.clone();
            operations.push(Op::new(
                format!("weighted {name}, {reduction:?}"),
                &[any(ROWS, COLS), any(ROWS, COLS)],
                move |graph, v| {
                    let weights = graph.input(&Tensor::new(graph.device(), ROWS, 1, &WEIGHTS)?)?;
                    same.weighted(graph, v[0], v[1], weights)
                },
                move |x| Mat::scalar(weighted(x, formula) / weighted_divisor(reduction)),
            ));
            operations.push(Op::new(
                format!("{name}, {reduction:?}"),
                &[any(ROWS, COLS), any(ROWS, COLS)],
                move |graph, v| loss.forward(graph, v[0], v[1]),
                move |x| Mat::scalar(summed(x, formula) / divisor),
            ));
        }
        // Its mean is over the samples.
        let divisor = if reduction == Reduction::Mean { ROWS as f64 } else { divisor };
        for target_cols in [1, COLS] {
            let loss = CrossEntropy::new().reduction(reduction);
            let target = if target_cols == 1 { CLASSES.to_vec() } else { PROBABILITIES.to_vec() };
            operations.push(Op::new(
                format!("CrossEntropy of {target_cols} columns of targets, {reduction:?}"),
                &[any(ROWS, COLS)],
                move |graph, v| {
                    let target = Tensor::new(graph.device(), ROWS, target_cols, &target)?;
                    let target = graph.input(&target)?;
                    loss.forward(graph, v[0], target)
                },
                move |x| {
                    let number = |i: usize, j: usize| f64::from(u8::from(CLASSES[i] == j as f32));
                    let probability = |i: usize, j: usize| f64::from(PROBABILITIES[i * COLS + j]);
                    let t = |i, j| if target_cols == 1 { number(i, j) } else { probability(i, j) };
                    Mat::scalar(cross_entropy(&x[0], t) / divisor)
                },
            ));
        }
    }
    // With all options: class 0 is ignored, the others have weights.
    let class_weights = [7.0, 2.0, 0.5];
    let loss = CrossEntropy::new().label_smoothing(0.25).ignore_index(0).class_weights(class_weights);
    operations.push(Op::new(
        "CrossEntropy with all options",
        &[any(ROWS, COLS)],
        move |graph, v| {
            let target = graph.input(&Tensor::new(graph.device(), ROWS, 1, &CLASSES)?)?;
            let weights = graph.input(&Tensor::new(graph.device(), ROWS, 1, &WEIGHTS)?)?;
            loss.weighted(graph, v[0], target, weights)
        },
        move |x| {
            let of_class = class_weights.map(f64::from);
            let counts = |i: usize| if CLASSES[i] == 0.0 { 0.0 } else { f64::from(WEIGHTS[i]) };
            let hard = |i: usize, j: usize| f64::from(u8::from(CLASSES[i] == j as f32));
            let t = |i: usize, j: usize| counts(i) * of_class[j] * (0.75 * hard(i, j) + 0.25 / 3.0);
            let total: f64 = (0..ROWS).map(|i| counts(i) * of_class[CLASSES[i] as usize]).sum();
            Mat::scalar(cross_entropy(&x[0], t) / total)
        },
    ));
    // The same by hand, from operations that give the target a gradient, too.
    operations.push(Op::new(
        "cross-entropy by hand",
        &[any(ROWS, COLS), any(ROWS, COLS)],
        |graph, v| {
            let logs = graph.log_softmax(v[0])?;
            let products = graph.mul(logs, v[1])?;
            let sum = graph.sum(products)?;
            graph.mul_scalar(sum, -1.0)
        },
        |x| Mat::scalar(cross_entropy(&x[0], |i, j| x[1][(i, j)])),
    ));
    operations
}
