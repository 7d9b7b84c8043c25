//! ONNX files, read and checked: nodes, tensors, the input and the output. Nothing is allocated that the file does not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::proto::{DOUBLE, FLOAT, Value, field, fields, varint};

/// What a file holds, borrowed from its bytes.
pub(super) struct File<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) tensors: BTreeMap<&'a str, Rc<Tensor>>,
    /// Its length.
    pub(super) bytes: usize,
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) metadata: Vec<(String, String)>,
}

#[derive(Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: BTreeMap<&'a str, Attribute<'a>>,
}

/// Numbers of a tensor; those of other types than f32 and f64 are not kept.
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) values: Option<Vec<f32>>,
}

#[derive(Default)]
struct Attribute<'a> {
    float: Option<f32>,
    int: Option<i64>,
    text: Option<&'a str>,
    tensor: Option<&'a [u8]>,
}

type Fault = String;

impl<'a> File<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.is_empty() {
            return Err("the file is empty; download or export it again".into());
        }
        let no_model = |fault| format!("no ONNX file, or a damaged one: {fault}");
        let model = fields(bytes).map_err(no_model)?;
        let metadata =
            all(&model, field::model::METADATA_PROPS)?.into_iter().map(property).collect::<Result<_, _>>()?;
        if all(&model, field::model::OPSET_IMPORT)?.is_empty() {
            return Err(no_model("it does not say which operators it is made of".into()));
        }
        let graph = all(&model, field::model::GRAPH)?;
        let [graph] = graph[..] else { return Err(no_model(format!("it has {} graphs", graph.len()))) };
        let graph = fields(graph)?;
        let mut tensors = BTreeMap::new();
        for bytes in all(&graph, field::graph::INITIALIZER)? {
            let (name, tensor) = Tensor::parse(bytes)?;
            if tensors.insert(name, Rc::new(tensor)).is_some() {
                return Err(format!("two initializers are called '{name}'"));
            }
        }
        let mut nodes = Vec::new();
        for bytes in all(&graph, field::graph::NODE)? {
            let node = Node::parse(bytes)?;
            match (node.op, &node.outputs[..]) {
                ("Constant", [output]) => {
                    let value = node.attributes.get("value").and_then(|value| value.tensor);
                    let value = value.ok_or_else(|| format!("the Constant '{output}' is no tensor"))?;
                    tensors.insert(output, Rc::new(Tensor::parse(value)?.1));
                }
                // PyTorch's second name for a tensor that is there already.
                ("Identity", [output]) if node.inputs.first().is_some_and(|input| tensors.contains_key(input)) => {
                    if let Some(same) = node.inputs.first().and_then(|input| tensors.get(input)).cloned() {
                        tensors.insert(output, same);
                    }
                }
                _ => nodes.push(node),
            }
        }
        let named = |number| -> Result<Vec<&'a str>, Fault> {
            let values = all(&graph, number)?.into_iter();
            values.map(|value| last_text(&fields(value)?, field::value::NAME)).collect()
        };
        // Older files list the initializers among the inputs.
        let mut inputs = named(field::graph::INPUT)?;
        inputs.retain(|name| !tensors.contains_key(name));
        let outputs = named(field::graph::OUTPUT)?;
        let ([input], [output]) = (&inputs[..], &outputs[..]) else {
            return Err(format!("{} inputs and {} outputs; a model here has one of each", inputs.len(), outputs.len()));
        };
        let mut written = BTreeSet::from([*input]);
        if let Some(twice) = nodes.iter().flat_map(|node| &node.outputs).find(|output| !written.insert(output)) {
            return Err(format!("'{twice}' is computed twice"));
        }
        Ok(Self { nodes, tensors, bytes: bytes.len(), input, output, metadata })
    }

    /// A tensor of single or double precision.
    pub(super) fn tensor(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let tensor = self.tensors.get(name)?;
        Some((&tensor.dims, tensor.values.as_ref()?))
    }

    /// The number that is meant by a name, if it has no dimensions.
    pub(super) fn scalar(&self, name: &str) -> Option<f32> {
        match self.tensor(name)? {
            ([] | [1], [value]) => Some(*value),
            _ => None,
        }
    }

    /// A row, [c] or [1, c].
    pub(super) fn row(&self, name: &str) -> Option<&[f32]> {
        match self.tensor(name)? {
            ([_] | [1, _], values) => Some(values),
            _ => None,
        }
    }
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut node = Self::default();
        for (number, value) in fields(bytes)? {
            match number {
                field::node::INPUT => node.inputs.push(text(value)?),
                field::node::OUTPUT => node.outputs.push(text(value)?),
                field::node::NAME => node.name = text(value)?,
                field::node::OP_TYPE => node.op = text(value)?,
                field::node::DOMAIN => node.domain = text(value)?,
                field::node::ATTRIBUTE => {
                    let (name, attribute) = Attribute::parse(message(value)?)?;
                    node.attributes.insert(name, attribute);
                }
                _ => {}
            }
        }
        if !["", "ai.onnx"].contains(&node.domain) {
            return Err(format!("{node} is of the domain '{}', which has no counterpart here", node.domain));
        }
        Ok(node)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes.get(name).and_then(|attribute| attribute.float).unwrap_or(default)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attributes.get(name).and_then(|attribute| attribute.int).unwrap_or(default)
    }

    pub(super) fn text(&self, name: &str, default: &'a str) -> &'a str {
        self.attributes.get(name).and_then(|attribute| attribute.text).unwrap_or(default)
    }
}

