//! The same network, the same numbers, as in `tests/oracle/trajectory.py`.

use wgrad::nn::{Linear, ReLU, Sequential, Tanh};
use wgrad::{Device, Fit, Trainer, data::Dataset, nn, optim};

use crate::common::{compare, cpu_and_gpus};
use crate::oracle::{GRADIENTS, LOSSES};
use crate::steps::{Problem, TANH, sums};

const ROWS: usize = 7;
const STEPS: usize = LOSSES.len();

fn numbers(count: usize, first: usize, over: f32) -> Vec<f32> {
    (0..count).map(|i| (((first + 37 * i) % 97) as f32 - 48.0) / over).collect()
}

fn problem() -> Problem {
    let lengths = [10, 5, 25, 5, 10, 2];
    Problem {
        model: || {
            Sequential::new().add(Linear::new(2, 5)).add(Tanh).add(Linear::new(5, 5)).add(ReLU).add(Linear::new(5, 2))
        },
        parameters: (1..).zip(lengths).map(|(i, len)| numbers(len, 11 * i, 64.0)).collect(),
        x: numbers(2 * ROWS, 5, 32.0),
        target: numbers(2 * ROWS, 70, 64.0),
        rows: ROWS,
        learning_rate: 0.125,
    }
}

fn check(name: &str, device: &Device, rounding: f64) {
    let problem = problem();
    let mut placed = problem.place(device);
    let tolerance = problem.tolerance(STEPS, rounding);
    let mut losses = vec![placed.step()];
    // The first step's gradients, of the order of 1, have seen one rounding of everything.
    for (i, (gradient, expected)) in placed.gradients().iter().zip(GRADIENTS).enumerate() {
        compare(&format!("{name}, gradient {i}"), gradient, expected, 0.0, |_| rounding).unwrap();
    }
    losses.extend((1..STEPS).map(|_| placed.step()));
    compare(&format!("{name}, losses"), &losses, &LOSSES, 0.0, tolerance).unwrap();
}

#[test]
fn ten_steps_and_the_first_gradients_are_those_of_pytorch() {
    // Sums over the 14 elements of a batch's output.
    check("cpu", &Device::cpu(), sums(14));
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn ten_steps_on_every_gpu_are_those_of_pytorch() {
    for (name, device) in cpu_and_gpus() {
        check(&name, &device, sums(14) + TANH);
    }
}

#[test]
fn a_trainer_with_the_whole_batch_takes_the_same_steps() {
    let problem = problem();
    let device = Device::cpu();
    let mut trainer =
        Trainer::new(&device, (problem.model)(), nn::Mse::new(), optim::Sgd::new(problem.learning_rate), 0).unwrap();
    for ((_, parameter), values) in trainer.parameters().named().zip(&problem.parameters) {
        parameter.value().unwrap().write(values).unwrap();
    }
    let data = Dataset::new(problem.x.clone(), 2, problem.target.clone(), 2).unwrap();
    let history = trainer.fit(&data, Fit::new(STEPS, ROWS)).unwrap();
    // Shuffling the rows of the batch changes the order of additions, nothing else.
    let tolerance = problem.tolerance(STEPS, sums(14));
    compare("trainer", &history.step_losses, &LOSSES, 0.0, tolerance).unwrap();
}
