//! The same seed gives the same bits, run after run, and whatever the number of steps in a submit.

use wgrad::data::{Labels, disk};
use wgrad::nn::{Linear, Mse, ReLU, Sequential, Tanh};
use wgrad::optim::Sgd;
use wgrad::{Device, Fit, History, Trainer};

use crate::common::{assert_same_bits, gpus};

/// Three epochs of 32 mini-batches, the last of them short.
fn train(device: &Device, seed: u64, steps_per_submit: u32) -> (History, Vec<f32>) {
    let (train, test) = (disk(1000, 0, Labels::PlusMinusOne).unwrap(), disk(300, 1, Labels::PlusMinusOne).unwrap());
    let model =
        Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 25)).add(Tanh).add(Linear::new(25, 1));
    let mut trainer = Trainer::new(device, model, Mse::new(), Sgd::new(0.1), seed).unwrap();
    let history = trainer.fit(&train, Fit::new(3, 32).validation(&test).steps_per_submit(steps_per_submit)).unwrap();
    let values = trainer.parameters().read().unwrap();
    (history, values)
}

fn assert_same(name: &str, a: &(History, Vec<f32>), b: &(History, Vec<f32>)) {
    assert_same_bits(&format!("{name}: losses"), &a.0.step_losses, &b.0.step_losses);
    assert_same_bits(&format!("{name}: parameters"), &a.1, &b.1);
    for (a, b) in a.0.epochs.iter().zip(&b.0.epochs) {
        assert_eq!((a.loss, a.train, a.validation), (b.loss, b.train, b.validation), "{name}");
    }
}

fn check(name: &str, device: &Device) {
    let first = train(device, 5, u32::MAX);
    assert_eq!(first.0.step_losses.len(), 3 * 32);
    assert_same(&format!("{name}, again"), &train(device, 5, u32::MAX), &first);
    assert_same(&format!("{name}, 1 step a submit"), &train(device, 5, 1), &first);
    assert_same(&format!("{name}, 64 steps a submit"), &train(device, 5, 64), &first);
    assert_ne!(train(device, 6, u32::MAX).1, first.1, "{name}: another seed gives the same network");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    check("cpu", &Device::cpu());
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn the_same_seed_gives_the_same_bits_on_every_gpu() {
    for gpu in gpus() {
        check(&gpu.label, &gpu.device);
    }
}
