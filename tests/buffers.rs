//! What a model keeps besides its parameters (running statistics) in files, checkpoints and trainers, and how models are
//! shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::path::{Path, PathBuf};

use common::{Devices, assert_same_bits, floats, on_every_device, oracle};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{
    BatchNorm1d, CrossEntropy, Dropout, Embedding, LeakyReLU, Linear, Module, Mse, Parameter, Parameters, Predictor,
    ReLU, Residual, Sequential, prefixed, summary,
};
use wgrad::optim::{Adam, Algorithm, Sgd};
use wgrad::{Device, EarlyStopping, ErrorKind, Fit, Graph, Monitor, Result, Trainer, Var};

on_every_device!(
    a_file_of_pytorchs_gives_its_outputs,
    a_resumed_training_has_the_same_statistics,
    the_best_epoch_has_its_statistics,
);

/// A file of this test's own; each test has other names.
fn path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("buffers-{name}.safetensors"));
    let _ = std::fs::remove_file(&path);
    path
}

/// The network of `tests/oracle/layers.py`.
fn network() -> Sequential {
    Sequential::new().add(Linear::new(4, 6).without_bias()).add(BatchNorm1d::new(6)).add(ReLU).add(Linear::new(6, 2))
}

fn a_file_of_pytorchs_gives_its_outputs(devices: &Devices) {
    let json = &oracle("layers.json")["file"];
    let (inputs, expected) = (floats(&json["inputs"]), floats(&json["outputs"]));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/files/batch-norm.safetensors");
    for (label, device) in devices {
        let predictor = Predictor::new(device, network()).unwrap();
        predictor.parameters().load(&fixture).unwrap();
        let outputs = predictor.predict(&inputs, 4).unwrap();
        // Four layers of sums of up to six products of order 1.
        for (ours, theirs) in outputs.iter().zip(&expected) {
            assert!((ours - theirs).abs() <= 1e-5 * (1.0 + theirs.abs()), "{label}: {ours} instead of {theirs}");
        }
        // In evaluation a row does not depend on the others.
        let alone: Vec<f32> = inputs.chunks(4).flat_map(|row| predictor.predict(row, 4).unwrap()).collect();
        for (alone, together) in alone.iter().zip(&outputs) {
            assert!((alone - together).abs() <= 1e-5 * (1.0 + together.abs()), "{label}: {alone}, {together}");
        }
        let path = path("again");
        predictor.parameters().save(&path).unwrap();
        let loaded = Predictor::new(device, Sequential::load(&path).unwrap()).unwrap();
        assert_same_bits(label, &loaded.predict(&inputs, 4).unwrap(), &outputs);
        let names: Vec<_> = loaded.parameters().named().map(|(name, _)| name.to_string()).collect();
        let trained = ["0.weight", "1.weight", "1.bias", "3.weight", "3.bias"];
        assert_eq!(names, [&trained[..], &["1.running_mean", "1.running_var"]].concat());
        assert_eq!(loaded.parameters().count(), 24 + 12 + 14);
    }
}

fn data() -> Dataset {
    disk(70, 3, Labels::PlusMinusOne).unwrap()
}

fn trainer(device: &Device) -> Trainer {
    trainer_by(device, Adam::new(0.02))
}

fn trainer_by(device: &Device, algorithm: impl Algorithm + 'static) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 9)).add(BatchNorm1d::new(9)).add(ReLU).add(Linear::new(9, 1));
    Trainer::new(device, model, Mse::new(), algorithm, 5).unwrap()
}

fn statistics(trainer: &Trainer) -> Vec<f32> {
    let buffers = trainer.parameters().named().filter(|(_, parameter)| parameter.is_buffer());
    buffers.flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
}

fn a_resumed_training_has_the_same_statistics(devices: &Devices) {
    let data = data();
    for (label, device) in devices {
        let mut whole = trainer(device);
        let before = statistics(&whole);
        whole.fit(&data, Fit::new(6, 16)).unwrap();
        assert_ne!(statistics(&whole), before);
        let path = path("resumed");
        let mut first = trainer(device);
        first.fit(&data, Fit::new(3, 16).steps_per_submit(2)).unwrap();
        first.save_checkpoint(&path).unwrap();
        let mut second = trainer(device);
        second.resume(&path).unwrap();
        second.fit(&data, Fit::until(6, 16)).unwrap();
        assert_same_bits(label, &statistics(&second), &statistics(&whole));
        assert_same_bits(label, &second.parameters().read().unwrap(), &whole.parameters().read().unwrap());
        // Without merging of calls it is the same training, up to rounding. (Adam would make steps of the rounding in the
        // gradient of the first bias, which a normalisation cancels.)
        let mut plain = trainer_by(device, Sgd::new(0.1));
        plain.fit(&data, Fit::new(1, 16).path(wgrad::StepPath::Unmerged)).unwrap();
        let mut merged = trainer_by(device, Sgd::new(0.1));
        merged.fit(&data, Fit::new(1, 16)).unwrap();
        for (plain, merged) in statistics(&plain).iter().zip(statistics(&merged)) {
            assert!((plain - merged).abs() <= 1e-5 * (1.0 + merged.abs()), "{label}: {plain}, {merged}");
        }
    }
}

