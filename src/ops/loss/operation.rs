//! Elementwise losses as operations, and the rules that merge them with their neighbours.

use super::{Elementwise, Reduction, backward, both, forward};
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Merge, Node, Operation, Program, Shape, Var};
use crate::ops::activation::{Apply, Slope};
use crate::ops::reduce::{Repeat, logged};
use crate::ops::{Activation, operands, same_shapes};

/// `scale * sum of error(p, t)`. A graph calls it with the first two attributes; rules set the others.
///
/// Operands: p, t; then the loss's own gradient, then where a derivative is taken, then the history, as far as there are.
/// Outputs: the loss (or the history), then the gradient of p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    error: Elementwise,
    scale: f32,
    gradient: bool,
    derivative: Option<Activation>,
    history: bool,
}

/// Its gradient with respect to p (or t) times a number, elementwise. Operands: p, t, that number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LossGradient {
    loss: Loss,
    by_target: bool,
}

impl Operation for Loss {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [p, t] = operands("loss", inputs)?;
        self.error.check()?;
        same_shapes("loss", ("the prediction", p), ("the target", t))?;
        Ok(vec![[1, 1]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        if !self.gradient {
            return forward(recording, self.error, [inputs[0], inputs[1]], self.scale, outputs[0]);
        }
        let through = self.derivative.map(|function| (function, inputs[3]));
        let operands = [inputs[0], inputs[1], inputs[2]];
        both(recording, self.error, operands, self.scale, through, [outputs[0], outputs[1]])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let mut by = |by_target| graph.call1(LossGradient { loss: *self, by_target }, &[x[0], x[1], dy]);
        Ok(vec![Some(by(false)?), Some(by(true)?)])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        let history = 2 + usize::from(self.gradient) + usize::from(self.derivative.is_some());
        if self.history { vec![(0, history)] } else { Vec::new() }
    }
}

impl Operation for LossGradient {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [p, _, _] = operands("loss backward", inputs)?;
        Ok(vec![p])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let operands = [inputs[0], inputs[1], inputs[2]];
        backward(recording, (self.loss.error, self.by_target), operands, self.loss.scale, outputs[0], false)
    }

    /// `d scale error'(p, t)` by other operations.
    fn expand(&self, graph: &mut Graph, x: &[Var]) -> Result<Option<Var>> {
        let (p, t) = (x[0], x[1]);
        let slope = match self.loss.error {
            Elementwise::BceWithLogits if self.by_target => graph.neg(p)?,
            Elementwise::BceWithLogits => {
                let probability = graph.sigmoid(p)?;
                graph.sub(probability, t)?
            }
            // Not odd, unlike those below: its sides have slopes of their own.
            Elementwise::Quantile { quantile } => {
                let difference = graph.sub(p, t)?;
                let side = if self.by_target { -1.0 } else { 1.0 };
                sides(graph, difference, [side * quantile, side * (1.0 - quantile)])?
            }
            error => {
                let difference = if self.by_target { graph.sub(t, p)? } else { graph.sub(p, t)? };
                match error {
                    Elementwise::Absolute => sides(graph, difference, [1.0, 1.0])?,
                    Elementwise::Huber { delta } => {
                        // clamp(e, -delta, delta) = delta - max(2 delta - max(e + delta, 0), 0), whose derivative is 0
                        // at both ends, as PyTorch has it.
                        let above = graph.add_scalar(difference, delta)?;
                        let above = graph.relu(above)?;
                        let below = graph.affine(above, -1.0, 2.0 * delta)?;
                        let below = graph.relu(below)?;
                        graph.affine(below, -1.0, delta)?
                    }
                    _ => graph.mul_scalar(difference, 2.0)?,
                }
            }
        };
        let scaled = graph.mul_scalar(slope, self.loss.scale)?;
        graph.mul(scaled, x[2]).map(Some)
    }
}

/// `-below` where x is negative, `above` where it is positive, 0 between: the derivative of a V, whose own is 0.
fn sides(graph: &mut Graph, x: Var, [below, above]: [f32; 2]) -> Result<Var> {
    let one = graph.constant(1.0);
    let shape = graph.shape(x)?;
    let [below, above] = [below, above].map(|scale| graph.call1(Repeat { shape, scale }, &[one]));
    let minus = graph.neg(x)?;
    let positive = graph.call1(Slope(Activation::ReLU), &[x, above?])?;
    let negative = graph.call1(Slope(Activation::ReLU), &[minus, below?])?;
    graph.sub(positive, negative)
}

