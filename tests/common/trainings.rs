//! Trainings of `tests/oracle/trainer.json`.

use serde_json::Value;
use wgrad::data::Dataset;
use wgrad::nn::{BceWithLogits, CrossEntropy, Linear, Loss, Mse, Sequential, Tanh};
use wgrad::optim::Sgd;
use wgrad::{Device, Trainer};

use super::oracle::{floats, number, text};

fn loss_of(case: &Value) -> Box<dyn Loss> {
    match text(&case["name"]).split(',').next().unwrap() {
        "mse" => Box::new(Mse::new()),
        "bce_with_logits" => Box::new(BceWithLogits::new()),
        _ => {
            let loss = CrossEntropy::new();
            let loss = match case.get("class_weights") {
                Some(weights) => loss.class_weights(floats(weights)),
                None => loss,
            };
            Box::new(match case.get("ignore_index") {
                Some(class) => loss.ignore_index(number(class) as i32),
                None => loss,
            })
        }
    }
}

/// A case's trainer, with PyTorch's initial parameters.
pub(crate) fn trainer_of(device: &Device, file: &Value, case: &Value) -> Trainer {
    let outputs = number(&case["outputs"]) as usize;
    let model = Sequential::new().add(Linear::new(3, 5)).add(Tanh).add(Linear::new(5, outputs));
    let sgd = Sgd::new(number(&file["lr"]) as f32).momentum(number(&file["momentum"]) as f32);
    let trainer = Trainer::new(device, model, loss_of(case), sgd, 0).unwrap();
    let mut initial = &floats(&case["initial"])[..];
    for (_, parameter) in trainer.parameters().named() {
        let value = parameter.value().unwrap();
        let (own, rest) = initial.split_at(value.len());
        value.write(own).unwrap();
        initial = rest;
    }
    trainer
}

/// A case's samples to train and to validate on.
pub(crate) fn training_data(file: &Value, case: &Value) -> [Dataset; 2] {
    let data = |x: &str, target: &str, weights: &str| {
        let (x, t) = (floats(&file[x]), floats(&case[target]));
        let cols = t.len() * 3 / x.len();
        Dataset::new(x, 3, t, cols).unwrap().with_weights(floats(&file[weights])).unwrap()
    };
    [data("x", "target", "weights"), data("validation", "validation_target", "validation_weights")]
}

/// All parameters, one behind the other.
pub(crate) fn values(trainer: &Trainer) -> Vec<f32> {
    trainer.parameters().named().flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
}
