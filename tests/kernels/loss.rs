//! `shaders/loss.wgsl`

use wgrad::ops::loss::Elementwise::{self, Absolute, BceWithLogits, Huber, Quantile, Squared};
use wgrad::ops::{Activation, loss};

use crate::activation::{EPILOGUES, MANY_GROUPS, derivative_error, slope};
use crate::case::Case;
use crate::common::{CPU, EPSILON, SHAPES, TINY, WGSL, exponents, signed, small_integers};

const ERRORS: [Elementwise; 5] = [Squared, Absolute, Huber { delta: 0.5 }, BceWithLogits, Quantile { quantile: 0.75 }];

/// Signed predictions, of all exponents every third time; targets from 0 to 1 for a cross-entropy.
fn data(error: Elementwise, seed: u64, len: usize) -> (Vec<f32>, Vec<f32>) {
    let mut targets = signed(50 + seed, len);
    if error == BceWithLogits {
        targets.iter_mut().for_each(|t| *t = t.abs());
    }
    if seed % 3 == 1 {
        // Squares of larger ones, of which there are ten thousand, do not fit f32.
        return (exponents(seed, len, 1e-38, 1e15), targets);
    }
    let mut predictions: Vec<f32> = signed(seed, len).iter().map(|p| 2.0 * p).collect();
    // Some are right.
    predictions.iter_mut().zip(&targets).skip(3).step_by(7).for_each(|(p, t)| *p = *t);
    (predictions, targets)
}

/// How far the GPU's error and derivative and the reference's may lie apart, for each element.
fn errors(error: Elementwise, p: &[f32], t: &[f32]) -> Vec<(f64, f64)> {
    let pair = |(p, t): (&f32, &f32)| {
        let (p, t) = (f64::from(*p), f64::from(*t));
        let ((v1, d1), (v2, d2)) = (WGSL.loss(error, p, t), CPU.loss(error, p, t));
        (v1 + v2, d1 + d2)
    };
    p.iter().zip(t).map(pair).collect()
}

/// How far sums of all errors may lie apart: added in chains no longer than a workgroup's 4,096 and the number of
/// workgroups, and scaled.
fn sum_error(error: Elementwise, p: &[f32], t: &[f32], scale: f32) -> f64 {
    let total: f64 = p.iter().zip(t).map(|(p, t)| f64::from(error.error(*p, *t)).abs()).sum();
    let chain = p.len().min(4096) + p.len().div_ceil(4096) + 4;
    let each: f64 = errors(error, p, t).iter().map(|e| e.0).sum();
    (each + chain as f64 * EPSILON * total) * f64::from(scale.abs()) + chain as f64 * TINY
}

fn forward_case(error: Elementwise, shape: [usize; 2], p: Vec<f32>, t: Vec<f32>, scale: f32, tolerance: f64) -> Case {
    let case = Case::new(format!("{error:?} {shape:?}, scale {scale}"), move |recording, inputs, outputs| {
        loss::forward(recording, error, [inputs[0], inputs[1]], scale, outputs[0])
    });
    // A history of one sum a step; what no step has written yet stays.
    let slots = if p.len() <= 4096 { 3 } else { 1 };
    let case = case.input(shape, p).input(shape, t).steps(0..2);
    case.close([1, slots], move |_, _| tolerance).before(Some(vec![8.0; slots]))
}

pub(crate) fn forward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain(&[[1021, 257]]).enumerate() {
        let len = shape[0] * shape[1];
        for error in ERRORS {
            let ((p, t), scale) = (data(error, i as u64, len), 1.0 / len as f32);
            let tolerance = sum_error(error, &p, &t, scale);
            cases.push(forward_case(error, *shape, p, t, scale, tolerance));
        }
        // Whole numbers, whose sums are exact.
        let (p, t) = (small_integers(i as u64, len, 2), small_integers(50 + i as u64, len, 2));
        let error = [Squared, Absolute, Huber { delta: 0.5 }, Quantile { quantile: 0.75 }][i % 4];
        cases.push(forward_case(error, *shape, p, t, 0.25, 0.0));
    }
    cases
}

