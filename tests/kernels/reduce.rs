//! `shaders/reduce.wgsl`

use wgrad::ops::reduce;

use crate::case::{Case, magnitude};
use crate::common::{EPSILON, SHAPES, TINY, exponents, signed, small_integers};

fn case(shape: [usize; 2], x: Vec<f32>, scale: f32, tolerance: f64) -> Case {
    let case = Case::new(format!("sum {shape:?}, scale {scale}"), move |recording, inputs, outputs| {
        reduce::sum(recording, inputs[0], scale, outputs[0])
    });
    case.input(shape, x).close([1, 1], move |_, _| tolerance)
}

pub(crate) fn rows() -> Vec<Case> {
    let mut cases = Vec::new();
    // The last has rows of many rounds of 64 invocations.
    for (i, [rows, cols]) in SHAPES.iter().chain(&[[2, 300_007]]).copied().enumerate() {
        for (accumulate, exact) in [(false, false), (true, false), (false, true), (true, true)] {
            // Tens of thousands of workgroups with barriers take software drivers seconds.
            if rows > 4000 && accumulate != exact {
                continue;
            }
            let values = if exact { |seed, len| small_integers(seed, len, 4) } else { signed };
            let mut x = values(i as u64, rows * cols);
            if !exact && i % 2 == 1 {
                x = exponents(i as u64, rows * cols, 1e-38, 1e33);
            }
            let before = accumulate.then(|| values(99, rows));
            let scale = if exact { 0.5 } else { -0.37 };
            let name = format!("row sums {rows} x {cols}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                reduce::rows(recording, inputs[0], scale, outputs[0], accumulate)
            });
            // A row's sum in the reference's order, scaled, and added to numbers up to 1.
            let added = f64::from(u8::from(accumulate));
            let rounding = |row: &[f32]| (cols + 2) as f64 * (EPSILON * (magnitude(row) + added) + TINY);
            let row = |row: &[f32]| if exact { 0.0 } else { rounding(row) };
            let tolerances: Vec<f64> = x.chunks_exact(cols).map(row).collect();
            cases.push(case.input([rows, cols], x).close([rows, 1], move |i, _| tolerances[i]).before(before));
        }
    }
    cases
}

pub(crate) fn sum() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().enumerate() {
        let len = shape[0] * shape[1];
        let all_exponents = exponents(i as u64, len, 1e-38, 1e33);
        let x = if i % 2 == 1 { all_exponents } else { signed(i as u64, len) };
        // A chain of additions is no longer than a workgroup's 4,096 and the number of workgroups; then the scaling.
        let chain = len.min(4096) + len.div_ceil(4096) + 1;
        let tolerance = chain as f64 * (EPSILON * magnitude(&x) * 0.37 + TINY);
        cases.push(case(*shape, x, -0.37, tolerance));
        // Whole numbers, whose sums are exact.
        cases.push(case(*shape, small_integers(i as u64, len, 9), 0.25, 0.0));
        let squares = Case::new(format!("sum of squares {shape:?}"), |recording, inputs, outputs| {
            reduce::sum_of_squares(recording, inputs[0], outputs[0])
        });
        cases.push(squares.input(*shape, small_integers(i as u64, len, 4)).exact([1, 1]));
        let x = exponents(i as u64, len, 1e-38, 1e15);
        let total: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
        let squares = Case::new(format!("sum of squares {shape:?}, all exponents"), |recording, inputs, outputs| {
            reduce::sum_of_squares(recording, inputs[0], outputs[0])
        });
        let tolerance = (chain + 1) as f64 * (EPSILON * total + TINY);
        cases.push(squares.input(*shape, x).close([1, 1], move |_, _| tolerance));
    }
    // Two and three passes.
    for shape in [[4096, 3], [4_097, 4_096]] {
        cases.push(case(shape, small_integers(1, shape[0] * shape[1], 9), 1.0, 0.0));
    }
    for (slots, steps) in [(5, 2..3), (5, 0..5), (5, 3..9), (1, 0..3)] {
        // A history: step s writes slot s, and the last one after that.
        let case = Case::new(format!("sum to {slots} slots, steps {steps:?}"), |recording, inputs, outputs| {
            reduce::sum(recording, inputs[0], 0.5, outputs[0])
        });
        let case = case.input([10, 3], signed(7, 30)).steps(steps);
        cases.push(case.close([1, slots], |_, _| 31.0 * EPSILON * 30.0).before(Some(vec![8.0; slots])));
    }
    cases
}
