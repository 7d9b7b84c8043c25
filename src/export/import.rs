//! ONNX files as models: chains of nodes, with residual blocks and averages, become a `Sequential`.

mod average;
mod layers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::file::{File, Node};
use crate::data::Standardize;
use crate::error::{Error, ErrorKind, Result};
use crate::files;
use crate::nn::{Activation, Average, LogSoftmax, Module, Residual, Sequential, Softmax};

/// Deeper nesting of residual blocks and averages counts as a damaged file.
const MAX_DEPTH: usize = 100;

/// What an ONNX file holds: a model with its values, and what goes with it.
///
/// ```
/// use wgrad::export::{Export, Onnx};
/// use wgrad::nn::{Linear, Predictor, Sequential, Tanh};
/// use wgrad::Device;
///
/// let model = Sequential::new().add(Linear::new(2, 8)).add(Tanh).add(Linear::new(8, 1));
/// let predictor = Predictor::new(&Device::cpu(), model)?;
/// let bytes = Export::new(&predictor, 2)?.metadata("unit", "cm").onnx()?;
///
/// let file = Onnx::from_bytes(&bytes)?; // or Onnx::load(path)
/// assert_eq!(format!("{:?}", file.model), "Sequential(Linear(2, 8), Tanh, Linear(8, 1))");
/// assert_eq!(file.metadata, [("unit".to_string(), "cm".to_string())]);
/// let again = Predictor::new(&Device::cpu(), file.model)?;
/// assert_eq!(again.predict(&[0.5, 0.5], 2)?, predictor.predict(&[0.5, 0.5], 2)?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Onnx {
    /// The model. Its parameters get the file's values when they are placed on a device.
    pub model: Sequential,
    /// How the file standardises inputs before the model, which does not: `(x - mean) / std`.
    pub inputs: Option<Standardize>,
    /// How the file takes the model's outputs back to the scale of the targets: `y * std + mean`.
    pub targets: Option<Standardize>,
    /// Texts that go with the model: keys and values.
    pub metadata: Vec<(String, String)>,
}

impl Onnx {
    /// Reads a file of [`Export::save_onnx`](super::Export::save_onnx), or one of PyTorch's of a multi-layer perceptron.
    ///
    /// It takes chains of Gemm, MatMul, arithmetic with constants, activations, Softmax, LogSoftmax,
    /// BatchNormalization, LayerNormalization, Gather by the input (an embedding), Dropout, residual blocks and averages.
    ///
    /// # Errors
    /// A file that can't be read or is damaged ([`ErrorKind::Io`]); nodes that are none of these.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unreadable = |error| files::unreadable("Onnx::load", path, &error);
        files::readable_len(path).map_err(unreadable)?;
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::parse(&bytes, &path.display())
    }

    /// [`Onnx::load`] of the bytes of a file.
    ///
    /// # Errors
    /// See [`Onnx::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, &"bytes")
    }

    fn parse(bytes: &[u8], path: &dyn Display) -> Result<Self> {
        let error = |kind| move |fault| Error::new(kind, "Onnx::load", format!("{path}: {fault}"));
        let file = File::parse(bytes).map_err(error(ErrorKind::Io))?;
        Self::of(file).map_err(error(ErrorKind::InvalidInput))
    }

    fn of(file: File<'_>) -> Result<Self, String> {
        let mut chain = Chain::new(&file);
        let (start, inputs) = chain.standardised(file.input)?;
        let (end, targets) = chain.unscaled(file.output)?;
        let modules = chain.between(start, end, 0)?;
        if modules.is_empty() {
            return Err("it has no layers".into());
        }
        Ok(Self { model: Sequential::from(modules), inputs, targets, metadata: file.metadata })
    }
}

type Modules = Vec<Box<dyn Module>>;

/// The module of a node (none if it does nothing), and what it computes; or what is wrong.
type Found<'a> = Result<(Option<Box<dyn Module>>, &'a str), String>;

