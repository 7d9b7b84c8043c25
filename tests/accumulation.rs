//! Gradients of several mini-batches in a step: `Fit::accumulate`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Devices, EPSILON, ROUNDING, assert_same_bits, assert_same_training, compare, list, number, numbers,
    on_every_device, oracle, small_integers, tanh_error, text, trainer_of, training_data, values,
};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Dropout, Init, Linear, Mse, ReLU, Reduction, Sequential};
use wgrad::optim::{Adam, Schedule, Sgd};
use wgrad::{Device, Ensemble, ErrorKind, Fit, Session, StepPath, Trainer};

on_every_device!(
    trainings_are_those_of_pytorch_with_larger_batches,
    whole_numbers_give_the_bits_of_larger_batches,
    streamed_data_gives_the_same_bits,
    members_are_trained_as_if_alone,
    an_interrupted_training_resumes_to_the_bit,
);

/// Batches of 8, 8 and 6, in mini-batches of 4 and 2, whose weights and classes count differently.
fn trainings_are_those_of_pytorch_with_larger_batches(devices: &Devices) {
    let file = oracle("trainer.json");
    let batch = number(&file["batch"]) as usize;
    let mut faults = Vec::new();
    for (label, device) in devices {
        for case in list(&file["weighted"]) {
            for parts in [2, 4, 8] {
                let [train, validation] = training_data(&file, case);
                let name = format!("{} in {parts} parts on {label}", text(&case["name"]));
                let mut trainer = trainer_of(device, &file, case);
                let fit = Fit::new(number(&file["epochs"]) as usize, batch / parts).accumulate(parts);
                let history = trainer.fit(&train, fit.shuffle(false).validation(&validation)).unwrap();
                let factor = 4.0 * (tanh_error(device) / ROUNDING).max(1.0);
                let strays = number(&case["float32_error"]);
                let mut check = |what: &str, actual: &[f32], expected: &[f64]| {
                    let tolerance = |i: usize| factor * (strays + EPSILON * expected[i].abs());
                    faults.extend(compare(&format!("{name}, {what}"), actual, expected, 0.0, tolerance).err());
                };
                let results = &case["results"];
                check("losses", &history.step_losses, &numbers(&results["losses"]));
                let epochs: Vec<f32> = history.epochs.iter().map(|epoch| epoch.loss).collect();
                check("epochs", &epochs, &numbers(&results["epochs"]));
                check("parameters", &values(&trainer), &numbers(&results["parameters"]));
                assert_eq!(trainer.optimizer().steps(), 9, "{name}");
                assert!(history.epochs.iter().all(|epoch| epoch.steps == 3), "{name}");
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Whole numbers, sums and a rate that is a power of 2, so that everything is exact.
fn whole_numbers_give_the_bits_of_larger_batches(devices: &Devices) {
    const ROWS: usize = 22;
    let data = Dataset::new(small_integers(1, 3 * ROWS, 4), 3, small_integers(2, ROWS, 4), 1).unwrap();
    for (name, device) in devices {
        let trained = |fit: Fit<'_>| {
            let model = Linear::new(3, 1).init(Init::Constant(1.0), Init::Constant(0.0));
            let loss = Mse::new().reduction(Reduction::Sum);
            let sgd = Sgd::new(1.0 / 64.0).schedule(Schedule::step(1, 0.5).per_step());
            let mut trainer = Trainer::new(device, model, loss, sgd, 3).unwrap();
            trainer.fit(&data, fit).unwrap();
            trainer
        };
        for drop_last in [false, true] {
            // Batches of 12 and 10, or of 12 alone.
            let whole = trained(Fit::new(1, 12).drop_last(drop_last));
            assert_eq!(whole.history().step_losses.len(), if drop_last { 1 } else { 2 });
            for parts in [1, 2, 3, 6, 12] {
                let name = format!("{name}, {parts} parts");
                let fit = || Fit::new(1, 12 / parts).accumulate(parts).drop_last(drop_last);
                assert_same_training(&name, &trained(fit()), &whole);
                assert_same_training(&name, &trained(fit().steps_per_submit(1)), &whole);
            }
        }
    }
}

fn trainer(device: &Device, seed: u64) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 9)).add(ReLU).add(Dropout::new(0.2)).add(Linear::new(9, 2));
    let adam = Adam::new(0.01).clip_norm(0.5).schedule(Schedule::cosine(40, 0.1).per_step());
    Trainer::new(device, model, Mse::new(), adam, seed).unwrap()
}

