//! Chains of elementwise operations in one dispatch: `shaders/chain.wgsl`.

mod operation;

use crate::device::{
    Call, Constants, Cut, Kernel, LaneCall, MAX_INPUTS, Recording, Shader, Tensor, kernel, params, shader,
};
use crate::error::{Error, Result};
use crate::ops::activation::{dispatch, for_kind, table};
use crate::ops::copy::repeating;
use crate::ops::{Activation, Binary, GROUP, grid, size};
pub(crate) use operation::chain;

/// The most steps of a chain.
pub(crate) const MAX_STEPS: usize = 8;
/// Elements that the reference implementation processes at a time.
const BLOCK: usize = 256;

params! {
    struct Params {
        rows: u32,
        cols: u32,
        inputs: u32,
        broadcasts: u32,
        row0: u32,
        col0: u32,
        row1: u32,
        col1: u32,
        row2: u32,
        col2: u32,
        row3: u32,
        col3: u32,
        row4: u32,
        col4: u32,
        code0: u32,
        left0: u32,
        right0: u32,
        a0: f32,
        b0: f32,
        code1: u32,
        left1: u32,
        right1: u32,
        a1: f32,
        b1: f32,
        code2: u32,
        left2: u32,
        right2: u32,
        a2: f32,
        b2: f32,
        code3: u32,
        left3: u32,
        right3: u32,
        a3: f32,
        b3: f32,
        code4: u32,
        left4: u32,
        right4: u32,
        a4: f32,
        b4: f32,
        code5: u32,
        left5: u32,
        right5: u32,
        a5: f32,
        b5: f32,
        code6: u32,
        left6: u32,
        right6: u32,
        a6: f32,
        b6: f32,
        code7: u32,
        left7: u32,
        right7: u32,
        a7: f32,
        b7: f32,
    }
}

/// The distances of an input, and the numbers of a step, as they lie in [`Params`] behind the first four.
const FIRST_INPUT: usize = 4;
const FIRST_STEP: usize = FIRST_INPUT + 2 * MAX_INPUTS;
const WORDS: usize = FIRST_STEP + 5 * MAX_STEPS;

const SHADER: Shader = shader!(
    ["common/grid", "common/numbers", "common/elementary", "common/activation", "common/functions", "chain"],
    shared: [GROUP]
);

pub(crate) static RUN: Kernel = kernel!(
    "chain", "run", SHADER, [GROUP, 1, 1], Params, inputs: 5, outputs: 1, step: false, reference, constants
)
.cut(Cut::by_rows)
.lanes(lanes);

fn constants(params: &[u8]) -> Constants {
    let words: [u32; WORDS] = bytemuck::pod_read_unaligned(params);
    const NAMES: [[&str; 3]; MAX_STEPS] = [
        ["code0", "left0", "right0"],
        ["code1", "left1", "right1"],
        ["code2", "left2", "right2"],
        ["code3", "left3", "right3"],
        ["code4", "left4", "right4"],
        ["code5", "left5", "right5"],
        ["code6", "left6", "right6"],
        ["code7", "left7", "right7"],
    ];
    let mut constants = vec![("inputs", words[2].into()), ("broadcasts", words[3].into())];
    for (names, step) in NAMES.into_iter().zip(words[FIRST_STEP..].chunks_exact(5)) {
        constants.extend(names.into_iter().zip(step).map(|(name, word)| (name, f64::from(*word))));
    }
    constants
}

/// What a step of a chain computes of its operands x and y.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// `x (+ - * /) y`.
    Arithmetic(Binary),
    /// `f(x)`.
    Apply(Activation),
    /// `y f'`, with f' computed from x: see [`Activation::derivative`].
    Slope(Activation),
}

/// Where a step's operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The input of this number.
    Input(usize),
    /// The result of the step of this number, an earlier one.
    Step(usize),
}

/// A step: what it computes, of what. [`What::Apply`] takes the first operand alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The operation.
    pub what: What,
    /// Its operands.
    pub operands: [From; 2],
}

impl What {
    /// What the shader calls it, with its constants.
    fn code(self) -> (u32, [f32; 2]) {
        match self {
            Self::Arithmetic(binary) => (1 + binary.kind(), [0.0; 2]),
            Self::Apply(f) => (64 + f.kind(), f.constants()),
            Self::Slope(f) => (128 + f.kind(), f.constants()),
        }
    }

    /// The inverse of `code`.
    fn from_code(code: u32, constants: [f32; 2]) -> Self {
        match code {
            128.. => Self::Slope(Activation::from_kind(code - 128, constants)),
            64.. => Self::Apply(Activation::from_kind(code - 64, constants)),
            _ => Self::Arithmetic(Binary::from_kind(code.wrapping_sub(1))),
        }
    }
}

