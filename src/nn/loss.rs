//! Losses as modules of two operands.

use crate::error::Result;
use crate::nn::Reduction;
use crate::tape::{Tape, Var};

/// A loss: a number from predictions and targets.
///
/// ```
/// use wgrad::nn::{Loss, Reduction};
/// use wgrad::{Result, Tape, Var};
///
/// /// The squared error of the hyperbolic tangents.
/// struct TanhError;
///
/// impl Loss for TanhError {
///     fn forward(&self, tape: &mut Tape, prediction: Var, target: Var) -> Result<Var> {
///         let (p, t) = (tape.tanh(prediction)?, tape.tanh(target)?);
///         tape.mse(p, t, Reduction::Mean)
///     }
///
///     fn reduction(&self) -> Reduction {
///         Reduction::Mean
///     }
/// }
/// ```
pub trait Loss: Send + Sync {
    /// Records the loss of a batch: predictions and targets [n, c] give [1, 1].
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn forward(&self, tape: &mut Tape, prediction: Var, target: Var) -> Result<Var>;

    /// How the loss adds up samples: whether the loss of a whole is the sum of its parts' or their mean.
    fn reduction(&self) -> Reduction;
}

/// The squared error, reduced: (prediction - target)².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mse {
    reduction: Reduction,
}

impl Mse {
    /// The mean over all elements, as `torch.nn.MSELoss()`.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another [`Reduction`].
    pub fn with(reduction: Reduction) -> Self {
        Self { reduction }
    }
}

impl Loss for Mse {
    fn forward(&self, tape: &mut Tape, prediction: Var, target: Var) -> Result<Var> {
        tape.mse(prediction, target, self.reduction)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }
}
