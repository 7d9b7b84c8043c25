//! Arithmetic on two matrices, with broadcasting: `shaders/broadcast.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::Result;
use crate::graph::BackwardPass;
use crate::ops::copy::repeating;
use crate::ops::reduce::Sum;
use crate::ops::{GROUP, bias, grid, put, reduce, same_shape, size};
use crate::tape::{Tape, Var};

/// An operation on two matrices, element by element. A matrix with one row, one column, or both is repeated to the
/// other's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`: as IEEE has it where b is 0.
    Div,
}

/// Which operand a gradient is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The first, a.
    First,
    /// The second, b.
    Second,
}

impl Binary {
    fn kind(self) -> u32 {
        match self {
            Self::Add => 0,
            Self::Sub => 1,
            Self::Mul => 2,
            Self::Div => 3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
        }
    }
}

params! {
    struct Params {
        rows: u32,
        cols: u32,
        kind: u32,
        a_row: u32,
        a_col: u32,
        b_row: u32,
        b_col: u32,
        accumulate: u32,
    }
}

const SHADER: Shader = shader!(["common/grid", "broadcast"], shared: [GROUP]);

pub(crate) static FORWARD: Kernel = kernel!("broadcast", "forward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, forward_reference);
pub(crate) static BACKWARD: Kernel = kernel!("broadcast", "backward", SHADER, [GROUP, 1, 1], Params, inputs: 3, outputs: 1, step: false, backward_reference);

fn params(operation: Binary, [a, b]: [&Tensor; 2], shape: [usize; 2], kind: u32, accumulate: bool) -> Result<Params> {
    let [a_row, a_col] = repeating(operation.name(), a, shape)?;
    let [b_row, b_col] = repeating(operation.name(), b, shape)?;
    Ok(Params {
        rows: size(shape[0]),
        cols: size(shape[1]),
        kind,
        a_row: size(a_row),
        a_col: size(a_col),
        b_row: size(b_row),
        b_col: size(b_col),
        accumulate: accumulate.into(),
    })
}

/// `out = a (+ - * /) b`; a and b have out's shape, or one row or column that is repeated.
///
/// # Errors
/// Other shapes.
pub fn forward(recording: &mut Recording, operation: Binary, operands: [&Tensor; 2], out: &Tensor) -> Result<()> {
    let params = params(operation, operands, out.shape(), operation.kind(), false)?;
    recording.push(&FORWARD, grid(out.len(), 64), params, &operands, &[out], out.len() as u64)
}

/// `gradient = dy * d(a op b)/d(operand)` in each element, or `gradient += ...` with `accumulate`; gradient and dy
/// have the result's shape. For a repeated operand the sums over the repetitions are still to be taken.
///
/// # Errors
/// Other shapes.
pub fn backward(
    recording: &mut Recording,
    (operation, operand): (Binary, Operand),
    [a, b, dy]: [&Tensor; 3],
    gradient: &Tensor,
    accumulate: bool,
) -> Result<()> {
    same_shape(operation.name(), &[("dy", dy), ("the gradient", gradient)])?;
    let kind = operation.kind() + if operand == Operand::Second { 4 } else { 0 };
    let params = params(operation, [a, b], dy.shape(), kind, accumulate)?;
    recording.push(&BACKWARD, grid(dy.len(), 64), params, &[a, b, dy], &[gradient], 3 * dy.len() as u64)
}

impl Params {
    /// Calls `f` with the place of each element in the result, in a and in b.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) {
        for row in 0..self.rows as usize {
            for col in 0..self.cols as usize {
                let at = |r: u32, c: u32| row * r as usize + col * c as usize;
                f(at(self.cols, 1), at(self.a_row, self.a_col), at(self.b_row, self.b_col));
            }
        }
    }
}

fn forward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, ..] = call.inputs;
    let [out, ..] = call.outputs;
    let operation: fn(f32, f32) -> f32 = match params.kind {
        0 => |a, b| a + b,
        1 => |a, b| a - b,
        2 => |a, b| a * b,
        _ => |a, b| a / b,
    };
    params.each(|i, at_a, at_b| out[i] = operation(a[at_a], b[at_b]));
}

fn backward_reference(call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, dy, ..] = call.inputs;
    let [gradient, ..] = call.outputs;
    let partial: fn(f32, f32) -> f32 = match params.kind {
        0 | 1 | 4 => |_, _| 1.0,
        2 => |_, b| b,
        3 => |_, b| 1.0 / b,
        5 => |_, _| -1.0,
        6 => |a, _| a,
        _ => |a, b| -a / (b * b),
    };
    params.each(|i, at_a, at_b| put(&mut gradient[i], dy[i] * partial(a[at_a], b[at_b]), params.accumulate != 0));
}

impl Tape {
    /// `a + b`; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another tape.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another tape.
    pub fn sub(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`, element by element; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another tape.
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`, element by element; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another tape.
    pub fn div(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Div, a, b)
    }

    fn binary(&mut self, operation: Binary, a: Var, b: Var) -> Result<Var> {
        let (left, right) = (self.tensor(a)?, self.tensor(b)?);
        let side = |l: usize, r: usize| if l == 1 { r } else { l };
        let out = self.zeros(side(left.rows(), right.rows()), side(left.cols(), right.cols()))?;
        forward(self.recording(), operation, [&left, &right], &out)?;
        self.push(out, &[a, b], move |backward_pass, dy| {
            for (var, operand) in [(a, Operand::First), (b, Operand::Second)] {
                operand_gradient(backward_pass, (operation, operand), [&left, &right, dy], var)?;
            }
            Ok(())
        })
    }
}

/// The gradient of an operand, summed over the rows and columns in which it was repeated.
fn operand_gradient(
    backward_pass: &mut BackwardPass<'_>,
    what: (Binary, Operand),
    tensors: [&Tensor; 3],
    var: Var,
) -> Result<()> {
    let Some(sink) = backward_pass.sink(var)? else { return Ok(()) };
    let recording = backward_pass.recording();
    let [rows, cols] = tensors[2].shape();
    let own = sink.tensor.shape();
    if own == [rows, cols] {
        return backward(recording, what, tensors, &sink.tensor, sink.accumulate);
    }
    let full = Tensor::zeros(sink.tensor.device(), rows, cols)?;
    backward(recording, what, tensors, &full, false)?;
    match own {
        [1, 1] => {
            reduce::sum_of(recording, &full, 1.0, &sink.tensor, Sum { accumulate: sink.accumulate, ..Sum::default() })
        }
        [1, _] => bias::backward(recording, &full, &sink.tensor, sink.accumulate),
        _ => reduce::rows(recording, &full, 1.0, &sink.tensor, sink.accumulate),
    }
}
