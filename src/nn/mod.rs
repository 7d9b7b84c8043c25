//! Modules: what a network is made of. They schedule operations on a [`Tape`] and hold no gradients' code.

mod activation;
mod dropout;
mod init;
mod linear;
mod loss;
mod normalization;
mod parameter;
mod predictor;
mod sequential;

pub use crate::ops::Activation::{self, ELU, GELU, Identity, LeakyReLU, ReLU, SiLU, Sigmoid, Softplus, Tanh};
pub use crate::ops::Reduction;
pub use activation::{LogSoftmax, Softmax};
pub use dropout::Dropout;
pub use init::Init;
pub use linear::Linear;
pub use loss::{BceWithLogits, CrossEntropy, Huber, Loss, Mae, Mse};
pub use normalization::LayerNorm;
pub use parameter::{Parameter, Parameters};
pub use predictor::Predictor;
pub(crate) use predictor::predict;
pub use sequential::Sequential;

use crate::error::Result;
use crate::tape::{Tape, Var};

/// A network or a part of one.
///
/// `forward` calls operations on the tape, which take care of the gradients. A module with parameters names them, so
/// that [`Parameters::new`] can place them on a device; names of parts are joined by dots, as in PyTorch.
///
/// ```
/// use wgrad::nn::{Linear, Module, Parameter, Parameters, prefixed};
/// use wgrad::{Device, Result, Tape, Tensor, Var};
///
/// /// A linear layer used twice: both uses share its weights, and their gradients add up.
/// struct Twice(Linear);
///
/// impl Module for Twice {
///     fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
///         let once = self.0.forward(tape, x)?;
///         let active = tape.tanh(once)?;
///         self.0.forward(tape, active)
///     }
///
///     fn named_parameters(&self) -> Vec<(String, Parameter)> {
///         prefixed("inner", &self.0)
///     }
/// }
///
/// let device = Device::cpu();
/// let model = Twice(Linear::new(4, 4));
/// let parameters = Parameters::new(&device, &model, 0)?;
/// let names: Vec<_> = parameters.named().map(|(name, _)| name).collect();
/// assert_eq!(names, ["inner.weight", "inner.bias"]);
///
/// let mut tape = Tape::new(&device);
/// let x = tape.input(&Tensor::zeros(&device, 3, 4)?)?;
/// let y = model.forward(&mut tape, x)?;
/// assert_eq!(tape.tensor(y)?.shape(), [3, 4]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// Records the module's operations on `x`.
    ///
    /// # Errors
    /// Shapes that do not fit; parameters that are not placed on the tape's device.
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var>;

    /// The parameters, with names unique within the module.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        Vec::new()
    }

    /// What the module is, as a file tells it: `Linear(2, 25)`. The modules of this crate say it, so that
    /// `Sequential::load` (feature `safetensors`) can build them again; others need not.
    fn describe(&self) -> Option<String> {
        None
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        (**self).forward(tape, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        (**self).named_parameters()
    }

    fn describe(&self) -> Option<String> {
        (**self).describe()
    }
}

/// A part's parameters under their names in the whole: `prefix.name`.
pub fn prefixed(prefix: &str, part: &dyn Module) -> Vec<(String, Parameter)> {
    part.named_parameters().into_iter().map(|(name, p)| (format!("{prefix}.{name}"), p)).collect()
}
