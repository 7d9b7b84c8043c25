//! Training steps of a multi-layer perceptron in Burn, timed as `examples/throughput.rs` times wgrad's:
//! `burn-peer --device flex|wgpu --sizes 2,25,25,25,2 --batch 32 --steps 500 --repetitions 1`.

use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};

#[derive(Module, Debug)]
struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (i, layer)| {
            let z = layer.forward(x);
            if i < hidden { activation::relu(z) } else { activation::sigmoid(z) }
        })
    }
}

fn option(name: &str, otherwise: &str) -> String {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).unwrap_or_else(|| otherwise.into())
}

/// Rows of numbers from 0 to 1.
fn numbers(count: usize, mut state: u64) -> Vec<f32> {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32
    };
    (0..count).map(|_| next()).collect()
}

fn main() {
    let name = option("--device", "wgpu");
    let sizes: Vec<usize> = option("--sizes", "2,25,25,25,2").split(',').map(|s| s.parse().expect("a size")).collect();
    let batch: usize = option("--batch", "32").parse().expect("a batch size");
    let steps: usize = option("--steps", "500").parse().expect("a number of steps");
    let repetitions: usize = option("--repetitions", "1").parse().expect("a number of repetitions");
    let device = if name == "flex" { Device::flex() } else { Device::wgpu(Default::default()) }.autodiff();

    let (inputs, outputs, rows) = (sizes[0], sizes[sizes.len() - 1], batch.max(1024));
    let x = Tensor::<2>::from_data(TensorData::new(numbers(rows * inputs, 1), [rows, inputs]), &device);
    let t = numbers(rows * outputs, 2).into_iter().map(f32::round).collect::<Vec<_>>();
    let t = Tensor::<2>::from_data(TensorData::new(t, [rows, outputs]), &device);

    let layers = sizes.windows(2).map(|size| LinearConfig::new(size[0], size[1]).init(&device)).collect();
    let mut model = Perceptron { layers };
    let mut optimizer = SgdConfig::new().init();
    // The first round is the warm-up, and is not printed.
    for repetition in 0..=repetitions {
        let start = Instant::now();
        let mut last = None;
        for step in 0..steps {
            let first = (step * batch) % (rows - batch + 1);
            let (x, t) = (x.clone().slice([first..first + batch]), t.clone().slice([first..first + batch]));
            let loss = MseLoss::new().forward(model.forward(x), t, Reduction::Mean);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(0.1, model, gradients);
            last = Some(loss);
        }
        let loss = last.map(|loss| loss.into_data().try_to_vec::<f32>().expect("a loss")[0]);
        let us = start.elapsed().as_secs_f64() / steps as f64 * 1e6;
        if repetition > 0 {
            println!(
                r#"{{"peer":"burn-0.22.1","device":"{name}","sizes":{sizes:?},"batch":{batch},"steps":{steps},"us_per_step":{us:.3},"loss":{}}}"#,
                loss.unwrap_or(f32::NAN)
            );
        }
    }
}
