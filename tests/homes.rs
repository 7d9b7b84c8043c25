//! A model's values have one home: whoever uses the same layers afterwards shares them, and nobody redraws them unasked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, assert_close, assert_same_bits, on_every_device};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Backprop, Linear, Loss, Module, Mse, Parameter, Parameters, Predictor, Sequential, Tanh};
use wgrad::optim::{Adam, Algorithm, Optimizer, Sgd};
use wgrad::{Device, ErrorKind, Fit, Graph, Result, Tensor, Trainer};

on_every_device!(
    a_second_trainer_shares_what_the_first_has_learnt,
    an_encoder_can_be_used_alone,
    a_predictor_follows_the_training,
    parameters_of_two_homes_are_trained_as_those_of_one,
);

fn data() -> Dataset {
    disk(40, 0, Labels::PlusMinusOne).unwrap()
}

/// Two layers, of which each model is made of clones.
struct Layers(Linear, Linear);

impl Layers {
    fn new() -> Self {
        Self(Linear::new(2, 8), Linear::new(8, 1))
    }

    fn model(&self) -> Sequential {
        Sequential::new().add(self.0.clone()).add(Tanh).add(self.1.clone())
    }

    fn trainer(&self, device: &Device, seed: u64) -> Result<Trainer> {
        Trainer::new(device, self.model(), Mse::new(), Sgd::new(0.1), seed)
    }

    fn freeze_first(&self, frozen: bool) {
        self.0.weight().set_frozen(frozen);
        self.0.bias().unwrap().set_frozen(frozen);
    }

    fn encoder(&self) -> Sequential {
        Sequential::new().add(self.0.clone()).add(Tanh)
    }
}

fn fit(trainer: &mut Trainer, epochs: usize) -> Vec<f32> {
    trainer.fit(&data(), Fit::new(epochs, 10)).unwrap().step_losses
}

fn read(parameter: &Parameter) -> Vec<f32> {
    parameter.value().unwrap().read().unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted, where an error with {words:?} was expected") };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "'{word}' is not in: {error}");
    }
}

fn a_second_trainer_shares_what_the_first_has_learnt(devices: &Devices) {
    for (name, device) in devices {
        let alone = &mut Layers::new().trainer(device, 0).unwrap();
        let expected = [fit(alone, 3), fit(alone, 3)];

        let layers = Layers::new();
        let mut first = layers.trainer(device, 0).unwrap();
        assert_same_bits(name, &fit(&mut first, 3), &expected[0]);
        let before = first.parameters().read().unwrap();
        let mut second = layers.trainer(device, 0).unwrap();
        assert_same_bits(name, &second.parameters().read().unwrap(), &before);
        let x = data().inputs().to_vec();
        assert_eq!(first.predict(&x, 2).unwrap(), second.predict(&x, 2).unwrap(), "{name}");
        // The first goes on as if the second were not there.
        assert_same_bits(name, &fit(&mut first, 3), &expected[1]);
        assert_same_bits(name, &second.parameters().read().unwrap(), &first.parameters().read().unwrap());
        // And the second goes on from there, to where both predict the same.
        let before = first.parameters().read().unwrap();
        fit(&mut second, 3);
        assert_ne!(first.parameters().read().unwrap(), before, "{name}: nothing was learnt");
        assert_eq!(first.predict(&x, 2).unwrap(), second.predict(&x, 2).unwrap(), "{name}");

        // Another seed would have to draw new values.
        let before = first.parameters().read().unwrap();
        refused(layers.trainer(device, 99), &["seed 0", "instead of 99", "redraw"]);
        assert_same_bits(name, &first.parameters().read().unwrap(), &before);
        first.parameters().redraw(99).unwrap();
        let drawn = Layers::new().trainer(device, 99).unwrap().parameters().read().unwrap();
        assert_same_bits(name, &first.parameters().read().unwrap(), &drawn);
        layers.trainer(device, 99).unwrap();
        refused(layers.trainer(device, 0), &["seed 99"]);
    }
}

