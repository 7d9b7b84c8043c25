//! Traces as ONNX graphs.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{FLOAT, INT64, Message, field};
use super::{Export, Formula, Step};
use crate::data::Standardize;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::reduce::Over;
use crate::ops::{Activation, Binary};

/// The version of the operators, and of the format that came with it.
const OPSET: (u64, u64) = (17, 8);
/// The first one with Gelu.
const OPSET_OF_GELU: (u64, u64) = (20, 9);

/// A value of the ONNX graph.
#[derive(Clone)]
struct Value {
    name: String,
    /// Whether it has one dimension, as vectors do that are parameters.
    vector: bool,
}

enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
}

struct Node {
    op: &'static str,
    inputs: Vec<String>,
    output: String,
    attributes: Vec<Message>,
}

struct Writer {
    nodes: Vec<Node>,
    initializers: Vec<Message>,
    names: BTreeSet<String>,
    opset: (u64, u64),
}

/// The bytes of an ONNX file.
pub(super) fn write(export: &Export) -> Result<Vec<u8>> {
    let trace = &export.trace;
    let mut writer = Writer { nodes: Vec::new(), initializers: Vec::new(), names: BTreeSet::new(), opset: OPSET };
    let [input, output] = &export.names;
    let (input, output) = (writer.fresh(input), writer.fresh(output));
    let mut values = BTreeMap::new();
    for (var, constant) in &trace.constants {
        let dims: Vec<i64> = constant.shape.iter().map(|len| *len as i64).collect();
        let name = writer.floats(&constant.name, &dims, &constant.values);
        values.insert(*var, Value { name, vector: constant.shape.len() == 1 });
    }
    let mut x = input.clone();
    if let Some(scale) = &export.inputs {
        let [mean, std] = writer.scale("input", scale);
        let centred = writer.node("Sub", &[&x, &mean], &[]);
        x = writer.node("Div", &[&centred, &std], &[]);
    }
    values.insert(trace.input, Value { name: x, vector: false });
    for step in &trace.steps {
        let value = writer.step(step, &values, |var| trace.shape(var))?;
        values.insert(step.output, value);
    }
    let mut y = writer.matrix(&values, trace.output)?;
    if let Some(scale) = &export.targets {
        let [mean, std] = writer.scale("output", scale);
        let scaled = writer.node("Mul", &[&y, &std], &[]);
        y = writer.node("Add", &[&scaled, &mean], &[]);
    }
    if !writer.nodes.iter().any(|node| node.output == y) {
        y = writer.node("Identity", &[&y], &[]);
    }
    writer.rename(&y, &output);

    let [input_cols, output_cols] = trace.cols();
    let mut graph = Message::default();
    for node in writer.nodes {
        graph = graph.message(field::graph::NODE, node.message());
    }
    graph = graph.text(field::graph::NAME, "wgrad");
    for tensor in writer.initializers {
        graph = graph.message(field::graph::INITIALIZER, tensor);
    }
    graph = graph
        .message(field::graph::INPUT, matrix_info(&input, input_cols))
        .message(field::graph::OUTPUT, matrix_info(&output, output_cols));
    let (opset, ir) = writer.opset;
    let mut model = Message::default()
        .number(field::model::IR_VERSION, ir)
        .text(field::model::PRODUCER_NAME, "wgrad")
        .text(field::model::PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))
        .message(field::model::GRAPH, graph)
        .message(
            field::model::OPSET_IMPORT,
            Message::default().text(field::opset::DOMAIN, "").number(field::opset::VERSION, opset),
        );
    for (key, value) in &export.metadata {
        let property = Message::default().text(field::property::KEY, key).text(field::property::VALUE, value);
        model = model.message(field::model::METADATA_PROPS, property);
    }
    Ok(model.into_bytes())
}

