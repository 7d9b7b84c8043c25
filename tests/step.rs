//! Training on single batches: `Trainer::step`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, assert_same_bits, on_every_device};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{BceWithLogits, CrossEntropy, Dropout, Linear, Mse, ReLU, Sequential};
use wgrad::optim::{Adam, Schedule, Sgd};
use wgrad::{Device, ErrorKind, Fit, Trainer};

on_every_device!(steps_on_the_batches_of_an_epoch_are_that_epoch, a_step_that_diverges_is_undone);

fn model() -> Sequential {
    Sequential::new().add(Linear::new(2, 16)).add(ReLU).add(Dropout::new(0.2)).add(Linear::new(16, 2))
}

fn trainer(device: &Device) -> Trainer {
    let adam = Adam::new(0.01).schedule(Schedule::cosine(100, 0.1).per_step());
    Trainer::new(device, model(), Mse::new(), adam, 3).unwrap()
}

/// 53 samples in batches of 10: the last has 3.
fn steps(trainer: &mut Trainer, data: &Dataset) -> Vec<f32> {
    let batches = data.inputs().chunks(2 * 10).zip(data.targets().chunks(2 * 10));
    batches.map(|(x, t)| trainer.step(x, t, x.len() / 2).unwrap()).collect()
}

fn steps_on_the_batches_of_an_epoch_are_that_epoch(devices: &Devices) {
    let data = disk(53, 0, Labels::OneHot).unwrap();
    for (name, device) in devices {
        let mut by_fit = trainer(device);
        let fit = || Fit::new(2, 10).shuffle(false).evaluate(false);
        let mut expected = by_fit.fit(&data, fit()).unwrap().step_losses;
        let mut by_steps = trainer(device);
        let mut losses = [steps(&mut by_steps, &data), steps(&mut by_steps, &data)].concat();
        // Fitted on, and stepped on.
        expected.extend(by_fit.fit(&data, fit()).unwrap().step_losses);
        losses.extend(by_steps.fit(&data, fit()).unwrap().step_losses);
        expected.extend(by_fit.fit(&data, fit()).unwrap().step_losses);
        losses.extend([steps(&mut by_steps, &data), steps(&mut by_steps, &data)].concat());
        assert_same_bits(name, &losses, &expected);
        assert_same_bits(name, &by_steps.parameters().read().unwrap(), &by_fit.parameters().read().unwrap());
        assert_eq!(by_steps.optimizer().steps(), by_fit.optimizer().steps(), "{name}");
        assert!(by_fit.history().epochs.iter().all(|epoch| epoch.train.is_none()), "{name}");
    }
}

fn a_step_that_diverges_is_undone(devices: &Devices) {
    for (name, device) in devices {
        let mut trainer = Trainer::new(device, Linear::new(1, 1), Mse::new(), Sgd::new(0.1).momentum(0.9), 0).unwrap();
        trainer.step(&[1.0, 2.0], &[1.0, 3.0], 2).unwrap();
        let (before, steps) = (trainer.parameters().read().unwrap(), trainer.optimizer().steps());
        let error = trainer.step(&[3e38, 3e38], &[0.0, -3e38], 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite, "{name}: {error}");
        assert_same_bits(name, &trainer.parameters().read().unwrap(), &before);
        assert_eq!(trainer.optimizer().steps(), steps, "{name}");
        trainer.step(&[1.0, 2.0], &[1.0, 3.0], 2).unwrap();
    }
}

#[test]
fn a_frozen_layer_is_left_as_it_is() {
    let (first, last) = (Linear::new(2, 4), Linear::new(4, 1));
    let model = Sequential::new().add(first.clone()).add(ReLU).add(last);
    let mut trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Sgd::new(0.5), 0).unwrap();
    let mut step = || trainer.step(&[0.5, -0.5, 1.0, 2.0], &[0.0, 1.0], 2).unwrap();
    step();
    let before = first.weight().value().unwrap().read().unwrap();
    first.weight().set_frozen(true);
    step();
    assert_same_bits("frozen", &first.weight().value().unwrap().read().unwrap(), &before);
    first.weight().set_frozen(false);
    step();
    assert_ne!(first.weight().value().unwrap().read().unwrap(), before);
}

#[test]
fn batches_that_fit_nothing_are_refused() {
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 3), CrossEntropy::new(), Sgd::new(0.1), 0).unwrap();
    let before = trainer.parameters().read().unwrap();
    for (x, t, rows, words) in [
        (&[1.0, 2.0, 3.0][..], &[0.0, 1.0][..], 2, "3 inputs and 2 targets for 2 rows"),
        (&[1.0, 2.0], &[0.0], 0, "for 0 rows"),
        (&[1.0, 2.0, 3.0], &[0.0], 1, "takes 2 columns"),
        (&[1.0, f32::NAN], &[0.0], 1, "NaN"),
        (&[1.0, 2.0], &[3.0], 1, "3"),
        (&[], &[], 1, "0"),
    ] {
        let error = trainer.step(x, t, rows).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        // Also after a batch that fits.
        trainer.step(&[1.0, 2.0], &[0.0], 1).unwrap();
        trainer.parameters().write(&before).unwrap();
    }
}
