//! Cross-entropy as an operation, and the rules that merge it with its neighbours.

use super::{backward, both, check, forward};
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Merge, Node, Operation, Program, Shape, Var};
use crate::ops::reduce::logged;
use crate::ops::{Reduction, operands};

/// `-scale * sum of t log_softmax(z)`. A graph calls it with the scale; rules set the others.
///
/// Operands: z, t; then the loss's own gradient, then the history, as far as there are. Outputs: the loss (or the history),
/// then the gradient of z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CrossEntropy {
    scale: f32,
    gradient: bool,
    history: bool,
}

/// Its gradient with respect to z times a number, elementwise. Operands: z, t, that number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CrossEntropyGradient(CrossEntropy);

impl Operation for CrossEntropy {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [logits, target] = operands("cross_entropy", inputs)?;
        check(logits, target)?;
        Ok(vec![[1, 1]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        if !self.gradient {
            return forward(recording, [inputs[0], inputs[1]], self.scale, outputs[0]);
        }
        both(recording, [inputs[0], inputs[1], inputs[2]], self.scale, [outputs[0], outputs[1]])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let dz = graph.call1(CrossEntropyGradient(*self), &[x[0], x[1], dy])?;
        if graph.shape(x[0])? != graph.shape(x[1])? {
            // Class numbers are constants.
            return Ok(vec![Some(dz), None]);
        }
        // With respect to probabilities: -d scale log_softmax(z).
        let logarithms = graph.log_softmax(x[0])?;
        let scaled = graph.mul_scalar(logarithms, -self.scale)?;
        Ok(vec![Some(dz), Some(graph.mul(scaled, dy)?)])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        if self.history { vec![(0, 2 + usize::from(self.gradient))] } else { Vec::new() }
    }
}

impl Operation for CrossEntropyGradient {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [logits, _, _] = operands("cross_entropy backward", inputs)?;
        Ok(vec![logits])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        backward(recording, [inputs[0], inputs[1], inputs[2]], self.0.scale, outputs[0], false)
    }

    /// `d scale (softmax(z) (sum of t) - t)`, by its gradients: class numbers are constants, of which the sum of t is 1.
    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, up: Var) -> Result<Vec<Option<Var>>> {
        let (z, t, d) = (x[0], x[1], x[2]);
        let p = graph.softmax(z)?;
        // The softmax's own chain rule: p (up - sum over the row of up p).
        let weighted = graph.mul(up, p)?;
        let mean = graph.sum_cols(weighted)?;
        let centred = graph.sub(up, mean)?;
        let mut by_z = graph.mul(p, centred)?;
        let is_class = graph.shape(t)? != graph.shape(z)?;
        if !is_class {
            let total = graph.sum_cols(t)?;
            by_z = graph.mul(by_z, total)?;
        }
        let by_z = graph.mul_scalar(by_z, self.0.scale)?;
        let by_z = graph.mul(by_z, d)?;
        // By d: what the gradient itself is with d = 1.
        let one = graph.constant(1.0);
        let plain = graph.call1(*self, &[z, t, one])?;
        let by_d = graph.mul(plain, up)?;
        let by_d = graph.sum(by_d)?;
        // By probabilities t: d scale (sum over the row of up p - up).
        let by_t = if is_class {
            None
        } else {
            let difference = graph.sub(mean, up)?;
            let scaled = graph.mul_scalar(difference, self.0.scale)?;
            Some(graph.mul(scaled, d)?)
        };
        Ok(vec![Some(by_z), by_t, Some(by_d)])
    }
}

/// Of a call of a cross-entropy that no rule has changed: what the sum is multiplied by.
pub(crate) fn called(node: &Node) -> Option<f32> {
    let scale = node.is::<CrossEntropy>()?.scale;
    (node.is() == Some(&CrossEntropy { scale, gradient: false, history: false })).then_some(scale)
}

/// Whether a call gives a cross-entropy's gradient with respect to the logits.
pub(crate) fn is_gradient(node: &Node, loss: &Node) -> bool {
    let of = |loss: &CrossEntropy| node.is() == Some(&CrossEntropyGradient(*loss));
    loss.is().is_some_and(of) && node.inputs[..2] == loss.inputs
}

/// Rule: loss = cross-entropy; dz = its gradient. One dispatch gives both.
pub(crate) fn gradient(program: &Program<'_>, second: usize) -> Option<Merge> {
    let CrossEntropyGradient(loss) = *program.op(second)?;
    let operands = &program.node(second).inputs;
    let same = |i: &usize| program.op(*i) == Some(&loss) && program.node(*i).inputs == operands[..2];
    let first = program.readers(operands[0]).iter().copied().find(same)?;
    let outputs = vec![program.node(first).outputs[0], program.node(second).outputs[0]];
    Merge::new([first, second], CrossEntropy { gradient: true, ..loss }, operands.clone(), outputs)
}

/// Rule: loss = cross-entropy; history[step] = loss. The loss is written to the history; alone it is never stored.
pub(crate) fn history(program: &Program<'_>, second: usize) -> Option<Merge> {
    let (first, history) = logged(program, second)?;
    let loss = *program.op::<CrossEntropy>(first).filter(|loss| !loss.history)?;
    let node = program.node(first);
    let inputs = node.inputs.iter().copied().chain([history]).collect();
    let outputs = program.node(second).outputs.iter().chain(&node.outputs[1..]).copied().collect();
    Merge::new([first, second], CrossEntropy { history: true, ..loss }, inputs, outputs)
}

impl Graph {
    /// The cross-entropy of logits [n, c] with class numbers [n, 1] or probabilities [n, c], reduced to [1, 1];
    /// `Mean` and `SampleMean` both divide by n, as PyTorch does.
    ///
    /// # Errors
    /// Other shapes; a value of another graph.
    pub fn cross_entropy(&mut self, logits: Var, target: Var, reduction: Reduction) -> Result<Var> {
        let [rows, cols] = self.shape(logits)?;
        let scale = match reduction {
            Reduction::Mean => Reduction::SampleMean,
            other => other,
        }
        .scale(rows, cols);
        self.call1(CrossEntropy { scale, gradient: false, history: false }, &[logits, target])
    }
}
