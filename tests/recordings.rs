//! What modules record, printed, dispatch by dispatch; and how much of it there is. The printed part needs no GPU.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{cpu_and_gpus, signed};
use wgrad::data::{Labels, disk};
use wgrad::nn::{Linear, Loss, Module, Mse, Parameters, ReLU, Sequential, Sigmoid, Tanh};
use wgrad::optim::Sgd;
use wgrad::{Device, DeviceKind, Fit, Graph, Lowering, Tensor, Trainer, Var, gradients};

/// Forward and backward of a model on a batch, call by call: what leads to the loss and to the gradients of the parameters.
fn passes(model: &dyn Module, [rows, inputs, outputs]: [usize; 3]) -> String {
    let device = Device::cpu();
    let parameters = Parameters::new(&device, model, 0).ok();
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::new(&device, rows, inputs, &signed(1, rows * inputs)).unwrap()).unwrap();
    let target = graph.input(&Tensor::zeros(&device, rows, outputs).unwrap()).unwrap();
    let y = model.forward(&mut graph, x).unwrap();
    let loss = Mse::new().forward(&mut graph, y, target).unwrap();
    // A model without parameters is shown with a gradient for its input.
    let by: Vec<Var> = match &parameters {
        Some(parameters) => parameters.named().map(|(_, parameter)| parameter.var(&mut graph).unwrap()).collect(),
        None => vec![x],
    };
    let gradients = gradients(&mut graph, loss, &by).unwrap();
    let wanted: Vec<Var> = [loss].into_iter().chain(gradients.into_iter().flatten()).collect();
    Lowering::default().rules(&[]).lower(&graph, &wanted).unwrap().recording().to_string()
}

#[track_caller]
fn assert_recorded(actual: &str, expected: &str) {
    let lines = |text: &str| text.trim().lines().map(|line| line.trim().to_string()).collect::<Vec<_>>();
    assert_eq!(lines(actual), lines(expected), "recorded:\n{actual}");
}

#[test]
fn a_linear_layer() {
    // Weight [3, 2] at 0 and bias [1, 3] at 64 of the values b1; the input needs no gradient.
    assert_recorded(
        &passes(&Linear::new(2, 3), [10, 2, 3]),
        "matmul.small [2, 1] (b0[10 x 2], b1[3 x 2], b1+64[1 x 3]) -> b2[10 x 3]
         loss.forward [1, 1] (b2[10 x 3], b3[10 x 3]) -> b4[1 x 1]
         loss.backward [1, 1] (b2[10 x 3], b3[10 x 3], b5[1 x 1]) -> b6[10 x 3]
         matmul.small [1, 1] (b6[10 x 3], b0[10 x 2]) -> b7[3 x 2]
         bias.backward [1, 1] (b6[10 x 3]) -> b8[1 x 3]",
    );
}

#[test]
fn activations() {
    for activation in [ReLU, Tanh, Sigmoid] {
        assert_recorded(
            &passes(&activation, [40, 3, 3]),
            "activation.forward [2, 1] (b0[40 x 3]) -> b1[40 x 3]
             loss.forward [1, 1] (b1[40 x 3], b2[40 x 3]) -> b3[1 x 1]
             loss.backward [2, 1] (b1[40 x 3], b2[40 x 3], b4[1 x 1]) -> b5[40 x 3]
             activation.backward [2, 1] (b1[40 x 3], b5[40 x 3]) -> b6[40 x 3]",
        );
    }
}

#[test]
fn a_large_mean_squared_error_takes_two_dispatches() {
    assert_recorded(
        &passes(&Tanh, [5000, 1, 1]),
        "activation.forward [79, 1] (b0[5000 x 1]) -> b1[5000 x 1]
         loss.forward [20, 1] (b1[5000 x 1], b2[5000 x 1]) -> b3[1 x 20]
         reduce.sum [1, 1] (b3[1 x 20]) -> b4[1 x 1]
         loss.backward [79, 1] (b1[5000 x 1], b2[5000 x 1], b5[1 x 1]) -> b6[5000 x 1]
         activation.backward [79, 1] (b1[5000 x 1], b6[5000 x 1]) -> b7[5000 x 1]",
    );
}

