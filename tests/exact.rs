//! Small whole numbers and scales that are powers of two: every sum and product is exact in f32, so the CPU path and
//! every GPU must give the bits that i64 arithmetic gives, whatever the order of additions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{assert_same_bits, gpus, small_integers};
use wgrad::ops::loss::Elementwise;
use wgrad::ops::matmul::Epilogue;
use wgrad::ops::optim::{Stretch, Update};
use wgrad::ops::{Activation, activation, bias, loss, matmul, optim, reduce};
use wgrad::{Device, Recording, Result as Recorded, Tensor};

/// Sizes within one tile, at its edge and beyond it.
const SIZES: &[[usize; 3]] = &[[3, 5, 7], [8, 64, 9], [67, 71, 130]];

fn integers(values: &[f32]) -> Vec<i64> {
    values.iter().map(|v| *v as i64).collect()
}

/// What i64 arithmetic gives, divided by a power of two.
fn floats(values: impl IntoIterator<Item = i64>, divisor: i64) -> Vec<f32> {
    let exact = |v: i64| {
        assert!(v.abs() <= 1 << 24, "{v} is not exact in f32");
        v as f32 / divisor as f32
    };
    values.into_iter().map(exact).collect()
}

/// Everything on one device: named results, in the order of [`expected`].
struct On<'a> {
    device: &'a Device,
    results: Vec<(String, Vec<f32>)>,
}

impl On<'_> {
    fn tensor(&self, [rows, cols]: [usize; 2], values: &[f32]) -> Tensor {
        Tensor::new(self.device, rows, cols, values).unwrap()
    }

    fn run(&mut self, name: String, out: &Tensor, record: impl FnOnce(&mut Recording) -> Recorded<()>) {
        let mut recording = Recording::new(self.device);
        record(&mut recording).unwrap();
        recording.run().unwrap();
        self.results.push((name, out.read().unwrap()));
    }
}

/// The inputs of one size.
struct Inputs {
    size: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    row: Vec<f32>,
    c: Vec<f32>,
    d: Vec<f32>,
}

impl Inputs {
    fn new([m, n, k]: [usize; 3]) -> Self {
        let values = |seed, len| small_integers(seed, len, 8);
        Self {
            size: [m, n, k],
            a: values(1, m * k),
            b: values(2, k * n),
            row: values(3, n),
            c: values(4, m * n),
            d: values(5, m * n),
        }
    }

    fn on(&self, device: &Device) -> Vec<(String, Vec<f32>)> {
        let [m, n, k] = self.size;
        let mut on = On { device, results: Vec::new() };
        let (a, b) = (on.tensor([m, k], &self.a), on.tensor([k, n], &self.b));
        let (a_turned, b_turned) = (on.tensor([k, m], &self.a), on.tensor([n, k], &self.b));
        let (row, c, d) = (on.tensor([1, n], &self.row), on.tensor([m, n], &self.c), on.tensor([m, n], &self.d));

        let factors = [((&a).into(), "a"), (a_turned.t(), "a turned")];
        for (a, name) in factors {
            for (b, other) in [((&b).into(), "b"), (b_turned.t(), "b turned")] {
                let out = on.tensor([m, n], &self.c);
                let epilogue = Epilogue {
                    alpha: 0.5,
                    beta: -2.0,
                    bias: Some(&row),
                    activation: Activation::ReLU,
                    ..Epilogue::default()
                };
                on.run(format!("matmul {name} {other}"), &out, |r| matmul(r, a, b, &out, epilogue));
            }
        }
        let out = on.tensor([m, n], &self.d);
        on.run("bias".into(), &out, |r| bias::forward(r, &c, &row, &out));
        let sums = on.tensor([1, n], &self.row);
        on.run("column sums".into(), &sums, |r| bias::backward(r, &c, &sums, true));
        let total = on.tensor([1, 1], &[0.0]);
        on.run("sum".into(), &total, |r| reduce::sum(r, &c, 0.25, &total));
        let out = on.tensor([m, n], &self.d);
        on.run("relu".into(), &out, |r| activation::forward(r, Activation::ReLU, &c, &out));
        let dx = on.tensor([m, n], &self.d);
        on.run("relu backward".into(), &dx, |r| activation::backward(r, Activation::ReLU, [&c, &out, &d], &dx, false));
        let value = on.tensor([1, 1], &[0.0]);
        on.run("mse".into(), &value, |r| loss::forward(r, Elementwise::Squared, [&c, &d], 0.125, &value));
        let upstream = on.tensor([1, 1], &[-4.0]);
        let gradient = on.tensor([m, n], &self.d);
        on.run("mse backward".into(), &gradient, |r| {
            loss::backward(r, (Elementwise::Squared, false), [&c, &d, &upstream], 0.125, &gradient, false)
        });
        let (values, rates) = (on.tensor([m, n], &self.d), on.tensor([1, 4], &[0.25, 0.0, 0.0, 0.0]));
        let sgd = Stretch { gradients: &c, values: &values, state: &[], rates: &rates, squared_norm: &total };
        on.run("sgd".into(), &values, |r| optim::sgd(r, Update::default(), sgd));
        on.results
    }

