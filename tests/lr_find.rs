//! The learning-rate finder: `Trainer::lr_find`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Devices, EPSILON, ROUNDING, assert_same_bits, compare, list, number, numbers, on_every_device, oracle, tanh_error,
    trainer_of, training_data, values,
};
use wgrad::data::{Labels, disk};
use wgrad::nn::{BatchNorm1d, Dropout, Linear, Mse, ReLU, Sequential};
use wgrad::optim::{Adam, Schedule, Sgd};
use wgrad::{Device, ErrorKind, Fit, LrFind, Trainer};

on_every_device!(losses_and_suggestion_are_those_of_pytorch_and_numpy, the_trainer_is_left_as_it_was);

fn losses_and_suggestion_are_those_of_pytorch_and_numpy(devices: &Devices) {
    let file = oracle("trainer.json");
    let (case, expected) = (&list(&file["weighted"])[0], &file["lr_find"]);
    let [data, _] = training_data(&file, case);
    let [first, last] = [0, 1].map(|i| numbers(&expected["rates"])[i] as f32);
    for (name, device) in devices {
        let mut trainer = trainer_of(device, &file, case);
        let finder = LrFind::new(data.len()).rates(first, last).steps(number(&expected["steps"]) as usize);
        let found = trainer.lr_find(&data, finder).unwrap();
        let factor = 4.0 * (tanh_error(device) / ROUNDING).max(1.0);
        let strays = number(&expected["float32_error"]);
        for (what, actual) in [("losses", &found.losses), ("smoothed", &found.smoothed)] {
            let expected = numbers(&expected[what]);
            compare(&format!("{name}, {what}"), actual, &expected, 0.0, |i| {
                factor * (strays + EPSILON * expected[i].abs())
            })
            .unwrap();
        }
        let (suggestion, expected) = (f64::from(found.suggestion().unwrap()), number(&expected["suggestion"]));
        assert!((suggestion - expected).abs() <= 2.0 * EPSILON * expected, "{name}: {suggestion}, not {expected}");
    }
}

fn trainer(device: &Device) -> Trainer {
    let model = Sequential::new()
        .add(Linear::new(2, 8))
        .add(BatchNorm1d::new(8))
        .add(ReLU)
        .add(Dropout::new(0.2))
        .add(Linear::new(8, 2));
    // A schedule that would let no rate be what it is.
    let adam = Adam::new(0.01).schedule(Schedule::warmup(100, 0.0).per_step());
    Trainer::new(device, model, Mse::new(), adam, 3).unwrap()
}

fn the_trainer_is_left_as_it_was(devices: &Devices) {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    for (name, device) in devices {
        let mut with = trainer(device);
        let mut without = trainer(device);
        let fit = || Fit::new(2, 16);
        let mut found = Vec::new();
        for _ in 0..2 {
            let before = values(&with);
            found.push(with.lr_find(&data, LrFind::new(16).steps(30)).unwrap());
            assert_same_bits(name, &values(&with), &before);
            assert_eq!(with.optimizer().steps(), without.optimizer().steps(), "{name}");
            assert_eq!(with.optimizer().learning_rate(), without.optimizer().learning_rate(), "{name}");
            with.fit(&data, fit()).unwrap();
            without.fit(&data, fit()).unwrap();
            with.step(&data.inputs()[..10], &data.targets()[..10], 5).unwrap();
            without.step(&data.inputs()[..10], &data.targets()[..10], 5).unwrap();
        }
        assert_same_bits(name, &values(&with), &values(&without));
        assert_same_bits(name, &with.history().step_losses, &without.history().step_losses);
        // The rates are what they are said to be: at 10 the loss is another than at the first.
        assert_eq!(found[0].rates[0], 1e-7, "{name}");
        assert!(found[0].losses.len() == 30 || found[0].smoothed.last() > found[0].smoothed.first(), "{name}");
        // Twice the same on the same parameters.
        let again: Vec<_> = (0..2).map(|_| with.lr_find(&data, LrFind::new(16)).unwrap()).collect();
        assert_eq!(again[0], again[1], "{name}");
    }
}

#[test]
fn a_loss_that_explodes_ends_the_search() {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 2), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let before = values(&trainer);
    let found = trainer.lr_find(&data, LrFind::new(20).rates(1e-3, 1e30).steps(100)).unwrap();
    assert!((10..60).contains(&found.rates.len()), "{found:?}");
    // It ends with the first smoothed loss above four times the smallest so far.
    let has_exploded =
        |losses: &[f32]| losses.last() > losses.iter().map(|loss| 4.0 * loss).min_by(f32::total_cmp).as_ref();
    let ends: Vec<_> = (1..=found.smoothed.len()).filter(|end| has_exploded(&found.smoothed[..*end])).collect();
    assert_eq!(ends, [found.smoothed.len()], "{found:?}");
    assert_eq!(values(&trainer), before);
    // From the first step on there is nothing to find.
    let huge = values(&trainer).iter().map(|_| 3e38).collect::<Vec<_>>();
    for (_, parameter) in trainer.parameters().named() {
        parameter.value().unwrap().write(&huge[..parameter.value().unwrap().len()]).unwrap();
    }
    assert_eq!(trainer.lr_find(&data, LrFind::new(20)).unwrap_err().kind(), ErrorKind::NotFinite);
    assert_eq!(values(&trainer), huge);
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    let mut trainer = trainer(&Device::cpu());
    let mut error = |finder: LrFind| trainer.lr_find(&data, finder).unwrap_err().to_string();
    assert_eq!(error(LrFind::new(61)), "lr_find: a batch size of 61 for 60 samples; give 1 to 60");
    assert_eq!(error(LrFind::new(10).steps(1)), "lr_find: 1 steps; give at least 2");
    let rates = "lr_find: rates from 1 to 0.1; give them above 0, the smaller one first";
    assert_eq!(error(LrFind::new(10).rates(1.0, 0.1)), rates);
    assert!(error(LrFind::new(10).rates(0.0, 0.1)).contains("above 0"));
    assert!(error(LrFind::new(10).rates(0.1, f32::INFINITY)).contains("above 0"));
    // Too few for a suggestion.
    assert_eq!(trainer.lr_find(&data, LrFind::new(10).steps(12)).unwrap().suggestion(), None);
}
