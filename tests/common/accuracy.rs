//! How far computed functions may be off: from the accuracy that WGSL's specification asks of its built-in functions
//! ("Accuracy of Concrete Floating Point Expressions"), or that of the CPU path's functions, carried through
//! the formulas of `shaders/activation.wgsl` and `src/ops/activation.rs`.

use wgrad::ops::{Activation, activation};
use wgrad::{Device, Recording, Tensor};

use super::compare::EPSILON;

/// The error of one rounding, relative to its result.
pub(crate) const ROUNDING: f64 = EPSILON / 2.0;
/// The smallest normal number: WGSL lets what is smaller become 0.
pub(crate) const TINY: f64 = f32::MIN_POSITIVE as f64;

/// The errors of the functions that everything else is made of.
#[derive(Clone, Copy)]
pub(crate) struct Accuracy {
    /// Of exp(x), relative to it.
    pub(crate) exp: fn(f64) -> f64,
    /// Of tanh with the value t.
    pub(crate) tanh: fn(f64) -> f64,
    /// Of log(x) with the value y.
    pub(crate) log: fn(f64, f64) -> f64,
    /// Of x to the power a, relative to it.
    pub(crate) pow: fn(f64, f64) -> f64,
    /// Of a quotient, relative to it.
    pub(crate) divide: f64,
}

/// The CPU path's own functions (`src/ops/elementary.rs`) and the standard library's. Arithmetic is rounded right.
pub(crate) const CPU: Accuracy = Accuracy {
    exp: |_| EPSILON,
    tanh: |t| 3.0 * EPSILON * t.abs(),
    log: |_, y| EPSILON * y.abs(),
    pow: |_, _| EPSILON,
    divide: ROUNDING,
};

/// WGSL's.
pub(crate) const WGSL: Accuracy = Accuracy {
    exp: |x| (3.0 + 2.0 * x.abs()) * EPSILON,
    tanh: |_| 1e-5,
    log: wgsl_log,
    // exp2(a log2(x)).
    pow: |x, a| {
        let exponent = a * x.abs().log2();
        let off = a.abs() * wgsl_log(x.abs(), x.abs().log2()) + ROUNDING * exponent.abs();
        (3.0 + 2.0 * exponent.abs()) * EPSILON + std::f64::consts::LN_2 * off
    },
    divide: 2.5 * EPSILON,
};

fn wgsl_log(x: f64, y: f64) -> f64 {
    if (0.5..=2.0).contains(&x) { 2f64.powi(-21) } else { 3.0 * EPSILON * y.abs() }
}

impl Accuracy {
    /// That of a device.
    pub(crate) fn of(device: &Device) -> Self {
        if device.describe().kind == wgrad::DeviceKind::Cpu { CPU } else { WGSL }
    }

    /// Of `activation(x)`, whose true value is `y`.
    pub(crate) fn value(&self, activation: Activation, x: f64, y: f64) -> f64 {
        match activation {
            Activation::Identity | Activation::ReLU => 0.0,
            Activation::Tanh => (self.tanh)(y),
            Activation::Sigmoid => self.sigmoid(x, y),
            Activation::LeakyReLU { .. } => ROUNDING * y.abs(),
            Activation::ELU { .. } if x > 0.0 => 0.0,
            // exp(x) - 1, which the CPU takes in one.
            Activation::ELU { alpha } => f64::from(alpha) * ((self.exp)(x) * x.exp() + TINY) + EPSILON * y.abs(),
            Activation::GELU => x.abs() * self.normal_cdf(x) + ROUNDING * y.abs(),
            Activation::GELUTanh => {
                let (t, off) = self.gelu_tanh(x);
                0.5 * x.abs() * (off + ROUNDING * (1.0 + t)) + ROUNDING * y.abs()
            }
            Activation::SiLU => x.abs() * self.sigmoid(x, y / x) + ROUNDING * y.abs(),
            Activation::Softplus => self.softplus(x) + ROUNDING * y.abs(),
            Activation::Exp => (self.exp)(x) * y + TINY,
            Activation::Log => (self.log)(x, y),
            Activation::Pow { exponent } => (self.pow)(x, exponent.into()) * y.abs() + TINY,
            Activation::Affine { scale, .. } => ROUNDING * ((f64::from(scale) * x).abs() + y.abs()),
            other => panic!("no bound for {other:?}"),
        }
    }

