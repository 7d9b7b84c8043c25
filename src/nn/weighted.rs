//! Losses whose samples count differently.

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::{Activation, Reduction};
use crate::ops::loss::Elementwise;

/// What divides by less divides by this: where nothing counts, the mean is 0, not NaN.
const SMALLEST: f32 = 1e-30;

/// The sum of `weight * error(prediction, target)` with weights [n, 1], reduced; means are divided by the sum of the
/// weights where they would be by the number of samples.
pub(crate) fn elementwise(
    graph: &mut Graph,
    error: Elementwise,
    [prediction, target, weights]: [Var; 3],
    reduction: Reduction,
) -> Result<Var> {
    error.check()?;
    let ([rows, cols], target_shape) = (graph.shape(prediction)?, graph.shape(target)?);
    if target_shape != [rows, cols] {
        // Which says so.
        return graph.elementwise_loss(error, prediction, target, reduction);
    }
    check_weights(graph, weights, rows)?;
    let errors = errors(graph, error, prediction, target)?;
    let weighed = graph.mul(errors, weights)?;
    let sum = graph.sum(weighed)?;
    let over_outputs = match reduction {
        Reduction::Mean | Reduction::OutputMean => graph.mul_scalar(sum, 1.0 / cols as f32)?,
        Reduction::Sum | Reduction::SampleMean => sum,
    };
    match reduction {
        Reduction::Mean | Reduction::SampleMean => mean(graph, over_outputs, weights),
        Reduction::Sum | Reduction::OutputMean => Ok(over_outputs),
    }
}

/// An error unless there is a weight for each of this many samples.
pub(crate) fn check_weights(graph: &Graph, weights: Var, rows: usize) -> Result<()> {
    let [found, cols] = graph.shape(weights)?;
    if [found, cols] == [rows, 1] {
        return Ok(());
    }
    let detail = format!("weights {found} x {cols} for {rows} samples; give {rows} x 1");
    Err(Error::shape("weighted loss", detail))
}

/// A sum divided by the sum of all weights; 0 where they are 0.
pub(crate) fn mean(graph: &mut Graph, sum: Var, weights: Var) -> Result<Var> {
    let total = graph.sum(weights)?;
    let above = graph.add_scalar(total, -SMALLEST)?;
    let above = graph.relu(above)?;
    let total = graph.add_scalar(above, SMALLEST)?;
    graph.div(sum, total)
}

/// The error of each element, [n, c].
fn errors(graph: &mut Graph, error: Elementwise, p: Var, t: Var) -> Result<Var> {
    let e = graph.sub(p, t)?;
    match error {
        Elementwise::Squared => graph.mul(e, e),
        Elementwise::Absolute => sides(graph, e, [1.0, 1.0]),
        Elementwise::Quantile { quantile } => sides(graph, e, [quantile, 1.0 - quantile]),
        Elementwise::Huber { delta } => {
            // With b = max(|e| - delta, 0) it is (|e| - b)² / 2 + delta b, which rounds little for small and large errors.
            let size = sides(graph, e, [1.0, 1.0])?;
            let beyond = graph.add_scalar(size, -delta)?;
            let beyond = graph.relu(beyond)?;
            let within = graph.sub(size, beyond)?;
            let square = graph.mul(within, within)?;
            let parabola = graph.mul_scalar(square, 0.5)?;
            let line = graph.mul_scalar(beyond, delta)?;
            graph.add(parabola, line)
        }
        Elementwise::BceWithLogits => {
            // -log σ(p) = softplus(-p) and -log(1 - σ(p)) = softplus(p)
            let minus = graph.neg(p)?;
            let [yes, no] = [minus, p].map(|x| graph.activation(x, Activation::Softplus));
            let other = graph.affine(t, -1.0, 1.0)?;
            let (yes, no) = (graph.mul(yes?, t)?, graph.mul(no?, other)?);
            graph.add(yes, no)
        }
    }
}

/// `below * max(-x, 0) + above * max(x, 0)`.
fn sides(graph: &mut Graph, x: Var, [below, above]: [f32; 2]) -> Result<Var> {
    let minus = graph.neg(x)?;
    let (negative, positive) = (graph.relu(minus)?, graph.relu(x)?);
    let negative = graph.mul_scalar(negative, below)?;
    let positive = graph.mul_scalar(positive, above)?;
    graph.add(negative, positive)
}