impl Writer {
    fn step(&mut self, step: &Step, values: &BTreeMap<Var, Value>, shape: impl Fn(Var) -> [usize; 2]) -> Result<Value> {
        let operand = |i: usize| values.get(&step.inputs[i]).map_or("", |value| value.name.as_str());
        let all_vectors = step.inputs.iter().all(|var| values.get(var).is_some_and(|value| value.vector));
        let of_matrix = |name| Value { name, vector: false };
        Ok(match &step.formula {
            Formula::Product { transposed, bias } => {
                let [a, b] = [self.matrix(values, step.inputs[0])?, self.matrix(values, step.inputs[1])?];
                let flags = transposed.map(i64::from).map(Attribute::Int);
                let [ta, tb] = &flags;
                let mut inputs = vec![a.as_str(), &b];
                inputs.extend(bias.then(|| operand(2)));
                of_matrix(self.node("Gemm", &inputs, &[("transA", ta), ("transB", tb)]))
            }
            // What is computed element by element has one dimension if all its operands do.
            Formula::Function(function) => Value { name: self.function(*function, operand(0)), vector: all_vectors },
            Formula::Arithmetic(binary) => {
                let op = match binary {
                    Binary::Add => "Add",
                    Binary::Sub => "Sub",
                    Binary::Mul => "Mul",
                    Binary::Div => "Div",
                };
                Value { name: self.node(op, &[operand(0), operand(1)], &[]), vector: all_vectors }
            }
            Formula::Softmax { log } => {
                let op = if *log { "LogSoftmax" } else { "Softmax" };
                Value { name: self.node(op, &[operand(0)], &[("axis", &Attribute::Int(-1))]), vector: all_vectors }
            }
            Formula::Sum { over, scale, square } => {
                let mut x = self.matrix(values, step.inputs[0])?;
                if *square {
                    x = self.node("Mul", &[&x, &x], &[]);
                }
                let axes = match over {
                    Over::Rows => &[0][..],
                    Over::Columns => &[1],
                    Over::All => &[0, 1],
                };
                let axes = self.integers("axes", axes);
                let sum = self.node("ReduceSum", &[&x, &axes], &[("keepdims", &Attribute::Int(1))]);
                of_matrix(if *scale == 1.0 { sum } else { self.with_scalar("Mul", &sum, *scale) })
            }
            Formula::Transpose => {
                let x = self.matrix(values, step.inputs[0])?;
                of_matrix(self.node("Transpose", &[&x], &[("perm", &Attribute::Ints(&[1, 0]))]))
            }
            Formula::SliceCols { first, cols } => {
                let x = self.matrix(values, step.inputs[0])?;
                let [starts, ends, axes] = [("starts", *first), ("ends", first + cols), ("axes", 1)]
                    .map(|(name, number)| self.integers(name, &[number as i64]));
                of_matrix(self.node("Slice", &[&x, &starts, &ends, &axes], &[]))
            }
            Formula::ConcatCols => {
                let parts = step.inputs.iter().map(|part| self.matrix(values, *part)).collect::<Result<Vec<_>>>()?;
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                of_matrix(self.node("Concat", &parts, &[("axis", &Attribute::Int(1))]))
            }
            Formula::Embedding => {
                let [numbers, table] = [self.matrix(values, step.inputs[0])?, self.matrix(values, step.inputs[1])?];
                let numbers = self.node("Cast", &[&numbers], &[("to", &Attribute::Int(INT64 as i64))]);
                let rows = self.node("Gather", &[&table, &numbers], &[("axis", &Attribute::Int(0))]);
                of_matrix(self.node("Flatten", &[&rows], &[("axis", &Attribute::Int(1))]))
            }
            Formula::OneHot { classes, on, off } => {
                let numbers = self.matrix(values, step.inputs[0])?;
                let numbers = self.node("Cast", &[&numbers], &[("to", &Attribute::Int(INT64 as i64))]);
                let (depth, range) =
                    (self.integers("depth", &[*classes as i64]), self.floats("values", &[2], &[*off, *on]));
                let rows = self.node("OneHot", &[&numbers, &depth, &range], &[("axis", &Attribute::Int(-1))]);
                of_matrix(self.node("Flatten", &[&rows], &[("axis", &Attribute::Int(1))]))
            }
            Formula::BatchNorm { eps, momentum } => {
                let operands: Vec<_> = (0..5).map(operand).collect();
                // ONNX counts the other share.
                let [epsilon, momentum] = [*eps, 1.0 - momentum].map(Attribute::Float);
                let attributes = [("epsilon", &epsilon), ("momentum", &momentum)];
                of_matrix(self.node("BatchNormalization", &operands, &attributes))
            }
            Formula::LayerNorm { eps } => {
                let operands: Vec<_> = (0..3).map(operand).collect();
                let attributes = [("axis", &Attribute::Int(-1)), ("epsilon", &Attribute::Float(*eps))];
                of_matrix(self.node("LayerNormalization", &operands, &attributes))
            }
            Formula::Unknown(operation) => {
                let shapes: Vec<_> = step.inputs.iter().map(|var| shape(*var)).collect();
                let detail = format!(
                    "ONNX has no counterpart of {operation} on {shapes:?}; compose it of other operations, or have \
                     Operation::expand do so"
                );
                return Err(Error::input("export", detail));
            }
        })
    }