/// `out` = the last of these steps, element by element; an input has out's shape, or one row or column that is repeated.
///
/// # Errors
/// No inputs or steps, more than 5 and 8 of them; operands that are not there; other shapes.
pub fn run(recording: &mut Recording, steps: &[Step], inputs: &[&Tensor], out: &Tensor) -> Result<()> {
    let (given, most) = (inputs.len(), MAX_INPUTS);
    if !(1..=MAX_STEPS).contains(&steps.len()) || !(1..=most).contains(&given) {
        let detail = format!("{} steps of {given} inputs; it takes 1 to {MAX_STEPS} of 1 to {most}", steps.len());
        return Err(Error::input("chain", detail));
    }
    let [rows, cols] = out.shape();
    let mut words = [0; WORDS];
    (words[0], words[1], words[2]) = (size(rows), size(cols), size(given));
    for (input, words) in inputs.iter().zip(words[FIRST_INPUT..].chunks_exact_mut(2)) {
        // Of one element or row, too: members side by side go through it as one long list.
        let whole = input.shape() == out.shape();
        let distances = if whole { [cols, 1] } else { repeating("chain", input, out.shape())? };
        words.copy_from_slice(&distances.map(size));
    }
    words[3] = inputs.iter().any(|input| input.shape() != out.shape()).into();
    for (number, (step, words)) in steps.iter().zip(words[FIRST_STEP..].chunks_exact_mut(5)).enumerate() {
        let place = |from| match from {
            From::Input(input) if input < given => Ok(input),
            From::Step(earlier) if earlier < number => Ok(MAX_INPUTS + earlier),
            _ => Err(Error::input("chain", format!("step {number} takes {from:?}, which is not there"))),
        };
        let (code, [a, b]) = step.what.code();
        let [left, right] = step.operands;
        words.copy_from_slice(&[code, size(place(left)?), size(place(right)?), a.to_bits(), b.to_bits()]);
    }
    let params: Params = bytemuck::cast(words);
    let work = 6 * steps.len() as u64 * out.len() as u64;
    recording.push(&RUN, grid(out.len(), GROUP), params, inputs, &[out], work)
}

#[inline(always)]
fn reference(call: Call<'_>) {
    let words: [u32; WORDS] = bytemuck::cast(call.params::<Params>());
    let cols = words[1] as usize;
    let [out, ..] = call.outputs;
    // The inputs, then the results, of a block of elements.
    let mut values = [[0.0_f32; BLOCK]; MAX_INPUTS + MAX_STEPS];
    for (number, out) in out.chunks_mut(BLOCK).enumerate() {
        let (first, len) = (number * BLOCK, out.len());
        let inputs = call.inputs.iter().zip(&mut values).zip(words[FIRST_INPUT..].chunks_exact(2));
        for ((input, values), distances) in inputs.take(words[2] as usize) {
            let [row, col] = [distances[0] as usize, distances[1] as usize];
            if row == cols && col == 1 {
                values[..len].copy_from_slice(&input[first..first + len]);
                continue;
            }
            for (i, value) in values[..len].iter_mut().enumerate() {
                *value = input[(first + i) / cols * row + (first + i) % cols * col];
            }
        }
        let mut last = MAX_INPUTS;
        for (number, step) in words[FIRST_STEP..].chunks_exact(5).enumerate().take_while(|(_, step)| step[0] != 0) {
            let (before, results) = values.split_at_mut(MAX_INPUTS + number);
            let (x, y) = (&before[step[1] as usize][..len], &before[step[2] as usize][..len]);
            let what = What::from_code(step[0], [f32::from_bits(step[3]), f32::from_bits(step[4])]);
            compute(what, x, y, &mut results[0][..len]);
            last = MAX_INPUTS + number;
        }
        out.copy_from_slice(&values[last][..len]);
    }
}

fn lanes(call: LaneCall<'_>, cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    if params.broadcasts == 0 { call.elementwise(cpu) } else { call.one_by_one(cpu) }
}

#[inline(always)]
fn compute(what: What, x: &[f32], y: &[f32], out: &mut [f32]) {
    let pairs = out.iter_mut().zip(x.iter().zip(y));
    match what {
        What::Arithmetic(Binary::Add) => pairs.for_each(|(out, (x, y))| *out = x + y),
        What::Arithmetic(Binary::Sub) => pairs.for_each(|(out, (x, y))| *out = x - y),
        What::Arithmetic(Binary::Mul) => pairs.for_each(|(out, (x, y))| *out = x * y),
        What::Arithmetic(Binary::Div) => pairs.for_each(|(out, (x, y))| *out = x / y),
        What::Apply(f) => for_kind!(f => for (out, x) in out.iter_mut().zip(x) { *out = f.apply(*x) }),
        What::Slope(f) => for_kind!(f => for (out, (x, y)) in pairs { *out = y * f.derivative(*x) }),
    }
}
