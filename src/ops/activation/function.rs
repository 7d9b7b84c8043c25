//! The functions themselves, as the CPU path computes them.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use crate::ops::elementary::{exp, exp_m1, ln_1p, tanh};

/// The table of all functions, passed to the macro `$use` after its arguments. A row has: the documentation, the name
/// with its constants, the number by which the shaders know it, whether it can be the epilogue of a matrix product, and
/// whether its derivative is computed from its input (if false, from its value). `shaders/common/activation.wgsl` has
/// an arm for the number, or `shaders/common/functions.wgsl` for a function that can't be an epilogue.
macro_rules! table {
    ($use:ident $($arguments:tt)*) => {
        $use! {
            $($arguments)*
            /// `y = x`.
            #[default]
            Identity = 0, ends_products: true, from_input: false;
            /// `y = max(x, 0)`; its derivative at 0 is 0.
            ReLU = 1, ends_products: true, from_input: false;
            /// `y = tanh(x)`.
            Tanh = 2, ends_products: true, from_input: false;
            /// `y = 1 / (1 + exp(-x))`.
            Sigmoid = 3, ends_products: true, from_input: false;
            /// `y = x` where x > 0, else `slope x` (PyTorch's default slope is 0.01).
            LeakyReLU {
                /// The derivative where x <= 0.
                slope
            // The value has the sign of the input as long as the slope is not negative.
            } = 4, ends_products: true, from_input: slope < 0.0;
            /// `y = x` where x > 0, else `alpha (exp(x) - 1)` (PyTorch's default alpha is 1).
            ELU {
                /// Minus the value that y tends to for small x.
                alpha
            // y + alpha would do, but loses what is left of a small slope.
            } = 5, ends_products: true, from_input: true;
            /// `y = x Φ(x)`, with Φ the normal distribution function (Hendrycks & Gimpel 2016).
            GELU = 6, ends_products: true, from_input: true;
            /// `y = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`: PyTorch's `GELU(approximate="tanh")`.
            GELUTanh = 7, ends_products: true, from_input: true;
            /// `y = x / (1 + exp(-x))`, also called swish.
            SiLU = 8, ends_products: true, from_input: true;
            /// `y = log(1 + exp(x))`.
            Softplus = 9, ends_products: true, from_input: true;
            /// `y = exp(x)`.
            Exp = 10, ends_products: false, from_input: false;
            /// `y = log(x)`: -infinity at 0, NaN for negative x.
            Log = 11, ends_products: false, from_input: true;
            /// `y = x^exponent`: NaN for negative x, unless the exponent is a whole number.
            Pow {
                /// The exponent.
                exponent
            } = 12, ends_products: false, from_input: true;
            /// `y = scale x + shift`.
            Affine {
                /// The slope.
                scale,
                /// The value at 0.
                shift
            } = 13, ends_products: false, from_input: false;
        }
    };
}

