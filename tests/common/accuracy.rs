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

/// What a GPU may take a number for: WGSL lets it flush subnormal ones to zero ("Differences from IEEE-754"), as SwiftShader
/// does.
pub(crate) fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

/// The errors of the functions that everything else is made of.
#[derive(Clone, Copy)]
pub(crate) struct Accuracy {
    /// Of exp(x), relative to it.
    pub(crate) exp: fn(f64) -> f64,
    /// Of tanh(x) with the value t.
    pub(crate) tanh: fn(f64, f64) -> f64,
    /// Of exp(x) - 1, for x <= 0.
    pub(crate) exp_m1: fn(f64) -> f64,
    /// Of log(1 + e), relative to it, for e from 0 to 1.
    pub(crate) ln_1p: f64,
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
    tanh: |_, t| 3.0 * EPSILON * t.abs() + TINY,
    exp_m1: |x| 2.0 * EPSILON * x.exp_m1().abs() + TINY,
    ln_1p: 3.0 * EPSILON,
    log: |_, y| EPSILON * y.abs(),
    pow: |_, _| EPSILON,
    divide: ROUNDING,
};

/// WGSL's.
pub(crate) const WGSL: Accuracy = Accuracy {
    exp: |x| (3.0 + 2.0 * x.abs()) * EPSILON,
    // A polynomial; then 1 - 2 e / (1 + e) with e = exp(-2 |x|).
    tanh: |x, t| match x.abs() {
        near if near < 0.625 => 4.0 * EPSILON * t.abs() + TINY,
        far => (1.0 - t.abs()) * ((3.0 + 4.0 * far) + 5.0) * EPSILON + ROUNDING + TINY,
    },
    // A polynomial; then exp(x) - 1.
    exp_m1: |x| match x {
        near if near > -0.5 => 4.0 * EPSILON * near.exp_m1().abs() + TINY,
        far => (3.0 + 2.0 * far.abs()) * EPSILON * far.exp() + ROUNDING,
    },
    // A polynomial of a quotient.
    ln_1p: 7.0 * EPSILON,
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
            Activation::Tanh => (self.tanh)(x, y),
            Activation::Sigmoid => self.sigmoid(x, y),
            Activation::LeakyReLU { .. } => ROUNDING * y.abs() + TINY,
            Activation::ELU { .. } if x > 0.0 => 0.0,
            Activation::ELU { alpha } => f64::from(alpha).abs() * (self.exp_m1)(x) + ROUNDING * y.abs() + TINY,
            Activation::GELU => x.abs() * self.normal_cdf(x) + ROUNDING * y.abs() + TINY,
            // x sigmoid(2 u)
            Activation::GELUTanh => x.abs() * self.gelu_sigmoid(x).1 + ROUNDING * y.abs() + TINY,
            Activation::SiLU => x.abs() * self.sigmoid(x, 1.0 / (1.0 + (-x).exp())) + ROUNDING * y.abs() + TINY,
            Activation::Softplus => self.softplus(x) + ROUNDING * y.abs() + TINY,
            Activation::Exp => (self.exp)(x) * y + TINY,
            Activation::Log => (self.log)(x, y),
            Activation::Pow { exponent } => (self.pow)(x, exponent.into()) * y.abs() + TINY,
            Activation::Affine { scale, .. } => ROUNDING * ((f64::from(scale) * x).abs() + y.abs()),
            other => panic!("no bound for {other:?}"),
        }
    }

    /// Of the derivative at x, whose true value is `d`, computed from x, or from the device's own value near `y`.
    pub(crate) fn derivative(&self, activation: Activation, x: f64, y: f64, d: f64) -> f64 {
        if activation.derivative_needs_input() {
            return self.derivative_at(activation, x, d);
        }
        let off = self.value(activation, x, y);
        let of_value = match activation {
            Activation::Tanh => 2.0 * y.abs() * off + off * off,
            Activation::Sigmoid => (1.0 - 2.0 * y).abs() * off + off * off,
            Activation::Exp => off,
            _ => 0.0,
        };
        of_value + self.derivative_at(activation, y, d)
    }

    /// Of the derivative with the true value `d`, computed from exactly this number.
    pub(crate) fn derivative_at(&self, activation: Activation, at: f64, d: f64) -> f64 {
        match activation {
            Activation::Identity | Activation::ReLU | Activation::LeakyReLU { .. } | Activation::Affine { .. } => 0.0,
            Activation::Exp => 0.0,
            // (1 - y) (1 + y), y (1 - y)
            Activation::Tanh | Activation::Sigmoid => 2.0 * EPSILON * d.abs() + TINY,
            Activation::ELU { .. } if at > 0.0 => 0.0,
            // alpha exp(x)
            Activation::ELU { .. } => ((self.exp)(at) + ROUNDING) * d.abs() + TINY,
            Activation::GELU => {
                let density = at.abs() * (-0.5 * at * at).exp() / std::f64::consts::TAU.sqrt();
                let rounded = 3.0 * EPSILON * (1.0 + 0.5 * at * at) + (self.exp)(0.5 * at * at);
                self.normal_cdf(at) + density * rounded + ROUNDING * d.abs() + (1.0 + at.abs()).min(20.0) * TINY
            }
            // s + x s (1 - s) (2 u)', with s (1 - s) = e / (1 + e)²
            Activation::GELUTanh => {
                let x = at.clamp(-20.0, 20.0);
                let angle = 2.0 * gelu_angle(x).abs();
                let e = (-angle).exp();
                let slope = x.abs() * 1.596 * (1.0 + 0.134145 * x * x);
                let of_product = 4.0 * EPSILON * angle + (self.exp)(angle) + self.divide + 4.0 * EPSILON;
                let second = slope * (e / ((1.0 + e) * (1.0 + e)) * (of_product + 4.0 * EPSILON) + TINY);
                self.gelu_sigmoid(x).1 + second + ROUNDING * d.abs() + TINY
            }
            // s (1 + x (1 - s))
            Activation::SiLU => {
                let (s, rest) = (1.0 / (1.0 + (-at).exp()), 1.0 / (1.0 + at.exp()));
                let off = self.sigmoid(at, s) * (1.0 + at * rest).abs() + s * at.abs() * self.sigmoid(-at, rest);
                off + 2.0 * EPSILON * s * (1.0 + at.abs() * rest) + TINY
            }
            Activation::Softplus => self.sigmoid(at, d),
            Activation::Log => self.divide * d.abs() + TINY,
            Activation::Pow { exponent } => {
                ((self.pow)(at, f64::from(exponent) - 1.0) + EPSILON) * d.abs() + exponent.abs() as f64 * TINY
            }
            other => panic!("no bound for {other:?}"),
        }
    }

    /// Of 1 / (1 + exp(-x)), which is s; exp only sees -|x|.
    pub(crate) fn sigmoid(&self, x: f64, s: f64) -> f64 {
        let e = (-x.abs()).exp();
        // From there on it is 0 in f32.
        let of_e = (self.exp)(x.abs().min(200.0));
        let numerator = if x >= 0.0 { 0.0 } else { of_e };
        let s = if s.is_finite() { s } else { 0.5 };
        s * (numerator + e * of_e + ROUNDING + self.divide) + 2.0 * TINY
    }

    /// Of log(1 + exp(-|x|)).
    pub(crate) fn softplus(&self, x: f64) -> f64 {
        let log = (-x.abs()).exp().ln_1p();
        log * ((self.exp)(x.abs().min(200.0)) + self.ln_1p) + 2.0 * TINY
    }

    /// Of the normal distribution function by the fit of Press et al., which is off by up to 1.2e-7 of its tail.
    fn normal_cdf(&self, x: f64) -> f64 {
        let z = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.5 * z);
        let tail = 0.5 * erfc(z);
        // Its exponent is a polynomial whose terms sum up to 5.5, a constant and z²; t itself is a quotient.
        let exponent = t * 5.5 * (4.0 * EPSILON + self.divide) + (1.3 + 2.5 * z * z) * EPSILON;
        let relative = 1.2e-7 + exponent + (self.exp)(1.3 + z * z) + self.divide + 3.0 * EPSILON;
        tail * relative.min(1.0) + if x >= 0.0 { ROUNDING } else { TINY }
    }

    /// The sigmoid of twice GELU's angle, and its error.
    fn gelu_sigmoid(&self, x: f64) -> (f64, f64) {
        let angle = 2.0 * gelu_angle(x);
        let s = 1.0 / (1.0 + (-angle).exp());
        let rest = 1.0 / (1.0 + angle.exp());
        let of_angle = (4.0 * EPSILON * angle.abs()).min(1.0) * s * rest;
        (s, self.sigmoid(angle, s) + of_angle)
    }
}

fn gelu_angle(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// The complement of the error function in f64, for z >= 0: Taylor's series of erf, then a continued fraction.
pub(crate) fn erfc(z: f64) -> f64 {
    if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..100 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let fraction = (1..=200).rev().fold(z, |tail, n| z + f64::from(n) / 2.0 / tail);
    (-z * z).exp() / (fraction * std::f64::consts::PI.sqrt())
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
