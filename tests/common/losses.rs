//! How far rows of softmax, cross-entropies and other losses may be off: the formulas of `softmax.wgsl`,
//! `cross_entropy.wgsl` and `loss.wgsl` with the accuracy of what they are made of.

use wgrad::ops::loss::Elementwise;

use super::accuracy::{Accuracy, ROUNDING, TINY};
use super::compare::EPSILON;

/// The errors of each exp(z - largest), of their sum (both relative), of the sum without the largest, and of log(sum).
struct Normaliser {
    exps: Vec<f64>,
    sum: f64,
    of_rest: f64,
    log: f64,
    largest: f64,
    rest: f64,
}

impl Normaliser {
    fn new(accuracy: &Accuracy, z: &[f32]) -> Self {
        let z: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let at = z.iter().position(|z| *z == largest).unwrap();
        let shifts: Vec<f64> = z.iter().map(|z| z - largest).collect();
        // The difference is rounded, and what is below the normal numbers may be 0.
        let exps: Vec<f64> = shifts.iter().map(|s| (accuracy.exp)(s.max(-200.0)) + ROUNDING * s.abs()).collect();
        let others = || shifts.iter().zip(&exps).enumerate().filter(|(j, _)| *j != at).map(|(_, pair)| pair);
        let rest: f64 = others().map(|(s, _)| s.exp()).sum();
        let of_terms: f64 = others().map(|(s, error)| s.exp() * error + TINY).sum();
        let of_rest = of_terms + z.len() as f64 * ROUNDING * rest;
        let sum = of_rest / (1.0 + rest) + ROUNDING;
        let value = rest.ln_1p();
        // A series, or the driver's logarithm.
        let of_log = if rest <= 0.999 { accuracy.ln_1p * value } else { (accuracy.log)(1.0 + rest, value) + EPSILON };
        Self { exps, sum, of_rest, log: of_rest / (1.0 + rest) + of_log, largest, rest }
    }
}

impl Accuracy {
    /// Of value and gradient of a row of softmax, or its logarithm, whose true value is y, for this upstream gradient.
    pub(crate) fn softmax(&self, log: bool, z: &[f32], y: &[f64], upstream: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let normaliser = Normaliser::new(self, z);
        let n = y.len() as f64;
        let dy: Vec<f64> = upstream.iter().map(|u| f64::from(*u)).collect();
        if log {
            let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let off = |j: usize| ROUNDING * (f64::from(z[j] - largest).abs() + y[j].abs()) + normaliser.log;
            let value: Vec<f64> = (0..y.len()).map(off).collect();
            let (sum, magnitude) = (dy.iter().sum::<f64>(), dy.iter().map(|d| d.abs()).sum::<f64>());
            // dy - exp(y) (sum of dy)
            let gradient = |j: usize| {
                let (p, off) = (y[j].exp(), (self.exp)(y[j]) + value[j]);
                let product = p * (off * sum.abs() + (n + 1.0) * ROUNDING * magnitude);
                product + TINY + ROUNDING * (dy[j].abs() + p * magnitude)
            };
            let gradients = (0..y.len()).map(gradient).collect();
            return (value, gradients);
        }
        let off = |j: usize| y[j] * (normaliser.exps[j] + normaliser.sum + self.divide) + 2.0 * TINY;
        let value: Vec<f64> = (0..y.len()).map(off).collect();
        let sum: f64 = dy.iter().zip(y).map(|(d, y)| d * y).sum();
        let magnitude: f64 = dy.iter().zip(y).map(|(d, y)| d.abs() * y).sum();
        let of_terms: f64 = dy.iter().zip(&value).map(|(d, off)| d.abs() * off).sum();
        let of_sum = of_terms + (n + 1.0) * ROUNDING * magnitude;
        // y (dy - sum of dy y)
        let gradient = |j: usize| {
            let difference = (dy[j] - sum).abs();
            value[j] * (difference + of_sum) + y[j] * (of_sum + EPSILON * (dy[j].abs() + sum.abs())) + TINY
        };
        let gradients = (0..y.len()).map(gradient).collect();
        (value, gradients)
    }

    /// Of a row's cross-entropy with the targets t, and of its gradient.
    pub(crate) fn cross_entropy(&self, z: &[f32], t: &[f64]) -> (f64, Vec<f64>) {
        let normaliser = Normaliser::new(self, z);
        let (total, terms) = (t.iter().sum::<f64>(), z.len() as f64);
        let (rest, sum) = (normaliser.rest, 1.0 + normaliser.rest);
        let shift = |j: usize| f64::from(z[j]) - normaliser.largest;
        // t (log_sum - (z - largest)), of which as many as there are classes are added up.
        let minus_log = |j: usize| rest.ln_1p() - shift(j);
        let off = |j: usize| normaliser.log + ROUNDING * shift(j).abs() + (terms + 2.0) * ROUNDING * minus_log(j);
        let value = (0..z.len()).map(|j| t[j] * off(j)).sum();
        // (e (total - t) - others t) / sum
        let gradient = |j: usize| {
            let e = shift(j).exp();
            let others = if shift(j) == 0.0 { rest } else { sum - e };
            let of_others =
                normaliser.of_rest + if shift(j) == 0.0 { 0.0 } else { e * normaliser.exps[j] + EPSILON * sum };
            let of_total = terms * ROUNDING * total + ROUNDING * (total - t[j]).abs();
            let first = e * (total - t[j]).abs();
            let error =
                first * normaliser.exps[j] + e * of_total + t[j] * of_others + EPSILON * (first + others * t[j]);
            let magnitude = (first + others * t[j]) / sum;
            error / sum + magnitude * (self.divide + normaliser.sum + EPSILON) + TINY
        };
        (value, (0..z.len()).map(gradient).collect())
    }

    /// Of the error of a prediction p with its target t, and of its derivative.
    pub(crate) fn loss(&self, error: Elementwise, p: f64, t: f64) -> (f64, f64) {
        let e = (p - t).abs();
        match error {
            // p (1 - t) or -p t, and log(1 + exp(-|p|)); sigmoid(p) (1 - t) - sigmoid(-p) t
            Elementwise::BceWithLogits => {
                let linear = if p > 0.0 { p * (1.0 - t) } else { -p * t }.abs();
                let (s, rest) = (1.0 / (1.0 + (-p).exp()), 1.0 / (1.0 + p.exp()));
                let (of_s, of_rest) = (self.sigmoid(p, s), self.sigmoid(-p, rest));
                let derivative = of_s * (1.0 - t).abs() + of_rest * t.abs();
                (
                    self.softplus(p) + EPSILON * (2.0 * linear + (-p.abs()).exp().ln_1p()) + TINY,
                    derivative + 2.0 * EPSILON * (s * (1.0 - t).abs() + rest * t.abs()) + TINY,
                )
            }
            // The difference is rounded, then a product or two.
            _ => (2.0 * EPSILON * (e * e + e), EPSILON * 2.0 * e),
        }
    }
}
