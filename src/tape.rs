//! Reverse-mode automatic differentiation: operations are recorded as they are called, and the tape schedules their
//! backward pass.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::{Device, Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{BackwardPass, Gradients, Graph, schedule};
use crate::nn::Parameter;
use crate::ops::dropout::hash;

/// A value on a [`Tape`]: a matrix that an operation computes, a parameter, or an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Var {
    pub(crate) tape: u64,
    pub(crate) index: usize,
}

/// Records operations and what their gradients are.
///
/// Calling an operation checks the shapes and records a launch; nothing is computed. [`Tape::backward`] then gives a
/// [`Graph`], which runs the forward and the backward pass as often as wanted. A value used twice gets the sum of both
/// gradients.
///
/// ```
/// use wgrad::ops::Reduction;
/// use wgrad::{Device, Tape, Tensor};
///
/// let device = Device::cpu();
/// let x = Tensor::new(&device, 1, 2, &[3.0, -1.0])?;
/// let zero = Tensor::zeros(&device, 1, 2)?;
///
/// let mut tape = Tape::new(&device);
/// let (v, t) = (tape.variable(&x)?, tape.input(&zero)?);
/// let y = tape.relu(v)?;
/// let loss = tape.mse(y, t, Reduction::Sum)?;
/// let value = tape.tensor(loss)?;
/// let graph = tape.backward(loss)?;
///
/// graph.forward()?;
/// graph.backward()?;
/// assert_eq!(value.read()?, [9.0]);                               // max(3, 0)² + max(-1, 0)²
/// assert_eq!(graph.gradient(v).unwrap().read()?, [6.0, 0.0]);     // 2 max(x, 0)
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Tape {
    pub(crate) device: Device,
    pub(crate) id: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) forward: Recording,
    training: bool,
    pub(crate) random: Random,
}

/// What operations with random numbers draw from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Random {
    seed: u32,
    /// How many operations have drawn a key.
    operations: u32,
    /// Holds the number of runs so far; made when the first operation draws.
    pub(crate) clock: Option<Tensor>,
    /// Whether the clock is advanced by someone else than the graph.
    pub(crate) shared: bool,
}

