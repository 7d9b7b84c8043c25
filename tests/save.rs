//! Models in files: what wgrad writes is what PyTorch writes, what does not fit is reported, and no file makes it panic.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Devices, assert_same_bits, floats, on_every_device, oracle, signed};
use serde_json::{Value, json};
use wgrad::nn::{
    Activation, Dropout, ELU, GELU, Identity, LayerNorm, LeakyReLU, Linear, LogSoftmax, Module, Mse, Parameter,
    Parameters, Predictor, ReLU, Sequential, SiLU, Sigmoid, Softmax, Softplus, Tanh, prefixed,
};
use wgrad::optim::Sgd;
use wgrad::{Device, ErrorKind, Graph, Result, Trainer, Var};

on_every_device!(a_file_of_pytorchs_gives_its_outputs, a_saved_model_is_the_same_when_loaded);

/// PyTorch's file.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/interop.safetensors")
}

/// A file of this test's own; each test has other names.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("save-{name}.safetensors"))
}

/// The network of `tests/oracle/interop.py`.
fn network() -> Sequential {
    Sequential::new()
        .add(Linear::new(4, 16))
        .add(LayerNorm::new(16))
        .add(GELU)
        .add(Dropout::new(0.1))
        .add(Linear::new(16, 8))
        .add(LeakyReLU { slope: 0.01 })
        .add(Linear::new(8, 3))
        .add(Softmax)
}

/// A file's header and its tensors' bytes, by the format's definition.
fn parts(path: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + len]).unwrap(), bytes[8 + len..].to_vec())
}

/// A file with this header, and zeros for its tensors.
fn write(path: &Path, header: &Value, data: usize) {
    let header = header.to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat();
    fs::write(path, bytes).unwrap();
}

fn a_file_of_pytorchs_gives_its_outputs(devices: &Devices) {
    let json = oracle("interop.json");
    let (inputs, expected) = (floats(&json["inputs"]), floats(&json["outputs"]));
    for (name, device) in devices {
        let predictor = Predictor::new(device, network()).unwrap();
        predictor.parameters().load(fixture()).unwrap();
        for (parameter_name, parameter) in predictor.parameters().named() {
            let values = parameter.value().unwrap().read().unwrap();
            assert_same_bits(
                &format!("{name}, {parameter_name}"),
                &values,
                &floats(&json["parameters"][parameter_name]),
            );
        }
        let outputs = predictor.predict(&inputs, 4).unwrap();
        assert_eq!(outputs.len(), expected.len());
        for (ours, theirs) in outputs.iter().zip(&expected) {
            assert!((ours - theirs).abs() <= 1e-5, "{name}: {ours} instead of {theirs}");
        }
        // One row at a time, and in a trainer.
        let rows = inputs.chunks(4).flat_map(|row| predictor.predict(row, 4).unwrap()).collect::<Vec<_>>();
        let trainer = Trainer::new(device, network(), Mse::new(), Sgd::new(0.1), 0).unwrap();
        trainer.parameters().load(fixture()).unwrap();
        assert_same_bits(name, &trainer.predict(&inputs, 4).unwrap(), &outputs);
        for (ours, theirs) in rows.iter().zip(&expected) {
            assert!((ours - theirs).abs() <= 1e-5, "{name}: {ours} instead of {theirs}");
        }
    }
}

/// What wgrad saves of PyTorch's network is PyTorch's file: the same names, types, shapes, places and bytes. What
/// `load_state_dict` takes from one, it takes from the other.
#[test]
fn a_file_of_wgrads_is_pytorchs_with_an_architecture() {
    let predictor = Predictor::new(&Device::cpu(), network()).unwrap();
    predictor.parameters().load(fixture()).unwrap();
    let path = path("same");
    predictor.parameters().save(&path).unwrap();
    let (mut ours, data) = parts(&path);
    let (theirs, expected) = parts(&fixture());
    let architecture = "Sequential(Linear(4, 16), LayerNorm(16), GELU, Dropout(0.1), Linear(16, 8), LeakyReLU(0.01), \
                        Linear(8, 3), Softmax)";
    assert_eq!(ours.as_object_mut().unwrap().remove("__metadata__"), Some(json!({ "architecture": architecture })));
    assert_eq!(ours, theirs);
    assert_eq!(data, expected);
}

