//! Sums in a fixed order: `shaders/reduce.wgsl`.

mod operation;

use crate::device::{Call, Cut, Kernel, LaneCall, Recording, Shader, Tensor, Values, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::elementary::{self, clip, sum_of_pairs_by_member};
use crate::ops::{GROUP, LOAD, expect_shape, grid, longest_loop, put, size};
use crate::simd::widest;
pub(crate) use operation::{IntoHistory, Over, Repeat, Sum, history, logged, sum_to};

params! {
    struct Params {
        len: u32,
        scale: f32,
        last_slot: u32,
        square: u32,
        clip: f32,
        accumulate: u32,
    }
}

params! {
    struct RowParams {
        rows: u32,
        cols: u32,
        scale: f32,
        accumulate: u32,
    }
}

const SHADER: Shader =
    shader!(["common/grid", "common/step", "common/lanes", "common/numbers", "reduce"], shared: [GROUP, BLOCK, LANES]);

pub(crate) static SUM: Kernel =
    kernel!("reduce", "sum", SHADER, [LANES, 1, 1], Params, inputs: 1, outputs: 1, step: true, reference).lanes(lanes);
pub(crate) static ROWS: Kernel =
    kernel!("reduce", "rows", SHADER, [GROUP, 1, 1], RowParams, inputs: 1, outputs: 1, step: false, rows_reference)
        .cut(Cut::by_rows);

/// Elements that one workgroup adds.
pub(crate) const BLOCK: usize = 4096;
/// The invocations that do it.
pub(crate) const LANES: usize = 256;
/// Columns that a row's workgroup adds.
const MAX_COLS: usize = GROUP * longest_loop(2);

/// `out[min(step, out.len() - 1)] = scale * (sum of all elements of x)`: with an output of one element a plain sum,
/// with more a history of one sum per step.
///
/// # Errors
/// No memory for the partial sums of a large matrix.
pub fn sum(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor) -> Result<()> {
    sum_of(recording, x, scale, out, How::default())
}

/// `out = sum of the squares of all elements of x`, [1, 1].
///
/// # Errors
/// See [`sum`].
pub fn sum_of_squares(recording: &mut Recording, x: &Tensor, out: &Tensor) -> Result<()> {
    sum_of(recording, x, 1.0, out, How { square: true, ..How::default() })
}

#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) square: bool,
    /// Elements are clamped to ± this, before they are squared.
    pub(crate) clip: f32,
    pub(crate) accumulate: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { square: false, clip: f32::INFINITY, accumulate: false }
    }
}

pub(crate) fn sum_of(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor, mut how: How) -> Result<()> {
    let mut push = |x: &Tensor, scale: f32, out: &Tensor, last_slot: usize, how: How| {
        let params = Params {
            len: size(x.len()),
            scale,
            last_slot: size(last_slot),
            square: how.square.into(),
            clip: how.clip,
            accumulate: how.accumulate.into(),
        };
        recording.push(&SUM, grid(x.len(), BLOCK), params, &[x], &[out], (LOAD * x.len()) as u64)
    };
    let mut x = x.clone();
    while x.len() > BLOCK {
        let partial = Tensor::zeros(x.device(), 1, x.len().div_ceil(BLOCK))?;
        push(&x, 1.0, &partial, 0, How { accumulate: false, ..how })?;
        x = partial;
        (how.square, how.clip) = (false, f32::INFINITY);
    }
    push(&x, scale, out, out.len() - 1, how)
}

/// `out[r] = scale * (sum over c of x[r, c])`, or `out[r] += ...` with `accumulate`; x [n, c], out [n, 1].
///
/// # Errors
/// Other shapes; more than 2,048,000 columns.
pub fn rows(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor, accumulate: bool) -> Result<()> {
    expect_shape("sum of rows", "out", out, [x.rows(), 1], "to have an entry for each row")?;
    if x.cols() > MAX_COLS {
        return Err(Error::shape(
            "sum of rows",
            format!("{} columns; it takes at most {MAX_COLS}: transpose the matrix", x.cols()),
        ));
    }
    let params = RowParams { rows: size(x.rows()), cols: size(x.cols()), scale, accumulate: accumulate.into() };
    // A workgroup per row, however short, costs as much as some thousand elements.
    recording.push(&ROWS, grid(x.rows(), 1), params, &[x], &[out], (LOAD * x.len() + 4096 * x.rows()) as u64)
}

#[inline(always)]
fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [x, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    let slot = call.step.min(params.last_slot as usize);
    for (sum, block) in sums[slot..].iter_mut().zip(x.chunks(BLOCK)) {
        let total = match (params.square != 0, params.clip) {
            (false, f32::INFINITY) => elementary::sum_of(block, |x| x),
            (false, limit) => elementary::sum_of(block, |x| clip(x, limit)),
            (true, limit) => elementary::sum_of(block, |x| clip(x, limit) * clip(x, limit)),
        };
        put(sum, params.scale * total, params.accumulate != 0);
    }
}

/// The sums of members side by side.
fn lanes(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    let Values::Own(x) = call.inputs[0] else { return call.one_by_one(cpu) };
    let [sums, ..] = call.outputs;
    let slot = call.step.min(params.last_slot as usize);
    widest(
        #[inline(always)]
        || {
            for (sums, block) in sums[slot..].iter_mut().zip(x.chunks(BLOCK)) {
                let total = match (params.square != 0, params.clip) {
                    (false, f32::INFINITY) => sum_of_pairs_by_member(block, block, |x, _| x),
                    (false, limit) => sum_of_pairs_by_member(block, block, |x, _| clip(x, limit)),
                    (true, limit) => sum_of_pairs_by_member(block, block, |x, _| clip(x, limit) * clip(x, limit)),
                };
                for (sum, total) in sums.iter_mut().zip(total) {
                    put(sum, params.scale * total, params.accumulate != 0);
                }
            }
        },
    );
}

#[inline(always)]
fn rows_reference(call: Call<'_>) {
    let params: RowParams = call.params();
    let [x, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    for (sum, row) in sums.iter_mut().zip(x.chunks_exact(params.cols as usize)) {
        put(sum, params.scale * elementary::sum_of(row, |x| x), params.accumulate != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::{Device, Recording, Tensor};

    /// Submits are cut by the work, and a software driver takes microseconds for the shortest row.
    #[test]
    fn the_work_of_short_rows_is_that_of_their_workgroups() {
        let device = Device::cpu();
        let (x, out) = (Tensor::zeros(&device, 1000, 1).unwrap(), Tensor::zeros(&device, 1000, 1).unwrap());
        let mut recording = Recording::new(&device);
        rows(&mut recording, &x, 1.0, &out, false).unwrap();
        assert!(recording.dispatches().iter().all(|dispatch| dispatch.work >= 1_000_000));
    }
}
