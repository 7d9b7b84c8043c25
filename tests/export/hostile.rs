//! Broken and hostile files: each is an error that says what is wrong, and none panics or allocates what is not there.

use wgrad::ErrorKind;
use wgrad::export::Onnx;

use crate::models::all;

/// A message's fields, for files that no exporter would write.
#[derive(Clone, Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn key(&mut self, mut number: u64) {
        while number >= 128 {
            self.0.push(number as u8 | 128);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, field: u64, number: u64) -> Self {
        self.key(field << 3);
        self.key(number);
        self
    }

    fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.key(field << 3 | 2);
        self.key(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> Fields {
    let node = inputs.iter().fold(Fields::default(), |node, input| node.bytes(1, input));
    node.bytes(2, output).bytes(4, op)
}

fn tensor(name: &str, dims: &[u64], raw: &[f32]) -> Fields {
    let tensor = dims.iter().fold(Fields::default(), |tensor, dim| tensor.number(1, *dim));
    let raw: Vec<u8> = raw.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, 1).bytes(8, name).bytes(9, raw)
}

fn file(nodes: &[Fields], tensors: &[Fields]) -> Vec<u8> {
    let graph = nodes.iter().fold(Fields::default(), |graph, node| graph.bytes(1, &node.0));
    let graph = tensors.iter().fold(graph, |graph, tensor| graph.bytes(5, &tensor.0));
    let [input, output] = ["x", "y"].map(|name| Fields::default().bytes(1, name).0);
    let opset = Fields::default().bytes(1, "").number(2, 17);
    Fields::default().number(1, 8).bytes(7, graph.bytes(11, input).bytes(12, output).0).bytes(8, opset.0).0
}

/// An error that says this. Damaged files are read no further, of others every node is named that has no counterpart.
#[track_caller]
fn refused(bytes: &[u8], part: &str) {
    let error = Onnx::from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
    assert!(error.len() < 400, "{error}");
}

#[test]
fn files_that_are_cut_or_changed_are_errors_or_models() {
    for case in all() {
        let bytes = case.export.onnx().unwrap();
        for len in 0..bytes.len() {
            // The metadata at the end can be lost without a trace.
            if let Ok(onnx) = Onnx::from_bytes(&bytes[..len]) {
                assert_eq!(
                    (case.name, onnx.metadata.len() < 2),
                    ("standardised", true),
                    "{} of {len} bytes",
                    case.name
                );
            }
        }
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                // Whatever it is: no panic.
                let _ = Onnx::from_bytes(&changed);
            }
        }
    }
}

