//! Arithmetic on two matrices, with broadcasting: `shaders/broadcast.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::graph::{Graph, Merge, Operation, Program, Shape, Var};
use crate::ops::copy::{AddTo, repeating};
use crate::ops::reduce::{Sum, sum_to};
use crate::ops::{GROUP, bias, grid, operands, size};

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

impl Binary {
    /// The number by which the shaders know it.
    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Add => 0,
            Self::Sub => 1,
            Self::Mul => 2,
            Self::Div => 3,
        }
    }

    /// The inverse of `kind`.
    pub(crate) fn from_kind(kind: u32) -> Self {
        match kind {
            0 => Self::Add,
            1 => Self::Sub,
            2 => Self::Mul,
            _ => Self::Div,
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
    }
}

const SHADER: Shader = shader!(["common/grid", "broadcast"], shared: [GROUP]);

pub(crate) static FORWARD: Kernel = kernel!("broadcast", "forward", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: false, forward_reference);

/// `out = a (+ - * /) b`; a and b have out's shape, or one row or column that is repeated.
///
/// # Errors
/// Other shapes.
pub fn forward(recording: &mut Recording, operation: Binary, operands: [&Tensor; 2], out: &Tensor) -> Result<()> {
    let [[a_row, a_col], [b_row, b_col]] = [
        repeating(operation.name(), operands[0], out.shape())?.map(size),
        repeating(operation.name(), operands[1], out.shape())?.map(size),
    ];
    let [rows, cols] = out.shape().map(size);
    let params = Params { rows, cols, kind: operation.kind(), a_row, a_col, b_row, b_col };
    recording.push(&FORWARD, grid(out.len(), GROUP), params, &operands, &[out], out.len() as u64)
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

#[inline(always)]
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

/// `a (+ - * /) b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arithmetic(pub(crate) Binary);

impl Operation for Arithmetic {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [a, b] = operands(self.0.name(), inputs)?;
        let side = |i: usize| match (a[i], b[i]) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        };
        match [side(0), side(1)] {
            [Some(rows), Some(cols)] => Ok(vec![[rows, cols]]),
            _ => Err(Error::shape(
                self.0.name(),
                format!(
                    "{} x {} and {} x {} do not broadcast; rows and columns must be equal or 1",
                    a[0], a[1], b[0], b[1]
                ),
            )),
        }
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let (a, b, out) = (inputs[0], inputs[1], outputs[0]);
        if self.0 == Binary::Add && a.shape() == out.shape() && b.shape() == [1, out.cols()] {
            return bias::forward(recording, a, b, out);
        }
        forward(recording, self.0, [a, b], out)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let (a, b) = (x[0], x[1]);
        let (da, db) = match self.0 {
            Binary::Add => (dy, dy),
            Binary::Sub => (dy, graph.neg(dy)?),
            Binary::Mul => (graph.mul(dy, b)?, graph.mul(dy, a)?),
            Binary::Div => {
                let da = graph.div(dy, b)?;
                let share = graph.mul(da, y)?;
                (da, graph.neg(share)?)
            }
        };
        Ok(vec![Some(sum_to(graph, da, a)?), Some(sum_to(graph, db, b)?)])
    }

    fn keeps_rows_apart(&self, inputs: &[Shape], of_data: &[bool]) -> bool {
        // What is no data is the same for each row.
        inputs.iter().zip(of_data).all(|([rows, _], of_data)| *of_data || *rows == 1)
    }
}

/// Of a call `u + p`: u, in whose memory the sum may be computed, and p, which only this call reads.
pub(crate) fn growing(program: &Program<'_>, at: usize) -> Option<(Var, Var)> {
    let [a, b] = program.inputs(at)?;
    if program.op::<AddTo>(at).is_some() {
        return program.only_for(b, at).then_some((a, b));
    }
    let Arithmetic(Binary::Add) = program.op(at)? else { return None };
    let one_shape = program.shape(a) == program.shape(b);
    // What is computed later is added to what is there.
    let (u, p) = if program.writer(a) < program.writer(b) { (a, b) } else { (b, a) };
    // Constants, and what lies in memory from outside, must stay as they are.
    let own = program.writer(u).is_some() && !program.is_given(u);
    (one_shape && own && program.only_for(u, at) && program.only_for(p, at)).then_some((u, p))
}

/// Rule: s = sum; t = u + s. The sum is added to u where u lies, if nobody else reads u.
pub(crate) fn addition(program: &Program<'_>, second: usize) -> Option<Merge> {
    let (u, p) = growing(program, second)?;
    let first = program.writer(p)?;
    // Sums over rows have no scale to their kernel, and a history is no place to add to.
    let sum = *program.op::<Sum>(first).filter(|sum| !sum.adds && !sum.history)?;
    let inputs = vec![program.node(first).inputs[0], u];
    Merge::new([first, second], Sum { adds: true, ..sum }, inputs, program.node(second).outputs.clone())
}

impl Graph {
    /// `a + b`; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another graph.
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.call1(Arithmetic(Binary::Add), &[a, b])
    }

    /// `a - b`; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another graph.
    pub fn sub(&mut self, a: Var, b: Var) -> Result<Var> {
        self.call1(Arithmetic(Binary::Sub), &[a, b])
    }

    /// `a * b`, element by element; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another graph.
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var> {
        self.call1(Arithmetic(Binary::Mul), &[a, b])
    }

    /// `a / b`, element by element; one row, one column or one number is repeated.
    ///
    /// # Errors
    /// Shapes that do not broadcast; a value of another graph.
    pub fn div(&mut self, a: Var, b: Var) -> Result<Var> {
        self.call1(Arithmetic(Binary::Div), &[a, b])
    }
}
