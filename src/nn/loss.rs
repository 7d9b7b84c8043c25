//! Losses: modules with two operands.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::metrics::Decision;
use crate::nn::{Reduction, weighted};
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

    /// The loss of a batch whose samples have weights [n, 1], from 0: each error counts that many times. A mean is divided
    /// by the sum of the weights; where all are 0, it is 0.
    ///
    /// ```
    /// use wgrad::nn::{Loss, Mse};
    /// use wgrad::{Device, Graph, Tensor, lower};
    ///
    /// let device = Device::cpu();
    /// let mut graph = Graph::new(&device);
    /// let p = graph.input(&Tensor::new(&device, 2, 1, &[1.0, 2.0])?)?;
    /// let t = graph.input(&Tensor::zeros(&device, 2, 1)?)?;
    /// let weights = graph.input(&Tensor::new(&device, 2, 1, &[3.0, 1.0])?)?;
    /// let loss = Mse::new().weighted(&mut graph, p, t, weights)?;
    /// let lowered = lower(&graph, &[loss])?;
    /// lowered.run()?;
    /// assert_eq!(lowered.read(loss)?, [1.75]); // (3 * 1 + 1 * 4) / (3 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit. By default: the loss takes no weights.
    fn weighted(&self, graph: &mut Graph, prediction: Var, target: Var, weights: Var) -> Result<Var> {
        let _ = (graph, prediction, target, weights);
        Err(Error::input("weighted loss", "this loss takes no weights of samples; implement Loss::weighted for it"))
    }

    /// Whether [`weighted`](Self::weighted) is [`forward`](Self::forward) with each sample's error multiplied by its weight, and
    /// a mean over samples divided by the sum of the weights: then one dispatch can train with weights, too
    /// ([`StepPath::Fused`](crate::StepPath::Fused)). By default it is not said to be.
    fn weighs_errors(&self) -> bool {
        false
    }

    /// How the loss is reduced over samples: whether the loss of a dataset is the sum or the mean over its parts.
    fn reduction(&self) -> Reduction;

    /// How much a sample with this target counts in a mean, besides its own weight: 1, unless classes have weights or are
    /// ignored. It says how the means of mini-batches make that of an epoch.
    fn target_weight(&self, _target: &[f32]) -> f32 {
        1.0
    }

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

/// One that is chosen when the program runs.
impl Loss for Box<dyn Loss> {
    fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
        (**self).forward(graph, prediction, target)
    }

    fn weighted(&self, graph: &mut Graph, prediction: Var, target: Var, weights: Var) -> Result<Var> {
        (**self).weighted(graph, prediction, target, weights)
    }

    fn weighs_errors(&self) -> bool {
        (**self).weighs_errors()
    }

    fn reduction(&self) -> Reduction {
        (**self).reduction()
    }

    fn target_weight(&self, target: &[f32]) -> f32 {
        (**self).target_weight(target)
    }

    fn decision(&self) -> Decision {
        (**self).decision()
    }

    fn check_targets(&self, data: &Dataset, outputs: usize) -> Result<()> {
        (**self).check_targets(data, outputs)
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

            fn weighted(&self, graph: &mut Graph, prediction: Var, target: Var, weights: Var) -> Result<Var> {
                let error: fn(&Self) -> Elementwise = $error;
                weighted::elementwise(graph, error(self), [prediction, target, weights], self.reduction)
            }

            fn weighs_errors(&self) -> bool {
                true
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
    /// The quantile (pinball) loss: a prediction that this share of the targets lie below, such as 0.9 for a bound that is
    /// kept nine times in ten; 0.5 gives the median. scikit-learn's `mean_pinball_loss`.
    ///
    /// ```
    /// use wgrad::nn::Quantile;
    /// let upper_bound = Quantile::new(0.9);
    /// ```
    Quantile, |loss| Elementwise::Quantile { quantile: loss.quantile }, new(quantile), Decision::Regression
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
