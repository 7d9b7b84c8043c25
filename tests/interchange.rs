//! Files from elsewhere: other number formats, other names, parameters under several names, and what is no such file.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::{assert_same_bits, signed};
use serde_json::{Map, Value, json};
use wgrad::nn::{Linear, Module, Parameter, Parameters, Sequential, Tanh, prefixed};
use wgrad::{Device, ErrorKind, Graph, Result, Var};

/// A network 2-8-1 with tanh, in the number formats and under the names that PyTorch writes.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/oracle/files/{name}.safetensors"))
}

/// A file of this test's own; each test has other names.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interchange-{name}.safetensors"))
}

fn network() -> Sequential {
    Sequential::new().add(Linear::new(2, 8)).add(Tanh).add(Linear::new(8, 1))
}

/// On one device for all, as a model's parameters have one home.
fn placed(model: &dyn Module) -> Parameters {
    static DEVICE: LazyLock<Device> = LazyLock::new(Device::cpu);
    Parameters::new(&DEVICE, model, 0).unwrap()
}

fn values(parameters: &Parameters) -> Vec<f32> {
    parameters.read().unwrap()
}

/// Writes a file of F32 tensors.
fn write(path: &Path, tensors: &[(&str, &[usize], &[f32])]) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(name.to_string(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    fs::write(path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).unwrap();
}

/// The tensors' names in a file, by the format's definition.
fn names(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let mut names: Vec<_> = header.into_iter().map(|(name, _)| name).filter(|name| name != "__metadata__").collect();
    names.sort();
    names
}

#[test]
fn halves_and_doubles_are_converted() {
    let parameters = placed(&network());
    parameters.load(fixture("f32-pt")).unwrap();
    let single = values(&parameters);
    // A half has 11 bits, a bfloat16 has 8, which were cut off here; the doubles are the singles.
    for (name, bits) in [("f64", 24), ("f16", 11), ("bf16", 7)] {
        let parameters = placed(&network());
        parameters.load(fixture(name)).unwrap();
        let found = values(&parameters);
        assert_eq!(found.len(), single.len());
        for (found, single) in found.iter().zip(&single) {
            assert!((found - single).abs() <= single.abs() * 2f32.powi(-bits), "{name}: {found} for {single}");
        }
        assert_eq!(found == single, name == "f64");
    }
}

#[test]
fn a_double_too_large_for_single_precision_is_an_error() {
    let path = path("overflow");
    let header = json!({
        "weight": {"dtype": "F64", "shape": [1, 2], "data_offsets": [0, 16]},
        "bias": {"dtype": "F32", "shape": [1], "data_offsets": [16, 20]},
    });
    let header = header.to_string();
    let data = [1e300f64.to_le_bytes(), 1f64.to_le_bytes()].concat();
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data, &[0; 4]].concat()).unwrap();
    let parameters = placed(&Linear::new(2, 1));
    let before = values(&parameters);
    for result in [parameters.load(&path), parameters.load_partial(&path, str::to_string).map(|_| ())] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("weight: 1e300 is too large for F32"), "{message}");
        assert_same_bits("after an error", &values(&parameters), &before);
    }
}

#[test]
fn the_error_names_the_call_that_strips_pytorch_prefixes() {
    let parameters = placed(&network());
    parameters.load(fixture("f32-pt")).unwrap();
    let expected = values(&parameters);
    for (name, prefix, writer) in [("module", "module.", "DataParallel"), ("orig-mod", "_orig_mod.", "torch.compile")] {
        let parameters = placed(&network());
        let message = parameters.load(fixture(name)).unwrap_err().to_string();
        let call = format!("load_renamed(path, |name| name.replacen(\"{prefix}\", \"\", 1))");
        for part in [writer, &call, "missing: 0.weight, 0.bias, 2.weight, 2.bias"] {
            assert!(message.contains(part), "{message}");
        }
        let mismatch = parameters.load_partial(fixture(name), str::to_string).unwrap();
        assert!(mismatch.advice.as_ref().is_some_and(|advice| advice.contains(&call)), "{mismatch}");
        parameters.load_renamed(fixture(name), |name| name.replacen(prefix, "", 1)).unwrap();
        assert_same_bits(name, &values(&parameters), &expected);
    }
}

