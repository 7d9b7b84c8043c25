//! `shaders/loss.wgsl`

use wgrad::ops::loss;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed, small_integers};

fn forward(shape: [usize; 2], p: Vec<f32>, t: Vec<f32>, scale: f32, tolerance: f64) -> Case {
    let case = Case::new(format!("mse {shape:?}, scale {scale}"), move |recording, inputs, outputs| {
        loss::mse_forward(recording, inputs[0], inputs[1], scale, outputs[0])
    });
    case.input(shape, p).input(shape, t).close([1, 1], move |_, _| tolerance)
}

pub(crate) fn mse_forward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain(&[[1021, 257]]).enumerate() {
        let len = shape[0] * shape[1];
        let (p, t) = (signed(i as u64, len), signed(50 + i as u64, len));
        let squares: f64 = p.iter().zip(&t).map(|(p, t)| f64::from(p - t).powi(2)).sum();
        let scale = 1.0 / len as f32;
        // Squares of rounded differences, added in chains no longer than a workgroup's 4,096 and the number of
        // workgroups, and scaled.
        let chain = len.min(4096) + len.div_ceil(4096) + 4;
        cases.push(forward(*shape, p, t, scale, chain as f64 * EPSILON * squares * f64::from(scale)));
        // Whole numbers, whose sums are exact.
        let (p, t) = (small_integers(i as u64, len, 2), small_integers(50 + i as u64, len, 2));
        cases.push(forward(*shape, p, t, 0.25, 0.0));
    }
    cases
}

pub(crate) fn mse_backward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        for accumulate in [false, true] {
            let len = shape[0] * shape[1];
            let (p, t) = (signed(i as u64, len), signed(50 + i as u64, len));
            let scale = if i % 3 == 0 { -0.5 } else { 1.0 / len as f32 };
            let (d_loss, before) = (-1.75, accumulate.then(|| signed(99, len)));
            let magnitudes: Vec<f64> = (0..len)
                .map(|i| {
                    let value = f64::from(d_loss * 2.0 * scale * (p[i] - t[i])).abs();
                    value + before.as_ref().map_or(0.0, |b| f64::from(b[i].abs()))
                })
                .collect();
            let name = format!("mse backward {shape:?}, scale {scale}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                let inputs = [inputs[0], inputs[1], inputs[2]];
                loss::mse_backward(recording, inputs, scale, outputs[0], accumulate)
            });
            let case = case.input(*shape, p).input(*shape, t).input([1, 1], vec![d_loss]);
            // Three products of a difference, and an addition.
            cases.push(case.close(*shape, move |i, _| 3.0 * EPSILON * magnitudes[i]).before(before));
        }
    }
    cases
}
