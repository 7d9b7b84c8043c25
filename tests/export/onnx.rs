//! ONNX files: what onnxruntime computes with them, their structure, and what is refused.

use std::fs;
use std::path::PathBuf;

use wgrad::export::Export;
use wgrad::nn::{Linear, Module, Parameter, Sequential, prefixed};
use wgrad::{ErrorKind, Graph, Operation, Recording, Result, Shape, Tensor, Var};

use crate::common::{compare, floats, oracle};
use crate::evaluate::evaluate;
use crate::models::{Case, all, placed, predicted};
use crate::proto::{Attribute, model};

fn path(case: &Case) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/oracle/onnx", &format!("{}.onnx", case.name)].iter().collect()
}

/// Writes the files for `tests/oracle/onnx_outputs.py`.
#[test]
#[ignore = "run by hand, before the oracle's script, where exported files are meant to change"]
fn files_for_onnxruntime_are_written() {
    for case in all() {
        case.export.save_onnx(path(&case)).unwrap();
    }
}

/// The graphs are those that onnxruntime was given, and what it computed is what wgrad predicts: both are as close to an
/// evaluation in f64 as rounding allows.
#[test]
fn onnxruntime_computes_what_wgrad_predicts() {
    let outputs = oracle("onnx.json");
    for case in all() {
        let bytes = case.export.onnx().unwrap();
        let exported = model(&bytes);
        let stored = fs::read(path(&case)).unwrap();
        assert_eq!(exported.graph, model(&stored).graph, "{}: write the files again, then run the script", case.name);
        let entry = &outputs["models"][case.name];
        let (inputs, theirs) = (floats(&entry["inputs"]), floats(&entry["outputs"]));
        let ours = predicted(&case, &inputs);
        let exact = evaluate(&exported, &inputs);
        let expected: Vec<f64> = exact.iter().map(|x| x.value).collect();
        for (who, outputs) in [("wgrad", ours), ("onnxruntime", theirs)] {
            compare(&format!("{}, {who}", case.name), &outputs, &expected, 0.0, |i| exact[i].error).unwrap();
        }
        // The bounds say something.
        assert!(exact.iter().all(|x| x.error < 1e-2 * (1.0 + x.value.abs())), "{}: {exact:?}", case.name);
    }
}

#[test]
fn files_say_what_is_in_them() {
    let cases = all();
    let find = |name: &str| model(&cases.iter().find(|case| case.name == name).unwrap().export.onnx().unwrap());
    let scaled = find("standardised");
    assert_eq!((&scaled.input, &scaled.output), (&("size".into(), 3), &("price".into(), 2)));
    assert_eq!(scaled.metadata, [("unit".into(), "cm".into()), ("author".into(), "Ångström".into())]);
    assert_eq!(scaled.opset, 17);
    let ops: Vec<&str> = scaled.nodes.iter().map(|node| node.op.as_str()).collect();
    assert_eq!(ops, ["Sub", "Div", "Gemm", "Tanh", "Gemm", "Mul", "Add"]);
    let gemm = &scaled.nodes[2];
    assert_eq!(gemm.inputs[1..], ["0.weight", "0.bias"]);
    assert_eq!(gemm.attributes["transB"], Attribute::Int(1));
    assert_eq!((&scaled.tensors["0.weight"].dims[..], &scaled.tensors["0.bias"].dims[..]), (&[4, 3][..], &[4][..]));

    let layers = find("layers");
    assert_eq!(layers.opset, 20, "GELU came with it");
    // Normalisations are single nodes; a dropout is none.
    let ops: Vec<&str> = layers.nodes.iter().map(|node| node.op.as_str()).collect();
    let expected = "Gemm BatchNormalization Tanh LayerNormalization Gemm Sigmoid Mul Add Gemm Add Add Gelu Gemm Softplus \
                    LeakyRelu Elu Gelu Softmax Mul Add Pow Log Exp Sigmoid Identity Relu LogSoftmax";
    assert_eq!(ops.join(" "), expected);
    let names: Vec<&str> = layers.tensors.keys().map(String::as_str).filter(|name| !name.starts_with('c')).collect();
    let parameters = [
        "0.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.weight",
        "3.block.0.bias",
        "3.block.0.weight",
        "3.block.1.bias",
        "3.block.1.weight",
        "4.block.block.weight",
        "7.bias",
        "7.weight",
    ];
    assert_eq!(names, parameters);
    // A layer that is used twice is there once.
    let columns = find("columns");
    assert_eq!(columns.tensors.keys().filter(|name| name.ends_with("weight")).count(), 2);
}

/// A function of the model's values that is no operation of wgrad's.
#[derive(Debug)]
struct Double {
    expands: bool,
}

impl Operation for Double {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(inputs.to_vec())
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        wgrad::ops::activation::forward(
            recording,
            wgrad::nn::Activation::Affine { scale: 2.0, shift: 0.0 },
            inputs[0],
            outputs[0],
        )
    }

    fn expand(&self, graph: &mut Graph, x: &[Var]) -> Result<Option<Var>> {
        if self.expands { graph.add(x[0], x[0]).map(Some) } else { Ok(None) }
    }
}

/// A layer, and something that is done with what it gives.
struct Then<F>(Linear, F);

impl<F: Fn(&mut Graph, Var) -> Result<Var> + Send + Sync> Module for Then<F> {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let x = self.0.forward(graph, x)?;
        self.1(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("layer", &self.0)
    }
}

#[test]
fn operations_of_ones_own_are_exported_by_their_expansion() {
    let with = |expands| {
        let double = move |graph: &mut Graph, x| graph.call1(Double { expands }, &[x]);
        let predictor = placed(Then(Linear::new(2, 2), double), 1);
        (Export::new(&predictor, 2).unwrap(), predictor)
    };
    let (export, predictor) = with(true);
    let exported = model(&export.onnx().unwrap());
    let exact = evaluate(&exported, &[0.5, -0.25]);
    let expected: Vec<f64> = exact.iter().map(|x| x.value).collect();
    let predicted = predictor.predict(&[0.5, -0.25], 2).unwrap();
    compare("doubled", &predicted, &expected, 0.0, |i| exact[i].error).unwrap();

    let (export, _) = with(false);
    for error in [export.onnx().unwrap_err(), export.rust().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for part in ["Double { expands: false }", "Operation::expand"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn what_depends_on_the_number_of_rows_is_refused() {
    fn refused(f: impl Fn(&mut Graph, Var) -> Result<Var> + Send + Sync + 'static) -> String {
        Export::new(&placed(Then(Linear::new(2, 2), f), 1), 2).unwrap_err().to_string()
    }
    let messages = [
        refused(|graph, x| {
            let mean = graph.mean_rows(x)?;
            graph.sub(x, mean)
        }),
        refused(|graph, x| graph.transpose(x)),
        refused(|graph, x| graph.sum_rows(x)),
        refused(|graph, x| if graph.shape(x)?[0] == 1 { graph.relu(x) } else { Ok(x) }),
    ];
    for message in messages {
        assert!(message.contains("number of rows") || message.contains("for two"), "{message}");
    }
}

#[test]
fn scales_of_other_widths_and_inputs_of_other_widths_are_errors() {
    let [scale, _] = crate::models::scales();
    let predictor = placed(Sequential::new().add(Linear::new(2, 1)), 1);
    let export = || Export::new(&predictor, 2).unwrap();
    for error in [export().inputs(&scale).unwrap_err(), export().targets(&scale).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(error.to_string().contains("fitted to 3"), "{error}");
    }
    assert_eq!(Export::new(&predictor, 3).unwrap_err().kind(), ErrorKind::Shape);
}