#[test]
fn the_passes_of_a_sequential() {
    let model = Sequential::new().add(Linear::new(2, 70)).add(ReLU).add(Linear::new(70, 3)).add(Tanh);
    // The second weight's gradient reads what the first activation gave (b3); the first layer's input gets none.
    assert_recorded(
        &passes(&model, [65, 2, 3]),
        "matmul.small [81, 1] (b0[65 x 2], b1[70 x 2], b1+192[1 x 70]) -> b2[65 x 70]
         activation.forward [72, 1] (b2[65 x 70]) -> b3[65 x 70]
         matmul.small [9, 1] (b3[65 x 70], b1+320[3 x 70], b1+576[1 x 3]) -> b4[65 x 3]
         activation.forward [4, 1] (b4[65 x 3]) -> b5[65 x 3]
         loss.forward [1, 1] (b5[65 x 3], b6[65 x 3]) -> b7[1 x 1]
         loss.backward [4, 1] (b5[65 x 3], b6[65 x 3], b8[1 x 1]) -> b9[65 x 3]
         activation.backward [4, 1] (b5[65 x 3], b9[65 x 3]) -> b10[65 x 3]
         matmul.small [81, 1] (b10[65 x 3], b1+320[3 x 70]) -> b11[65 x 70]
         matmul.small [9, 1] (b10[65 x 3], b3[65 x 70]) -> b12[3 x 70]
         bias.backward [1, 1] (b10[65 x 3]) -> b13[1 x 3]
         activation.backward [72, 1] (b3[65 x 70], b11[65 x 70]) -> b14[65 x 70]
         matmul.small [9, 1] (b14[65 x 70], b0[65 x 2]) -> b15[70 x 2]
         bias.backward [5, 1] (b14[65 x 70]) -> b16[1 x 70]",
    );
}

#[test]
fn large_layers_take_the_blocked_product() {
    let recorded = passes(&Sequential::new().add(Linear::new(64, 64)).add(Linear::new(64, 64)), [64, 64, 64]);
    assert_eq!(recorded.matches("matmul.tiled [1, 1]").count(), 5, "{recorded}");
    assert!(!recorded.contains("matmul.small"), "{recorded}");
}

#[test]
fn a_sequential_from_a_list_records_the_same() {
    let listed: Vec<Box<dyn Module>> =
        vec![Box::new(Linear::new(2, 5)), Box::new(Sigmoid), Box::new(Linear::new(5, 1))];
    let built = Sequential::new().add(Linear::new(2, 5)).add(Sigmoid).add(Linear::new(5, 1));
    assert_eq!(passes(&Sequential::from(listed), [7, 2, 1]), passes(&built, [7, 2, 1]));
}

/// The disk network 2-25-25-25-2 with its four activations.
fn disk_trainer(device: &Device) -> Trainer {
    let model = Sequential::new()
        .add(Linear::new(2, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 2))
        .add(Tanh);
    Trainer::new(device, model, Mse::new(), Sgd::new(0.1), 0).unwrap()
}

/// The dispatches and reads of a call of `fit` on 300 samples, with one measurement at its end.
fn cost(device: &Device, epochs: usize, batch_size: usize) -> (u64, u64) {
    let data = disk(300, 0, Labels::OneHot).unwrap();
    let mut trainer = disk_trainer(device);
    let before = device.counters();
    trainer.fit(&data, Fit::new(epochs, batch_size).evaluate_every(0)).unwrap();
    let after = device.counters();
    (after.dispatches - before.dispatches, after.reads - before.reads)
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_step_of_the_disk_network_is_14_dispatches_and_no_read() {
    for (name, device) in cpu_and_gpus() {
        let (dispatches, reads) = cost(&device, 1, 20);
        let (more_dispatches, more_reads) = cost(&device, 3, 20);
        // Two more epochs of 15 steps each.
        // Each begins with one that keeps the parameters as they were, and ends with one that adds them up.
        let per_step = (more_dispatches - dispatches - 4) as f64 / 30.0;
        assert!(per_step <= 14.0, "{name}: {per_step} dispatches a step");
        // An epoch's losses come back once, whether it has 15 steps or 300.
        assert_eq!(more_reads - reads, 2, "{name}");
        assert_eq!(cost(&device, 1, 1).1, reads, "{name}");
        // They and the measurement at the end; and what a device that may be lost has at the beginning.
        let kept = u64::from(device.describe().kind != DeviceKind::Cpu);
        assert_eq!(reads, 2 + kept, "{name}");
    }
}
