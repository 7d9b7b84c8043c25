//! `shaders/bias.wgsl`

use wgrad::ops::bias;

use crate::activation::MANY_GROUPS;
use crate::case::{Case, magnitude};
use crate::common::{EPSILON, SHAPES, TINY, exponents, signed, small_integers};

pub(crate) fn forward() -> Vec<Case> {
    let case = |(i, [rows, cols]): (usize, &[usize; 2])| {
        let case = Case::new(format!("bias {rows} x {cols}"), |recording, inputs, outputs| {
            bias::forward(recording, inputs[0], inputs[1], outputs[0])
        });
        let case = case.input([*rows, *cols], signed(i as u64, rows * cols));
        // One addition, which every device rounds right.
        case.input([1, *cols], signed(50 + i as u64, *cols)).exact([*rows, *cols])
    };
    SHAPES.iter().chain([&MANY_GROUPS]).enumerate().map(case).collect()
}

pub(crate) fn backward() -> Vec<Case> {
    let mut cases = Vec::new();
    // A dispatch adds up to 512,000 rows, 32,000 in a loop: the last shape takes three dispatches and 65,563 rounds.
    let large = [[1_049_003, 2]];
    for (i, [rows, cols]) in SHAPES.iter().chain(&large).copied().enumerate() {
        for (accumulate, exact) in [(false, false), (true, false), (false, true), (true, true)] {
            if rows * cols > 100_000 && !exact {
                continue;
            }
            // Whole numbers: every order of additions gives the same sum, and a lost one shows.
            let values = if exact { |seed, len| small_integers(seed, len, 4) } else { signed };
            let mut x = values(i as u64, rows * cols);
            if !exact && i % 2 == 1 {
                x = exponents(i as u64, rows * cols, 1e-38, 1e33);
            }
            let before = accumulate.then(|| values(99, cols));
            let name = format!("column sums {rows} x {cols}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                bias::backward(recording, inputs[0], outputs[0], accumulate)
            });
            let column = |col: usize| magnitude(x.iter().skip(col).step_by(cols));
            let added = f64::from(u8::from(accumulate));
            let sums: Vec<f64> = if exact { vec![0.0; cols] } else { (0..cols).map(|c| column(c) + added).collect() };
            let case = case.input([rows, cols], x);
            cases.push(
                case.close([1, cols], move |i, _| {
                    (rows + 1) as f64 * (EPSILON * sums[i] + if exact { 0.0 } else { TINY })
                })
                .before(before),
            );
        }
    }
    cases
}
