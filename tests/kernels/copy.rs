//! `shaders/copy.wgsl`

use wgrad::{Recording, Result, Tensor};

use wgrad::ops::copy;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

/// A copy of x, as `record` does it; exact, and within a rounding where it adds.
fn case(
    name: String,
    x: [usize; 2],
    out: [usize; 2],
    before: Option<Vec<f32>>,
    record: impl Fn(&mut Recording, &Tensor, &Tensor) -> Result<()> + 'static,
) -> Case {
    let adds = before.is_some();
    let case = Case::new(name, move |recording, inputs, outputs| record(recording, inputs[0], outputs[0]));
    let case = case.input(x, signed(1, x[0] * x[1]));
    // The product of a scale may be fused with the addition; all numbers are at most 2.
    case.close(out, move |_, _| if adds { 2.0 * EPSILON } else { 0.0 }).before(before)
}

pub(crate) fn block() -> Vec<Case> {
    let mut cases = Vec::new();
    let [rows, cols] = MANY_GROUPS;
    cases.push(case("a transpose of many groups".into(), [cols, rows], [rows, cols], None, |recording, x, out| {
        copy::transpose(recording, x, out, false)
    }));
    // In steps 0 to 2, of which the last has no room for other rows than its own.
    for (rows, stride, last) in [(1, 1, 2), (3, 4, 2), (130, 130, 2), (5, 5, 1)] {
        let (cols, name) = (3, format!("{rows} rows of each of 3 steps, {stride} apart, room for {}", last + 1));
        let record =
            move |recording: &mut Recording, x: &Tensor, out: &Tensor| copy::rows_of_steps(recording, x, stride, out);
        let out = [last * stride + rows, cols];
        cases.push(case(name, [rows, cols], out, Some(signed(9, out[0] * cols)), record).steps(0..3));
    }
    for [rows, cols] in SHAPES.iter().copied() {
        let out = [rows, cols];
        for accumulate in [false, true] {
            let before = |len| accumulate.then(|| signed(9, len));
            let name = |what: &str| format!("{what} {rows} x {cols}, accumulate {accumulate}");
            for x in [[rows, cols], [1, cols], [rows, 1], [1, 1]] {
                let name = name(&format!("broadcast of {x:?} to"));
                let record = move |recording: &mut Recording, x: &Tensor, out: &Tensor| {
                    copy::broadcast(recording, x, -0.7, out, accumulate)
                };
                cases.push(case(name, x, out, before(rows * cols), record));
            }
            let record = move |recording: &mut Recording, x: &Tensor, out: &Tensor| {
                copy::transpose(recording, x, out, accumulate)
            };
            cases.push(case(name("transpose"), [cols, rows], out, before(rows * cols), record));
            // Columns of a wider matrix, and columns into one, whose others stay.
            for (x_col, out_col) in [(3, 0), (0, 5), (2, 4)] {
                let (x, out) = ([rows, cols + x_col], [rows, cols + out_col]);
                let record = move |recording: &mut Recording, x: &Tensor, out: &Tensor| {
                    copy::columns(recording, (x, x_col), (out, out_col), accumulate)
                };
                let before = Some(signed(9, rows * (cols + out_col)));
                cases.push(case(name(&format!("columns from {x_col} to {out_col}")), x, out, before, record));
            }
        }
    }
    cases
}
