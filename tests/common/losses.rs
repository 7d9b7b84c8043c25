//! How far rows of softmax, cross-entropies and other losses may be off: the formulas of `softmax.wgsl`,
//! `cross_entropy.wgsl` and `loss.wgsl` with the accuracy of what they are made of.

use wgrad::ops::loss::Elementwise;

use super::accuracy::{Accuracy, ROUNDING, TINY};
use super::compare::EPSILON;

/// The errors of each exp(z - largest), of their sum (both relative), and of its logarithm.
struct Normaliser {
    exps: Vec<f64>,
    sum: f64,
    log: f64,
    /// log(sum of exp(z)) itself.
    value: f64,
}

impl Normaliser {
    fn new(accuracy: &Accuracy, z: &[f32]) -> Self {
        let z: Vec<f64> = z.iter().map(|z| f64::from(*z)).collect();
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shifts: Vec<f64> = z.iter().map(|z| z - largest).collect();
        let sum: f64 = shifts.iter().map(|s| s.exp()).sum();
        // The difference is rounded, and what is below the normal numbers may be 0.
        let exps: Vec<f64> = shifts.iter().map(|s| (accuracy.exp)(*s) + ROUNDING * s.abs()).collect();
        let of_terms: f64 = shifts.iter().zip(&exps).map(|(s, error)| s.exp() * error + TINY).sum();
        let of_sum = of_terms / sum + z.len() as f64 * ROUNDING;
        let log = of_sum + (accuracy.log)(sum, sum.ln()) + ROUNDING * sum.ln().abs();
        Self { exps, sum: of_sum, log, value: largest + sum.ln() }
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
        let off = normaliser.log + ROUNDING * normaliser.value.abs();
        let (total, terms) = (t.iter().sum::<f64>(), z.len() as f64);
        // t (log_sum - z), of which as many as there are classes are added up.
        let minus_log = |j: usize| (normaliser.value - f64::from(z[j])).abs();
        let value = (0..z.len()).map(|j| t[j] * (off + (terms + 2.0) * ROUNDING * minus_log(j))).sum();
        // exp(z - log_sum) (sum of t) - t
        let gradient = |j: usize| {
            let softmax = (-minus_log(j)).exp();
            let relative = (self.exp)(minus_log(j)) + off + ROUNDING * minus_log(j);
            softmax * total * (relative + terms * ROUNDING) + TINY + EPSILON * (softmax * total + t[j])
        };
        (value, (0..z.len()).map(gradient).collect())
    }

    /// Of the error of a prediction p with its target t, and of its derivative.
    pub(crate) fn loss(&self, error: Elementwise, p: f64, t: f64) -> (f64, f64) {
        let e = (p - t).abs();
        match error {
            // max(p, 0) - p t + log(1 + exp(-|p|)); sigmoid(p) - t
            Elementwise::BceWithLogits => {
                let s = 1.0 / (1.0 + (-p).exp());
                let value = self.softplus(p) + EPSILON * (p.abs() + (p * t).abs() + 1.0);
                (value, self.sigmoid(p, s) + ROUNDING * (s + t.abs()))
            }
            // The difference is rounded, then a product or two.
            _ => (2.0 * EPSILON * (e * e + e), EPSILON * 2.0 * e),
        }
    }
}