    fn function(&mut self, function: Activation, x: &str) -> String {
        let alpha = |alpha: f32| [("alpha", Attribute::Float(alpha))];
        match function {
            Activation::Identity => self.node("Identity", &[x], &[]),
            Activation::ReLU => self.node("Relu", &[x], &[]),
            Activation::Tanh => self.node("Tanh", &[x], &[]),
            Activation::Sigmoid => self.node("Sigmoid", &[x], &[]),
            Activation::Softplus => self.node("Softplus", &[x], &[]),
            Activation::Exp => self.node("Exp", &[x], &[]),
            Activation::Log => self.node("Log", &[x], &[]),
            Activation::LeakyReLU { slope } => {
                self.node("LeakyRelu", &[x], &alpha(slope).each_ref().map(|(n, a)| (*n, a)))
            }
            Activation::ELU { alpha: own } => self.node("Elu", &[x], &alpha(own).each_ref().map(|(n, a)| (*n, a))),
            Activation::GELU | Activation::GELUTanh => {
                self.opset = OPSET_OF_GELU;
                let how = if function == Activation::GELU { "none" } else { "tanh" };
                self.node("Gelu", &[x], &[("approximate", &Attribute::Text(how))])
            }
            Activation::SiLU => {
                let gate = self.node("Sigmoid", &[x], &[]);
                self.node("Mul", &[x, &gate], &[])
            }
            Activation::Pow { exponent } => self.with_scalar("Pow", x, exponent),
            Activation::Affine { scale, shift } => {
                let scaled = if scale == 1.0 { x.into() } else { self.with_scalar("Mul", x, scale) };
                if shift == 0.0 && scale != 1.0 { scaled } else { self.with_scalar("Add", &scaled, shift) }
            }
        }
    }

    /// A value as a matrix: a vector becomes a row.
    fn matrix(&mut self, values: &BTreeMap<Var, Value>, var: Var) -> Result<String> {
        let missing = || Error::input("export", "a value that nothing in the graph computes");
        let Value { name, vector } = values.get(&var).cloned().ok_or_else(missing)?;
        if !vector {
            return Ok(name);
        }
        let axes = self.integers("axes", &[0]);
        Ok(self.node("Unsqueeze", &[&name, &axes], &[]))
    }

    fn with_scalar(&mut self, op: &'static str, x: &str, number: f32) -> String {
        let number = self.floats("constant", &[], &[number]);
        self.node(op, &[x, &number], &[])
    }