    /// Of the derivative at x, whose true value is `d`, computed from the device's own value near `y`.
    pub(crate) fn derivative(&self, activation: Activation, x: f64, y: f64, d: f64) -> f64 {
        let off = self.value(activation, x, y);
        match activation {
            Activation::Identity | Activation::ReLU | Activation::LeakyReLU { .. } | Activation::Affine { .. } => 0.0,
            // 1 - y y
            Activation::Tanh => 2.0 * y.abs() * off + off * off + ROUNDING * (y * y + d),
            // y (1 - y)
            Activation::Sigmoid => (1.0 - 2.0 * y).abs() * off + off * off + EPSILON * d + TINY,
            Activation::ELU { .. } if x > 0.0 => 0.0,
            // y + alpha
            Activation::ELU { .. } => off + ROUNDING * d,
            Activation::GELU => {
                let density = x.abs() * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
                let rounded = 3.0 * EPSILON * (1.0 + 0.5 * x * x) + (self.exp)(0.5 * x * x);
                self.normal_cdf(x) + density * rounded + ROUNDING * d.abs() + x.abs() * TINY
            }
            // (1 + t) / 2 + x / 2 (1 - t t) √(2/π) (1 + 0.134145 x x), with 1 - t t = 4 e / (1 + e)²
            Activation::GELUTanh => {
                let (t, off) = self.gelu_tanh(x);
                let slope = 0.5 * x.abs() * 0.8 * (1.0 + 0.134145 * x * x);
                let angle = gelu_angle(x).abs();
                let of_e = 8.0 * EPSILON * angle + (self.exp)(2.0 * angle);
                let of_square = 2.0 * of_e + self.divide + 2.0 * EPSILON;
                let second = slope * ((1.0 - t * t) * (of_square + 4.0 * EPSILON) + 4.0 * TINY);
                0.5 * (off + ROUNDING * (1.0 + t)) + second + ROUNDING * d.abs()
            }
            // s (1 + x (1 - s))
            Activation::SiLU => {
                let s = 1.0 / (1.0 + (-x).exp());
                let (factor, off) = (1.0 + x.abs() * (1.0 - s), self.sigmoid(x, s));
                off * (factor + s * x.abs()) + 2.0 * EPSILON * s * factor
            }
            Activation::Softplus => self.sigmoid(x, d),
            Activation::Exp => off,
            Activation::Log => self.divide * d.abs(),
            Activation::Pow { exponent } => {
                ((self.pow)(x, f64::from(exponent) - 1.0) + EPSILON) * d.abs() + exponent.abs() as f64 * TINY
            }
            other => panic!("no bound for {other:?}"),
        }
    }

    /// Of 1 / (1 + exp(-x)), which is s; exp only sees -|x|.
    pub(crate) fn sigmoid(&self, x: f64, s: f64) -> f64 {
        let e = (-x.abs()).exp();
        let of_e = (self.exp)(x);
        let numerator = if x >= 0.0 { 0.0 } else { of_e };
        let s = if s.is_finite() { s } else { 0.5 };
        s * (numerator + e * of_e + ROUNDING + self.divide) + 2.0 * TINY
    }

    /// Of log(1 + exp(-|x|)), which the CPU takes in one, added to max(x, 0).
    pub(crate) fn softplus(&self, x: f64) -> f64 {
        let e = (-x.abs()).exp();
        (self.exp)(x) * e + ROUNDING * (1.0 + e) + (self.log)(1.0 + e, e.ln_1p()) + TINY
    }

    /// Of the normal distribution function by Abramowitz & Stegun 7.1.26, whose erf is off by up to 1.5e-7.
    fn normal_cdf(&self, x: f64) -> f64 {
        let z = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.3275911 * z);
        let coefficients = [0.254829592, 0.284496736, 1.421413741, 1.453152027, 1.061405429];
        let magnitude: f64 = (1..).zip(coefficients).map(|(power, c)| c * t.powi(power)).sum();
        // Horner's rule: ten roundings and those of the coefficients; t itself counts up to five times.
        let polynomial = magnitude * (11.0 * ROUNDING + 5.0 * (EPSILON + self.divide));
        let exp = (self.exp)(z * z) + 2.5 * EPSILON * z * z + EPSILON;
        0.75e-7 + 0.5 * (-z * z).exp() * (polynomial + exp) + ROUNDING
    }

    /// tanh of GELU's angle, and its error.
    fn gelu_tanh(&self, x: f64) -> (f64, f64) {
        let t = gelu_angle(x).tanh();
        (t, (1.0 - t * t) * 4.0 * EPSILON * gelu_angle(x).abs() + (self.tanh)(t))
    }
}

fn gelu_angle(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// The largest error of a device's function over [-8, 8], measured: drivers do better than WGSL demands.
fn measured(device: &Device, activation: Activation, exact: impl Fn(f64) -> f64) -> f64 {
    const SAMPLES: i32 = 4096;
    let x: Vec<f32> = (-SAMPLES..=SAMPLES).map(|i| i as f32 * (8.0 / SAMPLES as f32)).collect();
    let [x_tensor, y] = [&x, &vec![f32::NAN; x.len()]].map(|v| Tensor::new(device, 1, v.len(), v).unwrap());
    let mut recording = Recording::new(device);
    activation::forward(&mut recording, activation, &x_tensor, &y).unwrap();
    recording.run().unwrap();
    let errors = y.read().unwrap().into_iter().zip(&x).map(|(y, x)| (f64::from(y) - exact(f64::from(*x))).abs());
    errors.fold(0.0, |largest, error| if error > largest || error.is_nan() { error } else { largest })
}

/// How far tanh is off on this device, at most; fails beyond what WGSL lets it.
pub(crate) fn tanh_error(device: &Device) -> f64 {
    let error = measured(device, Activation::Tanh, f64::tanh);
    assert!(error <= 1e-5, "tanh is off by {error:e}");
    error
}

/// How far the sigmoid is off on this device, at most.
pub(crate) fn sigmoid_error(device: &Device) -> f64 {
    let error = measured(device, Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
    assert!(error <= WGSL.sigmoid(8.0, 1.0), "the sigmoid is off by {error:e}");
    error
}