struct Chain<'a> {
    file: &'a File<'a>,
    /// The nodes that read a value, in the file's order.
    readers: BTreeMap<&'a str, Vec<usize>>,
    writers: BTreeMap<&'a str, usize>,
    /// Sums that end residual blocks, which are being read or have been.
    sums: BTreeSet<usize>,
    visited: BTreeSet<usize>,
    /// The layers by their parameters: those that have the same are one.
    shared: BTreeMap<Vec<&'a str>, Arc<dyn Module>>,
    /// Numbers that layers were given. A tensor can be in several, but a small file makes no large model.
    numbers: usize,
    /// Of each average that is being read, the nodes of the member at hand.
    members: Vec<BTreeSet<usize>>,
    /// Nodes that were looked at in search of averages.
    looks: usize,
}

impl<'a> Chain<'a> {
    fn new(file: &'a File<'a>) -> Self {
        let (mut readers, mut writers) = (BTreeMap::<_, Vec<usize>>::new(), BTreeMap::new());
        for (i, node) in file.nodes.iter().enumerate() {
            for input in node.inputs.iter().copied().collect::<BTreeSet<_>>() {
                readers.entry(input).or_default().push(i);
            }
            writers.extend(node.outputs.iter().map(|output| (*output, i)));
        }
        let (sums, visited, shared, numbers, members, looks) = Default::default();
        Self { file, readers, writers, sums, visited, shared, numbers, members, looks }
    }

    /// Those that read a value, other than sums that are known; in an average, those of the member at hand.
    fn readers(&self, value: &str) -> Vec<usize> {
        let all = self.readers.get(value).into_iter().flatten().copied();
        let is_near = |node: &usize| self.members.last().is_none_or(|member| member.contains(node));
        all.filter(|node| !self.sums.contains(node) && is_near(node)).collect()
    }

    /// The only node that reads a value.
    fn reader(&self, value: &str) -> Option<&'a Node<'a>> {
        match self.readers(value)[..] {
            [only] => self.file.nodes.get(only),
            _ => None,
        }
    }

