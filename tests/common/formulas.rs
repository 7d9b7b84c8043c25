//! The functions of one variable in f64, by the standard library.

use wgrad::ops::Activation::{self, ELU, GELU, GELUTanh, LeakyReLU, Pow, SiLU, Softplus};

use super::accuracy::erfc;
use super::data::{exponents, signed};

/// 1 / (1 + exp(-x))
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn normal_cdf(x: f64) -> f64 {
    let tail = 0.5 * erfc(x.abs() * std::f64::consts::FRAC_1_SQRT_2);
    if x >= 0.0 { 1.0 - tail } else { tail }
}

/// Value and derivative in f64.
pub(crate) fn exact(function: Activation, x: f64) -> (f64, f64) {
    let positive = x > 0.0;
    match function {
        Activation::Identity => (x, 1.0),
        Activation::ReLU => (x.max(0.0), f64::from(u8::from(positive))),
        Activation::Tanh => (x.tanh(), x.cosh().powi(-2)),
        Activation::Sigmoid => (sigmoid(x), sigmoid(x) * sigmoid(-x)),
        LeakyReLU { .. } if positive => (x, 1.0),
        LeakyReLU { slope } => (f64::from(slope) * x, slope.into()),
        ELU { .. } if positive => (x, 1.0),
        ELU { alpha } => (f64::from(alpha) * x.exp_m1(), f64::from(alpha) * x.exp()),
        GELU => {
            let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
            (x * normal_cdf(x), normal_cdf(x) + if density == 0.0 { 0.0 } else { x * density })
        }
        GELUTanh => {
            let angle = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            let inner = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 0.134145 * x * x);
            let curved = sigmoid(angle) * sigmoid(-angle);
            (x * sigmoid(angle), sigmoid(angle) + if curved == 0.0 { 0.0 } else { x * curved * inner })
        }
        SiLU => (x * sigmoid(x), sigmoid(x) * (1.0 + x * sigmoid(-x))),
        Softplus => (x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid(x)),
        Activation::Exp => (x.exp(), x.exp()),
        Activation::Log => (x.ln(), 1.0 / x),
        Pow { exponent } => (x.powf(exponent.into()), f64::from(exponent) * x.powf(f64::from(exponent) - 1.0)),
        Activation::Affine { scale, shift } => (f64::from(scale) * x + f64::from(shift), scale.into()),
        other => panic!("no formula for {other:?}"),
    }
}

/// Everything that f32 can hold, as far as value and derivative fit it, and the curved part.
pub(crate) fn everywhere(function: Activation) -> Vec<f32> {
    let (low, high) = match function {
        Activation::Exp => (1e-38, 80.0),
        Activation::Log | Pow { .. } => (1e-12, 1e12),
        Activation::Affine { .. } => (1e-38, 1e38),
        _ => (1e-38, 3e38),
    };
    let mut x = exponents(1, 2000, low, high);
    x.extend(exponents(2, 2000, 1e-3, 30.0));
    x.extend(signed(3, 500).iter().map(|x| 3.0 * x));
    x.extend([0.0, 1e-40, -1e-40, 1e-45, -0.5, 0.5, -0.625, 0.625, 87.0, -87.0, -104.0]);
    match function {
        Activation::Exp => x.retain(|x| *x <= 80.0),
        Activation::Log | Pow { .. } => {
            x.iter_mut().for_each(|x| *x = x.abs());
            x.retain(|x| *x > 1e-12);
        }
        _ => {}
    }
    x
}
