//! A row added to every row, and the sums of columns that are its gradient: `shaders/bias.wgsl`.

use std::ops::Range;

use crate::device::{
    CHUNK_ROWS, Call, Cut, Dispatch, Kernel, Recording, Shader, Share, Tensor, kernel, params, shader,
};
use crate::error::Result;
use crate::ops::elementary::sum_columns;
use crate::ops::{GROUP, expect_shape, grid, longest_loop, put, same_shape, size};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        first_row: u32,
        accumulate: u32,
        part_rows: u32,
    }
}

/// Sums of chunks are cut; what adds them up is not.
fn cut(dispatch: &Dispatch) -> Option<Cut> {
    let Params { rows, cols, first_row, part_rows, .. } = bytemuck::pod_read_unaligned(&dispatch.params);
    if first_row != 0 || part_rows as usize != CHUNK_ROWS {
        return None;
    }
    let params = |params: &[u8], rows: Range<usize>| {
        let params: Params = bytemuck::pod_read_unaligned(params);
        bytemuck::bytes_of(&Params { rows: size(rows.len()), ..params }).to_vec()
    };
    let cols = cols as usize;
    Some(Cut { params, ..Cut::chunks(rows as usize, vec![Share::Rows(cols)], vec![Share::Piece(cols)])? })
}

const SHADER: Shader = shader!(["common/grid", "common/lanes", "bias"], shared: [GROUP, COLS, SHARERS]);

pub(crate) static FORWARD: Kernel = Kernel {
    cut: Cut::by_rows,
    ..kernel!("bias", "forward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, forward_reference)
};
pub(crate) static BACKWARD: Kernel = Kernel {
    cut,
    ..kernel!("bias", "backward", SHADER, [COLS, SHARERS, 1], Params, inputs: 1, outputs: 1, step: false, backward_reference)
};

/// Columns of a workgroup, and invocations that share a column.
const COLS: usize = 16;
const SHARERS: usize = 16;

/// Rows of one dispatch of the column sums.
const MAX_ROWS: usize = SHARERS * longest_loop(2);

/// `y[r, c] = x[r, c] + bias[c]`, with x and y [n, c] and bias [1, c].
///
/// # Errors
/// Other shapes.
pub fn forward(recording: &mut Recording, x: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
    expect_shape("bias", "bias", bias, [1, x.cols()], "to have an entry for each column")?;
    same_shape("bias", &[("x", x), ("y", y)])?;
    let params = Params { rows: size(x.rows()), cols: size(x.cols()), first_row: 0, accumulate: 0, part_rows: 0 };
    recording.push(&FORWARD, grid(x.len(), GROUP), params, &[x, bias], &[y], x.len() as u64)
}

/// `sums[c] = sum over r of x[r, c]`, or `sums[c] += ...` with `accumulate`; x [n, c], sums [1, c].
///
/// # Errors
/// Other shapes.
pub fn backward(recording: &mut Recording, x: &Tensor, sums: &Tensor, accumulate: bool) -> Result<()> {
    expect_shape("bias backward", "sums", sums, [1, x.cols()], "to have an entry for each column")?;
    if x.device().capabilities().takes_chunks_of(x.rows()) {
        let parts = Tensor::zeros(x.device(), x.rows().div_ceil(CHUNK_ROWS), x.cols())?;
        let (rows, part_rows) = (size(x.rows()), size(CHUNK_ROWS));
        let params = Params { rows, cols: size(x.cols()), first_row: 0, accumulate: 0, part_rows };
        recording.push(&BACKWARD, grid(parts.len(), COLS), params, &[x], &[&parts], x.len() as u64)?;
        return backward(recording, &parts, sums, accumulate);
    }
    for first_row in (0..x.rows()).step_by(MAX_ROWS) {
        let end = x.rows().min(first_row + MAX_ROWS);
        let params = Params {
            rows: size(end),
            cols: size(x.cols()),
            first_row: size(first_row),
            accumulate: (accumulate || first_row > 0).into(),
            part_rows: size(end - first_row),
        };
        let work = (end - first_row) * x.cols();
        recording.push(&BACKWARD, grid(x.cols(), COLS), params, &[x], &[sums], work as u64)?;
    }
    Ok(())
}

#[inline(always)]
fn forward_reference(call: Call<'_>) {
    let [x, bias, ..] = call.inputs;
    let [y, ..] = call.outputs;
    for (y, x) in y.chunks_exact_mut(bias.len()).zip(x.chunks_exact(bias.len())) {
        for ((y, x), bias) in y.iter_mut().zip(x).zip(bias) {
            *y = x + bias;
        }
    }
}

#[inline(always)]
fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [x, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    let cols = params.cols as usize;
    let x = &x[params.first_row as usize * cols..params.rows as usize * cols];
    for (x, sums) in x.chunks(params.part_rows as usize * cols).zip(sums.chunks_exact_mut(cols)) {
        sum_columns(x, cols, cols, |col, sum| put(&mut sums[col], sum, params.accumulate != 0));
    }
}