#[test]
fn nodes_that_wgrad_does_not_have_are_named() {
    let weight = tensor("w", &[2, 2], &[1.0; 4]);
    refused(&file(&[node("Conv", &["x", "w"], "y")], std::slice::from_ref(&weight)), "(Conv) is no layer");
    refused(&file(&[node("LSTM", &["x"], "y")], &[]), "the node 'y' (LSTM)");
    refused(&file(&[node("Relu", &["x"], "y").bytes(7, "com.example")], &[]), "com.example");
    refused(&file(&[node("Add", &["x", "x"], "y")], &[]), "(Add) has an operand");
    refused(&file(&[node("Div", &["w", "x"], "y")], std::slice::from_ref(&weight)), "(Div) has an operand");
    refused(
        &file(&[node("Relu", &["x"], "a"), node("Tanh", &["x"], "b"), node("Mul", &["a", "b"], "y")], &[]),
        "branch",
    );
    refused(&file(&[node("Relu", &["x"], "a")], &[]), "nothing that leads to the output reads 'a'");
    refused(&file(&[], &[]), "nothing");
    let kind = |bytes: &[u8]| Onnx::from_bytes(bytes).unwrap_err().kind();
    assert_eq!(kind(&file(&[node("LSTM", &["x"], "y")], &[])), ErrorKind::InvalidInput);
    assert_eq!(kind(b"no ONNX file"), ErrorKind::Io);
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let gemm = |tensors: &[Fields]| file(&[node("Gemm", &["x", "w", "b"], "y")], tensors);
    let (w, b) = (tensor("w", &[2, 2], &[1.0; 4]), tensor("b", &[2], &[1.0; 2]));
    assert!(Onnx::from_bytes(&gemm(&[w.clone(), b.clone()])).is_ok());
    refused(&gemm(std::slice::from_ref(&w)), "a bias that is not 2 numbers");
    refused(&gemm(&[w.clone(), tensor("b", &[3], &[1.0; 3])]), "a bias that is not 2 numbers");
    refused(&gemm(&[tensor("w", &[4], &[1.0; 4]), b.clone()]), "no matrix");
    refused(&gemm(&[tensor("w", &[0, 2], &[]), b.clone()]), "0 numbers");
    refused(&gemm(&[tensor("w", &[2, 2], &[1.0; 3]), b.clone()]), "12 bytes for 4 numbers");
    refused(&gemm(&[tensor("w", &[2, 2], &[f32::NAN; 4]), b.clone()]), "not finite");
    refused(&gemm(&[w.clone(), w.clone(), b.clone()]), "two initializers are called 'w'");
    refused(&gemm(&[w.clone().number(14, 1), b.clone()]), "in another file");
    for dims in [[1 << 40, 1 << 40], [u64::MAX, 1], [1 << 62, 4]] {
        refused(&gemm(&[tensor("w", &dims, &[1.0; 4]), b.clone()]), "'w' has");
    }
    let scale = file(
        &[node("Sub", &["x", "w"], "a"), node("Div", &["a", "b"], "c"), node("Relu", &["c"], "y")],
        &[tensor("w", &[2], &[1.0; 2]), tensor("b", &[2], &[0.0; 2])],
    );
    refused(&scale, "not positive");
}

/// Nodes that lead to themselves, blocks in blocks, and a tensor that would be thousands of layers.
#[test]
fn graphs_without_an_end_or_with_too_much_in_them_are_errors() {
    refused(&file(&[node("Relu", &["x"], "a"), node("Relu", &["a"], "x")], &[]), "computed twice");
    refused(&file(&[node("Add", &["x", "a"], "b"), node("Tanh", &["b"], "a")], &[]), "(Add) has an operand");
    let circle = [node("Tanh", &["x"], "a"), node("Add", &["a", "d"], "b"), node("Tanh", &["b"], "d")];
    refused(&file(&circle, &[]), "");
    // x + (x + (x + ...
    let deep: Vec<_> = (0..500)
        .map(|i| node("Add", &["x", &format!("v{}", i + 1)], &format!("v{i}")))
        .chain([node("Relu", &["x"], "v500"), node("Identity", &["v0"], "y")])
        .rev()
        .collect();
    refused(&file(&deep, &[]), "100 deep");
    let w = tensor("w", &[64, 64], &[1.0; 4096]);
    let name = |i: usize| if i == 0 { "x".to_string() } else { format!("v{i}") };
    // One layer 3000 times, and 3000 layers that have a weight in common.
    let biases: Vec<_> = (0..3000).map(|i| tensor(&format!("b{i}"), &[64], &[1.0; 64])).collect();
    let layers = |bias: &dyn Fn(usize) -> usize| -> Vec<u8> {
        let node = |i| node("Gemm", &[&name(i), "w", &format!("b{}", bias(i))], &name(i + 1));
        let nodes: Vec<_> = (0..3000).map(node).chain([self::node("Identity", &["v3000"], "y")]).collect();
        file(&nodes, &[&[w.clone()][..], &biases].concat())
    };
    assert_eq!(Onnx::from_bytes(&layers(&|_| 0)).unwrap().model.len(), 3001);
    refused(&layers(&|i| i), "too many other layers");
}
