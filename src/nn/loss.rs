//! Losses as modules of two operands.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::Reduction;
use crate::ops::loss::Elementwise;

/// A loss: a number from predictions and targets.
///
/// ```
/// use wgrad::nn::{Loss, Reduction};
/// use wgrad::{Graph, Result, Var};
///
/// /// The squared error of the hyperbolic tangents.
/// struct TanhError;
///
/// impl Loss for TanhError {
///     fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
///         let (p, t) = (graph.tanh(prediction)?, graph.tanh(target)?);
///         graph.mse(p, t, Reduction::Mean)
///     }
///
///     fn reduction(&self) -> Reduction {
///         Reduction::Mean
///     }
/// }
/// ```
pub trait Loss: Send + Sync {
    /// The loss of a batch: predictions and targets [n, c] give [1, 1].
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var>;

    /// How the loss adds up samples: whether the loss of a whole is the sum of its parts' or their mean.
    fn reduction(&self) -> Reduction;

    /// The decision threshold of a model with one output, for two classes whose targets have this middle: the middle
    /// itself, unless outputs are on another scale than targets, as logits are.
    fn boundary(&self, middle: f32) -> f32 {
        middle
    }

    /// Looks at the targets before training: whether they are what the loss takes, for a model with so many outputs.
    ///
    /// # Errors
    /// Targets that would make the loss NaN.
    fn check_targets(&self, _data: &Dataset, _outputs: usize) -> Result<()> {
        Ok(())
    }
}

/// A loss that adds up an error of each element.
macro_rules! elementwise {
    ($(#[$doc:meta])* $name:ident, $error:expr, new($($field:ident)?) $(, boundary: $boundary:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            reduction: Reduction,
            $($field: f32,)?
        }

        impl $name {
            /// The mean over all elements.
            pub fn new($($field: f32)?) -> Self {
                Self { reduction: Reduction::Mean $(, $field)? }
            }

            /// The same with another [`Reduction`].
            pub fn reduction(mut self, reduction: Reduction) -> Self {
                self.reduction = reduction;
                self
            }
        }

        impl Loss for $name {
            fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
                let error: fn(&Self) -> Elementwise = $error;
                graph.elementwise_loss(error(self), prediction, target, self.reduction)
            }

            fn reduction(&self) -> Reduction {
                self.reduction
            }

            $(
                fn boundary(&self, _middle: f32) -> f32 {
                    $boundary
                }

                fn check_targets(&self, data: &Dataset, _outputs: usize) -> Result<()> {
                    let Some(at) = data.targets().iter().position(|t| !(0.0..=1.0).contains(t)) else { return Ok(()) };
                    let (row, value) = (at / data.target_cols(), data.targets()[at]);
                    let detail = format!("row {row} has the target {value}; logits take targets from 0 to 1");
                    Err(Error::input("bce_with_logits", detail + " (for class numbers there is CrossEntropy)"))
                }
            )?
        }
    };
}

elementwise! {
    /// The squared error `(p - t)²`: PyTorch's `MSELoss`.
    ///
    /// ```
    /// use wgrad::nn::{Mse, Reduction};
    /// let mean_of_all = Mse::new();
    /// let sum_over_samples_mean_over_outputs = Mse::new().reduction(Reduction::OutputMean);
    /// ```
    #[derive(Default)]
    Mse, |_| Elementwise::Squared, new()
}

elementwise! {
    /// The absolute error `|p - t|`: PyTorch's `L1Loss`.
    #[derive(Default)]
    Mae, |_| Elementwise::Absolute, new()
}

elementwise! {
    /// Huber's error: `(p - t)² / 2` up to a difference of delta, a line beyond. PyTorch's `HuberLoss`, whose delta is 1
    /// unless given.
    Huber, |loss| Elementwise::Huber { delta: loss.delta }, new(delta)
}

elementwise! {
    /// Binary cross-entropy of logits with targets from 0 to 1: PyTorch's `BCEWithLogitsLoss`. Targets are checked when
    /// training begins.
    #[derive(Default)]
    BceWithLogits, |_| Elementwise::BceWithLogits, new(), boundary: 0.0
}

/// Cross-entropy of logits [n, c] with class numbers [n, 1] or probabilities [n, c]: PyTorch's `CrossEntropyLoss`.
///
/// Class numbers are checked when training begins; that probabilities sum to 1 is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrossEntropy {
    reduction: Reduction,
}

impl CrossEntropy {
    /// The mean over the samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another [`Reduction`].
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }
}

impl Loss for CrossEntropy {
    fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
        graph.cross_entropy(prediction, target, self.reduction)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check_targets(&self, data: &Dataset, outputs: usize) -> Result<()> {
        let is_class = |t: f32| t >= 0.0 && t < outputs as f32 && t.fract() == 0.0;
        match data.targets().iter().position(|t| !is_class(*t)) {
            Some(row) if data.target_cols() == 1 => Err(Error::input(
                "cross_entropy",
                format!(
                    "row {row} has the class {}, but the model has {outputs} outputs; classes count from 0 to {}",
                    data.targets()[row],
                    outputs.saturating_sub(1)
                ),
            )),
            _ => Ok(()),
        }
    }
}
