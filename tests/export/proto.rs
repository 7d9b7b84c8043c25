//! Protocol buffers and ONNX files, read as the specifications have it and by nothing of wgrad's.

use std::collections::BTreeMap;

/// A field of a message: a number, or bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("a number: {number}"),
        }
    }

    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number as i64,
            Self::Bytes(_) => panic!("bytes"),
        }
    }
}

/// The fields of a message by their numbers.
pub(crate) fn message(bytes: &[u8]) -> BTreeMap<u64, Vec<Field>> {
    let mut fields = BTreeMap::<u64, Vec<Field>>::new();
    let mut at = 0;
    let varint = |at: &mut usize| {
        let mut number = 0_u64;
        for shift in 0.. {
            let byte = bytes[*at];
            *at += 1;
            number |= u64::from(byte & 127) << (7 * shift);
            if byte < 128 {
                return number;
            }
        }
        unreachable!()
    };
    while at < bytes.len() {
        let key = varint(&mut at);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut at)),
            2 => {
                let len = varint(&mut at) as usize;
                at += len;
                Field::Bytes(bytes[at - len..at].to_vec())
            }
            5 => {
                at += 4;
                Field::Bytes(bytes[at - 4..at].to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.entry(key >> 3).or_default().push(field);
    }
    fields
}

/// A tensor's shape and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) op: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    /// Floats, whole numbers and texts.
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Ints(Vec<i64>),
}

/// What a file of wgrad's holds.
pub(crate) struct Model {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// Name, columns.
    pub(crate) input: (String, i64),
    pub(crate) output: (String, i64),
    pub(crate) opset: i64,
    pub(crate) metadata: Vec<(String, String)>,
    /// The bytes of the graph.
    pub(crate) graph: Vec<u8>,
}

pub(crate) fn model(bytes: &[u8]) -> Model {
    let model = message(bytes);
    assert_eq!(model[&2][0].text(), "wgrad");
    let graph_bytes = model[&7][0].bytes().to_vec();
    let graph = message(&graph_bytes);
    let opset = message(model[&8][0].bytes());
    assert_eq!((model[&8].len(), opset[&1][0].text()), (1, String::new()));
    let info = |field: u64| {
        let [info] = &graph[&field][..] else { panic!("{}", graph[&field].len()) };
        let info = message(info.bytes());
        let kind = message(message(info[&2][0].bytes())[&1][0].bytes());
        assert_eq!(kind[&1][0].number(), 1, "f32");
        let dims = message(kind[&2][0].bytes())[&1].iter().map(|dim| message(dim.bytes())).collect::<Vec<_>>();
        assert_eq!((dims.len(), dims[0][&2][0].text()), (2, "batch".to_string()));
        (info[&1][0].text(), dims[1][&1][0].number())
    };
    let tensors = graph.get(&5).into_iter().flatten().map(|bytes| {
        let tensor = message(bytes.bytes());
        let dims = tensor.get(&1).into_iter().flatten().map(|dim| dim.number() as usize).collect::<Vec<_>>();
        let raw = tensor[&9][0].bytes();
        let values: Vec<f64> = match tensor[&2][0].number() {
            1 => raw.chunks(4).map(|chunk| f64::from(f32::from_le_bytes(chunk.try_into().unwrap()))).collect(),
            7 => raw.chunks(8).map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap()) as f64).collect(),
            other => panic!("type {other}"),
        };
        assert_eq!(values.len(), dims.iter().product::<usize>());
        (tensor[&8][0].text(), Tensor { dims, values })
    });
    let nodes = graph[&1].iter().map(|bytes| {
        let node = message(bytes.bytes());
        let [output] = &node[&2][..] else { panic!("{} outputs", node[&2].len()) };
        let attributes = node.get(&5).into_iter().flatten().map(|bytes| {
            let attribute = message(bytes.bytes());
            let value = match attribute[&20][0].number() {
                1 => Attribute::Float(f32::from_le_bytes(attribute[&2][0].bytes().try_into().unwrap())),
                2 => Attribute::Int(attribute[&3][0].number()),
                3 => Attribute::Text(attribute[&4][0].text()),
                7 => Attribute::Ints(attribute[&8].iter().map(Field::number).collect()),
                other => panic!("type {other}"),
            };
            (attribute[&1][0].text(), value)
        });
        Node {
            op: node[&4][0].text(),
            inputs: node[&1].iter().map(Field::text).collect(),
            output: output.text(),
            attributes: attributes.collect(),
        }
    });
    let metadata = model.get(&14).into_iter().flatten().map(|property| {
        let property = message(property.bytes());
        (property[&1][0].text(), property[&2][0].text())
    });
    Model {
        nodes: nodes.collect(),
        tensors: tensors.collect(),
        input: info(11),
        output: info(12),
        opset: opset[&2][0].number(),
        metadata: metadata.collect(),
        graph: graph_bytes,
    }
}