    /// Adds a node, and returns the name of its output.
    fn node(&mut self, op: &'static str, inputs: &[&str], attributes: &[(&str, &Attribute<'_>)]) -> String {
        let output = self.fresh(&op.to_lowercase());
        let attributes = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
        let inputs = inputs.iter().map(|name| name.to_string()).collect();
        self.nodes.push(Node { op, inputs, output: output.clone(), attributes });
        output
    }

    fn rename(&mut self, old: &str, new: &str) {
        for node in &mut self.nodes {
            node.inputs.iter_mut().chain([&mut node.output]).filter(|name| *name == old).for_each(|name| {
                *name = new.into();
            });
        }
    }

    /// Mean and standard deviation, as vectors.
    fn scale(&mut self, of: &str, scale: &Standardize) -> [String; 2] {
        let (mean, std): (Vec<f32>, Vec<f32>) = scale.columns().map(|(mean, std)| (mean as f32, std as f32)).unzip();
        let dims = [mean.len() as i64];
        [("mean", mean), ("std", std)].map(|(what, values)| self.floats(&format!("{of}.{what}"), &dims, &values))
    }

    fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, dims, &bytes)
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INT64, &[values.len() as i64], &bytes)
    }

    fn tensor(&mut self, name: &str, kind: u64, dims: &[i64], bytes: &[u8]) -> String {
        let name = self.fresh(name);
        let tensor =
            dims.iter().fold(Message::default(), |tensor, dim| tensor.number(field::tensor::DIMS, *dim as u64));
        let tensor = tensor
            .number(field::tensor::DATA_TYPE, kind)
            .text(field::tensor::NAME, &name)
            .bytes(field::tensor::RAW_DATA, bytes);
        self.initializers.push(tensor);
        name
    }

    /// This name, with a number if it is taken.
    fn fresh(&mut self, name: &str) -> String {
        let numbered = (2..).map(|i| format!("{name}_{i}"));
        let fresh = [name.to_string()].into_iter().chain(numbered).find(|name| !self.names.contains(name));
        let fresh = fresh.unwrap_or_default();
        self.names.insert(fresh.clone());
        fresh
    }
}

impl Node {
    fn message(&self) -> Message {
        let node = self.inputs.iter().fold(Message::default(), |node, input| node.text(field::node::INPUT, input));
        let node = node
            .text(field::node::OUTPUT, &self.output)
            .text(field::node::NAME, &self.output)
            .text(field::node::OP_TYPE, self.op);
        self.attributes.iter().fold(node, |node, attribute| node.message(field::node::ATTRIBUTE, attribute.clone()))
    }
}

fn attribute(name: &str, value: &Attribute<'_>) -> Message {
    let message = Message::default().text(field::attribute::NAME, name);
    let (message, kind) = match value {
        Attribute::Float(number) => (message.float(field::attribute::F, *number), 1),
        Attribute::Int(number) => (message.number(field::attribute::I, *number as u64), 2),
        Attribute::Text(text) => (message.text(field::attribute::S, text), 3),
        Attribute::Ints(numbers) => {
            let with = |message: Message, number: &i64| message.number(field::attribute::INTS, *number as u64);
            (numbers.iter().fold(message, with), 7)
        }
    };
    message.number(field::attribute::TYPE, kind)
}

/// Name and type of the input or output: f32, [batch, cols].
fn matrix_info(name: &str, cols: usize) -> Message {
    let batch = Message::default().text(field::dimension::PARAM, "batch");
    let cols = Message::default().number(field::dimension::VALUE, cols as u64);
    let shape = Message::default().message(field::shape::DIM, batch).message(field::shape::DIM, cols);
    let tensor =
        Message::default().number(field::tensor_type::ELEM_TYPE, FLOAT).message(field::tensor_type::SHAPE, shape);
    let kind = Message::default().message(field::kind::TENSOR, tensor);
    Message::default().text(field::value::NAME, name).message(field::value::TYPE, kind)
}
