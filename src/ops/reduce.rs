//! Sums in a fixed order: `shaders/reduce.wgsl`.

use crate::device::{Call, Dispatch, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::graph::BackwardPass;
use crate::ops::elementary::{self, clip};
use crate::ops::{GROUP, bias, copy, expect_shape, grid, longest_loop, put, size};
use crate::tape::{Tape, Var};

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
    kernel!("reduce", "sum", SHADER, [LANES, 1, 1], Params, inputs: 1, outputs: 1, step: true, reference);
pub(crate) static ROWS: Kernel =
    kernel!("reduce", "rows", SHADER, [GROUP, 1, 1], RowParams, inputs: 1, outputs: 1, step: false, rows_reference);

/// Elements that one workgroup adds.
pub(crate) const BLOCK: usize = 4096;
/// By so many invocations.
pub(crate) const LANES: usize = 256;
/// Columns that a row's workgroup adds.
const MAX_COLS: usize = GROUP * longest_loop(2);

/// `out[min(step, out.len() - 1)] = scale * (sum of all elements of x)`: with an output of one element a plain sum,
/// with more a history of one sum a step.
///
/// # Errors
/// No memory for the partial sums of a large matrix.
pub fn sum(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor) -> Result<()> {
    sum_of(recording, x, scale, out, Sum::default())
}

/// `out = sum of the squares of all elements of x`, [1, 1].
///
/// # Errors
/// See [`sum`].
pub fn sum_of_squares(recording: &mut Recording, x: &Tensor, out: &Tensor) -> Result<()> {
    sum_of(recording, x, 1.0, out, Sum { square: true, ..Sum::default() })
}

#[derive(Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) square: bool,
    /// Elements are clamped to ± this, before they are squared.
    pub(crate) clip: f32,
    pub(crate) accumulate: bool,
}

impl Default for Sum {
    fn default() -> Self {
        Self { square: false, clip: f32::INFINITY, accumulate: false }
    }
}

pub(crate) fn sum_of(recording: &mut Recording, x: &Tensor, scale: f32, out: &Tensor, mut how: Sum) -> Result<()> {
    let mut push = |x: &Tensor, scale: f32, out: &Tensor, last_slot: usize, how: Sum| {
        let params = Params {
            len: size(x.len()),
            scale,
            last_slot: size(last_slot),
            square: how.square.into(),
            clip: how.clip,
            accumulate: how.accumulate.into(),
        };
        recording.push(&SUM, grid(x.len(), BLOCK), params, &[x], &[out], x.len() as u64)
    };
    let mut x = x.clone();
    while x.len() > BLOCK {
        let partial = Tensor::zeros(x.device(), 1, x.len().div_ceil(BLOCK))?;
        push(&x, 1.0, &partial, 0, Sum { accumulate: false, ..how })?;
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
    // A workgroup to a row, however short, costs as much as some thousand elements.
    recording.push(&ROWS, grid(x.rows(), 1), params, &[x], &[out], (x.len() + 4096 * x.rows()) as u64)
}

/// The tensor that a launch copies as it is to `out[min(step, out.len() - 1)]`: a sum over one element.
pub(crate) fn copied(dispatch: &Dispatch) -> Option<&Tensor> {
    let is_copy =
        |p: Params| p.len == 1 && p.scale == 1.0 && p.square == 0 && p.clip == f32::INFINITY && p.accumulate == 0;
    (dispatch.is(&SUM) && is_copy(dispatch.params())).then(|| &dispatch.inputs[0])
}

/// A launch that leaves one sum, which it writes to a history instead.
pub(crate) fn with_history(dispatch: &Dispatch, history: &Tensor) -> Dispatch {
    let params = Params { last_slot: size(history.len() - 1), ..dispatch.params() };
    Dispatch { outputs: vec![history.clone()], ..dispatch.clone() }.with_params(params)
}

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

fn rows_reference(call: Call<'_>) {
    let params: RowParams = call.params();
    let [x, ..] = call.inputs;
    let [sums, ..] = call.outputs;
    for (sum, row) in sums.iter_mut().zip(x.chunks_exact(params.cols as usize)) {
        put(sum, params.scale * elementary::sum_of(row, |x| x), params.accumulate != 0);
    }
}

impl Tape {
    /// The sum of all elements, [1, 1].
    ///
    /// # Errors
    /// A value of another tape.
    pub fn sum(&mut self, x: Var) -> Result<Var> {
        self.scaled_sum(x, |_, _| 1.0)
    }

    /// The mean of all elements, [1, 1].
    ///
    /// # Errors
    /// A value of another tape.
    pub fn mean(&mut self, x: Var) -> Result<Var> {
        self.scaled_sum(x, |rows, cols| 1.0 / (rows * cols) as f32)
    }

    fn scaled_sum(&mut self, x: Var, scale: impl Fn(usize, usize) -> f32) -> Result<Var> {
        let input = self.tensor(x)?;
        let scale = scale(input.rows(), input.cols());
        let out = self.zeros(1, 1)?;
        sum(self.recording(), &input, scale, &out)?;
        self.push(out, &[x], move |backward_pass, dy| spread(backward_pass, x, dy, scale))
    }

    /// The sum over the rows, [1, c]: `sum(dim=0)` in PyTorch.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn sum_rows(&mut self, x: Var) -> Result<Var> {
        let input = self.tensor(x)?;
        let out = self.zeros(1, input.cols())?;
        bias::backward(self.recording(), &input, &out, false)?;
        self.push(out, &[x], move |backward_pass, dy| spread(backward_pass, x, dy, 1.0))
    }

    /// The sum over the columns, [n, 1]: `sum(dim=1)` in PyTorch.
    ///
    /// # Errors
    /// More than 2,048,000 columns; a value of another tape.
    pub fn sum_cols(&mut self, x: Var) -> Result<Var> {
        let input = self.tensor(x)?;
        let out = self.zeros(input.rows(), 1)?;
        rows(self.recording(), &input, 1.0, &out, false)?;
        self.push(out, &[x], move |backward_pass, dy| spread(backward_pass, x, dy, 1.0))
    }

    /// The mean over the rows, [1, c]: `mean(dim=0)` in PyTorch.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn mean_rows(&mut self, x: Var) -> Result<Var> {
        let rows = self.tensor(x)?.rows();
        let sum = self.sum_rows(x)?;
        self.mul_scalar(sum, 1.0 / rows as f32)
    }

    /// The mean over the columns, [n, 1]: `mean(dim=1)` in PyTorch.
    ///
    /// # Errors
    /// See [`Tape::sum_cols`].
    pub fn mean_cols(&mut self, x: Var) -> Result<Var> {
        let cols = self.tensor(x)?.cols();
        let sum = self.sum_cols(x)?;
        self.mul_scalar(sum, 1.0 / cols as f32)
    }
}

/// The backward of a sum: every element of a row, a column or all gets the sum's gradient.
fn spread(backward_pass: &mut BackwardPass<'_>, x: Var, dy: &Tensor, scale: f32) -> Result<()> {
    let Some(dx) = backward_pass.sink(x)? else { return Ok(()) };
    copy::broadcast(backward_pass.recording(), dy, scale, &dx.tensor, dx.accumulate)
}

#[cfg(all(test, feature = "gpu"))]
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