/// A model whose layers lie one deeper.
struct Deeper(Sequential);

impl Module for Deeper {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        self.0.forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("encoder", &self.0)
    }
}

#[test]
fn advice_covers_other_prefixes_and_is_absent_where_none_helps() {
    let path = path("names");
    let advice = |model: &dyn Module, names: [&str; 2]| {
        write(&path, &[(names[0], &[1, 2], &[1.0, 2.0]), (names[1], &[1], &[3.0])]);
        placed(model).load_partial(&path, str::to_string).unwrap().advice
    };
    let model = Sequential::new().add(Linear::new(2, 1));
    for (names, call) in [
        (["module._orig_mod.0.weight", "module._orig_mod.0.bias"], r#"name.replacen("module._orig_mod.", "", 1)"#),
        (["net.0.weight", "net.0.bias"], r#"name.replacen("net.", "", 1)"#),
        (["0._orig_mod.weight", "0._orig_mod.bias"], r#"name.replace("_orig_mod.", "")"#),
    ] {
        let advice = advice(&model, names).unwrap_or_else(|| panic!("{names:?}"));
        assert!(advice.contains(call), "{advice}");
    }
    let deeper = Deeper(Sequential::new().add(Linear::new(2, 1)));
    let lacks = advice(&deeper, ["0.weight", "0.bias"]).unwrap();
    assert!(lacks.contains(r#"|name| format!("encoder.{name}")"#), "{lacks}");
    for names in [["0.weight", "0.bias"], ["a.0.weight", "b.0.bias"], ["other", "0.bias"]] {
        assert_eq!(advice(&model, names), None, "{names:?}");
    }
}

#[test]
fn two_tensors_of_one_name_are_an_error() {
    let path = path("one-name");
    write(&path, &[("a.weight", &[1, 2], &[1.0, 2.0]), ("b.weight", &[1, 2], &[1.0, 2.0])]);
    let error = placed(&Linear::new(2, 1)).load_renamed(&path, |name| name[2..].to_string()).unwrap_err();
    assert!(error.to_string().contains("a.weight and b.weight are both renamed to weight"), "{error}");
}

fn shared() -> Sequential {
    let layer = Linear::new(2, 2);
    Sequential::new().add(layer.clone()).add(Tanh).add(layer)
}

/// PyTorch's `state_dict` lists a layer that is used twice under both names, and `load_state_dict` wants both;
/// `safetensors.torch.save_model` keeps one of them.
#[test]
fn a_layer_used_twice_goes_by_each_of_its_names() {
    let path = path("shared");
    let (weight, bias) = (signed(1, 4), signed(2, 2));
    let expected = [&weight[..], &bias].concat();
    let found = |parameters: &Parameters| -> Vec<f32> {
        parameters.named().flat_map(|(_, parameter)| parameter.value().unwrap().read().unwrap()).collect()
    };
    let tensors = |layer: &'static [&'static str; 2]| [(layer[0], &[2, 2][..], &weight[..]), (layer[1], &[2], &bias)];
    let (first, second) = (tensors(&["0.weight", "0.bias"]), tensors(&["2.weight", "2.bias"]));
    for tensors in [[first, second].concat(), first.to_vec(), second.to_vec()] {
        write(&path, &tensors);
        let parameters = placed(&shared());
        parameters.load(&path).unwrap();
        assert_same_bits("shared", &found(&parameters), &expected);
        parameters.save(&path).unwrap();
        assert_eq!(names(&path), ["0.bias", "0.weight", "2.bias", "2.weight"]);
        // A model of two layers takes it as PyTorch's does.
        let apart = placed(&Sequential::new().add(Linear::new(2, 2)).add(Tanh).add(Linear::new(2, 2)));
        apart.load(&path).unwrap();
        assert_same_bits("apart", &found(&apart), &[&expected[..], &expected].concat());
    }
    let parameters = placed(&shared());
    let before = values(&parameters);
    write(&path, &[&first[..], &[second[0], ("2.bias", &[2], &[0.5, 0.25])]].concat());
    let message = parameters.load(&path).unwrap_err().to_string();
    assert!(message.contains("0.bias and 2.bias are one parameter in this model, and differ"), "{message}");
    write(&path, &[("2.weight", &[2, 2], &weight)]);
    let message = parameters.load(&path).unwrap_err().to_string();
    assert!(message.ends_with("missing: 0.bias"), "{message}");
    assert_same_bits("after errors", &values(&parameters), &before);
}

/// A module whose names are whatever they are.
struct Named(Linear, [&'static str; 2]);

impl Module for Named {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        self.0.forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        self.0.named_parameters().into_iter().zip(self.1).map(|((_, p), name)| (name.to_string(), p)).collect()
    }
}

#[test]
fn names_that_a_file_cannot_keep_apart_are_not_written() {
    let path = path("twice");
    for names in [["same", "same"], ["checkpoint/seed", "bias"], ["__metadata__", "bias"]] {
        let error = placed(&Named(Linear::new(2, 1), names)).save(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(names[0]), "{error}");
    }
}

#[test]
fn files_of_other_formats_are_recognised() {
    let path = path("other");
    let model = placed(&network());
    let huge = |len: u64, header: &str| [&len.to_le_bytes(), header.as_bytes()].concat();
    let no_data = r#"{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}"#;
    let overflow = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let files: [(Vec<u8>, &str); 15] = [
        (b"GGUF\x03\0\0\0abcdefgh".to_vec(), "GGUF"),
        (b"\x93NUMPY\x01\0v\0{'descr'".to_vec(), "NumPy"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), "gzip"),
        (b"{\"weights\": [1, 2, 3]}".to_vec(), "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec(), "git lfs pull"),
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00".to_vec(), "save_file"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "save_file"),
        (b"\x89HDF\r\n\x1a\n\x00\x00".to_vec(), "HDF5"),
        (b"<!DOCTYPE html><html>".to_vec(), "web page"),
        (Vec::new(), "is empty"),
        (b"abc".to_vec(), "cut short"),
        (huge(u64::MAX, "{}"), "not a safetensors file"),
        (huge(no_data.len() as u64, no_data), "cut short"),
        (huge(overflow.len() as u64, overflow), "damaged"),
        (huge(2, "[]"), "damaged"),
    ];
    for (bytes, part) in files {
        fs::write(&path, &bytes).unwrap();
        for result in
            [model.load(&path), Sequential::load(&path).map(|_| ()), Sequential::from_bytes(&bytes).map(|_| ())]
        {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    let error = model.load(path.parent().unwrap()).unwrap_err();
    assert!(error.to_string().contains("a folder"), "{error}");
}

/// Only what the model needs is read: this file says that it holds 64 GiB.
#[test]
fn a_file_larger_than_memory_is_no_reason_to_read_it() {
    let path = path("sparse");
    let len = 1_u64 << 36;
    let header = json!({
        "0.weight": {"dtype": "F32", "shape": [8, 2], "data_offsets": [0, 64]},
        "huge": {"dtype": "F32", "shape": [(len - 64) / 4], "data_offsets": [64, len]},
    });
    let header = header.to_string();
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    if file.set_len(8 + header.len() as u64 + len).is_err() {
        return; // A file system without sparse files.
    }
    let parameters = placed(&network());
    let mismatch = parameters.load_partial(&path, str::to_string).unwrap();
    assert_eq!((mismatch.missing.len(), &mismatch.unexpected[..]), (3, &["huge".to_string()][..]));
    assert_eq!(values(&parameters)[..16], [0.0; 16]);
    fs::remove_file(path).unwrap();
}
