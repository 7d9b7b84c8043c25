//! Functions of one variable, element by element: `shaders/activation.wgsl`.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::error::Result;
use crate::kernel::{Call, Constants, Kernel, kernel};
use crate::ops::elementary::{exp, exp_m1, tanh};
use crate::ops::{grid, put, same_shape, size};
use crate::recording::{Dispatch, Recording};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

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

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    len: u32,
    kind: u32,
    a: f32,
    b: f32,
    accumulate: u32,
    infinity: f32,
    nan: f32,
}

impl Params {
    fn new(activation: Activation, len: usize, accumulate: bool) -> Self {
        let [a, b] = activation.constants();
        Self {
            len: size(len),
            kind: activation.kind(),
            a,
            b,
            accumulate: accumulate.into(),
            infinity: f32::INFINITY,
            nan: f32::NAN,
        }
    }

    fn activation(&self) -> Activation {
        Activation::from_kind(self.kind, [self.a, self.b])
    }
}

fn constants(params: &[u8]) -> Constants {
    vec![("kind", bytemuck::pod_read_unaligned::<Params>(params).kind.into())]
}

pub(crate) static FORWARD: Kernel = kernel!("activation", "forward", [64, 1, 1], Params, inputs: 1, outputs: 1, step: false, forward_reference, constants);
pub(crate) static BACKWARD: Kernel = kernel!("activation", "backward", [64, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference, constants);

/// `out = activation(x)`; both have one shape.
///
/// # Errors
/// Different shapes.
pub fn forward(recording: &mut Recording, activation: Activation, x: &Tensor, out: &Tensor) -> Result<()> {
    same_shape("activation", &[("x", x), ("out", out)])?;
    let params = Params::new(activation, x.len(), false);
    recording.push(&FORWARD, grid(x.len(), 64), params, &[x], &[out], 10 * x.len() as u64)
}

/// `dx = dy * activation'(x)`, or `dx += ...` with `accumulate`, where `y = activation(x)`; all have one shape.
///
/// # Errors
/// Different shapes.
pub fn backward(
    recording: &mut Recording,
    activation: Activation,
    [x, y, dy]: [&Tensor; 3],
    dx: &Tensor,
    accumulate: bool,
) -> Result<()> {
    same_shape("activation backward", &[("x", x), ("y", y), ("dy", dy), ("dx", dx)])?;
    let params = Params::new(activation, x.len(), accumulate);
    recording.push(&BACKWARD, grid(x.len(), 64), params, &[x, y, dy], &[dx], 4 * x.len() as u64)
}

/// The activation of a launch of [`forward`] or [`backward`], and whether it adds to its output.
pub(crate) fn of(dispatch: &Dispatch) -> (Activation, bool) {
    let params: Params = dispatch.params();
    (params.activation(), params.accumulate != 0)
}

fn forward_reference(call: Call<'_>) {
    let activation = call.params::<Params>().activation();
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    for_kind!(activation => for (out, x) in out.iter_mut().zip(x) { *out = activation.apply(*x) });
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let activation = params.activation();
    let accumulate = params.accumulate != 0;
    let [x, y, dy, ..] = call.inputs;
    let [dx, ..] = call.outputs;
    for_kind!(activation => for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
        put(dx, dy * activation.derivative(*x, *y), accumulate);
    });
}

/// One method for each function, named as in PyTorch.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),*) = $activation:expr;)*) => {
        impl Tape {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// A value of another tape.
                pub fn $name(&mut self, x: Var $(, $argument: f32)*) -> Result<Var> {
                    self.activation(x, $activation)
                }
            )*
        }
    };
}

unary! {
    /// `max(x, 0)`.
    relu() = Activation::ReLU;
    /// `tanh(x)`.
    tanh() = Activation::Tanh;
    /// `1 / (1 + exp(-x))`.
    sigmoid() = Activation::Sigmoid;
    /// `exp(x)`.
    exp() = Activation::Exp;
    /// `log(x)`: -infinity at 0, NaN for negative x.
    log() = Activation::Log;
    /// `x^exponent`: NaN for negative x, unless the exponent is a whole number.
    pow(exponent) = Activation::Pow { exponent };
    /// `-x`.
    neg() = Activation::Affine { scale: -1.0, shift: 0.0 };
    /// `x + number`.
    add_scalar(number) = Activation::Affine { scale: 1.0, shift: number };
    /// `x * number`.
    mul_scalar(number) = Activation::Affine { scale: number, shift: 0.0 };
}

impl Tape {
    /// `activation(x)`, element by element.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn activation(&mut self, x: Var, activation: Activation) -> Result<Var> {
        let input = self.tensor(x)?;
        let out = self.zeros(input.rows(), input.cols())?;
        forward(self.recording(), activation, &input, &out)?;
        let y = out.clone();
        self.push(out, &[x], move |backward_pass, dy| {
            if let Some(dx) = backward_pass.sink(x)? {
                backward(backward_pass.recording(), activation, [&input, &y, dy], &dx.tensor, dx.accumulate)?;
            }
            Ok(())
        })
    }
}