    fn expected(&self) -> Vec<(&'static str, Vec<f32>)> {
        let [m, n, k] = self.size;
        let [a, b, row, c, d] = [&self.a, &self.b, &self.row, &self.c, &self.d].map(|v| integers(v));
        // Which element of the stored matrix is (i, j) of the product's factor.
        let product = |a_at: &dyn Fn(usize, usize) -> usize, b_at: &dyn Fn(usize, usize) -> usize| {
            let element = |at: usize| {
                let (i, j) = (at / n, at % n);
                let dot: i64 = (0..k).map(|p| a[a_at(i, p)] * b[b_at(p, j)]).sum();
                // Twice max(dot / 2 - 2 c + row, 0).
                (dot - 4 * c[at] + 2 * row[j]).max(0)
            };
            floats((0..m * n).map(element), 2)
        };
        let (plain_a, turned_a) = (|i, p| i * k + p, |i, p| p * m + i);
        let (plain_b, turned_b) = (|p, j| p * n + j, |p, j| j * k + p);
        let pairs = || c.iter().zip(&d);
        vec![
            ("matmul a b", product(&plain_a, &plain_b)),
            ("matmul a b turned", product(&plain_a, &turned_b)),
            ("matmul a turned b", product(&turned_a, &plain_b)),
            ("matmul a turned b turned", product(&turned_a, &turned_b)),
            ("bias", floats((0..m * n).map(|at| c[at] + row[at % n]), 1)),
            ("column sums", floats((0..n).map(|j| row[j] + (0..m).map(|i| c[i * n + j]).sum::<i64>()), 1)),
            ("sum", floats([c.iter().sum()], 4)),
            ("relu", floats(c.iter().map(|c| *c.max(&0)), 1)),
            ("relu backward", floats(pairs().map(|(c, d)| if *c > 0 { *d } else { 0 }), 1)),
            ("mse", floats([pairs().map(|(c, d)| (c - d) * (c - d)).sum()], 8)),
            // -4 times 2/8 (c - d).
            ("mse backward", floats(pairs().map(|(c, d)| d - c), 1)),
            ("sgd", floats(pairs().map(|(c, d)| 4 * d - c), 4)),
        ]
    }

    fn check(&self, name: &str, device: &Device) {
        let (results, expected) = (self.on(device), self.expected());
        assert_eq!(results.len(), expected.len());
        for ((operation, result), (same_operation, exact)) in results.iter().zip(&expected) {
            assert_eq!(operation, same_operation);
            // Which zero a sum of zeros gives is left open.
            let without_sign = |values: &[f32]| values.iter().map(|v| v + 0.0).collect::<Vec<_>>();
            let message = format!("{operation} {:?} on {name}", self.size);
            assert_same_bits(&message, &without_sign(result), &without_sign(exact));
        }
    }
}

#[test]
fn the_cpu_computes_whole_numbers_exactly() {
    for size in SIZES {
        Inputs::new(*size).check("cpu", &Device::cpu());
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_gpu_computes_whole_numbers_exactly() {
    for size in SIZES {
        for gpu in gpus() {
            Inputs::new(*size).check(&gpu.label, &gpu.device);
        }
    }
}