/// Every module there is, nested too.
fn everything() -> Sequential {
    let activations = [
        Identity,
        ReLU,
        Tanh,
        Sigmoid,
        LeakyReLU { slope: 0.123_456_79 },
        ELU { alpha: 1e-7 },
        GELU,
        Activation::GELUTanh,
        SiLU,
        Softplus,
        Activation::Affine { scale: -2.5, shift: 0.1 },
        Activation::Exp,
        Activation::Log,
        Activation::Affine { scale: 1.0, shift: 30.0 },
        Activation::Pow { exponent: 0.5 },
    ];
    let inner = activations.into_iter().fold(Sequential::new(), |model, activation| model.add(activation));
    Sequential::new()
        .add(Linear::new(3, 5))
        .add(Sequential::new().add(inner).add(LayerNorm::new(5)))
        .add(Dropout::new(0.25))
        .add(Sequential::new())
        .add(Linear::new(5, 4))
        .add(LogSoftmax)
        .add(Softmax)
}

fn a_saved_model_is_the_same_when_loaded(devices: &Devices) {
    for (i, (name, device)) in devices.iter().enumerate() {
        let trainer = Trainer::new(device, everything(), Mse::new(), Sgd::new(0.1), 8).unwrap();
        let path = path(&format!("everything-{}-{i}", device.describe().backend));
        trainer.parameters().save(&path).unwrap();
        let loaded = Sequential::load(&path).unwrap();
        assert_eq!(loaded.describe(), everything().describe(), "{name}");
        let inputs = signed(4, 7 * 3);
        let expected = trainer.predict(&inputs, 3).unwrap();
        assert!(expected.iter().all(|y| y.is_finite()) && expected[..4] != expected[4..8], "{expected:?}");
        // It goes wherever it is placed: as a predictor, and to be trained on, whatever the seed.
        let predictor = Predictor::new(device, loaded).unwrap();
        assert_same_bits(name, &predictor.predict(&inputs, 3).unwrap(), &expected);
        let again = Trainer::new(device, Sequential::load(&path).unwrap(), Mse::new(), Sgd::new(0.1), 99).unwrap();
        assert_same_bits(name, &again.predict(&inputs, 3).unwrap(), &expected);
        predictor.parameters().save(&path).unwrap();
        assert_same_bits(name, &again.predict(&inputs, 3).unwrap(), &expected);
    }
}

#[test]
fn a_mismatch_lists_every_tensor_and_strict_loading_changes_nothing() {
    let device = Device::cpu();
    let other = Sequential::new()
        .add(Linear::new(4, 16))
        .add(LayerNorm::new(16))
        .add(Linear::new(16, 9))
        .add(Tanh)
        .add(Linear::new(16, 7));
    let parameters = Parameters::new(&device, &other, 1).unwrap();
    let before = parameters.read().unwrap();
    let error = parameters.load(fixture()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let message = error.to_string();
    let lists = "missing: 2.weight, 2.bias; unexpected: 6.bias, 6.weight; misshapen: 4.weight [8, 16] (the model's is \
                 [7, 16]), 4.bias [8] (the model's is [7])";
    assert!(message.ends_with(lists), "{message}");
    assert!(message.contains("interop.safetensors"), "{message}");
    assert_same_bits("strict", &parameters.read().unwrap(), &before);

    let mismatch = parameters.load_partial(fixture(), str::to_string).unwrap();
    assert_eq!(mismatch.to_string(), lists);
    let json = oracle("interop.json");
    let fresh = Parameters::new(&device, &other, 1).unwrap();
    // What fits was loaded, and whoever uses the same layers sees it; drawn again, all is as it was.
    assert_same_bits("shared", &fresh.read().unwrap(), &parameters.read().unwrap());
    fresh.redraw(1).unwrap();
    assert_same_bits("drawn again", &fresh.read().unwrap(), &before);
    let again = fresh.load_partial(fixture(), str::to_string).unwrap();
    assert_eq!(again, mismatch);
    for (name, parameter) in fresh.named() {
        let values = parameter.value().unwrap().read().unwrap();
        let is_pytorchs = values == floats(&json["parameters"].get(name).cloned().unwrap_or(json!([])));
        assert_eq!(is_pytorchs, name.starts_with("0.") || name.starts_with("1."), "{name}");
    }
}

#[test]
fn only_floating_point_numbers_and_exact_shapes_fit() {
    let parameters = Parameters::new(&Device::cpu(), &Linear::new(2, 1), 0).unwrap();
    let path = path("types");
    let tensor =
        |dtype: &str, shape: Value, range: [usize; 2]| json!({"dtype": dtype, "shape": shape, "data_offsets": range});
    let load = |weight: Value, bias: Value, data| {
        write(&path, &json!({"weight": weight, "bias": bias}), data);
        parameters.load(&path)
    };
    load(tensor("F32", json!([1, 2]), [0, 8]), tensor("F32", json!([1]), [8, 12]), 12).unwrap();
    let faults = [
        (load(tensor("I64", json!([1, 2]), [0, 16]), tensor("F32", json!([1]), [16, 20]), 20), "weight [1, 2] of I64"),
        (
            load(tensor("F32", json!([2, 1]), [0, 8]), tensor("F32", json!([1]), [8, 12]), 12),
            "weight [2, 1] (the model's is [1, 2])",
        ),
        (
            load(tensor("F32", json!([2]), [0, 8]), tensor("F32", json!([1, 1]), [8, 12]), 12),
            "bias [1, 1] (the model's is [1])",
        ),
    ];
    for (fault, part) in faults {
        let message = fault.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let saved = path("whole");
    let predictor = Predictor::new(&Device::cpu(), network()).unwrap();
    predictor.parameters().save(&saved).unwrap();
    let whole = fs::read(&saved).unwrap();
    let damaged = path("damaged");
    let load = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        let parameters = predictor.parameters().load(&damaged);
        let model = Sequential::load(&damaged).map(|_| ());
        (parameters, model)
    };
    let (parameters, model) = load(&whole);
    assert!(parameters.is_ok() && model.is_ok());
    let from_bytes = Predictor::new(&Device::cpu(), Sequential::from_bytes(&whole).unwrap()).unwrap();
    let [values, same] = [&predictor, &from_bytes].map(|p| p.parameters().read().unwrap());
    assert_eq!(values, same);
    for len in 0..whole.len() {
        let (parameters, model) = load(&whole[..len]);
        for error in [parameters.unwrap_err(), model.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Io, "{len}: {error}");
            assert!(error.to_string().contains("save-damaged.safetensors"), "{error}");
        }
        assert_eq!(Sequential::from_bytes(&whole[..len]).unwrap_err().kind(), ErrorKind::Io, "{len}");
    }
    // Any byte of the header changed: an error or another header, but no panic.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for i in 0..header {
        for flip in [0x01, 0x80] {
            let mut bytes = whole.clone();
            bytes[i] ^= flip;
            let _ = load(&bytes);
        }
    }
    assert!(load(&[whole.clone(), vec![0]].concat()).0.is_err(), "a byte too many");

    let absent = Sequential::load(path("absent")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Io);
    assert!(absent.to_string().contains("save-absent.safetensors"), "{absent}");
    let nowhere = predictor.parameters().save(path("no/such/folder")).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Io);
    for not_a_file in ["/", ".."] {
        assert_eq!(predictor.parameters().save(not_a_file).unwrap_err().kind(), ErrorKind::Io);
    }
}

