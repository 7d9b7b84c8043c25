//! `shaders/embedding.wgsl`

use rand::RngExt;
use wgrad::ops::embedding;

use crate::case::Case;
use crate::common::{rng, signed};

/// Rows and columns of numbers, then of the table; one of more than 65,535 workgroups.
const SIZES: [[usize; 4]; 8] = [
    [1, 1, 1, 1],
    [7, 1, 3, 5],
    [64, 2, 10, 8],
    [65, 3, 17, 16],
    [1000, 1, 4097, 2],
    [33, 1, 2, 513],
    [4096, 4, 63, 1],
    [32_768, 2, 5, 65],
];

fn numbers(seed: u64, len: usize, rows: usize) -> Vec<f32> {
    let mut rng = rng(seed);
    (0..len).map(|_| rng.random_range(0..rows as u32) as f32).collect()
}

pub(crate) fn forward() -> Vec<Case> {
    let case = |(i, [n, k, rows, cols]): (usize, [usize; 4])| {
        let name = format!("embedding of {n} x {k} numbers by {rows} x {cols}");
        let case = Case::new(name, |recording, inputs, outputs| {
            embedding::forward(recording, inputs[0], inputs[1], outputs[0])
        });
        let case = case.input([n, k], numbers(i as u64, n * k, rows)).input([rows, cols], signed(1, rows * cols));
        case.exact([n, k * cols])
    };
    SIZES.into_iter().enumerate().map(case).collect()
}

/// Sums in the order of the numbers, which no device may change: equal to the bit. Numbers that are no row count nowhere; more
/// of them than an invocation may go through take several dispatches.
pub(crate) fn backward() -> Vec<Case> {
    let case = |(i, [n, k, rows, cols]): (usize, [usize; 4])| {
        let name = format!("embedding backward of {n} x {k} numbers by {rows} x {cols}");
        let case = Case::new(name, |recording, inputs, outputs| {
            embedding::backward(recording, inputs[0], inputs[1], outputs[0])
        });
        let mut numbers = numbers(i as u64, n * k, rows);
        if i % 2 == 1 {
            numbers[0] = 0.5;
            numbers[n * k / 2] = f32::NAN;
            numbers[n * k - 1] = rows as f32;
        }
        let case = case.input([n, k], numbers).input([n, k * cols], signed(2, n * k * cols));
        case.exact([rows, cols]).dispatches((n * k).div_ceil(65_000))
    };
    SIZES.into_iter().enumerate().map(case).collect()
}
