//! Data that can show a fault: signed, seeded, and shapes around the kernels' tiles.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Matrices around the sizes of workgroups and tiles (8, 16, 64, 256, 4096): 1, one less, exact, one more, primes,
/// tall and wide ones.
pub(crate) const SHAPES: &[[usize; 2]] = &[
    [1, 1],
    [1, 2],
    [7, 9],
    [8, 8],
    [9, 7],
    [15, 17],
    [16, 16],
    [1, 63],
    [64, 1],
    [65, 1],
    [63, 65],
    [64, 64],
    [1, 255],
    [256, 1],
    [257, 1],
    [13, 127],
    [127, 13],
    [4095, 1],
    [1, 4096],
    [4097, 1],
    [10_007, 2],
    [2, 10_007],
];

/// The generator of all random data: the same on every system.
pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Values of both signs with magnitudes from 0.05 to 1: none so near 0 that a kink of an activation lies within a
/// finite difference, or that a product with it says nothing.
pub(crate) fn signed(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = rng(seed);
    (0..len)
        .map(|_| {
            let magnitude: f32 = rng.random_range(0.05..1.0);
            if rng.random() { magnitude } else { -magnitude }
        })
        .collect()
}

/// Values of both signs whose exponents are spread evenly, with magnitudes from `smallest` to `largest`.
pub(crate) fn exponents(seed: u64, len: usize, smallest: f32, largest: f32) -> Vec<f32> {
    let mut rng = rng(seed);
    let [low, high] = [smallest, largest].map(|x| f64::from(x).ln());
    (0..len)
        .map(|_| {
            let magnitude = (low + (high - low) * rng.random::<f64>()).exp() as f32;
            if rng.random() { magnitude } else { -magnitude }
        })
        .collect()
}

/// Whole numbers from -bound to bound: their sums and products are exact in f32 as long as they stay below 2^24, so
/// every order of additions gives the same bits.
pub(crate) fn small_integers(seed: u64, len: usize, bound: i32) -> Vec<f32> {
    let mut rng = rng(seed);
    (0..len).map(|_| rng.random_range(-bound..=bound) as f32).collect()
}