fn streamed_data_gives_the_same_bits(devices: &Devices) {
    let data = disk(103, 0, Labels::OneHot).unwrap();
    for (name, device) in devices {
        let trained = |bytes| {
            let mut trainer = trainer(device, 7);
            trainer.fit(&data, Fit::new(3, 8).accumulate(3).resident_bytes(bytes)).unwrap();
            trainer
        };
        let resident = trained(u64::MAX);
        // Chunks of one mini-batch, of some that do not divide a step, of a step.
        for bytes in [0, 16 * 8 * 2, 16 * 8 * 3] {
            assert_same_training(&format!("{name}, {bytes} bytes"), &trained(bytes), &resident);
        }
    }
}

fn members_are_trained_as_if_alone(devices: &Devices) {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    for (name, device) in devices {
        let members = if device.name() == "cpu" { 9 } else { 3 };
        let fit = |seed: u64| Fit::new(2, 8).accumulate(if seed == 2 { 3 } else { 2 });
        let mut ensemble = Ensemble::new((0..members).map(|seed| Ok(trainer(device, seed)))).unwrap();
        ensemble.fit(&data, |member| fit(member as u64)).unwrap();
        for seed in 0..members {
            let mut alone = trainer(device, seed);
            alone.fit(&data, fit(seed)).unwrap();
            assert_same_training(&format!("{name}, member {seed}"), &ensemble.members()[seed as usize], &alone);
        }
    }
}

fn an_interrupted_training_resumes_to_the_bit(devices: &Devices) {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    for (number, (name, device)) in devices.iter().enumerate() {
        let fit = |epochs| Fit::until(epochs, 8).accumulate(3);
        let mut whole = trainer(device, 1);
        whole.fit(&data, fit(4)).unwrap();
        let path = std::env::temp_dir().join(format!("wgrad-accumulation-{}-{number}", std::process::id()));
        let mut first = trainer(device, 1);
        first.fit(&data, fit(2).checkpoint(&path, 0)).unwrap();
        let mut second = trainer(device, 5);
        second.resume(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        second.fit(&data, fit(4)).unwrap();
        assert_same_bits(name, &values(&second), &values(&whole));
        assert_same_bits(name, &second.history().step_losses, &whole.history().step_losses);
    }
}

#[test]
fn a_loss_that_explodes_is_that_of_a_step() {
    let data = disk(60, 0, Labels::OneHot).unwrap();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 2), Mse::new(), Sgd::new(1e30), 0).unwrap();
    let before = values(&trainer);
    let error = trainer.fit(&data, Fit::new(1, 5).accumulate(3).ema(0.5).evaluate(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFinite);
    // Four steps of fifteen samples.
    let step = (1..=4).find(|step| error.to_string().contains(&format!("epoch 1, step {step}")));
    assert!(step.is_some_and(|step| step > 1), "{error}");
    assert_eq!(values(&trainer), before);
}

#[test]
fn numbers_of_mini_batches_are_checked() {
    let data = disk(20, 0, Labels::OneHot).unwrap();
    let session = Session::new(&Device::cpu(), Linear::new(2, 2), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let path = |fit: Fit<'_>| session.path(&data, &fit).map_err(|error| error.to_string());
    let refused = "fit: gradients of 0 mini-batches of 8 in a step, of 20 samples; give from 1 to 2";
    assert_eq!(path(Fit::new(1, 8).accumulate(0)).unwrap_err(), refused);
    assert!(
        path(Fit::new(1, 8).accumulate(3)).unwrap_err().contains("of 3 mini-batches of 8 in a step, of 20 samples")
    );
    assert!(path(Fit::new(1, 8).accumulate(usize::MAX)).is_err());
    let how = path(Fit::new(1, 4).accumulate(5)).unwrap();
    assert!(how.contains("of a mini-batch, of which 5 make one; then 2 for the update"), "{how}");
    let fused = path(Fit::new(1, 4).accumulate(5).path(StepPath::Fused)).unwrap_err();
    assert!(fused.starts_with("fit: one dispatch of many steps does not do this"), "{fused}");
}