type Backward = dyn Fn(&mut BackwardPass<'_>, &Tensor) -> Result<()>;

pub(crate) struct Node {
    pub(crate) value: Tensor,
    /// Whether a parameter or variable is among what it was computed from.
    pub(crate) needs_gradient: bool,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Input,
    Variable,
    Parameter(Parameter, Tensor),
    Operation(Box<Backward>),
}

impl Tape {
    /// An empty tape.
    pub fn new(device: &Device) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            device: device.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            nodes: Vec::new(),
            forward: Recording::new(device),
            training: true,
            random: Random::default(),
        }
    }

    /// An empty tape for evaluation, on which nothing is random: dropout passes its input on.
    pub fn for_evaluation(device: &Device) -> Self {
        Self { training: false, ..Self::new(device) }
    }

    /// A tape whose random numbers follow from a seed and a clock that the caller advances.
    pub(crate) fn with_clock(device: &Device, seed: u64, clock: &Tensor) -> Self {
        let seed = (seed ^ (seed >> 32)) as u32;
        let random = Random { seed, operations: 0, clock: Some(clock.clone()), shared: true };
        Self { random, ..Self::new(device) }
    }

    /// The same tape with another seed for its random operations (0 unless set).
    pub fn seed(mut self, seed: u32) -> Self {
        self.random.seed = seed;
        self
    }

    /// Whether the tape is for training, not evaluation.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// The clock, and a key of its own for an operation that draws random numbers.
    pub(crate) fn random_key(&mut self) -> Result<(Tensor, u32)> {
        let clock = match &self.random.clock {
            Some(clock) => clock.clone(),
            None => self.random.clock.insert(self.zeros(1, 1)?).clone(),
        };
        self.random.operations += 1;
        Ok((clock, hash(self.random.seed ^ hash(self.random.operations))))
    }

    /// The device on which the operations run.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A matrix that gets no gradient: data. Writing to the tensor changes what the next run sees.
    ///
    /// # Errors
    /// A tensor of another device.
    pub fn input(&mut self, tensor: &Tensor) -> Result<Var> {
        self.leaf(tensor, false, Source::Input)
    }

    /// A matrix whose gradient [`Graph::gradient`] gives; it is computed afresh by every backward pass.
    ///
    /// # Errors
    /// A tensor of another device.
    pub fn variable(&mut self, tensor: &Tensor) -> Result<Var> {
        self.leaf(tensor, true, Source::Variable)
    }

    /// A parameter, whose gradient adds up in [`Parameter::gradient`] until it is zeroed.
    ///
    /// # Errors
    /// A parameter that was not placed on this tape's device: see [`Parameters::new`](crate::nn::Parameters::new).
    pub fn parameter(&mut self, parameter: &Parameter) -> Result<Var> {
        let known = |node: &Node| matches!(&node.source, Source::Parameter(other, _) if other == parameter);
        if let Some(index) = self.nodes.iter().position(known) {
            return Ok(Var { tape: self.id, index });
        }
        let source = Source::Parameter(parameter.clone(), parameter.gradient()?);
        self.leaf(&parameter.value()?, !parameter.is_frozen(), source)
    }

    fn leaf(&mut self, tensor: &Tensor, needs_gradient: bool, source: Source) -> Result<Var> {
        if *tensor.device() != self.device {
            return Err(Error::input(
                "tape",
                format!(
                    "a tensor on {} on a tape of {}; make both on one Device (clones of it are the same)",
                    tensor.device().name(),
                    self.device.name()
                ),
            ));
        }
        Ok(self.node(Node { value: tensor.clone(), needs_gradient, source }))
    }

    fn node(&mut self, node: Node) -> Var {
        self.nodes.push(node);
        Var { tape: self.id, index: self.nodes.len() - 1 }
    }

    /// The tensor that holds a value after a run.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn tensor(&self, var: Var) -> Result<Tensor> {
        Ok(self.nodes[self.index(var)?].value.clone())
    }

    /// Whether a gradient flows to this value: whether a parameter or a variable is among what it is computed from.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn needs_gradient(&self, var: Var) -> Result<bool> {
        Ok(self.nodes[self.index(var)?].needs_gradient)
    }

    pub(crate) fn index(&self, var: Var) -> Result<usize> {
        if var.tape == self.id {
            return Ok(var.index);
        }
        Err(Error::input("tape", "a value of another tape; values live on the tape whose operation gave them"))
    }

    /// A new tensor on the tape's device, for an operation's output.
    ///
    /// # Errors
    /// See [`Tensor::zeros`].
    pub fn zeros(&self, rows: usize, cols: usize) -> Result<Tensor> {
        Tensor::zeros(&self.device, rows, cols)
    }

    /// Where an operation pushes its forward launches.
    pub fn recording(&mut self) -> &mut Recording {
        &mut self.forward
    }

    /// Ends an operation: `out` is what its launches compute from `inputs`. `backward` is given the gradient of the
    /// output, and pushes launches that add to the gradients of those inputs that have a [`BackwardPass::sink`].
    ///
    /// `examples/autograd.rs` defines an operation of its own with it.
    ///
    /// # Errors
    /// A value of another tape.
    pub fn push(
        &mut self,
        out: Tensor,
        inputs: &[Var],
        backward: impl Fn(&mut BackwardPass<'_>, &Tensor) -> Result<()> + 'static,
    ) -> Result<Var> {
        let mut needs_gradient = false;
        for input in inputs {
            needs_gradient |= self.nodes[self.index(*input)?].needs_gradient;
        }
        Ok(self.node(Node { value: out, needs_gradient, source: Source::Operation(Box::new(backward)) }))
    }

    /// The recorded operations, without gradients: for prediction.
    pub fn finish(self) -> Recording {
        self.forward
    }

    /// The forward pass, and the backward pass from `loss`, a [1, 1] value. Gradients of parameters add up over
    /// backward passes until zeroed.
    ///
    /// # Errors
    /// A loss that is not [1, 1], or that depends on no parameter and no variable; a value of another tape.
    pub fn backward(self, loss: Var) -> Result<Graph> {
        schedule(self, loss, Gradients::Accumulate)
    }

    /// Like [`Tape::backward`], but each backward pass replaces the gradients of the parameters it reaches: nothing
    /// needs zeroing between steps.
    ///
    /// # Errors
    /// See [`Tape::backward`].
    pub fn backward_overwriting(self, loss: Var) -> Result<Graph> {
        schedule(self, loss, Gradients::Overwrite)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape of {} values:\n{}", self.nodes.len(), self.forward)
    }
}
