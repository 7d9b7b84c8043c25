//! The functions themselves, as the CPU path computes them.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::ops::elementary::{exp, exp_m1, tanh};

/// A function of one variable, applied to each element: an activation, or exp, log, a power, an affine map.
///
/// Each is also a [`Module`](crate::nn::Module); those up to Softplus can end a [`matmul`](crate::ops::matmul()).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `y = x`.
    #[default]
    Identity,
    /// `y = max(x, 0)`; its derivative at 0 is 0. Of a NaN it is NaN on the CPU path, as in PyTorch; on a GPU it is
    /// whatever the driver makes of `max`, mostly 0: WGSL promises nothing for NaN.
    ReLU,
    /// `y = tanh(x)`.
    Tanh,
    /// `y = 1 / (1 + exp(-x))`.
    Sigmoid,
    /// `y = x` where x > 0, else `slope x` (PyTorch's default slope is 0.01).
    LeakyReLU {
        /// The derivative where x <= 0.
        slope: f32,
    },
    /// `y = x` where x > 0, else `alpha (exp(x) - 1)` (PyTorch's default alpha is 1).
    ELU {
        /// Minus the value that y tends to for small x.
        alpha: f32,
    },
    /// `y = x Φ(x)`, with Φ the normal distribution function (Hendrycks & Gimpel 2016), to 1.5e-7 |x|.
    GELU,
    /// `y = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`: PyTorch's `GELU(approximate="tanh")`.
    GELUTanh,
    /// `y = x / (1 + exp(-x))`, also called swish.
    SiLU,
    /// `y = log(1 + exp(x))`.
    Softplus,
    /// `y = exp(x)`.
    Exp,
    /// `y = log(x)`: -infinity at 0, NaN for negative x.
    Log,
    /// `y = x^exponent`: NaN for negative x, unless the exponent is a whole number.
    Pow {
        /// The exponent.
        exponent: f32,
    },
    /// `y = scale x + shift`.
    Affine {
        /// The slope.
        scale: f32,
        /// The value at 0.
        shift: f32,
    },
}

impl Activation {
    /// Whether the derivative can be told from the value alone.
    pub(crate) fn derivative_needs_input(self) -> bool {
        match self {
            Self::Identity | Self::ReLU | Self::Tanh | Self::Sigmoid | Self::Exp | Self::Affine { .. } => false,
            // The value has the sign of the input as long as the constant is not negative.
            Self::LeakyReLU { slope } => slope < 0.0,
            Self::ELU { alpha } => alpha < 0.0,
            _ => true,
        }
    }

    /// Whether it can end a matrix product.
    pub(crate) fn is_epilogue(self) -> bool {
        self.kind() <= 9
    }

