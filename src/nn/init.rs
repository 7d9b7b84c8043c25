//! Initial values of parameters.

use rand::distr::{Distribution, Uniform};
use rand::rngs::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::error::{Error, Result};

/// How a parameter's initial values are drawn.
///
/// `in` and `out` are the layer's numbers of input and output columns. The generator is ChaCha8, the same on every
/// system: a seed gives the same values everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// This value everywhere.
    Constant(f32),
    /// Uniform in [-bound, bound].
    Uniform {
        /// The largest magnitude.
        bound: f32,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f32,
    },
    /// Glorot & Bengio 2010: uniform, bound gain √(6 / (in + out)).
    XavierUniform {
        /// 1 for Tanh and Sigmoid, √2 for ReLU.
        gain: f32,
    },
    /// Glorot & Bengio 2010: normal, standard deviation gain √(2 / (in + out)).
    XavierNormal {
        /// 1 for Tanh and Sigmoid, √2 for ReLU.
        gain: f32,
    },
    /// He et al. 2015, for ReLU: uniform, bound √(6 / in).
    HeUniform,
    /// He et al. 2015, for ReLU: normal, standard deviation √(2 / in).
    HeNormal,
    /// PyTorch's default for linear layers, weights and biases: uniform, bound √(1 / in).
    Linear,
}

impl Init {
    /// `len` values for a parameter of a layer from `inputs` to `outputs` columns.
    pub(crate) fn draw(self, len: usize, [inputs, outputs]: [usize; 2], rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
        let (i, o) = (inputs as f32, outputs as f32);
        match self {
            Self::Constant(value) if value.is_finite() => Ok(vec![value; len]),
            Self::Constant(value) => Err(Error::input("init", format!("a constant of {value}; give a finite one"))),
            Self::Uniform { bound } => uniform(bound, len, rng),
            Self::Normal { std } => normal(std, len, rng),
            Self::XavierUniform { gain } => uniform(gain * (6.0 / (i + o)).sqrt(), len, rng),
            Self::XavierNormal { gain } => normal(gain * (2.0 / (i + o)).sqrt(), len, rng),
            Self::HeUniform => uniform((6.0 / i).sqrt(), len, rng),
            Self::HeNormal => normal((2.0 / i).sqrt(), len, rng),
            Self::Linear => uniform((1.0 / i).sqrt(), len, rng),
        }
    }
}

fn uniform(bound: f32, len: usize, rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
    let distribution = Uniform::new_inclusive(-bound, bound)
        .map_err(|error| Error::input("init", format!("uniform in ±{bound}: {error}; give a bound from 0")))?;
    Ok(distribution.sample_iter(rng).take(len).collect())
}

fn normal(std: f32, len: usize, rng: &mut ChaCha8Rng) -> Result<Vec<f32>> {
    if !(std >= 0.0 && std.is_finite()) {
        return Err(Error::input(
            "init",
            format!("normal with standard deviation {std}; give a finite one of at least 0"),
        ));
    }
    Ok(StandardNormal.sample_iter(rng).take(len).map(|z: f32| std * z).collect())
}
