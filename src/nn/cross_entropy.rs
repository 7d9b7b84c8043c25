//! Cross-entropy.

use crate::data::Dataset;
use crate::device::Tensor;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::metrics::Decision;
use crate::nn::{Loss, Reduction, weighted};
use crate::ops::one_hot::OneHot;

const OPERATION: &str = "cross_entropy";

/// Cross-entropy of logits [n, c] with class numbers [n, 1] or probabilities [n, c]: PyTorch's `CrossEntropyLoss`, with its
/// options.
///
/// Class numbers are checked when training begins; that probabilities sum to 1 is not checked.
///
/// ```
/// use wgrad::nn::CrossEntropy;
///
/// let smoothed = CrossEntropy::new().label_smoothing(0.1);
/// let rare_class_counts_more = CrossEntropy::new().class_weights([1.0, 10.0]);
/// let some_without_a_label = CrossEntropy::new().ignore_index(-100);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    reduction: Reduction,
    smoothing: f32,
    ignored: Option<i32>,
    class_weights: Option<Vec<f32>>,
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

    /// The same with targets that are `1 - smoothing` times what they were, plus `smoothing / c` for each of the c classes
    /// (Szegedy et al. 2016). From 0 to 1.
    pub fn label_smoothing(mut self, smoothing: f32) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// The same, without the samples that have this class number (PyTorch's is -100): they add nothing to the loss, and
    /// the mean is that of the others; 0 where there are no others. An accuracy still counts them, as wrong.
    pub fn ignore_index(mut self, class: i32) -> Self {
        self.ignored = Some(class);
        self
    }

    /// The same with each class's term times its weight, of which there are as many as logits. With class numbers, the mean
    /// is divided by the sum of the samples' weights, as in PyTorch; with probabilities, by their number.
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    fn check(&self, classes: usize, has_classes: bool) -> Result<()> {
        if !(0.0..=1.0).contains(&self.smoothing) {
            let detail = format!("a label smoothing of {}; give a number from 0 to 1", self.smoothing);
            return Err(Error::input(OPERATION, detail));
        }
        if self.ignored.is_some() && !has_classes {
            let detail = "an ignored class number, but the targets are probabilities; leave out ignore_index";
            return Err(Error::input(OPERATION, detail));
        }
        let Some(weights) = &self.class_weights else { return Ok(()) };
        if weights.len() != classes {
            let detail = format!("{} class weights for {classes} classes; give one for each", weights.len());
            return Err(Error::shape(OPERATION, detail));
        }
        if let Some(weight) = weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite())) {
            let detail = format!("a class weight of {weight}; give finite numbers from 0");
            return Err(Error::input(OPERATION, detail));
        }
        Ok(())
    }

    /// The targets of all classes [n, c], each times its class's and its sample's weight.
    fn rows(
        &self,
        graph: &mut Graph,
        target: Var,
        smoothing: f32,
        [classes, samples]: [Option<Var>; 2],
        cols: usize,
    ) -> Result<Var> {
        let (on, off) = (1.0 - smoothing, smoothing / cols as f32);
        let [_, target_cols] = graph.shape(target)?;
        let mut rows = if target_cols == 1 {
            let ignored = self.ignored.map(|class| class as f32);
            graph.call1(OneHot { classes: cols, on: on + off, off, ignored }, &[target])?
        } else if smoothing == 0.0 {
            target
        } else {
            graph.affine(target, on, off)?
        };
        for weights in [classes, samples].into_iter().flatten() {
            rows = graph.mul(rows, weights)?;
        }
        Ok(rows)
    }

    fn weighed(&self, graph: &mut Graph, [prediction, target]: [Var; 2], samples: Option<Var>) -> Result<Var> {
        let ([n, cols], target_shape) = (graph.shape(prediction)?, graph.shape(target)?);
        let has_classes = target_shape == [n, 1];
        self.check(cols, has_classes)?;
        let plain = self.smoothing == 0.0 && self.ignored.is_none() && self.class_weights.is_none();
        let fits = cols > 1 && (has_classes || target_shape == [n, cols]);
        if (plain && samples.is_none()) || !fits {
            // Which says what does not fit.
            return graph.cross_entropy(prediction, target, self.reduction);
        }
        if let Some(samples) = samples {
            weighted::check_weights(graph, samples, n)?;
        }
        let classes = match &self.class_weights {
            None => None,
            Some(weights) => {
                let weights = Tensor::new(graph.device(), 1, cols, weights)?;
                Some(graph.input(&weights)?)
            }
        };
        let rows = self.rows(graph, target, self.smoothing, [classes, samples], cols)?;
        // The mean is over the samples, of which each counts as much as its class does.
        let by_class = has_classes && (classes.is_some() || self.ignored.is_some());
        if !matches!(self.reduction, Reduction::Mean | Reduction::SampleMean) || !(by_class || samples.is_some()) {
            return graph.cross_entropy(prediction, rows, self.reduction);
        }
        let sum = graph.cross_entropy(prediction, rows, Reduction::Sum)?;
        let counted = match samples {
            Some(samples) if !by_class => samples,
            _ if self.smoothing == 0.0 => rows,
            _ => self.rows(graph, target, 0.0, [classes, samples], cols)?,
        };
        weighted::mean(graph, sum, counted)
    }
}

impl Loss for CrossEntropy {
    fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
        self.weighed(graph, [prediction, target], None)
    }

    fn weighted(&self, graph: &mut Graph, prediction: Var, target: Var, weights: Var) -> Result<Var> {
        self.weighed(graph, [prediction, target], Some(weights))
    }

    fn weighs_errors(&self) -> bool {
        true
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn target_weight(&self, target: &[f32]) -> f32 {
        let [class] = *target else { return 1.0 };
        match &self.class_weights {
            _ if self.ignored.is_some_and(|ignored| ignored as f32 == class) => 0.0,
            Some(weights) => weights.get(class as usize).copied().unwrap_or(1.0),
            None => 1.0,
        }
    }

    fn decision(&self) -> Decision {
        Decision::Argmax
    }

    fn check_targets(&self, data: &Dataset, outputs: usize) -> Result<()> {
        let has_classes = data.target_cols() == 1;
        self.check(outputs, has_classes)?;
        if !has_classes {
            let Some(at) = data.targets().iter().position(|target| *target < 0.0) else { return Ok(()) };
            let detail = format!(
                "row {} has the target {}; rows of targets are probabilities, one-hot or not, none below 0 (for -1 and 1 call \
                 data.map_targets(|target| (target + 1.0) / 2.0)?)",
                at / data.target_cols(),
                data.targets()[at]
            );
            return Err(Error::input(OPERATION, detail));
        }
        let ignored = self.ignored.map(|class| class as f32);
        if data.targets().iter().all(|class| Some(*class) == ignored) {
            let detail = "all samples have the ignored class number, so there is nothing to learn; label some";
            return Err(Error::input(OPERATION, detail));
        }
        data.check_class_numbers(OPERATION, outputs, ignored)
    }
}