pub(crate) fn backward() -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [(false, false), (false, true), (true, false), (true, true)];
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        for (error, (by_target, accumulate)) in ERRORS.into_iter().flat_map(|e| modes.map(|mode| (e, mode))) {
            let len = shape[0] * shape[1];
            if len > 100_000 && (error != Squared || by_target) {
                continue;
            }
            let (p, t) = data(error, i as u64, len);
            let scale = if i % 3 == 0 { -0.5 } else { 1.0 / len as f32 };
            let (d_loss, before) = (-1.75, accumulate.then(|| signed(99, len)));
            let off = errors(error, &p, &t);
            let factor = f64::from(d_loss * scale).abs();
            // Two products more, and an addition. The gradient by a logit's target is the logit.
            let tolerances: Vec<f64> = (0..len)
                .map(|i| {
                    let slope = f64::from(error.derivative(p[i], t[i]).abs().max(p[i].abs()));
                    let added = before.as_ref().map_or(0.0, |b| f64::from(b[i].abs()));
                    factor * (off[i].1 + 3.0 * EPSILON * slope) + EPSILON * added + TINY
                })
                .collect();
            let name = format!("{error:?} backward {shape:?}, by target {by_target}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                let inputs = [inputs[0], inputs[1], inputs[2]];
                loss::backward(recording, (error, by_target), inputs, scale, outputs[0], accumulate)
            });
            let case = case.input(*shape, p).input(*shape, t).input([1, 1], vec![d_loss]);
            cases.push(case.close(*shape, move |i, _| tolerances[i]).before(before));
        }
    }
    cases
}

/// Loss, its history and its gradient in one dispatch, which may carry on through the activation before the loss.
pub(crate) fn both() -> Vec<Case> {
    let mut cases = Vec::new();
    // The last takes two workgroups.
    for (i, shape) in SHAPES.iter().chain(&[[1030, 4]]).enumerate() {
        let len = shape[0] * shape[1];
        let (error, function) = (ERRORS[i % 5], EPILOGUES[i % EPILOGUES.len()]);
        let through = i % 3 > 0 && function != Activation::Identity;
        let x: Vec<f32> = signed(i as u64, len).iter().map(|x| 2.0 * x).collect();
        let p: Vec<f32> = x.iter().map(|x| if through { function.apply(*x) } else { *x }).collect();
        let t = data(error, i as u64, len).1;
        let (scale, d_loss) = (0.5, -1.75f32);
        let off = errors(error, &p, &t);
        let tolerances: Vec<f64> = (0..len)
            .map(|i| {
                let steep = f64::from(error.derivative(p[i], t[i]).abs());
                let (onward, of_onward) = match through {
                    true => (slope(function, x[i], p[i]).abs(), derivative_error(function, x[i], p[i])),
                    false => (1.0, 0.0),
                };
                let slope_error = off[i].1 + 4.0 * EPSILON * steep;
                f64::from(d_loss * scale).abs() * (slope_error * (onward + of_onward) + steep * of_onward)
            })
            .collect();
        let (sum, slots) = (sum_error(error, &p, &t, scale), if len <= 4096 { 3 } else { 1 });
        let name = format!("{error:?} and its gradient {shape:?}, through {:?}", through.then_some(function));
        let case = Case::new(name, move |recording, inputs, outputs| {
            let [x, p, t, d_loss] = [inputs[0], inputs[1], inputs[2], inputs[3]];
            let through = through.then_some((function, if function.derivative_needs_input() { x } else { p }));
            loss::both(recording, error, [p, t, d_loss], scale, through, [outputs[0], outputs[1]])
        });
        let case = case.input(*shape, x).input(*shape, p).input(*shape, t).input([1, 1], vec![d_loss]);
        // A history of one sum a step; what no step has written yet stays.
        let case = case.close([1, slots], move |_, _| sum).before(Some(vec![8.0; slots])).steps(0..2);
        cases.push(case.close(*shape, move |i, _| tolerances[i]));
    }
    cases
}
