//! One training step (ReLU hidden layers, sigmoid output, mean squared error, SGD), with calls merged, over four networks.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgrad::nn::{Linear, Loss, Module, Mse, Parameters, ReLU, Sequential, Sigmoid};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Recording, Result, Tensor, lower};
use wgrad_benches::{device, finish, numbers};

const NETWORKS: [(&[usize], usize); 4] = [
    (&[2, 25, 25, 25, 2], 32),
    (&[64, 128, 128, 10], 64),
    (&[784, 512, 512, 10], 128),
    (&[1024, 4096, 4096, 1024], 1024),
];

fn training_step(device: &Device, sizes: &[usize], batch: usize) -> Result<Recording> {
    let model = sizes.windows(2).enumerate().fold(Sequential::new(), |model, (i, layer)| {
        model.add(Linear::new(layer[0], layer[1])).add(if i + 2 < sizes.len() { ReLU } else { Sigmoid })
    });
    let parameters = Parameters::new(device, &model, 0)?;
    let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.01))?;
    let mut graph = Graph::new(device);
    let side = |cols: usize| Tensor::new(device, batch, cols, &numbers(batch * cols));
    let (x, t) = (side(sizes[0])?, side(sizes[sizes.len() - 1])?);
    let (x, t) = (graph.input(&x)?, graph.input(&t)?);
    let y = model.forward(&mut graph, x)?;
    let loss = Mse::new().forward(&mut graph, y, t)?;
    let wanted = optimizer.train_step(&mut graph, loss)?;
    Ok(lower(&graph, &wanted)?.into_recording())
}

fn steps(criterion: &mut Criterion) {
    let device = device().unwrap();
    // A software GPU needs minutes for a step of the largest.
    let networks = if device.describe().kind == wgrad::DeviceKind::Software { &NETWORKS[..3] } else { &NETWORKS[..] };
    let mut group = criterion.benchmark_group(format!("training step on {}", device.name()));
    group.sample_size(10);
    for (sizes, batch) in networks {
        let step = training_step(&device, sizes, *batch).unwrap();
        group.throughput(Throughput::Elements(*batch as u64));
        let name = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        group.bench_function(BenchmarkId::new(name, batch), |bench| {
            // Many steps in a submit, as a trainer runs them.
            bench.iter_custom(|times| {
                let start = std::time::Instant::now();
                finish(&step, times as u32).unwrap();
                start.elapsed()
            });
        });
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
