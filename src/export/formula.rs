//! What a call computes, in terms that other formats know: the one table of operations that a model can be exported with.

use crate::graph::Node;
use crate::ops::broadcast::{Arithmetic, Binary};
use crate::ops::copy::operation::{ConcatCols, SliceCols, Transpose};
use crate::ops::embedding::Embedding;
use crate::ops::matmul::Product;
use crate::ops::one_hot::OneHot;
use crate::ops::reduce::{Over, Sum};
use crate::ops::softmax::operation::Softmax;
use crate::ops::{Activation, activation::Apply};

/// What is computed from operands, each a matrix; each writer has an arm for each.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Formula {
    /// `a b`, each transposed or not, and with a bias a third operand, [1, c], added to each row.
    Product { transposed: [bool; 2], bias: bool },
    /// A function of each element.
    Function(Activation),
    /// The softmax of each row, or its logarithm.
    Softmax { log: bool },
    /// `a (+ - * /) b` with broadcasting.
    Arithmetic(Binary),
    /// `scale` times the sum of x, or of its squares.
    Sum { over: Over, scale: f32, square: bool },
    /// xᵀ.
    Transpose,
    /// `cols` columns from `first` on.
    SliceCols { first: usize, cols: usize },
    /// Matrices side by side.
    ConcatCols,
    /// Rows of the second operand by the numbers in the first, those of each row side by side.
    Embedding,
    /// Class numbers [n, 1] as rows of `off` with one `on`.
    OneHot { classes: usize, on: f32, off: f32 },
    /// `(x - mean) / √(variance + eps) * weight + bias`. Operands: x, weight, bias, mean, variance. In training the batch counts
    /// as much as `momentum` in the last two, which changes nothing here.
    BatchNorm { eps: f32, momentum: f32 },
    /// The same with the mean and variance of each row. Operands: x, weight, bias.
    LayerNorm { eps: f32 },
    /// Something else, shown.
    Unknown(String),
}

impl Formula {
    /// What an operation of a forward pass computes; None for one that is not in the table.
    pub(super) fn of(node: &Node) -> Option<Self> {
        if node.outputs.len() != 1 {
            return None;
        }
        if let Some((transposed, bias)) = Product::called(node) {
            return Some(Self::Product { transposed, bias });
        }
        if let Some(Apply(function)) = node.is() {
            return Some(Self::Function(*function));
        }
        if let Some(Softmax { log }) = node.is() {
            return Some(Self::Softmax { log: *log });
        }
        if let Some(Arithmetic(binary)) = node.is() {
            return Some(Self::Arithmetic(*binary));
        }
        if let Some(Sum { over, scale, square, clip, adds: false, history: false }) = node.is() {
            return (*clip == f32::INFINITY).then_some(Self::Sum { over: *over, scale: *scale, square: *square });
        }
        if node.is::<Transpose>().is_some() {
            return Some(Self::Transpose);
        }
        if let Some(SliceCols { first, cols }) = node.is() {
            return Some(Self::SliceCols { first: *first, cols: *cols });
        }
        if node.is::<ConcatCols>().is_some() {
            return Some(Self::ConcatCols);
        }
        if node.is::<Embedding>().is_some() {
            return Some(Self::Embedding);
        }
        if let Some(OneHot { classes, on, off, ignored: None }) = node.is() {
            return Some(Self::OneHot { classes: *classes, on: *on, off: *off });
        }
        None
    }
}