fn the_best_epoch_has_its_statistics(devices: &Devices) {
    let data = data();
    for (label, device) in devices {
        let mut best = trainer(device);
        let stopping = EarlyStopping::new(1);
        // A rate with which the loss soon rises: that epoch is taken back.
        best.optimizer().set_learning_rate(0.5).unwrap();
        best.fit(&data, Fit::new(50, 16).monitor(Monitor::TrainLoss).early_stopping(stopping)).unwrap();
        let epoch = best.history().epochs.len();
        let mut same = trainer(device);
        same.optimizer().set_learning_rate(0.5).unwrap();
        let losses: Vec<f32> = best.history().epochs.iter().map(|record| record.train.unwrap().loss).collect();
        let smallest = (0..epoch).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
        assert!(smallest + 1 < epoch, "{losses:?}");
        same.fit(&data, Fit::new(smallest + 1, 16)).unwrap();
        assert_same_bits(label, &statistics(&best), &statistics(&same));
    }
}

#[test]
fn a_single_sample_left_over_is_an_error_that_tells_the_way_out() {
    let data = disk(33, 0, Labels::PlusMinusOne).unwrap();
    let mut trainer = trainer(&Device::cpu());
    let error = trainer.fit(&data, Fit::new(1, 16)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("Fit::drop_last"), "{error}");
    trainer.fit(&data, Fit::new(1, 16).drop_last(true)).unwrap();
    // A prediction needs no batch.
    assert_eq!(trainer.predict(&[0.1, 0.2], 2).unwrap().len(), 1);
}

#[test]
fn a_buffer_is_not_trained_whatever_is_asked_for() {
    let device = Device::cpu();
    let layer = BatchNorm1d::new(2);
    let parameters = Parameters::new(&device, &layer, 0).unwrap();
    for (_, parameter) in parameters.named() {
        parameter.set_frozen(false);
    }
    let frozen: Vec<bool> = parameters.named().map(|(_, parameter)| parameter.is_frozen()).collect();
    assert_eq!(frozen, [false, false, true, true]);
    // New values for the model are new statistics, too.
    layer.running_var().value().unwrap().write(&[5.0, 6.0]).unwrap();
    parameters.redraw(1).unwrap();
    assert_eq!(layer.running_var().value().unwrap().read().unwrap(), [1.0, 1.0]);
}