/// Of a call of a loss that no rule has changed: the error, and what the sum is multiplied by.
pub(crate) fn called(node: &Node) -> Option<(Elementwise, f32)> {
    let Loss { error, scale, .. } = *node.is()?;
    let plain = Loss { error, scale, gradient: false, derivative: None, history: false };
    (node.is() == Some(&plain)).then_some((error, scale))
}

/// Whether a call gives a loss's gradient with respect to the prediction.
pub(crate) fn is_gradient(node: &Node, loss: &Node) -> bool {
    let of = |loss: &Loss| node.is() == Some(&LossGradient { loss: *loss, by_target: false });
    loss.is().is_some_and(of) && node.inputs[..2] == loss.inputs
}

/// Rule: loss = sum of errors; dp = its gradient. One dispatch gives both.
pub(crate) fn gradient(program: &Program<'_>, second: usize) -> Option<Merge> {
    let LossGradient { loss, by_target: false } = *program.op(second)? else { return None };
    let operands = &program.node(second).inputs;
    let same = |i: &usize| program.op(*i) == Some(&loss) && program.node(*i).inputs == operands[..2];
    let first = program.readers(operands[0]).iter().copied().find(same)?;
    let outputs = vec![program.node(first).outputs[0], program.node(second).outputs[0]];
    Merge::new([first, second], Loss { gradient: true, ..loss }, operands.clone(), outputs)
}

/// Rule: dp = a loss's gradient; dx = dp activation', where p = activation(x). One dispatch gives dx; dp is never stored.
pub(crate) fn derivative(program: &Program<'_>, second: usize) -> Option<Merge> {
    let Slope(function) = *program.op(second)?;
    let [at, dp] = program.inputs(second)?;
    let first = program.writer(dp).filter(|_| program.only_for(dp, second))?;
    let fits = |loss: &&Loss| loss.derivative.is_none() && function.is_epilogue();
    let loss = *program.op::<Loss>(first).filter(fits)?;
    // Not the loss itself.
    program.node(first).outputs.get(1).filter(|gradient| **gradient == dp)?;
    let mut inputs = program.node(first).inputs.clone();
    // The kernel has p at hand, and what p is the function of; it can't take a derivative anywhere else.
    let called = program.called(inputs[0])?;
    if called.is() != Some(&Apply(function)) || (at != inputs[0] && at != called.inputs[0]) {
        return None;
    }
    inputs.insert(3, at);
    let outputs = vec![program.node(first).outputs[0], program.node(second).outputs[0]];
    Merge::new([first, second], Loss { derivative: Some(function), ..loss }, inputs, outputs)
}

/// Rule: loss = sum of errors; history[step] = loss. The loss is written to the history; alone it is never stored.
pub(crate) fn history(program: &Program<'_>, second: usize) -> Option<Merge> {
    let (first, history) = logged(program, second)?;
    let loss = *program.op::<Loss>(first).filter(|loss| !loss.history)?;
    let node = program.node(first);
    let inputs = node.inputs.iter().copied().chain([history]).collect();
    let outputs = program.node(second).outputs.iter().chain(&node.outputs[1..]).copied().collect();
    Merge::new([first, second], Loss { history: true, ..loss }, inputs, outputs)
}

impl Graph {
    /// The squared error between two matrices of one shape, reduced to [1, 1].
    ///
    /// # Errors
    /// Different shapes; a value of another graph.
    pub fn mse(&mut self, prediction: Var, target: Var, reduction: Reduction) -> Result<Var> {
        self.elementwise_loss(Elementwise::Squared, prediction, target, reduction)
    }

    /// An error of each element, reduced to [1, 1].
    ///
    /// # Errors
    /// Different shapes; a delta of Huber's that is not positive; a quantile that is not between 0 and 1; a value of another
    /// graph.
    pub fn elementwise_loss(
        &mut self,
        error: Elementwise,
        prediction: Var,
        target: Var,
        reduction: Reduction,
    ) -> Result<Var> {
        let [rows, cols] = self.shape(prediction)?;
        let scale = reduction.scale(rows, cols);
        self.call1(Loss { error, scale, gradient: false, derivative: None, history: false }, &[prediction, target])
    }
}
