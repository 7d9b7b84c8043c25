//! The exponential moving average of the parameters: `Fit::ema`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Devices, EPSILON, ROUNDING, assert_same_bits, assert_same_training, compare, list, number, numbers,
    on_every_device, oracle, tanh_error, text, trainer_of, training_data, values,
};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{BatchNorm1d, BceWithLogits, Linear, Mse, ReLU, Sequential};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, EarlyStopping, Ensemble, Fit, Monitor, Trainer, metrics};

on_every_device!(
    averages_are_those_of_pytorch,
    an_interrupted_training_resumes_to_the_bit,
    members_are_averaged_as_if_alone,
    the_best_epoch_is_that_of_the_average,
    a_training_that_fails_leaves_the_average,
);

fn averages_are_those_of_pytorch(devices: &Devices) {
    let file = oracle("trainer.json");
    let mut faults = Vec::new();
    for (label, device) in devices {
        for case in list(&file["weighted"]) {
            for parts in [1, 2] {
                let [train, validation] = training_data(&file, case);
                let name = format!("{} in {parts} parts on {label}", text(&case["name"]));
                let mut trainer = trainer_of(device, &file, case);
                let fit = Fit::new(number(&file["epochs"]) as usize, number(&file["batch"]) as usize / parts);
                let fit = fit.accumulate(parts).shuffle(false).validation(&validation);
                let history = trainer.fit(&train, fit.ema(number(&file["decay"]) as f32)).unwrap();
                let factor = 4.0 * (tanh_error(device) / ROUNDING).max(1.0);
                let strays = number(&case["float32_error"]);
                let mut check = |what: &str, actual: &[f32], expected: &[f64]| {
                    let tolerance = |i: usize| factor * (strays + EPSILON * expected[i].abs());
                    faults.extend(compare(&format!("{name}, {what}"), actual, expected, 0.0, tolerance).err());
                };
                let results = &case["results"];
                // The training is that without an average.
                check("losses", &history.step_losses, &numbers(&results["losses"]));
                check("average", &values(&trainer), &numbers(&results["average"]));
                let measured = history.epochs.last().unwrap().validation.unwrap();
                check("validation", &[measured.loss], &[number(&results["average_validation"]["loss"])]);
                assert_eq!(trainer.evaluate(&validation).unwrap(), measured, "{name}");
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn data() -> (Dataset, Dataset) {
    disk(100, 0, Labels::ZeroOne).unwrap().split(0.6, 0).unwrap()
}

fn trainer(device: &Device, seed: u64) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 9)).add(BatchNorm1d::new(9)).add(ReLU).add(Linear::new(9, 1));
    Trainer::new(device, model, BceWithLogits::new(), Adam::new(0.05), seed).unwrap()
}

fn an_interrupted_training_resumes_to_the_bit(devices: &Devices) {
    let (train, validation) = data();
    for (number, (name, device)) in devices.iter().enumerate() {
        let fit = |epochs| Fit::until(epochs, 16).ema(0.9).validation(&validation);
        let mut whole = trainer(device, 1);
        whole.fit(&train, fit(5)).unwrap();
        let path = std::env::temp_dir().join(format!("wgrad-ema-{}-{number}", std::process::id()));
        let mut first = trainer(device, 1);
        first.fit(&train, fit(2).checkpoint(&path, 0)).unwrap();
        let mut second = trainer(device, 5);
        second.resume(&path).unwrap();
        // The file has the parameters that are trained, the trainer the average.
        assert_ne!(values(&second), values(&first), "{name}");
        second.fit(&train, fit(5).checkpoint(&path, 0)).unwrap();
        assert_same_training(name, &second, &whole);
        // Nothing to train: what remains is to have the average in place.
        let mut third = trainer(device, 5);
        third.resume(&path).unwrap();
        third.fit(&train, fit(5)).unwrap();
        assert_same_bits(name, &values(&third), &values(&whole));
        std::fs::remove_file(path).unwrap();
    }
}

fn members_are_averaged_as_if_alone(devices: &Devices) {
    let (train, validation) = data();
    for (name, device) in devices {
        let members = if device.name() == "cpu" { 9 } else { 3 };
        let fit = |seed: u64| {
            let fit = Fit::new(3, 16).validation(&validation);
            if seed == 1 { fit } else { fit.ema(0.5 + 0.05 * seed as f32) }
        };
        let mut ensemble = Ensemble::new((0..members).map(|seed| Ok(trainer(device, seed)))).unwrap();
        ensemble.fit(&train, |member| fit(member as u64)).unwrap();
        for seed in 0..members {
            let mut alone = trainer(device, seed);
            alone.fit(&train, fit(seed)).unwrap();
            assert_same_training(&format!("{name}, member {seed}"), &ensemble.members()[seed as usize], &alone);
        }
    }
}

fn the_best_epoch_is_that_of_the_average(devices: &Devices) {
    let (train, validation) = data();
    for (name, device) in devices {
        let mut trainer = trainer(device, 2);
        let fit = Fit::new(30, 16).ema(0.8).validation(&validation).metric("auc", metrics::roc_auc);
        let history = trainer.fit(&train, fit.early_stopping(EarlyStopping::new(3))).unwrap();
        let best = history.best(Monitor::ValidationLoss).unwrap();
        // The running statistics are those of the best epoch, too.
        assert_eq!(trainer.evaluate(&validation).unwrap(), best.validation.unwrap(), "{name}");
        let outputs = trainer.predict(validation.inputs(), 2).unwrap();
        let auc = metrics::roc_auc(&outputs, &validation).unwrap();
        assert_eq!(Some(auc), best.metric("auc").unwrap().validation, "{name}");
    }
}

fn a_training_that_fails_leaves_the_average(devices: &Devices) {
    let (train, _) = data();
    for (name, device) in devices {
        let mut expected = trainer(device, 3);
        expected.fit(&train, Fit::new(2, 16).ema(0.9)).unwrap();
        let mut failing = trainer(device, 3);
        let mut calls = 0;
        let fit = Fit::new(5, 16).ema(0.9).metric("a", move |_, _| {
            calls += 1;
            let error = || wgrad::Error::new(wgrad::ErrorKind::InvalidInput, "mine", "no more");
            if calls < 3 { Ok(0.0) } else { Err(error()) }
        });
        failing.fit(&train, fit).unwrap_err();
        assert_same_training(name, &failing, &expected);
    }
}

#[test]
fn what_is_frozen_or_never_reached_stays_as_it_is() {
    let (train, _) = data();
    let frozen = Linear::new(2, 4);
    frozen.weight().set_frozen(true);
    let model = Sequential::new().add(frozen).add(Linear::new(4, 1));
    let mut trainer = Trainer::new(&Device::cpu(), model, Mse::new(), Sgd::new(0.1), 0).unwrap();
    let before = values(&trainer);
    trainer.fit(&train, Fit::new(3, 16).ema(0.99)).unwrap();
    let after = values(&trainer);
    assert_eq!(before[..8], after[..8]);
    assert_ne!(before[8..], after[8..]);
}

#[test]
fn decays_are_checked() {
    let (train, _) = data();
    for decay in [1.0, -0.1, f32::NAN, 2.0] {
        let error = trainer(&Device::cpu(), 0).fit(&train, Fit::new(1, 16).ema(decay)).unwrap_err().to_string();
        assert!(error.contains("give a decay from 0 to below 1"), "{error}");
    }
    // Without a past it is what is trained.
    let mut plain = trainer(&Device::cpu(), 0);
    plain.fit(&train, Fit::new(2, 16)).unwrap();
    let mut averaged = trainer(&Device::cpu(), 0);
    averaged.fit(&train, Fit::new(2, 16).ema(0.0)).unwrap();
    let close = compare("a decay of 0", &values(&averaged), &values(&plain), 4.0 * EPSILON, |_| EPSILON);
    close.unwrap();
}