#[test]
fn only_what_is_there_can_be_updated() {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let state = wgrad::Tensor::zeros(&device, 1, 2).unwrap();
    let x = graph.input(&state).unwrap();
    let y = graph.add_scalar(x, 1.0).unwrap();
    let z = graph.sum(y).unwrap();
    assert_eq!(graph.update(x, z).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(graph.update(y, x).unwrap_err().kind(), ErrorKind::InvalidInput);
    graph.update(x, y).unwrap();
    // Who passes the tensor now gets what it has become, which alone can be updated further.
    assert_eq!(graph.input(&state).unwrap(), y);
    assert_eq!(graph.update(x, y).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn every_new_module_is_rebuilt_from_its_file() {
    let device = Device::cpu();
    let inner =
        Sequential::new().add(Linear::new(6, 6).without_bias()).add(BatchNorm1d::new(6).momentum(0.25).eps(0.5));
    let model = Sequential::new().add(Embedding::new(3, 2)).add(Residual::new(inner)).add(BatchNorm1d::new(6));
    let text = "Sequential(Embedding(3, 2), Residual(Sequential(Linear(6, 6, bias=false), \
                BatchNorm1d(6, momentum=0.25, eps=0.5))), BatchNorm1d(6))";
    assert_eq!(model.describe().as_deref(), Some(text));
    let saved = Predictor::new(&device, model).unwrap();
    let path = path("all");
    saved.parameters().save(&path).unwrap();
    let model = Sequential::load(&path).unwrap();
    assert_eq!(model.describe().as_deref(), Some(text));
    let loaded = Predictor::new(&device, model).unwrap();
    let x = [0.0, 1.0, 2.0, 2.0, 0.0, 1.0];
    assert_eq!(loaded.predict(&x, 3).unwrap(), saved.predict(&x, 3).unwrap());
}

#[test]
fn categories_that_are_no_row_stop_the_training() {
    let data = Dataset::from_rows(&[[0.0], [1.0], [3.0], [2.0]], &[[0.0], [1.0], [1.0], [0.0]]).unwrap();
    let model = || Sequential::new().add(Embedding::new(3, 4)).add(Linear::new(4, 2));
    let mut trainer = Trainer::new(&Device::cpu(), model(), CrossEntropy::new(), Sgd::new(0.1), 0).unwrap();
    assert_eq!(trainer.fit(&data, Fit::new(1, 4)).unwrap_err().kind(), ErrorKind::NotFinite);
    let three = data.select(&[0, 1, 3]).unwrap();
    let mut trainer = Trainer::new(&Device::cpu(), model(), CrossEntropy::new(), Sgd::new(0.5), 0).unwrap();
    trainer.fit(&three, Fit::new(100, 3)).unwrap();
    assert_eq!(trainer.evaluate(&three).unwrap().accuracy, Some(1.0));
}

#[test]
fn options_of_a_loss_are_checked_before_training() {
    let data = Dataset::from_rows(&[[0.0], [1.0], [2.0]], &[[0.0], [-100.0], [1.0]]).unwrap();
    let fit = |loss: CrossEntropy, data: &Dataset| {
        let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 2), loss, Sgd::new(0.1), 0).unwrap();
        trainer.fit(data, Fit::new(1, 3)).map(drop)
    };
    let error = fit(CrossEntropy::new(), &data).unwrap_err().to_string();
    assert!(error.contains("row 1 has the class -100"), "{error}");
    fit(CrossEntropy::new().ignore_index(-100), &data).unwrap();
    let error = fit(CrossEntropy::new().ignore_index(-100), &data.select(&[1, 1, 1]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("all samples have the ignored class number"), "{error}");
    let error = fit(CrossEntropy::new().class_weights([1.0; 3]), &data.select(&[0, 2, 0]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("3 class weights for 2 classes"), "{error}");
}

/// A module of a program's own, used twice.
struct Twice(Linear);

impl Module for Twice {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let once = self.0.forward(graph, x)?;
        self.0.forward(graph, once)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("inner", &self.0)
    }
}

#[test]
fn models_are_shown_with_all_their_modules() {
    let shared = Linear::new(3, 3);
    shared.weight().set_frozen(true);
    let block = Sequential::new().add(Twice(shared.clone())).add(Dropout::new(0.5));
    let model =
        Sequential::new().add(Linear::new(2, 3)).add(LeakyReLU { slope: 0.1 }).add(Residual::new(block)).add(shared);
    assert_eq!(
        format!("{model:?}"),
        "Sequential(Linear(2, 3), LeakyReLU(0.1), Residual(Sequential(Twice(inner.weight [3, 3], inner.bias [1, 3]), \
         Dropout(0.5))), Linear(3, 3))"
    );
    assert_eq!(format!("{:?}", Sequential::new()), "Sequential()");
    // What is shared counts once.
    let table = summary(&model, 2).unwrap();
    assert_eq!(
        table.to_string(),
        "\
module                                                          output  parameters  bytes
Sequential                                                       n x 3
  0: Linear(2, 3)                                                n x 3           9     36
  1: LeakyReLU(0.1)                                              n x 3
  2: Residual                                                    n x 3
    2.block: Sequential                                          n x 3
      2.block.0: Twice(inner.weight [3, 3], inner.bias [1, 3])   n x 3          12     48
      2.block.1: Dropout(0.5)                                    n x 3
  3: Linear(3, 3)                                                n x 3
total                                                                           21     84
9 of the parameters are frozen
"
    );
    let parameters = Parameters::new(&Device::cpu(), &model, 0).unwrap();
    assert_eq!((table.parameters(), table.bytes()), (parameters.count(), 4 * parameters.count()));
    // Placed or not, it is the same.
    assert_eq!(summary(&model, 2).unwrap(), table);
    assert!(summary(&model, 3).unwrap_err().to_string().contains("the layer takes 2 columns"));
}
