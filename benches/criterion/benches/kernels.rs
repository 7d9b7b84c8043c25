//! Kernels over a ladder of sizes: matrix products as GFLOP/s (criterion's "elements" are multiplications and
//! additions), the others as GB/s. Each is checked against its reference before it is timed.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgrad::ops::{self, Activation, matmul::Epilogue};
use wgrad_benches::{checked, device, finish, naive};

fn products(criterion: &mut Criterion) {
    let device = device().unwrap();
    let mut group = criterion.benchmark_group(format!("matmul on {}", device.name()));
    group.sample_size(10);
    let mut shapes = vec![[32, 25, 25], [128, 512, 784], [512, 784, 128], [10, 512, 4096], [1, 1024, 1024]];
    shapes.extend([64, 256, 512, 1024].map(|n| [n; 3]));
    for [m, n, k] in shapes {
        // A sum of k products of numbers up to 1 errs by at most k roundings.
        let tolerance = k as f32 * f32::EPSILON * (k as f32).sqrt();
        let recording = checked(&device, &[[m, k], [n, k]], [m, n], tolerance, |recording, inputs, out| {
            ops::matmul(recording, &inputs[0], inputs[1].t(), out, Epilogue::default())
        })
        .unwrap();
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{n}x{k}")), |bench| {
            bench.iter(|| finish(&recording, 1).unwrap());
        });
    }
    if device.name() == "cpu" {
        return;
    }
    let n = 1024;
    let recording = checked(&device, &[[n, n]; 2], [n, n], 1e-3, |recording, inputs, out| {
        naive(recording, &inputs[0], &inputs[1], out)
    })
    .unwrap();
    group.throughput(Throughput::Elements(2 * (n * n * n) as u64));
    group.bench_function(BenchmarkId::new("naive", format!("{n}x{n}x{n}")), |bench| {
        bench.iter(|| finish(&recording, 1).unwrap());
    });
}

fn elements(criterion: &mut Criterion) {
    let device = device().unwrap();
    let mut group = criterion.benchmark_group(format!("bandwidth on {}", device.name()));
    group.sample_size(10);
    for side in [32, 256, 1024] {
        let shape = [side, side];
        let bytes = 4 * (side * side) as u64;
        for activation in [Activation::ReLU, Activation::Tanh] {
            let recording = checked(&device, &[shape], shape, 1e-5, |recording, inputs, out| {
                ops::activation::forward(recording, activation, &inputs[0], out)
            })
            .unwrap();
            group.throughput(Throughput::Bytes(2 * bytes));
            group.bench_function(BenchmarkId::new(format!("{activation:?}"), side), |bench| {
                bench.iter(|| finish(&recording, 1).unwrap());
            });
        }
        let recording = checked(&device, &[shape], [1, 1], 1e-3, |recording, inputs, out| {
            ops::reduce::sum(recording, &inputs[0], 1.0, out)
        })
        .unwrap();
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("sum", side), |bench| bench.iter(|| finish(&recording, 1).unwrap()));
        let recording = checked(&device, &[shape], [1, side], 1e-3, |recording, inputs, out| {
            ops::bias::backward(recording, &inputs[0], out, false)
        })
        .unwrap();
        group.bench_function(BenchmarkId::new("column sums", side), |bench| {
            bench.iter(|| finish(&recording, 1).unwrap());
        });
    }
}

criterion_group!(benches, products, elements);
criterion_main!(benches);
