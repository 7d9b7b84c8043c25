//! The CPU path's functions against the reference, bit by bit: every set of vector instructions, any number of threads.

use super::{BIAS, DERIVATIVE, Params, quick, reference};
use crate::device::Call;
use crate::ops::Activation;
use crate::simd::Level;

/// Signed numbers of several magnitudes.
fn values(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * (4.0 * next()).exp2()).collect()
}

/// Small whole numbers, of which sums of products are exact.
fn integers(seed: u32, len: usize) -> Vec<f32> {
    values(seed, len).into_iter().map(|x| (4.0 * x).round().clamp(-8.0, 8.0)).collect()
}

/// Elements behind an output that nobody may touch.
const GUARD: usize = 40;

/// A product with its data. What is not read begins as NaN.
struct Product {
    params: Params,
    inputs: [Vec<f32>; 3],
    out: Vec<f32>,
    kept: Vec<f32>,
}

impl Product {
    fn new([m, n, k]: [usize; 3], [a_turned, b_turned]: [bool; 2], data: fn(u32, usize) -> Vec<f32>) -> Self {
        let strides = |turned: bool, rows: usize, cols: usize| if turned { [1, rows] } else { [cols, 1] };
        let [[a_row, a_col], [b_row, b_col]] =
            [strides(a_turned, m, k), strides(b_turned, k, n)].map(|strides| strides.map(|x| x as u32));
        let [m32, n32, k32] = [m, n, k].map(|x| x as u32);
        let params = Params {
            m: m32,
            n: n32,
            k: k32,
            a_row,
            a_col,
            b_row,
            b_col,
            alpha: 1.0,
            parts: 1,
            part_k: k32,
            ..bytemuck::Zeroable::zeroed()
        };
        let inputs = [data(1, m * k), data(2, k * n), Vec::new()];
        Self { params, inputs, out: vec![f32::NAN; m * n + GUARD], kept: vec![f32::NAN; m * n] }
    }

    /// A variation by number: a bias, a derivative, what is kept, added, scaled or summed, with every activation in turn.
    fn with(mut self, number: usize, data: fn(u32, usize) -> Vec<f32>) -> Self {
        let all: Vec<_> = Activation::all([0.5, 0.0]).into_iter().filter(|f| f.is_epilogue()).collect();
        let activation = if number.is_multiple_of(2) { Activation::ReLU } else { all[number / 2 % all.len()] };
        let (m, n) = (self.params.m as usize, self.params.n as usize);
        let params = &mut self.params;
        let mut before = false;
        match number % 7 {
            0 => {}
            1 | 2 => params.extra_is = BIAS,
            3 | 4 => params.extra_is = DERIVATIVE,
            5 => {
                (params.extra_is, params.keep, params.alpha, params.beta) = (BIAS, 1, 0.5, -2.0);
                before = true;
            }
            _ => {
                (params.sums_at, params.beta) = ((m * n + 3) as u32, 1.0);
                before = true;
            }
        }
        if !number.is_multiple_of(7) && number % 7 != 6 {
            (params.activation, params.activation_a) = (activation.kind(), activation.constants()[0]);
        }
        let has_sums = params.sums_at != 0;
        let extra = [0, n, m * n][params.extra_is as usize];
        self.inputs[2] = data(3, extra);
        let len = m * n + if has_sums { 3 + m } else { 0 } + GUARD;
        self.out = if before { data(4, len) } else { vec![f32::NAN; len] };
        self
    }

    fn in_parts(mut self, part_k: usize) -> Self {
        let parts = (self.params.k as usize).div_ceil(part_k);
        (self.params.parts, self.params.part_k) = (parts as u32, part_k as u32);
        self.out = vec![f32::NAN; parts * (self.params.m * self.params.n) as usize];
        self
    }

    fn run(&self, run: impl FnOnce(Call<'_>)) -> [Vec<u32>; 2] {
        let (mut out, mut kept) = (self.out.clone(), self.kept.clone());
        let [a, b, extra] = &self.inputs;
        run(Call {
            params: bytemuck::bytes_of(&self.params),
            step: 0,
            last: 0,
            inputs: [a, b, extra, &[], &[]],
            outputs: [&mut out, &mut kept, &mut [], &mut [], &mut []],
        });
        [out, kept].map(|values| values.into_iter().map(f32::to_bits).collect())
    }

    fn check(&self, name: &str) {
        if Level::best() == Level::Rounded {
            // Its products are rounded, the reference's are not.
            return;
        }
        let expected = self.run(reference::product);
        for level in Level::alike() {
            for threads in [1, 3] {
                let actual = self.run(|call| quick::product_by(level, threads, call));
                assert!(actual == expected, "{name}: {level:?} on {threads} threads");
            }
        }
    }
}

/// Around the widths and heights of every tile, narrow and long ones, and rows far apart.
const SHAPES: &[[usize; 3]] = &[
    [1, 1, 1],
    [1, 33, 7],
    [33, 1, 9],
    [3, 4, 8],
    [7, 7, 7],
    [12, 8, 16],
    [13, 9, 15],
    [14, 15, 5],
    [16, 16, 17],
    [25, 2, 32],
    [25, 25, 32],
    [26, 31, 3],
    [27, 32, 1],
    [40, 33, 2],
    [65, 49, 70],
    [60, 130, 64],
    [140, 70, 40],
    [67, 131, 80],
];

#[test]
fn every_level_gives_the_bits_of_the_reference() {
    let turns = [[false, false], [false, true], [true, false], [true, true]];
    // An interpreter takes its time.
    let some = SHAPES.iter().enumerate().filter(|(_, shape)| !cfg!(miri) || shape.iter().product::<usize>() < 2000);
    for (i, shape) in some {
        for (t, turned) in turns.into_iter().enumerate() {
            Product::new(*shape, turned, values).check(&format!("{shape:?} {turned:?}"));
            for number in (0..4).map(|j| 4 * (4 * i + t) + j) {
                let data = if number % 3 == 0 { integers } else { values };
                let product = Product::new(*shape, turned, data).with(number, data);
                product.check(&format!("{shape:?} {turned:?}, variation {number}"));
            }
            Product::new(*shape, turned, values).in_parts(16).check(&format!("{shape:?} {turned:?} in parts"));
        }
    }
}

#[test]
fn every_activation_ends_a_product_with_the_bits_of_the_reference() {
    for number in 0..if cfg!(miri) { 8 } else { 70 } {
        Product::new([14, 20, 5], [false, true], values).with(number, values).check(&format!("variation {number}"));
    }
}

#[test]
fn numbers_that_are_not_finite_stay_what_they_are() {
    for number in [1, 3, 5, 6, 8, 10] {
        let mut product = Product::new([9, 11, 6], [true, false], values).with(number, values);
        product.inputs[0][7] = f32::INFINITY;
        product.inputs[1][20] = f32::NEG_INFINITY;
        product.inputs[1][31] = f32::MIN_POSITIVE / 4.0;
        product.check(&format!("variation {number}"));
    }
}

#[test]
fn parts_add_up_to_the_bits_of_the_reference() {
    for number in 0..28 {
        let mut product = Product::new([9, 21, 1], [false, false], values).with(number, values);
        let len = (product.params.m * product.params.n) as usize;
        product.params.k = 3;
        product.params.sums_at = 0;
        product.inputs[0] = values(1, 3 * len);
        product.out.truncate(len);
        assert!(product.run(reference::add_parts) == product.run(quick::add_parts), "variation {number}");
    }
}
