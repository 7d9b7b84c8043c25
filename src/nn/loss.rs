//! Losses: modules with two operands.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::metrics::Decision;
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

    /// How the loss is reduced over samples: whether the loss of a dataset is the sum or the mean over its parts.
    fn reduction(&self) -> Reduction;

    /// How a prediction is read as a class: accuracy, monitors and early stopping use it. By default it is
    /// [`Decision::Regression`]: predictions are numbers, none of which is right or wrong, and there is no accuracy.
    fn decision(&self) -> Decision {
        Decision::Regression
    }

    /// Checks the targets before training: whether the loss accepts them, for a model with this many outputs.
    ///
    /// # Errors
    /// Targets that would make the loss NaN.
    fn check_targets(&self, _data: &Dataset, _outputs: usize) -> Result<()> {
        Ok(())
    }
}

/// A loss that sums or averages elementwise errors.
macro_rules! elementwise {
    ($(#[$doc:meta])* $name:ident, $error:expr, new($($field:ident)?), $decision:expr $(, check: $check:path)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            reduction: Reduction,
            decision: Decision,
            $($field: f32,)?
        }

        impl $name {
            /// The mean over all elements.
            pub fn new($($field: f32)?) -> Self {
                Self { reduction: Reduction::Mean, decision: $decision $(, $field)? }
            }

            /// The same with another [`Reduction`].
            pub fn reduction(mut self, reduction: Reduction) -> Self {
                self.reduction = reduction;
                self
            }

            /// The same with another [`Decision`]: how a prediction is read as a class.
            pub fn decision(mut self, decision: Decision) -> Self {
                self.decision = decision;
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

            fn decision(&self) -> Decision {
                self.decision
            }

            $(
                fn check_targets(&self, data: &Dataset, _outputs: usize) -> Result<()> {
                    $check(data)
                }
            )?
        }
    };
}

elementwise! {
    /// The squared error `(p - t)²`: PyTorch's `MSELoss`. A regression loss, without an accuracy unless a [`Decision`]
    /// says how its predictions are read as classes.
    ///
    /// ```
    /// use wgrad::metrics::Decision;
    /// use wgrad::nn::{Mse, Reduction};
    /// let mean_of_all = Mse::new();
    /// let sum_over_samples_mean_over_outputs = Mse::new().reduction(Reduction::OutputMean);
    /// let classes_of_minus_1_and_1 = Mse::new().decision(Decision::between(-1.0, 1.0));
    /// let one_hot_classes = Mse::new().decision(Decision::Argmax);
    /// ```
    Mse, |_| Elementwise::Squared, new(), Decision::Regression
}

elementwise! {
    /// The absolute error `|p - t|`: PyTorch's `L1Loss`.
    Mae, |_| Elementwise::Absolute, new(), Decision::Regression
}

elementwise! {
    /// Huber's error: `(p - t)² / 2` up to a difference of delta, a line beyond. PyTorch's `HuberLoss`, whose delta is 1
    /// unless given.
    Huber, |loss| Elementwise::Huber { delta: loss.delta }, new(delta), Decision::Regression
}

elementwise! {
    /// Binary cross-entropy of logits with targets from 0 to 1: PyTorch's `BCEWithLogitsLoss`. A logit above 0 predicts
    /// 1; several columns are independent labels.
    BceWithLogits, |_| Elementwise::BceWithLogits, new(), Decision::logits(), check: check_probabilities
}

fn check_probabilities(data: &Dataset) -> Result<()> {
    match data.targets().iter().position(|t| !(0.0..=1.0).contains(t)) {
        None => Ok(()),
        Some(at) => Err(Error::input(
            "bce_with_logits",
            format!(
                "row {} has the target {}; targets are probabilities from 0 to 1 (for class numbers use CrossEntropy)",
                at / data.target_cols(),
                data.targets()[at]
            ),
        )),
    }
}

macro_rules! default {
    ($($name:ident),*) => {
        $(
            impl Default for $name {
                fn default() -> Self {
                    Self::new()
                }
            }
        )*
    };
}

default!(Mse, Mae, BceWithLogits);

/// Cross-entropy of logits [n, c] with class numbers [n, 1] or probabilities [n, c]: PyTorch's `CrossEntropyLoss`.
///
/// When training begins, class numbers are checked, and that no probability is negative; not that they sum to 1.
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

    fn decision(&self) -> Decision {
        Decision::Argmax
    }

    fn check_targets(&self, data: &Dataset, outputs: usize) -> Result<()> {
        match data.target_cols() {
            1 => data.class_numbers("cross_entropy", outputs).map(drop),
            cols => match data.targets().iter().position(|target| *target < 0.0) {
                Some(at) => {
                    let detail = format!(
                        "row {} has the target {}; rows of targets are probabilities, one-hot or not, none below 0 (for -1 \
                         and 1 call data.map_targets(|target| (target + 1.0) / 2.0)?)",
                        at / cols,
                        data.targets()[at]
                    );
                    Err(Error::input("cross_entropy", detail))
                }
                None => Ok(()),
            },
        }
    }
}
