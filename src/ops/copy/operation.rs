//! Data movement as operations: transposes, slices, concatenation, repetition, and sums that accumulate in place.

use super::{broadcast, columns, rows_of_steps, transpose};
use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::{fill, operands};

/// xᵀ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transpose;

impl Operation for Transpose {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[rows, cols]] = operands("transpose", inputs)?;
        Ok(vec![[cols, rows]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        transpose(recording, inputs[0], outputs[0], false)
    }

    fn gradient(&self, graph: &mut Graph, _x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(graph.transpose(dy)?)])
    }
}

/// Columns from `first` on, `cols` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceCols {
    pub(crate) first: usize,
    pub(crate) cols: usize,
}

impl Operation for SliceCols {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[rows, cols]] = operands("slice_cols", inputs)?;
        let (first, end) = (self.first, self.first.saturating_add(self.cols));
        if self.cols == 0 || end > cols {
            return Err(Error::shape(
                "slice_cols",
                format!("columns {first}..{end} of {cols}; give a range within them, not empty"),
            ));
        }
        Ok(vec![[rows, self.cols]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        columns(recording, (inputs[0], self.first), (outputs[0], 0), false)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let [_, cols] = graph.shape(x[0])?;
        Ok(vec![Some(graph.call1(PadCols { first: self.first, cols }, &[dy])?)])
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], _of_data: &[bool]) -> bool {
        true
    }
}

/// x as columns from `first` on of a matrix of `cols` columns that is 0 elsewhere: the gradient of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PadCols {
    first: usize,
    cols: usize,
}

impl Operation for PadCols {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[rows, _]] = operands("slice_cols", inputs)?;
        Ok(vec![[rows, self.cols]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        fill::fill(recording, 0.0, outputs[0])?;
        columns(recording, (inputs[0], 0), (outputs[0], self.first), false)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let [_, cols] = graph.shape(x[0])?;
        Ok(vec![Some(graph.call1(SliceCols { first: self.first, cols }, &[dy])?)])
    }
}

/// Matrices side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConcatCols;

impl Operation for ConcatCols {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let Some([rows, _]) = inputs.first() else {
            return Err(Error::input("concat_cols", "no matrices; give at least one"));
        };
        if let Some([other, _]) = inputs.iter().find(|[other, _]| other != rows) {
            let detail = format!("{rows} rows next to {other} rows; all must have the same number of rows");
            return Err(Error::shape("concat_cols", detail));
        }
        Ok(vec![[*rows, inputs.iter().map(|[_, cols]| cols).sum()]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let mut start = 0;
        for part in inputs {
            columns(recording, (part, 0), (outputs[0], start), false)?;
            start += part.cols();
        }
        Ok(())
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let mut first = 0;
        let mut slice = |part: &Var| {
            let [_, cols] = graph.shape(*part)?;
            let slice = graph.call1(SliceCols { first, cols }, &[dy])?;
            first += cols;
            Ok(Some(slice))
        };
        x.iter().map(&mut slice).collect()
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], of_data: &[bool]) -> bool {
        !of_data.contains(&false)
    }
}

/// `sum += x`, in place: a gradient that accumulates over backward passes. Operands: the sum, then x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddTo;

impl Operation for AddTo {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [sum, x] = operands("add_to", inputs)?;
        if sum != x {
            return Err(Error::shape("add_to", format!("{x:?} to a sum of shape {sum:?}; they must be equal")));
        }
        Ok(vec![sum])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        broadcast(recording, inputs[1], 1.0, outputs[0], true)
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}

/// The rows of each step, in place, in those of all steps, of which each step has `stride`. Operands: all, then a step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntoRows {
    pub(crate) stride: usize,
}

impl Operation for IntoRows {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [all, _] = operands("rows of steps", inputs)?;
        Ok(vec![all])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        rows_of_steps(recording, inputs[1], self.stride, outputs[0])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}

/// One row in which matrices lie behind each other, from these elements on. Operands: the row, then the matrices.
/// Lowering has them computed in their places where it can, so that this is no dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flat {
    pub(crate) starts: Vec<usize>,
}

impl Operation for Flat {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        match inputs {
            [row, parts @ ..] if parts.len() == self.starts.len() => Ok(vec![*row]),
            _ => Err(Error::input("flat", format!("{} operands for {} parts", inputs.len(), self.starts.len()))),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        for (part, start) in inputs[1..].iter().zip(&self.starts) {
            let place = outputs[0].view(*start, part.rows(), part.cols())?;
            if !part.is(&place) {
                broadcast(recording, part, 1.0, &place, false)?;
            }
        }
        Ok(())
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }

    fn place(&self, input: usize) -> Option<usize> {
        self.starts.get(input.checked_sub(1)?).copied()
    }
}

impl Graph {
    /// xᵀ, [c, n].
    ///
    /// # Errors
    /// A value of another graph.
    pub fn transpose(&mut self, x: Var) -> Result<Var> {
        self.call1(Transpose, &[x])
    }

    /// Columns `first..end` of x, [n, end - first].
    ///
    /// # Errors
    /// An empty range, or one beyond the columns; a value of another graph.
    pub fn slice_cols(&mut self, x: Var, first: usize, end: usize) -> Result<Var> {
        self.call1(SliceCols { first, cols: end.saturating_sub(first) }, &[x])
    }

    /// Matrices with the same number of rows, side by side, [n, sum of the columns]: `cat(dim=1)` in PyTorch.
    ///
    /// # Errors
    /// No matrices, or different numbers of rows; a value of another graph.
    pub fn concat_cols(&mut self, parts: &[Var]) -> Result<Var> {
        self.call1(ConcatCols, parts)
    }
}