impl std::fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() { self.outputs.first().copied().unwrap_or_default() } else { self.name };
        write!(f, "the node '{name:.60}' ({:.60})", self.op)
    }
}

impl<'a> Attribute<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(&'a str, Self), Fault> {
        let (mut name, mut attribute) = ("", Self::default());
        for (number, value) in fields(bytes)? {
            match (number, value) {
                (field::attribute::NAME, value) => name = text(value)?,
                (field::attribute::F, Value::Word(word)) => attribute.float = Some(f32::from_le_bytes(word)),
                (field::attribute::I, Value::Number(number)) => attribute.int = Some(number as i64),
                (field::attribute::S, value) => attribute.text = text(value).ok(),
                (field::attribute::T, Value::Bytes(bytes)) => attribute.tensor = Some(bytes),
                _ => {}
            }
        }
        Ok((name, attribute))
    }
}

impl Tensor {
    fn parse(bytes: &[u8]) -> Result<(&str, Self), Fault> {
        let (mut name, mut dims, mut kind, mut raw, mut values) = ("", Vec::new(), 0, None, Vec::new());
        for (number, value) in fields(bytes)? {
            match (number, value) {
                (field::tensor::NAME, value) => name = text(value)?,
                (field::tensor::DATA_TYPE, Value::Number(number)) => kind = number,
                (field::tensor::DIMS, Value::Number(dim)) => dims.push(dim),
                (field::tensor::DIMS, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        dims.push(varint(&mut packed)?);
                    }
                }
                (field::tensor::RAW_DATA, Value::Bytes(bytes)) => raw = Some(bytes),
                (field::tensor::FLOAT_DATA, Value::Word(word)) => values.push(f32::from_le_bytes(word)),
                (field::tensor::FLOAT_DATA, Value::Bytes(packed)) => values.extend(singles(packed)),
                (field::tensor::DOUBLE_DATA, Value::Double(word)) => values.push(f64::from_le_bytes(word) as f32),
                (field::tensor::DOUBLE_DATA, Value::Bytes(packed)) => values.extend(doubles(packed)),
                (field::tensor::DATA_LOCATION, Value::Number(1)) => {
                    return Err(format!("'{name}' is in another file; export the model with its weights in one file"));
                }
                _ => {}
            }
        }
        let dims = dims.into_iter().map(|dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>();
        let len = dims.as_ref().and_then(|dims| dims.iter().try_fold(1_usize, |len, dim| len.checked_mul(*dim)));
        let (Some(dims), Some(len)) = (dims, len) else { return Err(format!("'{name}' has an impossible shape")) };
        let width = match kind {
            FLOAT => 4,
            DOUBLE => 8,
            _ => return Ok((name, Self { dims, values: None })),
        };
        if let Some(raw) = raw {
            if Some(raw.len()) != len.checked_mul(width) {
                return Err(format!("'{name}' has {} bytes for {len} numbers; the file is damaged", raw.len()));
            }
            values = if kind == FLOAT { singles(raw).collect() } else { doubles(raw).collect() };
        }
        if values.len() != len {
            return Err(format!("'{name}' has {} numbers for a shape of {len}; the file is damaged", values.len()));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("'{name}' has numbers that are not finite in single precision"));
        }
        Ok((name, Self { dims, values: Some(values) }))
    }
}

fn singles(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk))
}

fn doubles(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32)
}

fn property(bytes: &[u8]) -> Result<(String, String), Fault> {
    let fields = fields(bytes)?;
    let [key, value] = [field::property::KEY, field::property::VALUE].map(|number| last_text(&fields, number));
    Ok((key?.into(), value?.into()))
}

/// All messages of a field.
fn all<'a>(fields: &[(u64, Value<'a>)], number: u64) -> Result<Vec<&'a [u8]>, Fault> {
    fields.iter().filter(|(other, _)| *other == number).map(|(_, value)| message(*value)).collect()
}

fn last_text<'a>(fields: &[(u64, Value<'a>)], number: u64) -> Result<&'a str, Fault> {
    fields.iter().rfind(|(other, _)| *other == number).map_or(Ok(""), |(_, value)| text(*value))
}

fn message(value: Value<'_>) -> Result<&[u8], Fault> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err("no ONNX file, or a damaged one: a number where a message should be".into()),
    }
}

fn text(value: Value<'_>) -> Result<&str, Fault> {
    std::str::from_utf8(message(value)?).map_err(|_| "no ONNX file, or a damaged one: a name that is not UTF-8".into())
}
