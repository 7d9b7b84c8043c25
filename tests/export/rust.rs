//! Models as Rust files: compiled without std, run, and compared with predictions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wgrad::nn::{BatchNorm1d, Linear, Sequential};

use crate::common::{compare, floats, oracle};
use crate::evaluate::evaluate;
use crate::models::{all, placed, predicted};
use crate::proto::model;

fn rustc() -> Command {
    Command::new(option_env!("RUSTC").unwrap_or("rustc"))
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A program that has each model as a module, and prints what it gives for the oracle's inputs.
#[test]
fn a_compiled_file_predicts_as_the_model() {
    let folder = folder("models");
    let mut cases = all();
    let transposed = cases.pop_if(|case| case.name == "transposed").unwrap();
    let error = transposed.export.rust().unwrap_err().to_string();
    assert!(error.contains("Transpose is of several rows; Rust source computes one row at a time"), "{error}");
    let oracle = oracle("onnx.json");
    let inputs = |name: &str| floats(&oracle["models"][name]["inputs"]);
    let mut main = String::from("#![deny(warnings)]\n");
    let mut calls = String::new();
    for case in &cases {
        case.export.save_rust(folder.join(format!("{}.rs", case.name))).unwrap();
        // Without std, and with nothing that a compiler warns of.
        let library = format!("#![no_std]\n#![deny(warnings)]\n#[path = \"{0}.rs\"]\npub mod {0};\n", case.name);
        let root = folder.join(format!("lib_{}.rs", case.name));
        fs::write(&root, library).unwrap();
        let kind = ["--edition", "2021", "--crate-type", "rlib", "--emit", "metadata", "--out-dir"];
        succeeds(rustc().args(kind).arg(&folder).arg(&root));
        main += &format!("mod {};\n", case.name);
        for row in inputs(case.name).chunks(case.input_cols) {
            calls += &format!("    println!(\"{{:?}}\", {}::predict(&{row:?}).map(f32::to_bits));\n", case.name);
        }
    }
    let path = folder.join("main.rs");
    fs::write(&path, format!("{main}fn main() {{\n{calls}}}\n")).unwrap();
    let program = folder.join("program");
    succeeds(rustc().args(["--edition", "2021", "-o"]).arg(&program).arg(&path));
    let printed = succeeds(&mut Command::new(program));
    let mut rows = printed.lines().map(|line| -> Vec<f32> {
        line.trim_matches(['[', ']']).split(", ").map(|bits| f32::from_bits(bits.parse().unwrap())).collect()
    });
    for case in &cases {
        let inputs = inputs(case.name);
        let count = inputs.len() / case.input_cols;
        let outputs: Vec<f32> = rows.by_ref().take(count).flatten().collect();
        // Both are within rounding of the numbers in f64; so they are within twice that of each other.
        let exact = evaluate(&model(&case.export.onnx().unwrap()), &inputs);
        compare(case.name, &outputs, &predicted(case, &inputs), 0.0, |i| 2.0 * exact[i].error).unwrap();
        let expected: Vec<f64> = exact.iter().map(|x| x.value).collect();
        compare(case.name, &outputs, &expected, 0.0, |i| exact[i].error).unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn weights_have_as_many_digits_as_give_the_same_bits() {
    let predictor = placed(Sequential::new().add(Linear::new(3, 2)).add(BatchNorm1d::new(2)), 5);
    let text = wgrad::export::Export::new(&predictor, 3).unwrap().metadata("a", "two\nlines").rust().unwrap();
    assert!(text.contains("// a: two lines\n"), "{text}");
    for (name, parameter) in predictor.parameters().named().filter(|(name, _)| name.starts_with("0.")) {
        let begins = format!("static LAYER_{}:", name.replace('.', "_").to_uppercase());
        let numbers = text.split_once(&begins).unwrap().1.split_once("= [").unwrap().1.split_once(";\n").unwrap().0;
        let words = numbers.split([',', '[', ']', ' ', '\n']).filter(|word| !word.is_empty());
        let found: Vec<f32> = words.map(|word| word.parse().unwrap()).collect();
        assert_eq!(found, parameter.value().unwrap().read().unwrap(), "{name}");
    }
}
