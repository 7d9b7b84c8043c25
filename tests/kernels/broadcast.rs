//! `shaders/broadcast.wgsl`

use wgrad::ops::broadcast::{self, Binary, Operand};

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

/// The element of a repeated operand that meets element i of the result.
fn at(values: &[f32], [rows, cols]: [usize; 2], result: [usize; 2], i: usize) -> f64 {
    let (row, col) = (i / result[1], i % result[1]);
    f64::from(values[(if rows == 1 { 0 } else { row * cols }) + if cols == 1 { 0 } else { col }])
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

pub(crate) fn backward() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, [shape, a, b]) in pairs().into_iter().enumerate() {
        for operand in [Operand::First, Operand::Second] {
            for accumulate in [false, true] {
                if shape == MANY_GROUPS && (accumulate || operand == Operand::First) {
                    continue;
                }
                let operation = OPERATIONS[(i + usize::from(accumulate)) % 4];
                let (x, y) = (signed(1, a[0] * a[1]), signed(2, b[0] * b[1]));
                let len = shape[0] * shape[1];
                let (dy, before) = (signed(3, len), accumulate.then(|| signed(4, len)));
                let magnitude = |i: usize| {
                    let (x, y) = (at(&x, a, shape, i), at(&y, b, shape, i));
                    let partial = match (operation, operand) {
                        (Binary::Mul, Operand::First) => y,
                        (Binary::Mul, Operand::Second) => x,
                        (Binary::Div, Operand::First) => 1.0 / y,
                        (Binary::Div, Operand::Second) => x / (y * y),
                        _ => 1.0,
                    };
                    (partial * f64::from(dy[i])).abs()
                };
                // A quotient of a rounded square, and a product; what is added to may be fused.
                let units = if operation == Binary::Div { 4.5 } else { 0.0 };
                let tolerances: Vec<f64> = (0..len)
                    .map(|i| match &before {
                        Some(before) => EPSILON * ((units + 1.0) * magnitude(i) + f64::from(before[i].abs())),
                        None => EPSILON * units * magnitude(i),
                    })
                    .collect();
                let name = format!("{operation:?} {a:?} {b:?} by the {operand:?}, accumulate {accumulate}");
                let case = Case::new(name, move |recording, inputs, outputs| {
                    let inputs = [inputs[0], inputs[1], inputs[2]];
                    broadcast::backward(recording, (operation, operand), inputs, outputs[0], accumulate)
                });
                let case = case.input(a, x).input(b, y).input(shape, dy);
                cases.push(case.close(shape, move |i, _| tolerances[i]).before(before));
            }
        }
    }
    cases
}
