//! `shaders/broadcast.wgsl`

use wgrad::ops::broadcast::{self, Binary};

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

const OPERATIONS: [Binary; 4] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div];

/// What an operand may look like beside a matrix of this shape.
fn repeated([rows, cols]: [usize; 2]) -> [[usize; 2]; 4] {
    [[rows, cols], [1, cols], [rows, 1], [1, 1]]
}

/// The result's shape and those of both operands: every pair that gives it, for some shapes of the ladder; for the
/// others one in turn.
fn pairs() -> Vec<[[usize; 2]; 3]> {
    let mut pairs = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        let all = repeated(*shape).into_iter().flat_map(|a| repeated(*shape).map(|b| [*shape, a, b]));
        let result = |a: [usize; 2], b: [usize; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        let mut all: Vec<_> = all.filter(|[shape, a, b]| result(*a, *b) == *shape).collect();
        if i % 5 != 2 || shape == &MANY_GROUPS {
            all = vec![all[i % all.len()]];
        }
        pairs.extend(all);
    }
    pairs
}

pub(crate) fn forward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, [shape, a, b]) in pairs().into_iter().enumerate() {
        let operation = OPERATIONS[i % 4];
        let case = Case::new(format!("{operation:?} {a:?} {b:?}"), move |recording, inputs, outputs| {
            broadcast::forward(recording, operation, [inputs[0], inputs[1]], outputs[0])
        });
        let case = case.input(a, signed(1, a[0] * a[1])).input(b, signed(2, b[0] * b[1]));
        // WGSL rounds sums and products right, and lets a quotient be off by 2.5 units.
        let units = if operation == Binary::Div { 3.0 } else { 0.0 };
        cases.push(case.close(shape, move |_, value| units * EPSILON * value.abs()));
    }
    cases
}
