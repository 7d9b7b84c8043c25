//! Softmax as an operation.

use super::{backward, forward};
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::operands;

/// The softmax of each row, or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) log: bool,
}

/// Its gradient. Operands: the softmax's output y, dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoftmaxGradient {
    log: bool,
}

impl Operation for Softmax {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [x] = operands("softmax", inputs)?;
        Ok(vec![x])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        forward(recording, inputs[0], self.log, outputs[0])
    }

    fn gradient(&self, graph: &mut Graph, _x: &[Var], y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(graph.call1(SoftmaxGradient { log: self.log }, &[y, dy])?)])
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], _of_data: &[bool]) -> bool {
        true
    }
}

impl Operation for SoftmaxGradient {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [y, _] = operands("softmax backward", inputs)?;
        Ok(vec![y])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        backward(recording, [inputs[0], inputs[1]], self.log, outputs[0], false)
    }

    /// `y (dy - sum over the row of dy y)`, or for the logarithm `dy - exp(y) (sum over the row of dy)`.
    fn expand(&self, graph: &mut Graph, x: &[Var]) -> Result<Option<Var>> {
        let (y, dy) = (x[0], x[1]);
        if self.log {
            let p = graph.exp(y)?;
            let sum = graph.sum_cols(dy)?;
            let share = graph.mul(p, sum)?;
            return graph.sub(dy, share).map(Some);
        }
        let weighted = graph.mul(dy, y)?;
        let mean = graph.sum_cols(weighted)?;
        let centred = graph.sub(dy, mean)?;
        graph.mul(y, centred).map(Some)
    }
}

impl Graph {
    /// The softmax of each row.
    ///
    /// # Errors
    /// A value of another graph. (More than 1,280,000 columns are refused when the graph is lowered.)
    pub fn softmax(&mut self, x: Var) -> Result<Var> {
        self.call1(Softmax { log: false }, &[x])
    }

    /// The logarithm of the softmax of each row, finite also where the softmax is 0 in f32.
    ///
    /// # Errors
    /// See [`Graph::softmax`].
    pub fn log_softmax(&mut self, x: Var) -> Result<Var> {
        self.call1(Softmax { log: true }, &[x])
    }
}
