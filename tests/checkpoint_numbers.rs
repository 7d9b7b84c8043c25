//! A checkpoint with a number out of range is refused by that number's name, and leaves the trainer unchanged.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::assert_same_training;
use serde_json::{Map, Value, json};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Linear, Mse};
use wgrad::optim::Adam;
use wgrad::{Device, ErrorKind, Fit, Trainer};

/// A file of this test's own; each test has other names.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("checkpoint-numbers-{name}.safetensors"))
}

fn data() -> Dataset {
    disk(60, 0, Labels::PlusMinusOne).unwrap()
}

/// A trainer after two epochs of two steps.
fn trained(seed: u64) -> Trainer {
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Adam::new(0.01), seed).unwrap();
    let data = data();
    let fit = Fit::new(2, 30).validation(&data).checkpoint_best(path(&format!("best-{seed}")));
    trainer.fit(&data, fit).unwrap();
    trainer
}

/// The parts of a checkpoint, as the format defines them.
#[derive(Clone)]
struct Parts {
    texts: Map<String, Value>,
    tensors: Vec<(String, Value, Value, Vec<u8>)>,
}

impl Parts {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
        let Some(Value::Object(texts)) = header.remove("__metadata__") else { panic!("no texts") };
        let tensors = header.into_iter().map(|(name, about)| {
            let [start, end] = [0, 1].map(|i| about["data_offsets"][i].as_u64().unwrap() as usize + 8 + len);
            (name, about["dtype"].clone(), about["shape"].clone(), bytes[start..end].to_vec())
        });
        Self { texts, tensors: tensors.collect() }
    }

    fn write(&self, path: &Path) {
        let mut header = Map::from_iter([("__metadata__".to_string(), Value::Object(self.texts.clone()))]);
        let mut data = Vec::new();
        for (name, dtype, shape, bytes) in &self.tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
            data.extend(bytes);
        }
        let header = Value::Object(header).to_string();
        fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).unwrap();
    }

    /// The tensor's shape and bytes.
    fn tensor(&mut self, name: &str) -> (&mut Value, &mut Vec<u8>) {
        let tensor = self.tensors.iter_mut().find(|(found, ..)| *found == format!("checkpoint/{name}"));
        let (_, _, shape, bytes) = tensor.unwrap_or_else(|| panic!("no {name}"));
        (shape, bytes)
    }
}

/// Puts a number in the place of another.
fn set<const N: usize>(bytes: &mut [u8], i: usize, value: [u8; N]) {
    bytes[N * i..N * (i + 1)].copy_from_slice(&value);
}

