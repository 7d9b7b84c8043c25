//! Sums as operations, with what rules can make of them; and the history that they are written to.

use super::{How, rows, sum, sum_of};
use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Merge, Operation, Program, Shape, Var};
use crate::ops::{bias, copy, operands};

/// What a sum runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// [n, c] to [1, c].
    Rows,
    /// [n, c] to [n, 1].
    Columns,
    /// [n, c] to [1, 1].
    All,
}

/// `scale` times the sum of x, or of its squares. Rules make one that is added to its second operand where that lies, or
/// written to the step's slot of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sum {
    pub(crate) over: Over,
    pub(crate) scale: f32,
    pub(crate) square: bool,
    /// Elements are clamped to ± this, before they are squared.
    pub(crate) clip: f32,
    pub(crate) adds: bool,
    pub(crate) history: bool,
}

impl Sum {
    pub(crate) const fn new(over: Over, scale: f32) -> Self {
        Self { over, scale, square: false, clip: f32::INFINITY, adds: false, history: false }
    }
}

/// `history[step] = x`, in place. Operands: the history, then x, [1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntoHistory;

impl Operation for Sum {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[rows, cols]] = operands("sum", inputs)?;
        Ok(vec![match self.over {
            Over::Rows => [1, cols],
            Over::Columns => [rows, 1],
            Over::All => [1, 1],
        }])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        match self.over {
            Over::Rows => bias::backward(recording, inputs[0], outputs[0], self.adds),
            Over::Columns => rows(recording, inputs[0], self.scale, outputs[0], self.adds),
            Over::All => {
                let how = How { square: self.square, clip: self.clip, accumulate: self.adds };
                sum_of(recording, inputs[0], self.scale, outputs[0], how)
            }
        }
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let shape = graph.shape(x[0])?;
        let spread =
            graph.call1(Repeat { shape, scale: if self.square { 2.0 * self.scale } else { self.scale } }, &[dy])?;
        Ok(vec![Some(if self.square { graph.mul(spread, x[0])? } else { spread })])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        if self.adds || self.history { vec![(0, 1)] } else { Vec::new() }
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], _of_data: &[bool]) -> bool {
        self.over == Over::Columns && !self.adds
    }
}

impl Operation for IntoHistory {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [history, x] = operands("history", inputs)?;
        match (history, x) {
            ([1, _], [1, 1]) => Ok(vec![history]),
            _ => Err(Error::shape("history", format!("{x:?} into {history:?}; it takes [1, 1] into one row"))),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        sum(recording, inputs[1], 1.0, outputs[0])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}

/// `scale x`, repeated to a shape: the gradient of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repeat {
    pub(crate) shape: Shape,
    pub(crate) scale: f32,
}

impl Operation for Repeat {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [_] = operands("repeat", inputs)?;
        Ok(vec![self.shape])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        copy::broadcast(recording, inputs[0], self.scale, outputs[0], false)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let sum = sum_to(graph, dy, x[0])?;
        Ok(vec![Some(if self.scale == 1.0 { sum } else { graph.mul_scalar(sum, self.scale)? })])
    }
}

/// The gradient of something that was repeated: summed back to the shape of `like`.
pub(crate) fn sum_to(graph: &mut Graph, x: Var, like: Var) -> Result<Var> {
    let shape = graph.shape(like)?;
    if graph.shape(x)? == shape {
        return Ok(x);
    }
    let over = match shape {
        [1, 1] => Over::All,
        [1, _] => Over::Rows,
        _ => Over::Columns,
    };
    graph.call1(Sum::new(over, 1.0), &[x])
}

/// Rule: s = sum; history[step] = s. The sum is written to the history; alone it is never stored.
pub(crate) fn history(program: &Program<'_>, second: usize) -> Option<Merge> {
    let (first, history) = logged(program, second)?;
    let plain = |sum: &&Sum| !sum.adds && !sum.history && sum.over == Over::All;
    let sum = *program.op::<Sum>(first).filter(plain)?;
    let inputs = vec![program.node(first).inputs[0], history];
    Merge::new([first, second], Sum { history: true, ..sum }, inputs, program.node(second).outputs.clone())
}

/// Of a call that writes to a history: who computes what is written, if nobody else reads it, and the history.
pub(crate) fn logged(program: &Program<'_>, at: usize) -> Option<(usize, Var)> {
    program.op::<IntoHistory>(at)?;
    let [history, x] = program.inputs(at)?;
    let first = program.writer(x).filter(|_| program.only_for(x, at))?;
    // What a loss gives first is itself.
    (program.node(first).outputs.first() == Some(&x)).then_some((first, history))
}

impl Graph {
    /// The sum of all elements, [1, 1].
    ///
    /// # Errors
    /// A value of another graph.
    pub fn sum(&mut self, x: Var) -> Result<Var> {
        self.call1(Sum::new(Over::All, 1.0), &[x])
    }

    /// The mean of all elements, [1, 1].
    ///
    /// # Errors
    /// A value of another graph.
    pub fn mean(&mut self, x: Var) -> Result<Var> {
        let [rows, cols] = self.shape(x)?;
        self.call1(Sum::new(Over::All, 1.0 / (rows * cols) as f32), &[x])
    }

    /// The sum over the rows, [1, c]: `sum(dim=0)` in PyTorch.
    ///
    /// # Errors
    /// A value of another graph.
    pub fn sum_rows(&mut self, x: Var) -> Result<Var> {
        self.call1(Sum::new(Over::Rows, 1.0), &[x])
    }

    /// The sum over the columns, [n, 1]: `sum(dim=1)` in PyTorch.
    ///
    /// # Errors
    /// A value of another graph. (More than 2,097,152 columns are refused when the graph is lowered.)
    pub fn sum_cols(&mut self, x: Var) -> Result<Var> {
        self.call1(Sum::new(Over::Columns, 1.0), &[x])
    }

    /// The mean over the rows, [1, c]: `mean(dim=0)` in PyTorch.
    ///
    /// # Errors
    /// A value of another graph.
    pub fn mean_rows(&mut self, x: Var) -> Result<Var> {
        let [rows, _] = self.shape(x)?;
        let sum = self.sum_rows(x)?;
        self.mul_scalar(sum, 1.0 / rows as f32)
    }

    /// The mean over the columns, [n, 1]: `mean(dim=1)` in PyTorch.
    ///
    /// # Errors
    /// See [`Graph::sum_cols`].
    pub fn mean_cols(&mut self, x: Var) -> Result<Var> {
        let [_, cols] = self.shape(x)?;
        self.call1(Sum::new(Over::Columns, 1.0 / cols as f32), &[x])
    }
}
