//! Every adapter follows the CPU path's losses for 60 steps.

use wgrad::Device;
use wgrad::data::{Labels, disk};
use wgrad::nn::{Linear, ReLU, Sequential, Sigmoid, Tanh};

use crate::common::{compare, gpus, signed};
use crate::steps::{Problem, TANH, sums};

const STEPS: usize = 60;
const ROWS: usize = 100;

/// The disk problem's network.
pub(crate) fn disk_network() -> Sequential {
    Sequential::new()
        .add(Linear::new(2, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 2))
        .add(Tanh)
}

/// Without a function that WGSL leaves latitude.
fn relu_network() -> Sequential {
    Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 2))
}

/// Wide enough for the blocked matrix products.
fn wide_network() -> Sequential {
    Sequential::new().add(Linear::new(2, 70)).add(Tanh).add(Linear::new(70, 66)).add(Sigmoid).add(Linear::new(66, 2))
}

/// Weights of PyTorch's size from other generators: U(±1/√inputs).
fn problem(model: fn() -> Sequential, widths: &[usize]) -> Problem {
    let mut parameters = Vec::new();
    for (seed, width) in (200..).step_by(2).zip(widths.windows(2)) {
        let bound = 1.0 / (width[0] as f32).sqrt();
        for (seed, len) in [(seed, width[0] * width[1]), (seed + 1, width[1])] {
            parameters.push(signed(seed, len).iter().map(|v| v * bound).collect());
        }
    }
    let data = disk(ROWS, 3, Labels::PlusMinusOneHot).unwrap();
    let (x, target) = (data.inputs().to_vec(), data.targets().to_vec());
    Problem { model, parameters, x, target, rows: ROWS, learning_rate: 0.1 }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_gpu_follows_the_cpu_for_sixty_steps() {
    // The longest sums are those over the batch's 100 rows, or 200 elements of the loss.
    let problems = [
        ("disk network", problem(disk_network, &[2, 25, 25, 25, 2]), sums(2 * ROWS) + TANH),
        ("relu network", problem(relu_network, &[2, 25, 2]), sums(2 * ROWS)),
        ("wide network", problem(wide_network, &[2, 70, 66, 2]), sums(2 * ROWS) + TANH),
    ];
    for (name, problem, rounding) in problems {
        let expected = problem.losses(&Device::cpu(), STEPS);
        let tolerance = problem.tolerance(STEPS, rounding);
        let learnt = f64::from(expected[0] - expected[STEPS - 1]);
        let last = tolerance(STEPS - 1);
        // Otherwise a device that learns nothing would pass.
        assert!(last < learnt / 2.0, "{name}: a tolerance of {last} for a loss that falls by {learnt}");
        for gpu in gpus() {
            let losses = problem.losses(&gpu.device, STEPS);
            let off = losses.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name} on {}: within {off:e} of the CPU, {last:e} allowed at the end", gpu.label);
            compare(&format!("{name} on {}", gpu.label), &losses, &expected, 0.0, &tolerance).unwrap();
        }
    }
}