/// Each would undo, or take for its own, what the other did to the gradients and values that they share.
#[test]
fn one_trainer_at_a_time_trains_a_layer() {
    let (device, layers) = (Device::cpu(), Layers::new());
    let mut first = layers.trainer(&device, 0).unwrap();
    let mut second = layers.trainer(&device, 0).unwrap();
    let mut other = Layers::new().trainer(&device, 0).unwrap();
    let head = Sequential::new().add(layers.0.clone()).add(Linear::new(8, 1));
    let mut head = Trainer::new(&device, head, Mse::new(), Sgd::new(0.1), 0).unwrap();
    let data = data();
    let epoch = || Fit::new(1, 10);
    let during = |_: &_| {
        refused(second.fit(&data, epoch()), &["fit: 0.weight", "another trainer", "copy_from"]);
        refused(head.fit(&data, epoch()), &["0.weight"]);
        other.fit(&data, epoch()).unwrap();
    };
    first.fit(&data, epoch().on_epoch(during)).unwrap();
    assert!(second.history().epochs.is_empty());
    second.fit(&data, epoch()).unwrap();
    // What is frozen is nobody's.
    layers.freeze_first(true);
    first.fit(&data, epoch().on_epoch(|_| drop(head.fit(&data, epoch()).unwrap()))).unwrap();
    layers.freeze_first(false);
    // However the first one ends.
    let panics = std::panic::AssertUnwindSafe(|| first.fit(&data, epoch().on_epoch(|_| panic!("planned"))));
    std::panic::catch_unwind(panics).unwrap_err();
    second.fit(&data, epoch()).unwrap();
}

/// Three members of an ensemble made of clones would be one model, so their seeds are refused.
#[test]
fn clones_are_no_ensemble() {
    let (device, layers) = (Device::cpu(), Layers::new());
    let first = layers.trainer(&device, 0).unwrap();
    let before = first.parameters().read().unwrap();
    for seed in [1, 2] {
        refused(layers.trainer(&device, seed), &["drawn with seed 0"]);
    }
    assert_same_bits("first", &first.parameters().read().unwrap(), &before);
}

/// The first layer is fine; the second can't be drawn, or is too large.
#[test]
fn a_placement_that_fails_places_nothing() {
    use wgrad::nn::Init;
    let device = Device::cpu();
    let nan = Init::Normal { std: f32::NAN };
    for bad in [Linear::new(8, 1).init(Init::Linear, nan), Linear::new(8, 1 << 40), Linear::new(8, 0)] {
        let first = Linear::new(2, 8);
        let model = Sequential::new().add(first.clone()).add(bad);
        assert!(Parameters::new(&device, &model, 0).is_err());
        assert!(first.weight().value().is_err(), "placed");
        // Any seed and any device can have it.
        Parameters::new(&Device::cpu(), &first, 7).unwrap();
    }
    // Nor does a failure touch values that are there.
    let first = Linear::new(2, 8);
    let placed = Parameters::new(&device, &first, 3).unwrap();
    let before = placed.read().unwrap();
    let model = Sequential::new().add(first.clone()).add(Linear::new(8, 0));
    assert!(Parameters::new(&device, &model, 0).is_err());
    assert_same_bits("first", &placed.read().unwrap(), &before);

    // A trainer whose algorithm makes no sense is refused before anything is placed for it.
    let layers = Layers::new();
    let refusals: [Box<dyn Fn() -> Result<Trainer>>; 3] = [
        Box::new(|| Trainer::new(&device, layers.model(), Mse::new(), Sgd::new(f32::NAN), 0)),
        Box::new(|| Trainer::new(&device, layers.model(), Mse::new(), Sgd::new(0.1).momentum(-1.0), 0)),
        Box::new(|| Trainer::new(&device, layers.model(), Mse::new(), Adam::new(0.1).betas(1.0, 0.9), 0)),
    ];
    for refusal in refusals {
        refused(refusal(), &[]);
        assert!(layers.0.weight().value().is_err(), "placed");
    }
}