    /// The number by which the shaders know it.
    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Identity => 0,
            Self::ReLU => 1,
            Self::Tanh => 2,
            Self::Sigmoid => 3,
            Self::LeakyReLU { .. } => 4,
            Self::ELU { .. } => 5,
            Self::GELU => 6,
            Self::GELUTanh => 7,
            Self::SiLU => 8,
            Self::Softplus => 9,
            Self::Exp => 10,
            Self::Log => 11,
            Self::Pow { .. } => 12,
            Self::Affine { .. } => 13,
        }
    }

    /// The constants `a` and `b` of the shaders.
    pub(crate) fn constants(self) -> [f32; 2] {
        match self {
            Self::LeakyReLU { slope } => [slope, 0.0],
            Self::ELU { alpha } => [alpha, 0.0],
            Self::Pow { exponent } => [exponent, 0.0],
            Self::Affine { scale, shift } => [scale, shift],
            _ => [0.0; 2],
        }
    }

    /// The inverse of `kind` and `constants`.
    pub(crate) fn from_kind(kind: u32, [a, b]: [f32; 2]) -> Self {
        match kind {
            1 => Self::ReLU,
            2 => Self::Tanh,
            3 => Self::Sigmoid,
            4 => Self::LeakyReLU { slope: a },
            5 => Self::ELU { alpha: a },
            6 => Self::GELU,
            7 => Self::GELUTanh,
            8 => Self::SiLU,
            9 => Self::Softplus,
            10 => Self::Exp,
            11 => Self::Log,
            12 => Self::Pow { exponent: a },
            13 => Self::Affine { scale: a, shift: b },
            _ => Self::Identity,
        }
    }

    /// The function's value.
    ///
    /// ```
    /// use wgrad::ops::Activation;
    /// assert_eq!(Activation::ReLU.apply(-2.0), 0.0);
    /// assert_eq!(Activation::Sigmoid.apply(0.0), 0.5);
    /// assert_eq!(Activation::LeakyReLU { slope: 0.5 }.apply(-2.0), -1.0);
    /// ```
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            // `max` would turn NaN into 0, and a network that diverged would look finite.
            Self::ReLU => {
                if x <= 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
            Self::LeakyReLU { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::ELU { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * exp_m1(x)
                }
            }
            Self::GELU => x * normal_cdf(x),
            Self::GELUTanh => 0.5 * x * (1.0 + tanh(gelu_angle(x))),
            Self::SiLU => x * sigmoid(x),
            Self::Softplus => x.max(0.0) + exp(-x.abs()).ln_1p(),
            Self::Exp => exp(x),
            Self::Log => x.ln(),
            Self::Pow { exponent } => x.powf(exponent),
            Self::Affine { scale, shift } => scale * x + shift,
        }
    }

    /// The derivative at `x`, where the function has the value `y`.
    #[inline(always)]
    pub fn derivative(self, x: f32, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::ReLU => {
                if y > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Self::Tanh => 1.0 - y * y,
            Self::Sigmoid => y * (1.0 - y),
            Self::LeakyReLU { slope } => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::ELU { alpha } => {
                if x > 0.0 {
                    1.0
                } else if alpha < 0.0 {
                    // The value does not tell it, so that x may stand in both places.
                    alpha * exp(x)
                } else {
                    y + alpha
                }
            }
            Self::GELU => normal_cdf(x) + x * exp(-0.5 * x * x) / (2.0 * PI).sqrt(),
            Self::GELUTanh => {
                let angle = gelu_angle(x);
                // 1 - tanh², in a form whose error vanishes with it: what follows grows with the cube of x.
                let e = exp(-2.0 * angle.abs());
                let slope = 4.0 * e / ((1.0 + e) * (1.0 + e));
                0.5 * (1.0 + tanh(angle)) + 0.5 * x * slope * (2.0 / PI).sqrt() * (1.0 + 0.134145 * x * x)
            }
            Self::SiLU => {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }
            Self::Softplus => sigmoid(x),
            Self::Exp => y,
            Self::Log => 1.0 / x,
            Self::Pow { exponent } => exponent * x.powf(exponent - 1.0),
            Self::Affine { scale, .. } => scale,
        }
    }
}

/// `exp` only sees numbers that are not positive, so nothing overflows.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// 1/2 + erf(x / √2) / 2, with erf by Abramowitz & Stegun 7.1.26, as in the shader.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let tail = 0.5 * p * exp(-z * z);
    if x >= 0.0 { 1.0 - tail } else { tail }
}

#[inline(always)]
fn gelu_angle(x: f32) -> f32 {
    (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// `body` for an activation, compiled apart for each kind: a loop in it then has no kind to look up at each element,
/// and becomes vector instructions.
macro_rules! for_kind {
    ($activation:ident => $body:expr) => {
        for_kind!(
            $activation => $body;
            Identity, ReLU, Tanh, Sigmoid, LeakyReLU { slope }, ELU { alpha }, GELU, GELUTanh, SiLU, Softplus, Exp, Log,
            Pow { exponent }, Affine { scale, shift }
        )
    };
    ($activation:ident => $body:expr; $($kind:ident $({ $($constant:ident),* })?),*) => {
        match $activation {
            $(Activation::$kind $({ $($constant),* })? => {
                let $activation = Activation::$kind $({ $($constant),* })?;
                $body
            })*
        }
    };
}
pub(super) use for_kind;

impl Activation {
    /// `values = activation(values)`.
    pub(crate) fn apply_to(self, values: &mut [f32]) {
        let activation = self;
        for_kind!(activation => for value in values { *value = activation.apply(*value) });
    }

    /// `values *= activation'(at)`, where `at` is what the derivative needs: the function's argument or its value.
    pub(crate) fn multiply_by_derivative(self, values: &mut [f32], at: &[f32]) {
        let activation = self;
        for_kind!(activation => for (value, at) in values.iter_mut().zip(at) {
            *value *= activation.derivative(*at, *at);
        });
    }
}
