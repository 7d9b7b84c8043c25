//! Losses and gradients of a whole from those of its parts.

use super::Reduction;

/// Elements that are combined at once.
const BLOCK: usize = 256;

impl Reduction {
    /// Whether it is a mean over samples, so that parts count by their samples.
    pub(crate) fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::SampleMean)
    }

    /// The loss of a whole from those of its parts, which count so much: their numbers of samples, or sums of weights. A
    /// mean is `sum of count * loss / sum of count` (0 where nothing counts), a sum over samples the sum. It is computed
    /// in f64, in the order of the parts; a single part is the whole.
    ///
    /// ```
    /// use wgrad::ops::Reduction;
    ///
    /// assert_eq!(Reduction::Mean.combine(&[1.0, 4.0], &[2.0, 1.0]), 2.0);
    /// assert_eq!(Reduction::Sum.combine(&[1.0, 4.0], &[2.0, 1.0]), 5.0);
    /// ```
    pub fn combine(self, losses: &[f64], counts: &[f64]) -> f64 {
        match losses {
            [whole] => *whole,
            _ if !self.is_mean() => losses.iter().sum(),
            _ => {
                let total: f64 = counts.iter().sum();
                let sum: f64 = losses.iter().zip(counts).map(|(loss, count)| loss * count).sum();
                // Where nothing counts, nothing is lost.
                if total > 0.0 { sum / total } else { 0.0 }
            }
        }
    }

    /// [`Reduction::combine`] element by element: the gradient of a whole, from those of its parts, each as long as the
    /// whole. Each element is rounded to f32 once, at the end; before that, of n parts, it is within `(2 n + 1) 2^-53 *
    /// sum of count * |gradient| / sum of count` of exact.
    ///
    /// ```
    /// use wgrad::ops::Reduction;
    ///
    /// let mut whole = [0.0; 2];
    /// Reduction::Mean.combine_into(&[&[1.0, 2.0], &[4.0, 5.0]], &[2.0, 1.0], &mut whole);
    /// assert_eq!(whole, [2.0, 3.0]);
    /// ```
    pub fn combine_into(self, gradients: &[&[f32]], counts: &[f64], whole: &mut [f32]) {
        if let [only] = gradients {
            whole.iter_mut().zip(*only).for_each(|(whole, only)| *whole = *only);
            return;
        }
        let total = if self.is_mean() { counts.iter().sum() } else { 1.0 };
        let mut sums = [0.0_f64; BLOCK];
        for (at, whole) in whole.chunks_mut(BLOCK).enumerate() {
            let sums = &mut sums[..whole.len()];
            sums.fill(0.0);
            for (gradient, count) in gradients.iter().zip(counts) {
                let count = if self.is_mean() { *count } else { 1.0 };
                for (sum, value) in sums.iter_mut().zip(gradient.get(at * BLOCK..).unwrap_or_default()) {
                    *sum += count * f64::from(*value);
                }
            }
            for (whole, sum) in whole.iter_mut().zip(sums) {
                *whole = if total > 0.0 { (*sum / total) as f32 } else { 0.0 };
            }
        }
    }
}