#[test]
fn another_device_is_an_error_unless_values_are_copied() {
    let (one, other) = (Device::cpu(), Device::cpu());
    let layers = Layers::new();
    let mut trainer = layers.trainer(&one, 0).unwrap();
    fit(&mut trainer, 2);
    let before = trainer.parameters().read().unwrap();
    refused(layers.trainer(&other, 0), &["another device", "copy_from"]);
    refused(Predictor::new(&other, layers.model()), &["another device"]);
    refused(Parameters::new(&other, &layers.encoder(), 0), &["0.weight", "another device"]);
    // A head that has no values does not get any, either.
    let head = Linear::new(8, 3);
    refused(Parameters::new(&other, &layers.encoder().add(head.clone()), 0), &["another device"]);
    assert!(head.weight().value().is_err());

    let copy = Layers::new();
    let mut second = copy.trainer(&other, 5).unwrap();
    second.parameters().copy_from(trainer.parameters()).unwrap();
    assert_same_bits("copied", &second.parameters().read().unwrap(), &before);
    // A copy is one: it learns by itself.
    fit(&mut second, 1);
    assert_same_bits("the first", &trainer.parameters().read().unwrap(), &before);
    assert_ne!(second.parameters().read().unwrap(), before);

    let unlike = [
        Sequential::new().add(Linear::new(2, 8)).add(Tanh).add(Linear::new(8, 2)),
        Sequential::new().add(Linear::new(2, 8)),
        Sequential::new().add(Tanh).add(Linear::new(2, 8)).add(Linear::new(8, 1)),
    ];
    for model in unlike {
        let unlike = Parameters::new(&one, &model, 0).unwrap();
        let error = unlike.copy_from(trainer.parameters()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(error.to_string().contains("both models must have the same parameters"), "{error}");
    }
}

/// y = sin(x) by hand, then a predictor of the model: PyTorch's `with torch.no_grad(): model(x)`.
#[test]
fn a_model_trained_by_hand_predicts_what_it_was_taught() {
    let device = Device::cpu();
    let model = std::sync::Arc::new(Sequential::new().add(Linear::new(1, 16)).add(Tanh).add(Linear::new(16, 1)));
    let parameters = Parameters::new(&device, &model, 5).unwrap();
    let mut optimizer = Optimizer::new(&parameters, Adam::new(0.02)).unwrap();
    let x: Vec<f32> = (0..32).map(|i| i as f32 / 8.0 - 2.0).collect();
    let t: Vec<f32> = x.iter().map(|x| x.sin()).collect();
    let mut graph = Graph::new(&device);
    let [x, t] = [x, t].map(|v| graph.input(&Tensor::new(&device, v.len(), 1, &v).unwrap()).unwrap());
    let y = model.forward(&mut graph, x).unwrap();
    let loss = Mse::new().forward(&mut graph, y, t).unwrap();
    let pass = Backprop::new(&mut graph, &parameters, loss, &[y]).unwrap();
    for _ in 0..500 {
        optimizer.zero_grad().unwrap();
        pass.forward().unwrap();
        pass.backward().unwrap();
        optimizer.step().unwrap();
    }
    let before = parameters.read().unwrap();
    let predictor = Predictor::new(&device, model.clone()).unwrap();
    assert_same_bits("parameters", &parameters.read().unwrap(), &before);
    let sine = predictor.predict(&[1.0], 1).unwrap()[0];
    assert!((sine - 1f32.sin()).abs() < 0.02, "sin(1) = {sine}");
}

fn an_encoder_can_be_used_alone(devices: &Devices) {
    for (name, device) in devices {
        let layers = Layers::new();
        let mut trainer = layers.trainer(device, 0).unwrap();
        fit(&mut trainer, 3);
        let before = trainer.parameters().read().unwrap();
        let points = [0.1, -0.4, 0.7, 0.2];
        // Alone: tanh(x Wᵀ + b) of the trained layer, in f64.
        let encoder = Predictor::new(device, layers.encoder()).unwrap();
        let (weight, bias) = (read(layers.0.weight()), read(layers.0.bias().unwrap()));
        let expected = |weight: &[f32], bias: &[f32]| -> Vec<f64> {
            let of = |point: &[f32], i: usize| {
                (0..2).map(|k| f64::from(point[k]) * f64::from(weight[2 * i + k])).sum::<f64>() + f64::from(bias[i])
            };
            points.chunks(2).flat_map(|point| (0..8).map(move |i| of(point, i).tanh())).collect()
        };
        assert_close(name, &encoder.predict(&points, 2).unwrap(), &expected(&weight, &bias), 0.0, 2e-5);
        assert_same_bits(name, &trainer.parameters().read().unwrap(), &before);

        // With a new head: the encoder keeps its values, the head gets some, and both are trained.
        let head = Linear::new(8, 1);
        let model = layers.encoder().add(head.clone());
        let mut second = Trainer::new(device, model, Mse::new(), Sgd::new(0.1), 42).unwrap();
        assert_same_bits(name, &read(layers.0.weight()), &weight);
        let drawn = read(head.weight());
        fit(&mut second, 2);
        assert_ne!(read(head.weight()), drawn, "{name}");
        assert_ne!(read(layers.0.weight()), weight, "{name}");
        // The encoder alone and the first trainer see what became of it.
        let (weight, bias) = (read(layers.0.weight()), read(layers.0.bias().unwrap()));
        assert_close(name, &encoder.predict(&points, 2).unwrap(), &expected(&weight, &bias), 0.0, 2e-5);
        assert_ne!(trainer.parameters().read().unwrap(), before, "{name}");
        // Layers that were drawn with two seeds can be trained further with either, but not with a third.
        let again = |seed| {
            let model = layers.encoder().add(head.clone());
            Trainer::new(device, model, Mse::new(), Sgd::new(0.1), seed)
        };
        assert!(again(0).is_ok() && again(42).is_ok(), "{name}");
        refused(again(1), &["instead of 1"]);
    }
}

fn a_predictor_follows_the_training(devices: &Devices) {
    for (name, device) in devices {
        let layers = Layers::new();
        let mut trainer = layers.trainer(device, 0).unwrap();
        let predictor = trainer.predictor();
        let inputs = data().inputs().to_vec();
        // Forward passes of two sizes are kept, and both have to see the new values.
        let both =
            |predictor: &Predictor| [&inputs[..], &inputs[..6]].map(|inputs| predictor.predict(inputs, 2).unwrap());
        let before = both(&predictor);
        let second = layers.trainer(device, 0).unwrap();
        fit(&mut trainer, 2);
        let after = both(&predictor);
        for (before, after) in before.iter().zip(&after) {
            assert!(before.iter().zip(after).all(|(a, b)| a != b), "{name}: an old value");
        }
        assert_eq!(after[0], trainer.predict(&inputs, 2).unwrap(), "{name}");
        assert_eq!(after[0], second.predict(&inputs, 2).unwrap(), "{name}");

        // From another thread, while training goes on, and after the trainer is gone.
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut calls = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || calls == 0 {
                    assert!(predictor.predict(&inputs, 2).unwrap().iter().all(|y| y.is_finite()));
                    calls += 1;
                }
            });
            fit(&mut trainer, 5);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            watching.join().unwrap();
        });
        let trained = trainer.predict(&inputs, 2).unwrap();
        let model = trainer.into_model();
        assert_eq!(both(&predictor)[0], trained, "{name}");
        assert_eq!(Predictor::new(device, model.clone()).unwrap().predict(&inputs, 2).unwrap(), trained, "{name}");
        // What comes out of a trainer is a model like any other.
        let mut further = Trainer::new(device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
        fit(&mut further, 1);
        assert_ne!(both(&predictor)[0], trained, "{name}");
    }
}