macro_rules! define {
    ($(
        $(#[$meta:meta])*
        $kind:ident $({ $($(#[$constant_meta:meta])* $constant:ident),* })? =
            $number:literal, ends_products: $ends_products:literal, from_input: $from_input:expr;
    )*) => {
        /// A function of one variable, applied to each element: an activation, or exp, log, a power, an affine map.
        ///
        /// Each is also a [`Module`](crate::nn::Module); those up to Softplus can end a [`matmul`](crate::ops::matmul()).
        /// Of a NaN each is NaN, on every device (`x^0` alone is 1).
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub enum Activation {
            $(
                $(#[$meta])*
                $kind $({ $($(#[$constant_meta])* $constant: f32),* })?,
            )*
        }

        impl Activation {
            /// Every function, with these constants where it has some.
            pub fn all(constants: [f32; 2]) -> Vec<Self> {
                [$($number),*].into_iter().filter_map(|kind| Self::of_kind(kind, constants)).collect()
            }

            /// The number by which the shaders know it.
            pub(crate) fn kind(self) -> u32 {
                match self {
                    $(Self::$kind $({ $($constant: _),* })? => $number,)*
                }
            }

            /// The constants `a` and `b` of the shaders.
            pub(crate) fn constants(self) -> [f32; 2] {
                let mut constants = [0.0; 2];
                match self {
                    $(Self::$kind $({ $($constant),* })? => {
                        let own: &[f32] = &[$($($constant),*)?];
                        constants.iter_mut().zip(own).for_each(|(constant, own)| *constant = *own);
                    })*
                }
                constants
            }

            fn of_kind(kind: u32, constants: [f32; 2]) -> Option<Self> {
                let mut constants = constants.into_iter();
                let _next = move || constants.next().unwrap_or_default();
                #[allow(unused_mut, reason = "not every function has constants")]
                let mut next = _next;
                match kind {
                    $($number => Some(Self::$kind $({ $($constant: next()),* })?),)*
                    _ => None,
                }
            }

            /// Whether it can be the epilogue of a matrix product.
            pub(crate) fn is_epilogue(self) -> bool {
                match self {
                    $(Self::$kind $({ $($constant: _),* })? => $ends_products,)*
                }
            }

            /// Whether [`derivative`](Self::derivative) is computed from the function's input x, not from its value y.
            pub fn derivative_needs_input(self) -> bool {
                match self {
                    $(Self::$kind $({ $($constant),* })? => {
                        $($(let _ = $constant;)*)?
                        $from_input
                    })*
                }
            }
        }
    };
}
table!(define);

impl Activation {
    /// The inverse of `kind` and `constants`; for a number that no function has, one that gives NaN.
    pub(crate) fn from_kind(kind: u32, constants: [f32; 2]) -> Self {
        Self::of_kind(kind, constants).unwrap_or(Self::Affine { scale: f32::NAN, shift: f32::NAN })
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
            // (1 + tanh(u)) / 2 is the sigmoid of 2 u.
            Self::GELUTanh => x * sigmoid(2.0 * gelu_angle(x)),
            Self::SiLU => x * sigmoid(x),
            Self::Softplus => softplus(x),
            Self::Exp => exp(x),
            Self::Log => x.ln(),
            Self::Pow { exponent } => x.powf(exponent),
            Self::Affine { scale, shift } => scale * x + shift,
        }
    }

    /// The derivative, computed from the function's input x where
    /// [`derivative_needs_input`](Self::derivative_needs_input), else from its value y.
    ///
    /// ```
    /// use wgrad::ops::Activation;
    /// let (x, y) = (0.5, Activation::Tanh.apply(0.5));
    /// assert!(!Activation::Tanh.derivative_needs_input());
    /// assert_eq!(Activation::Tanh.derivative(y), (1.0 - y) * (1.0 + y));
    /// assert_eq!(Activation::ELU { alpha: 0.5 }.derivative(-1.0), 0.5 * (-1f32).exp());
    /// # let _ = x;
    /// ```
    #[inline(always)]
    pub fn derivative(self, at: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::ReLU => step(at, 0.0),
            Self::Tanh => (1.0 - at) * (1.0 + at),
            Self::Sigmoid => at * (1.0 - at),
            Self::LeakyReLU { slope } => step(at, slope),
            Self::ELU { alpha } => step(at, alpha * exp(at)),
            Self::GELU => normal_cdf(at) + at * exp(-0.5 * at * at) / (2.0 * PI).sqrt(),
            Self::GELUTanh => {
                // s + x s (1 - s) (2 u)', which is 0 or 1 long before x³ overflows. Of a NaN, clamp makes one.
                let x = at.clamp(-20.0, 20.0);
                let angle = 2.0 * gelu_angle(x);
                let e = exp(-angle.abs());
                let product = e / ((1.0 + e) * (1.0 + e));
                sigmoid(angle) + x * product * (8.0 / PI).sqrt() * (1.0 + 0.134145 * x * x)
            }
            // 1 - s is the sigmoid of -x.
            Self::SiLU => sigmoid(at) * (1.0 + at * sigmoid(-at)),
            Self::Softplus => sigmoid(at),
            Self::Exp => at,
            Self::Log => 1.0 / at,
            Self::Pow { exponent } => exponent * at.powf(exponent - 1.0),
            Self::Affine { scale, .. } => scale,
        }
    }
}

/// 1 where at is positive, `else` where it is not, and NaN of a NaN.
#[inline(always)]
fn step(at: f32, below: f32) -> f32 {
    if at > 0.0 {
        1.0
    } else if at <= 0.0 {
        below
    } else {
        at
    }
}

/// log(1 + exp(x))
#[inline(always)]
fn softplus(x: f32) -> f32 {
    let linear = if x <= 0.0 { 0.0 } else { x };
    linear + ln_1p(exp(-x.abs()))
}

/// `exp` only sees numbers that are not positive, so nothing overflows.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// Half of erfc(-x / √2), by Chebyshev's fit of its logarithm (Press et al., erfcc), to 1.2e-7 of the value.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let q = 0.278_868_07 + t * (-1.135_204 + t * (1.488_515_9 + t * (-0.822_152_2 + t * 0.170_872_77)));
    let p = 1.000_023_7 + t * (0.374_091_96 + t * (0.096_784_18 + t * (-0.186_288_06 + t * q)));
    let tail = 0.5 * t * exp(t * p - 1.265_512_2 - z * z);
    if x >= 0.0 { 1.0 - tail } else { tail }
}

#[inline(always)]
fn gelu_angle(x: f32) -> f32 {
    (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// See `for_kind`.
macro_rules! dispatch {
    (($activation:ident => $body:expr) $(
        $(#[$meta:meta])*
        $kind:ident $({ $($(#[$constant_meta:meta])* $constant:ident),* })? =
            $number:literal, ends_products: $ends_products:literal, from_input: $from_input:expr;
    )*) => {
        match $activation {
            $(Activation::$kind $({ $($constant),* })? => {
                let $activation = Activation::$kind $({ $($constant),* })?;
                $body
            })*
        }
    };
}

/// `body` for an activation, compiled separately for each kind: a loop in it then does not branch on the kind for each
/// element, and is vectorised.
macro_rules! for_kind {
    ($activation:ident => $body:expr) => {
        table!(dispatch ($activation => $body))
    };
}
pub(crate) use {dispatch, for_kind, table};

impl Activation {
    /// `values = activation(values)`.
    #[inline(always)]
    pub(crate) fn apply_to(self, values: &mut [f32]) {
        let activation = self;
        for_kind!(activation => for value in values { *value = activation.apply(*value) });
    }

    /// `values *= activation'`, computed from `at`.
    #[inline(always)]
    pub(crate) fn multiply_by_derivative(self, values: &mut [f32], at: &[f32]) {
        let activation = self;
        for_kind!(activation => for (value, at) in values.iter_mut().zip(at) {
            *value *= activation.derivative(*at);
        });
    }
}
