//! Copies between blocks of matrices: `shaders/copy.wgsl`.

pub(crate) mod operation;

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::{GROUP, expect_shape, grid, put, size};
pub(crate) use operation::{AddTo, Flat, IntoRows, SliceCols};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        x_start: u32,
        x_row: u32,
        x_col: u32,
        out_start: u32,
        out_row: u32,
        scale: f32,
        accumulate: u32,
        out_step: u32,
        last_step: u32,
    }
}

const SHADER: Shader = shader!(["common/grid", "common/step", "copy"], shared: [GROUP]);

pub(crate) static BLOCK: Kernel =
    kernel!("copy", "block", SHADER, [GROUP, 1, 1], Params, inputs: 1, outputs: 1, step: true, reference);

/// A block of a matrix: its first element, and the distances between its rows and its columns.
#[derive(Clone, Copy, Default)]
struct Block {
    start: usize,
    row: usize,
    col: usize,
    /// The distance to the next step's block, and the last step that has one; of an output.
    step: usize,
    last: usize,
}

fn push(
    recording: &mut Recording,
    [rows, cols]: [usize; 2],
    (x, from): (&Tensor, Block),
    (out, to): (&Tensor, Block),
    scale: f32,
    accumulate: bool,
) -> Result<()> {
    let params = Params {
        rows: size(rows),
        cols: size(cols),
        x_start: size(from.start),
        x_row: size(from.row),
        x_col: size(from.col),
        out_start: size(to.start),
        out_row: size(to.row),
        scale,
        accumulate: accumulate.into(),
        out_step: size(to.step),
        last_step: size(to.last),
    };
    recording.push(&BLOCK, grid(rows * cols, GROUP), params, &[x], &[out], (rows * cols) as u64)
}

fn whole(x: &Tensor) -> Block {
    Block { row: x.cols(), col: 1, ..Block::default() }
}

/// Distances that repeat x where it has one row or one column, to fill `shape`.
pub(crate) fn repeating(operation: &str, x: &Tensor, [rows, cols]: [usize; 2]) -> Result<[usize; 2]> {
    let fits = |have: usize, want: usize| have == want || have == 1;
    if !fits(x.rows(), rows) || !fits(x.cols(), cols) {
        return Err(Error::shape(
            operation,
            format!("{} x {} does not broadcast to {rows} x {cols}; each side must be equal or 1", x.rows(), x.cols()),
        ));
    }
    Ok([if x.rows() == 1 { 0 } else { x.cols() }, usize::from(x.cols() > 1)])
}

/// `out[r, c] = scale * x[r, c]`, or `out += ...` with `accumulate`, where x may be [1, c], [r, 1] or [1, 1] and is
/// repeated.
///
/// # Errors
/// Other shapes.
pub fn broadcast(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor, accumulate: bool) -> Result<()> {
    let [row, col] = repeating("broadcast", x, out.shape())?;
    push(recording, out.shape(), (x, Block { row, col, ..Block::default() }), (out, whole(out)), scale, accumulate)
}

/// `out[c, r] = x[r, c]`, or `out += ...` with `accumulate`; x [n, c], out [c, n].
///
/// # Errors
/// Other shapes.
pub fn transpose(recording: &mut Recording, x: &Tensor, out: &Tensor, accumulate: bool) -> Result<()> {
    expect_shape("transpose", "out", out, [x.cols(), x.rows()], "to hold the transpose")?;
    let from = Block { row: 1, col: x.cols(), ..Block::default() };
    push(recording, out.shape(), (x, from), (out, whole(out)), 1.0, accumulate)
}

/// Columns `x_col..` of x to columns `out_col..` of out, as many as fit the narrower; x [n, a], out [n, b].
///
/// # Errors
/// Different numbers of rows; a first column past the end.
pub fn columns(
    recording: &mut Recording,
    (x, x_col): (&Tensor, usize),
    (out, out_col): (&Tensor, usize),
    accumulate: bool,
) -> Result<()> {
    if x.rows() != out.rows() || x_col >= x.cols() || out_col >= out.cols() {
        return Err(Error::shape(
            "columns",
            format!(
                "columns from {x_col} of {} x {} to columns from {out_col} of {} x {}; both must have the same number of rows",
                x.rows(),
                x.cols(),
                out.rows(),
                out.cols()
            ),
        ));
    }
    let cols = (x.cols() - x_col).min(out.cols() - out_col);
    let (from, to) = (Block { start: x_col, ..whole(x) }, Block { start: out_col, ..whole(out) });
    push(recording, [x.rows(), cols], (x, from), (out, to), 1.0, accumulate)
}

/// `out[step * stride + r, c] = x[r, c]`: the rows that each step gives, one step's behind the other's; x [n, c], out [m, c].
/// Steps that have no room there write where the last one that has does.
///
/// # Errors
/// Other columns; fewer rows than x has; a stride of 0.
pub fn rows_of_steps(recording: &mut Recording, x: &Tensor, stride: usize, out: &Tensor) -> Result<()> {
    if x.cols() != out.cols() || x.rows() > out.rows() || stride == 0 {
        let ([rows, cols], [n, c]) = (x.shape(), out.shape());
        let detail = format!("{rows} x {cols} to every {stride} rows of {n} x {c}; give as many columns, and room");
        return Err(Error::shape("rows of steps", detail));
    }
    let to = Block { step: stride * out.cols(), last: (out.rows() - x.rows()) / stride, ..whole(out) };
    push(recording, x.shape(), (x, whole(x)), (out, to), 1.0, false)
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [x, ..] = call.inputs;
    let [out, ..] = call.outputs;
    let first = params.out_start as usize + call.step.min(params.last_step as usize) * params.out_step as usize;
    for row in 0..params.rows as usize {
        let from = params.x_start as usize + row * params.x_row as usize;
        let to = first + row * params.out_row as usize;
        for (col, out) in out[to..][..params.cols as usize].iter_mut().enumerate() {
            put(out, params.scale * x[from + col * params.x_col as usize], params.accumulate != 0);
        }
    }
}