    /// A value that comes after the input is standardised, and how.
    fn standardised(&self, input: &'a str) -> Result<(&'a str, Option<Standardize>), String> {
        let step = |op, value: &'a str| {
            let node = self.reader(value).filter(|node| node.op == op)?;
            let [x, row] = node.inputs[..] else { return None };
            Some((self.file.row(row).filter(|_| x == value)?, *node.outputs.first()?))
        };
        let Some((means, centred)) = step("Sub", input) else { return Ok((input, None)) };
        let Some((stds, scaled)) = step("Div", centred) else { return Ok((input, None)) };
        Ok((scaled, Some(scale(means, stds)?)))
    }

    /// A value that comes before the outputs are taken back to the scale of targets, and how.
    fn unscaled(&self, output: &'a str) -> Result<(&'a str, Option<Standardize>), String> {
        let step = |op, value: &str| {
            let node = self.file.nodes.get(*self.writers.get(value)?).filter(|node| node.op == op)?;
            let [x, row] = node.inputs[..] else { return None };
            Some((self.file.row(row)?, x))
        };
        let Some((means, scaled)) = step("Add", output) else { return Ok((output, None)) };
        let Some((stds, y)) = step("Mul", scaled) else { return Ok((output, None)) };
        Ok((y, Some(scale(means, stds)?)))
    }

    /// The modules from one value to another.
    fn between(&mut self, start: &'a str, end: &'a str, depth: usize) -> Result<Modules, String> {
        if depth > MAX_DEPTH {
            return Err(format!("residual blocks or averages nested more than {MAX_DEPTH} deep"));
        }
        let (mut value, mut modules) = (start, Modules::new());
        while value != end {
            let readers = self.readers(value);
            if let Some((members, mean)) = self.averaged(value, &readers) {
                let mut modules_of = |(end, nodes)| {
                    self.members.push(nodes);
                    let member = self.between(value, end, depth + 1);
                    self.members.pop();
                    Ok(Sequential::from(member?))
                };
                let members = members.into_iter().map(&mut modules_of).collect::<Result<Vec<_>, String>>()?;
                modules.push(Box::new(Average::new(members)));
                value = mean;
                continue;
            }
            let sum = readers.iter().rev().find_map(|sum| Some((*sum, self.added_to(value, *sum)?)));
            if let (Some((sum, other)), true) = (sum, readers.len() > 1) {
                self.sums.insert(sum);
                let mut block = self.between(value, other, depth + 1)?;
                match (block.pop(), block.is_empty()) {
                    (Some(only), true) => modules.push(Box::new(Residual::new(only))),
                    (last, _) => {
                        block.extend(last);
                        modules.push(Box::new(Residual::new(Sequential::from(block))));
                    }
                }
                value = self.output(sum)?;
                continue;
            }
            let (module, next) = match readers[..] {
                [] => return Err(format!("nothing that leads to the output reads '{value:.60}'")),
                [node] => self.module(value, node)?,
                [one, other] => self.gated(value, [one, other])?,
                _ => return Err(self.unreadable(value)),
            };
            modules.extend(module);
            value = next;
        }
        Ok(modules)
    }

    /// What a node adds to a value, if that is computed, too.
    fn added_to(&self, value: &str, node: usize) -> Option<&'a str> {
        let node = self.file.nodes.get(node).filter(|node| node.op == "Add")?;
        let [a, b] = node.inputs[..] else { return None };
        let other = if a == value { b } else { a };
        (other != value && !self.file.tensors.contains_key(other)).then_some(other)
    }

    /// SiLU and GELU as files have them that know neither: `x σ(x)` and `x (1 + erf(x / √2)) / 2`.
    fn gated(&mut self, value: &'a str, nodes: [usize; 2]) -> Found<'a> {
        for [gate, product] in [nodes, [nodes[1], nodes[0]]] {
            let file = self.file;
            let (Some(first), Some(product_node)) = (file.nodes.get(gate), file.nodes.get(product)) else { continue };
            let next = self.output(gate)?;
            let is_product = |with: &str| {
                let inputs = &product_node.inputs[..];
                product_node.op == "Mul" && (inputs == [value, with] || inputs == [with, value])
            };
            if first.op == "Sigmoid" && is_product(next) {
                self.visit(gate)?;
                self.visit(product)?;
                return Ok((Some(Box::new(Activation::SiLU)), self.output(product)?));
            }
            let Some(erf) = self.reader(next).filter(|node| node.op == "Erf") else { continue };
            let Some(sum) = erf.outputs.first().and_then(|erf| self.reader(erf)) else { continue };
            let Some(whole) = sum.outputs.first().copied() else { continue };
            // x is multiplied by the sum, then halved, or by half of the sum.
            let (half, factor, end) = match (is_product(whole), self.reader(whole)) {
                (true, _) => {
                    let Some(half) = self.reader(self.output(product)?) else { continue };
                    (half, whole, half.outputs.first().copied())
                }
                (false, Some(half)) => {
                    let Some(factor) = half.outputs.first().copied() else { continue };
                    (half, factor, product_node.outputs.first().copied())
                }
                (false, None) => continue,
            };
            let root = std::f32::consts::SQRT_2;
            let divides = self.is_by(first, "Div", root) || self.is_by(first, "Mul", 1.0 / root);
            let halves = self.is_by(half, "Mul", 0.5) || self.is_by(half, "Div", 2.0);
            if let (true, Some(end)) = (divides && halves && self.is_by(sum, "Add", 1.0) && is_product(factor), end) {
                self.visit(gate)?;
                self.visit(product)?;
                return Ok((Some(Box::new(Activation::GELU)), end));
            }
        }
        Err(self.unreadable(value))
    }

    /// Whether a node is an operation with this constant.
    fn is_by(&self, node: &Node<'_>, op: &str, constant: f32) -> bool {
        let found = node.inputs.iter().find_map(|input| self.file.scalar(input));
        node.op == op && found.is_some_and(|found| (found - constant).abs() < 1e-6 * constant)
    }

    /// The module of a node that alone reads a value (none if it does nothing), and what it computes.
    fn module(&mut self, value: &'a str, index: usize) -> Found<'a> {
        self.visit(index)?;
        let file = self.file;
        let (Some(node), output) = (file.nodes.get(index), self.output(index)?) else { return Err(String::new()) };
        let refused = |why: &str| Err(format!("{node} {why}"));
        let activation = |activation: Activation| Ok((Some(Box::new(activation) as Box<dyn Module>), output));
        let rows = |axis: i64| axis == -1 || axis == 1;
        match node.op {
            "Gemm" | "MatMul" => return self.linear(node, value, output),
            "Gather" => return self.embedding(node, value, output),
            "BatchNormalization" | "LayerNormalization" => return self.normalisation(node, output),
            "Softmax" if rows(node.int("axis", -1)) => return Ok((Some(Box::new(Softmax)), output)),
            "LogSoftmax" if rows(node.int("axis", -1)) => return Ok((Some(Box::new(LogSoftmax)), output)),
            // In inference. Matrices are flat, and the cast of category numbers is Embedding's own.
            "Dropout" if node.inputs.len() < 3 => return Ok((None, output)),
            "Flatten" if node.int("axis", 1) == 1 => return Ok((None, output)),
            "Cast" if self.reader(output).is_some_and(|next| next.op == "Gather") => return Ok((None, output)),
            "Identity" => return activation(Activation::Identity),
            "Relu" => return activation(Activation::ReLU),
            "Tanh" => return activation(Activation::Tanh),
            "Sigmoid" => return activation(Activation::Sigmoid),
            "Softplus" => return activation(Activation::Softplus),
            "Exp" => return activation(Activation::Exp),
            "Log" => return activation(Activation::Log),
            "LeakyRelu" => return activation(Activation::LeakyReLU { slope: node.float("alpha", 0.01) }),
            "Elu" => return activation(Activation::ELU { alpha: node.float("alpha", 1.0) }),
            "Gelu" => match node.text("approximate", "none") {
                "none" => return activation(Activation::GELU),
                "tanh" => return activation(Activation::GELUTanh),
                other => return refused(&format!("is approximated by '{other:.20}'")),
            },
            "Neg" => return activation(Activation::Affine { scale: -1.0, shift: 0.0 }),
            "Sqrt" => return activation(Activation::Pow { exponent: 0.5 }),
            "Reciprocal" => return activation(Activation::Pow { exponent: -1.0 }),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" => {}
            _ => return refused("is no layer or activation of wgrad's; only multi-layer perceptrons can be imported"),
        }
        let [a, b] = node.inputs[..] else { return refused("does not have two operands") };
        let is_first = a == value;
        let Some(number) = file.scalar(if is_first { b } else { a }) else {
            return refused("has an operand that is neither a number nor the end of a residual block");
        };
        let affine = |scale, shift| activation(Activation::Affine { scale, shift });
        match (node.op, is_first) {
            ("Add", _) => affine(1.0, number),
            ("Sub", true) => affine(1.0, -number),
            ("Sub", false) => affine(-1.0, number),
            ("Mul", _) => affine(number, 0.0),
            ("Div", true) if number != 0.0 => affine(1.0 / number, 0.0),
            ("Pow", true) => activation(Activation::Pow { exponent: number }),
            _ => refused("has its operands the other way round, or divides by 0"),
        }
    }

    /// Notes that a node was read; a second time the file goes in a circle.
    fn visit(&mut self, node: usize) -> Result<(), String> {
        if self.visited.insert(node) { Ok(()) } else { Err("its nodes go in a circle".into()) }
    }

    fn output(&self, node: usize) -> Result<&'a str, String> {
        let node = self.file.nodes.get(node).ok_or("a node that is not there")?;
        match node.outputs[..] {
            [output] | [output, ""] => Ok(output),
            _ => Err(format!("{node} has {} outputs; one is expected", node.outputs.len())),
        }
    }

    fn unreadable(&self, value: &str) -> String {
        let readers = self.readers(value);
        let nodes = readers.iter().take(4).filter_map(|node| self.file.nodes.get(*node));
        let ops: Vec<_> = nodes.map(|node| node.op).collect();
        format!(
            "'{value:.60}' goes to {} nodes ({}); only residual blocks and averages branch",
            readers.len(),
            ops.join(", ")
        )
    }
}

fn scale(means: &[f32], stds: &[f32]) -> Result<Standardize, String> {
    let columns = means.iter().zip(stds).map(|(mean, std)| (f64::from(*mean), f64::from(*std)));
    let scale = Standardize::from_columns(columns).filter(|_| means.len() == stds.len());
    scale.ok_or_else(|| "it standardises by standard deviations that are not positive, or too few".into())
}
