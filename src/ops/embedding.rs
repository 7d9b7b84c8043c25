//! Rows of a table by their numbers: `shaders/embedding.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::metrics::class;
use crate::ops::{GROUP, expect_shape, grid, longest_loop, operands, size};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        first: u32,
        end: u32,
        accumulate: u32,
    }
}

const SHADER: Shader = shader!(["common/grid", "common/numbers", "common/class", "embedding"], shared: [GROUP]);

pub(crate) static FORWARD: Kernel = kernel!("embedding", "forward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, forward_reference);
pub(crate) static BACKWARD: Kernel = kernel!("embedding", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, backward_reference);

/// An `f32` holds every whole number up to this one.
const MAX_ROWS: usize = 1 << 24;
/// Numbers that one dispatch of the gradient goes through.
const MAX_NUMBERS: usize = longest_loop(1);

/// Row r of `out` [n, k c] is `table[numbers[r, 0]]`, `table[numbers[r, 1]]`, ..., one behind the other, with numbers [n, k]
/// from 0 and the table [m, c]. A number that is no row of the table gives NaN.
///
/// # Errors
/// Other shapes; a table of more than 2^24 rows.
pub fn forward(recording: &mut Recording, numbers: &Tensor, table: &Tensor, out: &Tensor) -> Result<()> {
    check(table.rows())?;
    let shape = [numbers.rows(), numbers.cols() * table.cols()];
    expect_shape("embedding", "out", out, shape, "to hold a row of the table for each number")?;
    let params = params(table, numbers.len());
    recording.push(&FORWARD, grid(out.len(), GROUP), params, &[numbers, table], &[out], out.len() as u64)
}

/// The gradient of the table [m, c] from that of the output [n, k c]: row r is the sum of what the numbers r gave, in
/// their order.
///
/// # Errors
/// See [`forward`].
pub fn backward(recording: &mut Recording, numbers: &Tensor, dy: &Tensor, d_table: &Tensor) -> Result<()> {
    check(d_table.rows())?;
    let shape = [numbers.rows(), numbers.cols() * d_table.cols()];
    expect_shape("embedding backward", "the gradient", dy, shape, "as the output has")?;
    for first in (0..numbers.len()).step_by(MAX_NUMBERS) {
        let end = numbers.len().min(first + MAX_NUMBERS);
        let params = Params { first: size(first), accumulate: u32::from(first > 0), ..params(d_table, end) };
        let work = (end - first) as u64 * d_table.len() as u64;
        recording.push(&BACKWARD, grid(d_table.len(), GROUP), params, &[numbers, dy], &[d_table], work)?;
    }
    Ok(())
}

fn params(table: &Tensor, end: usize) -> Params {
    Params { rows: size(table.rows()), cols: size(table.cols()), first: 0, end: size(end), accumulate: 0 }
}

fn check(rows: usize) -> Result<()> {
    if rows > 0 && rows <= MAX_ROWS {
        return Ok(());
    }
    let detail = format!("a table of {rows} rows; it takes 1 to {MAX_ROWS}, which f32 can number");
    Err(Error::shape("embedding", detail))
}

fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [numbers, table, ..] = call.inputs;
    let [out, ..] = call.outputs;
    let (rows, cols) = (params.rows as usize, params.cols as usize);
    for (out, number) in out.chunks_exact_mut(cols).zip(numbers) {
        match class(*number, rows) {
            Some(row) => out.copy_from_slice(&table[row * cols..][..cols]),
            None => out.fill(f32::NAN),
        }
    }
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [numbers, dy, ..] = call.inputs;
    let [d_table, ..] = call.outputs;
    let (rows, cols) = (params.rows as usize, params.cols as usize);
    if params.accumulate == 0 {
        d_table[..rows * cols].fill(0.0);
    }
    for i in params.first as usize..params.end as usize {
        if let Some(row) = class(numbers[i], rows) {
            let sums = d_table[row * cols..][..cols].iter_mut();
            sums.zip(&dy[i * cols..][..cols]).for_each(|(sum, dy)| *sum += dy);
        }
    }
}

/// Rows of a table by their numbers. Operands: the numbers, which are constants, and the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Embedding;

/// The table's gradient. Operands: the numbers, dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EmbeddingGradient {
    rows: usize,
}

impl Operation for Embedding {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[n, k], [rows, cols]] = operands("embedding", inputs)?;
        check(rows)?;
        Ok(vec![[n, k * cols]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        forward(recording, inputs[0], inputs[1], outputs[0])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let [rows, _] = graph.shape(x[1])?;
        Ok(vec![None, Some(graph.call1(EmbeddingGradient { rows }, &[x[0], dy])?)])
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], of_data: &[bool]) -> bool {
        *of_data == [true, false]
    }
}

impl Operation for EmbeddingGradient {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[_, k], [_, cols]] = operands("embedding backward", inputs)?;
        Ok(vec![[self.rows, cols / k]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        backward(recording, inputs[0], inputs[1], outputs[0])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, up: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![None, Some(graph.embedding(x[0], up)?)])
    }
}

impl Graph {
    /// Rows of a table [m, c] by their numbers [n, k], from 0, those of each row of numbers side by side: [n, k c].
    /// `F.embedding` in PyTorch, which gives [n, k, c]. A number that is no row gives NaN.
    ///
    /// # Errors
    /// A table of more than 2^24 rows; a value of another graph.
    pub fn embedding(&mut self, numbers: Var, table: Var) -> Result<Var> {
        self.call1(Embedding, &[numbers, table])
    }
}
