//! The few messages of ONNX's protocol buffers: fields are written one behind the other, and read as slices of the file.

/// The number of a field and what it holds, as `onnx.proto` has them.
pub(super) mod field {
    macro_rules! fields {
        ($($module:ident: $($name:ident = $number:literal),*;)*) => {
            $(pub(in crate::export) mod $module {
                $(pub(in crate::export) const $name: u64 = $number;)*
            })*
        };
    }
    fields! {
        model: IR_VERSION = 1, PRODUCER_NAME = 2, PRODUCER_VERSION = 3, GRAPH = 7, OPSET_IMPORT = 8, METADATA_PROPS = 14;
        opset: DOMAIN = 1, VERSION = 2;
        property: KEY = 1, VALUE = 2;
        graph: NODE = 1, NAME = 2, INITIALIZER = 5, INPUT = 11, OUTPUT = 12;
        node: INPUT = 1, OUTPUT = 2, NAME = 3, OP_TYPE = 4, ATTRIBUTE = 5, DOMAIN = 7;
        attribute: NAME = 1, F = 2, I = 3, S = 4, T = 5, INTS = 8, TYPE = 20;
        tensor: DIMS = 1, DATA_TYPE = 2, FLOAT_DATA = 4, NAME = 8, RAW_DATA = 9, DOUBLE_DATA = 10,
                DATA_LOCATION = 14;
        value: NAME = 1, TYPE = 2;
        kind: TENSOR = 1;
        tensor_type: ELEM_TYPE = 1, SHAPE = 2;
        shape: DIM = 1;
        dimension: VALUE = 1, PARAM = 2;
    }
}

/// Types of numbers in tensors.
pub(super) const FLOAT: u64 = 1;
pub(super) const INT64: u64 = 7;
pub(super) const DOUBLE: u64 = 11;

/// A message that is being written.
#[derive(Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    pub(super) fn float(mut self, field: u64, number: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(super) fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Seven bits to a byte, the lowest first; the top bit says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Word([u8; 4]),
    Double([u8; 8]),
}

/// The fields of a message, in order.
pub(super) fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => Value::Double(array(&mut bytes)?),
            2 => {
                let len = varint(&mut bytes)?;
                let len = usize::try_from(len).ok().filter(|len| *len <= bytes.len());
                let (value, rest) = bytes.split_at(len.ok_or("it is cut short")?);
                bytes = rest;
                Value::Bytes(value)
            }
            5 => Value::Word(array(&mut bytes)?),
            other => return Err(format!("a field of wire type {other}")),
        };
        found.push((key >> 3, value));
    }
    Ok(found)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (value, rest) = bytes.split_first_chunk().ok_or("it is cut short")?;
    *bytes = rest;
    Ok(*value)
}

pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("it is cut short")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number of more than ten bytes".into())
}