/// The same network, placed layer by layer from the last to the first, and at once.
fn parameters_of_two_homes_are_trained_as_those_of_one(devices: &Devices) {
    fn check(name: &str, device: &Device, algorithm: impl Algorithm + Clone + 'static) {
        let of_one = Layers::new();
        let one = Parameters::new(device, &of_one.model(), 0).unwrap();
        let of_two = Layers::new();
        for layer in [&of_two.1, &of_two.0] {
            Parameters::new(device, layer, 7).unwrap();
        }
        let two = Parameters::new(device, &of_two.model(), 7).unwrap();
        two.copy_from(&one).unwrap();
        assert_same_bits(name, &two.read().unwrap(), &one.read().unwrap());
        let train = |layers: &Layers, seed| {
            let mut trainer = Trainer::new(device, layers.model(), Mse::new(), algorithm.clone(), seed).unwrap();
            // The same order of samples, whatever the seed.
            let losses = trainer.fit(&data(), Fit::new(4, 40)).unwrap().step_losses;
            (losses, trainer.parameters().read().unwrap())
        };
        let (expected, values) = train(&of_one, 0);
        let (losses, of_two) = train(&of_two, 7);
        // Batches are whole epochs, in another order: sums of 40 rows differ by their roundings.
        assert_close(name, &losses, &expected, 1e-5, 1e-6);
        assert_close(name, &of_two, &values, 1e-4, 1e-5);
    }
    for (name, device) in devices {
        check(&format!("{name}, sgd"), device, Sgd::new(0.1));
        check(&format!("{name}, momentum"), device, Sgd::new(0.1).momentum(0.9));
        // A norm that is over both homes: each part alone would be clipped less.
        check(&format!("{name}, clipped"), device, Sgd::new(0.1).clip_norm(0.05));
        check(&format!("{name}, adam"), device, Adam::new(0.01).weight_decay(0.01));
        let group = |name: &str| name.starts_with("0.");
        check(&format!("{name}, groups"), device, Sgd::new(0.1).momentum(0.5).group(group, 0.02, 0.1));
    }
}
