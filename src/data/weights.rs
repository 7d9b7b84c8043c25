//! How much samples and classes count.

use super::Dataset;
use crate::error::{Error, Result};

impl Dataset {
    /// The same data with a weight for each sample, from 0: a sample of weight 2 counts as two. All [`metrics`](crate::metrics)
    /// heed them, and so do a [`Trainer`](crate::Trainer) and an [`Ensemble`](crate::Ensemble): see [`Fit`](crate::Fit).
    /// (scikit-learn's `sample_weight`.)
    ///
    /// ```
    /// use wgrad::data::Dataset;
    /// use wgrad::metrics;
    ///
    /// let data = Dataset::from_rows(&[[0.0], [1.0]], &[[1.0], [2.0]])?.with_weights(vec![3.0, 1.0])?;
    /// assert_eq!(metrics::mae(&[1.0, 4.0], &data)?, 0.5); // (3 * 0 + 1 * 2) / (3 + 1)
    /// assert_eq!(data.select(&[1])?.weights(), Some(&[1.0][..]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of weights than of samples; one that is negative or not finite; weights that are all 0.
    pub fn with_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        const OPERATION: &str = "with_weights";
        if weights.len() != self.len() {
            let detail = format!("{} weights for {} samples; give one for each", weights.len(), self.len());
            return Err(Error::shape(OPERATION, detail));
        }
        if let Some(row) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
            let detail = format!("the weight of row {row} is {}; give finite numbers from 0", weights[row]);
            return Err(Error::input(OPERATION, detail));
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err(Error::input(OPERATION, "all weights are 0, so that nothing counts; give a positive one"));
        }
        self.weights = weights;
        Ok(self)
    }

    /// The same data with each sample's weight multiplied by that of its class, for class numbers [n, 1]: of a
    /// [`BceWithLogits`](crate::nn::BceWithLogits), too, whose targets 0 and 1 are such numbers. The metrics, then, count
    /// classes so; to have the loss alone do it, use
    /// [`CrossEntropy::class_weights`](crate::nn::CrossEntropy::class_weights).
    ///
    /// ```
    /// use wgrad::data::Dataset;
    ///
    /// let data = Dataset::from_rows(&[[0.0]; 4], &[[0.0], [0.0], [0.0], [1.0]])?;
    /// let weights = data.balanced_class_weights(2)?;
    /// assert_eq!(data.with_class_weights(&weights)?.weights(), Some(&[2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 2.0][..]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets that are not class numbers below the number of weights; what [`Dataset::with_weights`] refuses.
    pub fn with_class_weights(self, weights: &[f32]) -> Result<Self> {
        let classes = self.class_numbers("with_class_weights", weights.len())?.into_iter().enumerate();
        let weights = classes.map(|(row, class)| (self.weight(row) * f64::from(weights[class])) as f32).collect();
        self.with_weights(weights)
    }

    /// The weights of the samples; None where all count alike.
    pub fn weights(&self) -> Option<&[f32]> {
        (!self.weights.is_empty()).then_some(&self.weights)
    }

    /// How much a sample counts.
    pub(crate) fn weight(&self, sample: usize) -> f64 {
        self.weights.get(sample).map_or(1.0, |weight| f64::from(*weight))
    }

    /// How much all samples count.
    pub(crate) fn total_weight(&self) -> f64 {
        (0..self.len()).map(|sample| self.weight(sample)).sum()
    }

    /// An error where nothing counts: parts of a dataset may have samples of weight 0 alone.
    pub(crate) fn check_weights(&self, operation: &str) -> Result<()> {
        if self.weights.is_empty() || self.weights.iter().any(|weight| *weight > 0.0) {
            return Ok(());
        }
        Err(Error::input(operation, "the weights of all samples are 0, so that there is nothing to measure"))
    }

    /// Weights by which all classes count alike, however rare, for
    /// [`CrossEntropy::class_weights`](crate::nn::CrossEntropy::class_weights): `n / (classes * samples of the class)`, as
    /// scikit-learn's `class_weight="balanced"`. Weights of samples don't matter.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    /// use wgrad::nn::CrossEntropy;
    ///
    /// let data = Dataset::from_rows(&[[0.0]; 4], &[[0.0], [0.0], [0.0], [1.0]])?;
    /// let weights = data.balanced_class_weights(2)?;
    /// assert_eq!(weights, [2.0 / 3.0, 2.0]);
    /// let loss = CrossEntropy::new().class_weights(weights);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets that are not class numbers from 0 to `classes - 1`; a class without samples.
    pub fn balanced_class_weights(&self, classes: usize) -> Result<Vec<f32>> {
        const OPERATION: &str = "balanced_class_weights";
        // One of the first is without samples if there are more classes than samples.
        let mut counts = vec![0_usize; classes.min(self.len() + 1)];
        for class in self.class_numbers(OPERATION, classes)? {
            counts.get_mut(class).into_iter().for_each(|count| *count += 1);
        }
        if let Some(class) = counts.iter().position(|count| *count == 0) {
            let detail = format!("class {class} of {classes} has no samples to weigh; give some, or fewer classes");
            return Err(Error::input(OPERATION, detail));
        }
        let all = self.len() as f64 / classes as f64;
        Ok(counts.into_iter().map(|count| (all / count as f64) as f32).collect())
    }
}
