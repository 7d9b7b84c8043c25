//! Dropout: `shaders/dropout.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::{GROUP, expect_shape, grid, operands, put, same_shape, size};

params! {
    struct Params {
        len: u32,
        key: u32,
        threshold: u32,
        scale: f32,
        accumulate: u32,
    }
}

const SHADER: Shader = shader!(["common/grid", "common/step", "dropout"], shared: [GROUP]);

pub(crate) static APPLY: Kernel =
    kernel!("dropout", "apply", SHADER, [GROUP, 1, 1], Params, inputs: 2, outputs: 1, step: true, reference);

fn check(p: f32) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::input("dropout", format!("a probability of {p}; give one from 0 to below 1")))
}

/// `out = x / (1 - p)` where an element is kept, 0 where it is dropped, or `out += ...` with `accumulate`. Each is
/// dropped with probability p, by a hash of `key`, `clock` + step and its position: the same dispatch with the gradient
/// for x is the backward pass. x and out have one shape; clock is [1, 1] and holds the bits of a `u32`.
///
/// # Errors
/// Other shapes; p outside [0, 1).
pub fn apply(
    recording: &mut Recording,
    [x, clock]: [&Tensor; 2],
    (p, key): (f32, u32),
    out: &Tensor,
    accumulate: bool,
) -> Result<()> {
    check(p)?;
    same_shape("dropout", &[("x", x), ("out", out)])?;
    expect_shape("dropout", "clock", clock, [1, 1], "to hold one number")?;
    let params = Params {
        len: size(x.len()),
        key,
        threshold: (f64::from(p) * 2f64.powi(32)) as u32,
        scale: 1.0 / (1.0 - p),
        accumulate: accumulate.into(),
    };
    recording.push(&APPLY, grid(x.len(), GROUP), params, &[x, clock], &[out], 10 * x.len() as u64)
}

/// The permutation of PCG-RXS-M-XS-32 (O'Neill 2014).
pub(crate) fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [x, clock, ..] = call.inputs;
    let [out, ..] = call.outputs;
    let run = clock[0].to_bits().wrapping_add(call.step as u32).wrapping_add(hash(params.key));
    let run = hash(run);
    for (i, (out, x)) in (0u32..).zip(out.iter_mut().zip(x)) {
        let kept = hash(i ^ run) >= params.threshold;
        put(out, if kept { params.scale * x } else { 0.0 }, params.accumulate != 0);
    }
}

/// Drops elements by a hash of the key, the clock and the step. Operands: x, clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropout {
    p: f32,
    key: u32,
}

impl Operation for Dropout {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [x, _] = operands("dropout", inputs)?;
        check(self.p)?;
        Ok(vec![x])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        apply(recording, [inputs[0], inputs[1]], (self.p, self.key), outputs[0], false)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        // The same key and clock drop the same elements.
        Ok(vec![Some(graph.call1(*self, &[dy, x[1]])?), None])
    }
}

impl Graph {
    /// Drops each element with probability p and scales the others by 1 / (1 - p); in a graph for evaluation, returns
    /// x. Every run draws new numbers.
    ///
    /// # Errors
    /// p outside [0, 1); a value of another graph.
    pub fn dropout(&mut self, x: Var, p: f32) -> Result<Var> {
        check(p)?;
        if !self.is_training() {
            return Ok(x);
        }
        let (clock, [seed, number]) = self.random_key();
        self.call1(Dropout { p, key: hash(seed ^ hash(number)) }, &[x, clock])
    }
}
