//! `shaders/softmax.wgsl`

use wgrad::ops::softmax;

use crate::case::Case;
use crate::common::{CPU, EPSILON, SHAPES, WGSL, exponents, signed};

/// Rows that each of 64 invocations goes through many times.
const LONG: [usize; 2] = [2, 100_003];

struct Rows {
    z: Vec<f32>,
    /// Of the reference.
    y: Vec<f32>,
    dy: Vec<f32>,
    /// How far values and gradients may lie apart.
    value: Vec<f64>,
    gradient: Vec<f64>,
}

fn rows(seed: u64, [rows, cols]: [usize; 2], log: bool) -> Rows {
    let mut z: Vec<f32> = signed(seed, rows * cols).iter().map(|z| 20.0 * z * z * z).collect();
    if seed % 3 == 1 {
        z = exponents(seed, rows * cols, 1e-38, 1e4);
    }
    let dy = signed(50 + seed, rows * cols);
    let (mut y, mut value, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
    for (z, dy) in z.chunks_exact(cols).zip(dy.chunks_exact(cols)) {
        let largest = z.iter().fold(f64::NEG_INFINITY, |largest, z| largest.max(f64::from(*z)));
        let sum: f64 = z.iter().map(|z| (f64::from(*z) - largest).exp()).sum();
        let logs: Vec<f64> = z.iter().map(|z| f64::from(*z) - largest - sum.ln()).collect();
        let exact: Vec<f64> = logs.iter().map(|l| if log { *l } else { l.exp() }).collect();
        let ((value1, gradient1), (value2, gradient2)) =
            (WGSL.softmax(log, z, &exact, dy), CPU.softmax(log, z, &exact, dy));
        y.extend(exact.iter().map(|y| *y as f32));
        value.extend(value1.iter().zip(&value2).map(|(a, b)| a + b));
        gradient.extend(gradient1.iter().zip(&gradient2).map(|(a, b)| a + b));
    }
    Rows { z, y, dy, value, gradient }
}

fn each(f: impl Fn(u64, [usize; 2], bool) -> Vec<Case>) -> Vec<Case> {
    let shapes = SHAPES.iter().chain([&LONG]).enumerate();
    shapes.flat_map(|(i, shape)| [false, true].map(|log| f(i as u64, *shape, log))).flatten().collect()
}

pub(crate) fn forward() -> Vec<Case> {
    each(|seed, shape, log| {
        let Rows { z, value, .. } = rows(seed, shape, log);
        let case = Case::new(format!("softmax {shape:?}, log {log}"), move |recording, inputs, outputs| {
            softmax::forward(recording, inputs[0], log, outputs[0])
        });
        vec![case.input(shape, z).close(shape, move |i, _| value[i])]
    })
}

pub(crate) fn backward() -> Vec<Case> {
    each(|seed, shape, log| {
        let case = |accumulate: bool| {
            let Rows { y, dy, gradient, .. } = rows(seed, shape, log);
            let before = accumulate.then(|| signed(99, dy.len()));
            let name = format!("softmax backward {shape:?}, log {log}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                softmax::backward(recording, [inputs[0], inputs[1]], log, outputs[0], accumulate)
            });
            let added = f64::from(accumulate);
            let case = case.input(shape, y).input(shape, dy);
            case.close(shape, move |i, value| gradient[i] + EPSILON * (value.abs() + added)).before(before)
        };
        vec![case(false), case(true)]
    })
}