#[test]
fn descriptions_that_make_no_sense_are_errors() {
    let path = path("descriptions");
    let deep = "Sequential(".repeat(100_000) + &")".repeat(100_000);
    for (text, part) in [
        ("Linear(2, 1)", "a Linear is not a Sequential"),
        ("Sequential(Linear(2, 1)", "no ) at the end"),
        ("Sequential(Linear(2))", "no module 'Linear' that takes 1 arguments"),
        ("Sequential(Linear(2, -1))", "'-1' is not the number"),
        ("Sequential(Conv2d(2, 1))", "no module 'Conv2d'"),
        ("Sequential(,)", "no module ''"),
        (&format!("Sequential(Linear({0}, {0}))", usize::MAX), "missing: 0.weight, 0.bias"),
        ("Sequential)(", "at the end"),
        ("", "not a Sequential"),
        (&deep, "deep"),
    ] {
        write(&path, &json!({"__metadata__": {"architecture": text}}), 0);
        let error = Sequential::load(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:.60}");
        assert!(error.to_string().contains(part), "{error:.300}");
    }
    let error = Sequential::load(fixture()).unwrap_err();
    assert!(error.to_string().contains("Parameters::load"), "{error}");
}

/// A custom module, which does not say what it is.
struct Own(Linear);

impl Module for Own {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        self.0.forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("inner", &self.0)
    }
}

#[test]
fn what_no_description_tells_is_not_described() {
    let own = || Sequential::new().add(Own(Linear::new(2, 1)));
    let sharing = || {
        let shared = Linear::new(3, 3);
        Sequential::new().add(shared.clone()).add(Tanh).add(shared)
    };
    for (i, model) in [own as fn() -> Sequential, sharing].into_iter().enumerate() {
        let path = path(&format!("own-{i}"));
        let parameters = Parameters::new(&Device::cpu(), &model(), 3).unwrap();
        parameters.save(&path).unwrap();
        let error = Sequential::load(&path).unwrap_err();
        assert!(error.to_string().contains("build the model"), "{error}");
        let other = Parameters::new(&Device::cpu(), &model(), 4).unwrap();
        other.load(&path).unwrap();
        assert_same_bits("own", &other.read().unwrap(), &parameters.read().unwrap());
    }
}