#[test]
fn numbers_out_of_range_are_refused_by_name_and_change_nothing() {
    let (whole, damaged) = (path("whole"), path("damaged"));
    trained(1).save_checkpoint(&whole).unwrap();
    let whole = Parts::read(&whole);
    let (mut reader, untouched) = (trained(2), trained(2));
    let refused = |reader: &mut Trainer, what: &str, parts: Parts| {
        parts.write(&damaged);
        let error = match reader.resume(&damaged) {
            Ok(()) => panic!("{what} is taken"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
        assert!(
            error.to_string().contains(&format!("checkpoint/{}", what.split(':').next().unwrap())),
            "{what}: {error}"
        );
        assert_same_training(what, reader, &untouched);
    };

    let counts = [
        "-1",
        "1.5",
        "",
        "x",
        "18446744073709551615",
        "18446744073709551614",
        "9223372036854775808",
        "1152921504606846976",
    ];
    let amounts = ["-1", "NaN", "inf", "-inf", "", "x"];
    for (name, values) in [
        ("optimizer.steps", &counts[..]),
        ("optimizer.epoch", &counts),
        ("best.epoch", &[&counts[..], &["0", "3"]].concat()),
        ("seconds", &amounts),
        ("optimizer.rate", &[&amounts[..], &["1e39"]].concat()),
        ("best.value", &["", "x"]),
        ("seed", &["-1", "18446744073709551616", "", "0.5"]),
        ("version", &["", "x", "-1"]),
    ] {
        let key = format!("checkpoint/{name}");
        for value in values {
            let mut parts = whole.clone();
            assert!(parts.texts.insert(key.clone(), json!(value)).is_some(), "{name}");
            refused(&mut reader, &format!("{name}: '{value}'"), parts);
        }
        let mut parts = whole.clone();
        parts.texts.remove(&key);
        refused(&mut reader, &format!("{name}: none"), parts);
    }

    for name in ["epochs", "step_losses"] {
        let mut parts = whole.clone();
        parts.tensors.retain(|(found, ..)| *found != format!("checkpoint/{name}"));
        refused(&mut reader, &format!("{name}: none"), parts);
        let size = if name == "epochs" { 8 } else { 4 };
        for (shape, len) in [
            (json!([20]), 20),
            (json!([0]), 0),
            (json!([2, 7, 1]), 14),
            (json!([14]), 14),
            (json!([7, 2]), 14),
            (json!([1, 14]), 14),
            (json!([2, 5]), 10),
            (json!([]), 1),
        ] {
            let mut parts = whole.clone();
            let (found, bytes) = parts.tensor(name);
            *found = shape.clone();
            bytes.resize(len * size, 0);
            refused(&mut reader, &format!("{name}: {shape}"), parts);
        }
    }
    // Fewer or more epochs than the losses of their steps.
    for epochs in [1, 3] {
        let mut parts = whole.clone();
        let (shape, bytes) = parts.tensor("epochs");
        *shape = json!([epochs, 7]);
        let row = bytes[..56].to_vec();
        *bytes = row.repeat(epochs);
        let mut best = parts.clone();
        best.texts.insert("checkpoint/best.epoch".into(), json!("1"));
        refused(&mut reader, &format!("step_losses: {epochs} epochs"), best);
    }
    // Steps, loss, accuracies and seconds of an epoch.
    for (column, values) in [
        (0, &[-1.0, 0.0, 0.5, 1e300, f64::NAN, f64::INFINITY][..]),
        (1, &[f64::NAN, f64::INFINITY, 1e39]),
        (3, &[-0.1, 1.1, f64::INFINITY]),
        (5, &[-0.1, 1.1, f64::NEG_INFINITY]),
        (6, &[-1.0, f64::NAN, f64::INFINITY]),
    ] {
        for value in values {
            let mut parts = whole.clone();
            set(parts.tensor("epochs").1, 7 + column, value.to_le_bytes());
            refused(&mut reader, &format!("epochs: column {column}, {value}"), parts);
        }
    }
    for value in [f32::NAN, f32::INFINITY] {
        let mut parts = whole.clone();
        set(parts.tensor("step_losses").1, 3, value.to_le_bytes());
        refused(&mut reader, &format!("step_losses: {value}"), parts);
    }
    for name in ["optimizer.0", "optimizer.1", "best"] {
        let mut parts = whole.clone();
        let (shape, bytes) = parts.tensor(name);
        bytes.truncate(bytes.len() - 4);
        *shape = json!([bytes.len() / 4]);
        refused(&mut reader, &format!("{name}: a value less"), parts);
    }

    // What was taken apart and put together again is the checkpoint.
    whole.write(&damaged);
    reader.resume(&damaged).unwrap();
    assert_same_training("whole", &reader, &trained(1));
}

#[test]
fn a_checkpoint_before_the_first_epoch_is_one() {
    let file = path("first");
    let new = |seed| Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Adam::new(0.01), seed).unwrap();
    new(3).save_checkpoint(&file).unwrap();
    let mut reader = new(4);
    reader.resume(&file).unwrap();
    reader.fit(&data(), Fit::new(2, 30)).unwrap();
    let mut whole = new(3);
    whole.fit(&data(), Fit::new(2, 30)).unwrap();
    assert_same_training("from the start", &reader, &whole);
}

#[test]
fn an_unwritable_checkpoint_path_fails_before_training() {
    let nowhere = path("none").join("no such folder").join("file");
    let data = data();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Adam::new(0.01), 0).unwrap();
    for fit in [Fit::new(1, 30).checkpoint(&nowhere, 1), Fit::new(1, 30).validation(&data).checkpoint_best(&nowhere)] {
        let error = trainer.fit(&data, fit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("there is no folder"), "{error}");
        assert!(trainer.history().epochs.is_empty());
        assert_eq!(trainer.optimizer().steps(), 0);
    }
}
