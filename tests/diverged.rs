//! Training that leaves the finite numbers stops, says where, and loses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, on_every_device};
use wgrad::data::Dataset;
use wgrad::nn::{BatchNorm1d, Dropout, Linear, Mse, ReLU, Reduction, Sequential};
use wgrad::ops::Activation;
use wgrad::optim::Sgd;
use wgrad::{ErrorKind, Fit, StepPath, Trainer};

on_every_device!(
    a_single_step_says_where_it_began,
    the_last_update_may_leave_no_infinite_parameter,
    the_message_says_where_it_began,
    masked_infinities_are_found,
);

/// Eight samples, in order in two steps.
fn data(input: f32, target: f32) -> Dataset {
    Dataset::from_rows(&[[input, -input]; 8], &[[target]; 8]).unwrap()
}

fn fit<'a>() -> Fit<'a> {
    Fit::new(3, 4).shuffle(false).evaluate(false)
}

/// The message; everything is as it was before the epoch.
fn diverges(name: &str, trainer: &mut Trainer, data: &Dataset, fit: Fit<'_>) -> String {
    let before = trainer.parameters().read().unwrap();
    let epochs = trainer.history().epochs.len();
    let error = trainer.fit(data, fit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFinite, "{name}: {error}");
    assert_eq!(trainer.history().epochs.len(), epochs, "{name}");
    assert_eq!(trainer.parameters().read().unwrap(), before, "{name}");
    error.to_string()
}

fn set(trainer: &Trainer, name: &str, value: f32) {
    let (_, parameter) = trainer.parameters().named().find(|(own, _)| *own == name).unwrap();
    let value_of = parameter.value().unwrap();
    value_of.write(&vec![value; value_of.len()]).unwrap();
}

/// A step that the caller makes names the call, or the parameter that an earlier one made infinite.
fn a_single_step_says_where_it_began(devices: &Devices) {
    for (name, device) in devices {
        let model = Sequential::new().add(Linear::new(2, 3)).add(BatchNorm1d::new(3)).add(Linear::new(3, 1));
        let mut trainer = Trainer::new(device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
        let (inputs, targets) = ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0]);
        trainer.step(&inputs, &targets, 2).unwrap();
        let mut said = |parameter: &str, value: f32| {
            set(&trainer, parameter, value);
            let before = trainer.parameters().read().unwrap();
            let error = trainer.step(&inputs, &targets, 2).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFinite, "{name}: {error}");
            let after = trainer.parameters().read().unwrap();
            assert_eq!(bits(&after), bits(&before), "{name}");
            error.to_string()
        };
        let message = said("2.weight", 3e38);
        assert!(message.contains(": the first such number is in the output of Product (2.weight"), "{name}: {message}");
        let message = said("2.weight", f32::INFINITY);
        let expected = ", as an earlier update made parameters infinite or NaN, of 2.weight the first; the parameters";
        assert!(message.contains(expected), "{name}: {message}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Its loss is finite, and so are those of all steps: only the update of the last one is not.
fn the_last_update_may_leave_no_infinite_parameter(devices: &Devices) {
    for (name, device) in devices {
        for path in [StepPath::Layered, StepPath::Fused] {
            let loss = Mse::new().reduction(Reduction::Sum);
            let mut trainer = Trainer::new(device, Linear::new(2, 1), loss, Sgd::new(1e38), 0).unwrap();
            let data = data(100.0, 1.0);
            let message = diverges(name, &mut trainer, &data, Fit::new(1, 8).evaluate(false).path(path));
            let expected = "fit: the update of epoch 1, step 1 made parameters infinite or NaN, of weight the first; try a \
                            smaller learning rate";
            assert_eq!(message, expected, "{name}, {path:?}");
        }
    }
}

fn the_message_says_where_it_began(devices: &Devices) {
    let model = || {
        let last = Sequential::new().add(Dropout::new(0.0)).add(Linear::new(3, 1));
        Sequential::new().add(Linear::new(2, 3)).add(ReLU).add(Linear::new(3, 3)).add(last)
    };
    for (name, device) in devices {
        let make = |rate: f32| Trainer::new(device, model(), Mse::new(), Sgd::new(rate), 1).unwrap();
        // 3e38 is finite, ten times it is not.
        let mut trainer = make(0.1);
        set(&trainer, "2.bias", 3e38);
        set(&trainer, "3.1.weight", 10.0);
        let message = diverges(name, &mut trainer, &data(1.0, 0.0), fit());
        let place = "the first such number is in the output of Product (3.1.weight, 3.1.bias), row 0, column 0";
        assert!(message.starts_with("fit: the loss became ") && message.contains(" in epoch 1, step 1: "), "{message}");
        assert!(message.contains(place), "{name}: {message}");

        // In the second step of an epoch after others; streamed, too.
        for bytes in [0, u64::MAX] {
            let mut trainer = make(1e-3);
            let mut rows = vec![[0.5, -0.5]; 8];
            trainer.fit(&Dataset::from_rows(&rows, &[[0.0]; 8]).unwrap(), fit()).unwrap();
            rows[6] = [1e38, 1e38];
            set(&trainer, "0.weight", 10.0);
            let data = Dataset::from_rows(&rows, &[[0.0]; 8]).unwrap();
            let message = diverges(name, &mut trainer, &data, fit().resident_bytes(bytes));
            let place = "epoch 4, step 2: the first such number is in the output of Product (0.weight, 0.bias), row 2";
            assert!(message.contains(place), "{name}: {message}");
        }
    }
}

/// ReLU makes 0 of -infinity, and so the loss stays finite for ever: what the update did is found all the same.
fn masked_infinities_are_found(devices: &Devices) {
    for (name, device) in devices {
        let model = Sequential::new().add(Linear::new(2, 1)).add(Activation::ReLU).add(Linear::new(1, 1));
        let loss = Mse::new().reduction(Reduction::Sum);
        let mut trainer = Trainer::new(device, model, loss, Sgd::new(1e38), 0).unwrap();
        set(&trainer, "0.weight", 0.0);
        set(&trainer, "0.bias", 10.0);
        set(&trainer, "2.weight", 1.0);
        set(&trainer, "2.bias", 0.0);
        // Errors of 10, whose gradients are 80 for the second layer's bias and all before it.
        for (_, parameter) in trainer.parameters().named() {
            parameter.set_frozen(true);
        }
        let (_, bias) = trainer.parameters().named().find(|(own, _)| *own == "0.bias").unwrap();
        bias.set_frozen(false);
        let message = diverges(name, &mut trainer, &data(1.0, 0.0), fit());
        assert!(
            message.contains("the update of epoch 1, step 1 made parameters infinite or NaN, of 0.bias"),
            "{message}"
        );
    }
}
