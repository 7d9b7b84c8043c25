//! `shaders/cross_entropy.wgsl`

use rand::RngExt;
use wgrad::ops::cross_entropy;

use crate::case::Case;
use crate::common::{CPU, EPSILON, WGSL, exponents, rng, signed};

/// Around the workgroups of 64 and 256 rows; as many classes as it takes, where an invocation goes five times through
/// a row; logits up to 20 apart.
const SHAPES: &[[usize; 2]] =
    &[[1, 2], [2, 3], [63, 5], [64, 2], [65, 7], [255, 3], [256, 10], [257, 2], [1000, 4], [4099, 3], [3, 13_000]];

/// Logits, targets (class numbers or probabilities) and how far loss and gradient may be off, without the scale.
struct Rows {
    logits: Vec<f32>,
    target: Vec<f32>,
    target_cols: usize,
    loss: f64,
    gradient: Vec<f64>,
}

fn rows(seed: u64, [rows, classes]: [usize; 2], numbers: bool) -> Rows {
    let mut random = rng(seed);
    let mut logits: Vec<f32> = signed(seed, rows * classes).iter().map(|z| 10.0 * z * z * z).collect();
    if seed % 3 == 1 {
        logits = exponents(seed, rows * classes, 1e-38, 1e4);
    }
    let target: Vec<f32> = if numbers {
        (0..rows).map(|_| random.random_range(0..classes) as f32).collect()
    } else {
        // They need not sum to 1; every third is 0.
        let value = |i: usize| if i.is_multiple_of(3) { 0.0 } else { random.random::<f32>() / classes as f32 };
        (0..rows * classes).map(value).collect()
    };
    let target_cols = if numbers { 1 } else { classes };
    let (mut loss, mut magnitude, mut gradient) = (0.0, 0.0, Vec::new());
    for (z, t) in logits.chunks_exact(classes).zip(target.chunks_exact(target_cols)) {
        let t: Vec<f64> = match t {
            [class] if numbers => (0..classes).map(|j| f64::from(u8::from(j as f32 == *class))).collect(),
            probabilities => probabilities.iter().map(|t| f64::from(*t)).collect(),
        };
        let ((loss1, gradient1), (loss2, gradient2)) = (WGSL.cross_entropy(z, &t), CPU.cross_entropy(z, &t));
        loss += loss1 + loss2;
        gradient.extend(gradient1.iter().zip(&gradient2).map(|(a, b)| a + b));
        let largest = z.iter().fold(f64::NEG_INFINITY, |largest, z| largest.max(f64::from(*z)));
        let log_sum = largest + z.iter().map(|z| (f64::from(*z) - largest).exp()).sum::<f64>().ln();
        magnitude += z.iter().zip(&t).map(|(z, t)| t * (log_sum - f64::from(*z)).abs()).sum::<f64>();
    }
    // Rows are added in chains no longer than a workgroup's 256 and the number of workgroups.
    loss += (rows.min(256) + rows.div_ceil(256) + 2) as f64 * EPSILON * magnitude;
    Rows { logits, target, target_cols, loss, gradient }
}

/// Each shape with class numbers and with probabilities.
fn each(f: impl Fn(String, u64, [usize; 2], bool) -> Vec<Case>) -> Vec<Case> {
    let shapes = SHAPES.iter().enumerate().flat_map(|(i, shape)| [(i, shape, true), (i, shape, false)]);
    shapes
        .flat_map(|(i, shape, numbers)| f(format!("{shape:?}, numbers {numbers}"), i as u64, *shape, numbers))
        .collect()
}

pub(crate) fn forward() -> Vec<Case> {
    each(|name, seed, shape, numbers| {
        let Rows { logits, target, target_cols, loss, .. } = rows(seed, shape, numbers);
        let scale = -0.25f32;
        let case = Case::new(format!("cross-entropy {name}"), move |recording, inputs, outputs| {
            cross_entropy::forward(recording, [inputs[0], inputs[1]], scale, outputs[0])
        });
        let case = case.input(shape, logits).input([shape[0], target_cols], target);
        // A history of one sum a step; what no step has written yet stays.
        let slots = if shape[0] <= 256 { 3 } else { 1 };
        let case = case.close([1, slots], move |_, _| loss * f64::from(scale.abs())).steps(0..2);
        vec![case.before(Some(vec![8.0; slots]))]
    })
}

pub(crate) fn backward() -> Vec<Case> {
    each(|name, seed, shape, numbers| {
        let case = |accumulate: bool| {
            let Rows { logits, target, target_cols, gradient, .. } = rows(seed, shape, numbers);
            let (scale, d_loss) = (0.3, -1.75f32);
            let before = accumulate.then(|| signed(99, logits.len()));
            let name = format!("cross-entropy backward {name}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                let inputs = [inputs[0], inputs[1], inputs[2]];
                cross_entropy::backward(recording, inputs, scale, outputs[0], accumulate)
            });
            let case = case.input(shape, logits).input([shape[0], target_cols], target).input([1, 1], vec![d_loss]);
            // Scaled by a product, and added to numbers up to 1.
            let tolerance = move |i: usize, value: f64| {
                gradient[i] * f64::from(scale * d_loss).abs() + 2.0 * EPSILON * (value.abs() + f64::from(accumulate))
            };
            case.close(shape, tolerance).before(before)
        };
        vec![case(false), case(true)]
    })
}

pub(crate) fn both() -> Vec<Case> {
    each(|name, seed, shape, numbers| {
        let Rows { logits, target, target_cols, loss, gradient } = rows(seed, shape, numbers);
        let (scale, d_loss) = (0.3f32, -1.75f32);
        let case = Case::new(format!("cross-entropy and its gradient {name}"), move |recording, inputs, outputs| {
            let inputs = [inputs[0], inputs[1], inputs[2]];
            cross_entropy::both(recording, inputs, scale, [outputs[0], outputs[1]])
        });
        let case = case.input(shape, logits).input([shape[0], target_cols], target).input([1, 1], vec![d_loss]);
        let slots = if shape[0] <= 256 { 3 } else { 1 };
        let case = case.close([1, slots], move |_, _| loss * f64::from(scale)).before(Some(vec![8.0; slots]));
        let tolerance =
            move |i: usize, value: f64| gradient[i] * f64::from(scale * d_loss).abs() + 2.0 * EPSILON * value.abs();
        vec![case.close(shape, tolerance).steps(0..2)]
    })
}
