//! What is trained, and how.

use crate::device::ALIGNMENT;
use crate::ops::Activation;
use crate::ops::loss::Elementwise;
use crate::ops::optim::Update;

/// The loss of a chain's last layer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `scale * sum of error(p, t)`: see [`loss`](crate::ops::loss).
    Elementwise(Elementwise),
    /// `-scale * sum of t log_softmax(z)`: see [`cross_entropy`](crate::ops::cross_entropy).
    CrossEntropy,
}

impl Loss {
    pub(super) fn kind(self) -> u32 {
        match self {
            Self::Elementwise(error) => error.kind(),
            Self::CrossEntropy => 4,
        }
    }

    pub(super) fn from_kind(kind: u32, constant: f32) -> Self {
        if kind == 4 { Self::CrossEntropy } else { Self::Elementwise(Elementwise::from_kind(kind, constant)) }
    }
}

/// The weights of samples, in a column behind the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Weights {
    /// There are none.
    #[default]
    None,
    /// A sample's error counts as many times as its weight says.
    Sum,
    /// The same, divided by the sum of the mini-batch's weights.
    Mean,
}

impl Weights {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Sum, Self::Mean];

    /// Columns that they take.
    pub(super) fn cols(self) -> usize {
        usize::from(self != Self::None)
    }
}

/// An optimizer's rule: see the function of its name in [`optim`](crate::ops::optim).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// `value -= rate * gradient`.
    Sgd,
    /// SGD with momentum.
    Momentum,
    /// Adam.
    Adam,
    /// RMSProp.
    RmsProp,
}

impl Rule {
    pub(super) const ALL: [Self; 4] = [Self::Sgd, Self::Momentum, Self::Adam, Self::RmsProp];

    /// How many numbers it keeps for each parameter.
    pub fn states(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum => 1,
            Self::Adam | Self::RmsProp => 2,
        }
    }

    pub(super) fn kind(self) -> u32 {
        self as u32
    }

    pub(super) fn from_kind(kind: u32) -> Self {
        Self::ALL.get(kind as usize).copied().unwrap_or(Self::Sgd)
    }
}

/// What is trained, and how: layer l is `x_(l+1) = activation_l(x_l w_lᵀ + b_l)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Columns of the input.
    pub inputs: usize,
    /// Of each layer the outputs, and the function that it ends with.
    pub layers: Vec<(usize, Activation)>,
    /// The loss of the last layer's outputs.
    pub loss: Loss,
    /// What the loss's sum over a mini-batch is multiplied by.
    pub scale: f32,
    /// How much samples count.
    pub weights: Weights,
    /// The optimizer's rule.
    pub rule: Rule,
    /// The rule's constants. Its `clip_norm` must be 0.
    pub update: Update,
    /// Rows of a mini-batch.
    pub rows: usize,
    /// From the first row of a mini-batch, in the order, to the first of the next: at least `rows`.
    pub stride: usize,
}

impl Chain {
    /// Each layer's inputs and outputs.
    pub(super) fn sizes(&self) -> impl DoubleEndedIterator<Item = [usize; 2]> + ExactSizeIterator {
        sizes(self.inputs, &self.layers)
    }

    pub(super) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |(outputs, _)| *outputs)
    }

    /// Elements of a network's parameters: weights [outputs, inputs] and bias of each layer in turn, each from a multiple
    /// of 64 on.
    pub fn values_len(&self) -> usize {
        values_len(self.inputs, &self.layers)
    }

    /// Multiplications of a step, to the order of magnitude.
    pub(super) fn work(&self) -> u64 {
        let products: usize = self.sizes().map(|[inputs, outputs]| (inputs + 1) * outputs).sum();
        3 * (self.stride * products) as u64
    }
}

/// Each layer's inputs and outputs.
pub(super) fn sizes(
    inputs: usize,
    layers: &[(usize, Activation)],
) -> impl DoubleEndedIterator<Item = [usize; 2]> + ExactSizeIterator {
    (0..layers.len()).map(move |l| [if l == 0 { inputs } else { layers[l - 1].0 }, layers[l].0])
}

/// See [`Chain::values_len`].
pub(super) fn values_len(inputs: usize, layers: &[(usize, Activation)]) -> usize {
    let lens = sizes(inputs, layers)
        .map(|[inputs, outputs]| padded(inputs.saturating_mul(outputs)).saturating_add(padded(outputs)));
    lens.fold(0, usize::saturating_add)
}

/// The different functions that end layers, and which of them ends each.
pub(super) fn functions(layers: &[(usize, Activation)]) -> (Vec<Activation>, Vec<usize>) {
    let (mut functions, mut which) = (Vec::new(), Vec::new());
    for (_, function) in layers {
        which.push(functions.iter().position(|known| known == function).unwrap_or_else(|| {
            functions.push(*function);
            functions.len() - 1
        }));
    }
    (functions, which)
}

/// Elements up to where the next tensor in a buffer can begin.
pub(super) fn padded(len: usize) -> usize {
    len.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
}
