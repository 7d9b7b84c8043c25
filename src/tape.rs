//! Reverse-mode automatic differentiation: operations are recorded as they are called, and the tape schedules their
//! backward pass.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Parameter;
use crate::ops::dropout::hash;
use crate::ops::{Activation, activation};
use crate::recording::Recording;
use crate::tensor::Tensor;

/// A value on a [`Tape`]: a matrix that an operation computes, a parameter, or an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Var {
    tape: u64,
    index: usize,
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
    device: Device,
    id: u64,
    nodes: Vec<Node>,
    forward: Recording,
    training: bool,
    random: Random,
}

/// What operations with random numbers draw from.
#[derive(Clone, Debug, Default)]
struct Random {
    seed: u32,
    /// How many operations have drawn a key.
    operations: u32,
    /// Holds the number of runs so far; made when the first operation draws.
    clock: Option<Tensor>,
    /// Whether the clock is advanced by someone else than the graph.
    shared: bool,
}

type Backward = dyn Fn(&mut BackwardPass<'_>, &Tensor) -> Result<()>;

struct Node {
    value: Tensor,
    /// Whether a parameter or variable is among what it was computed from.
    needs_gradient: bool,
    source: Source,
}

enum Source {
    Input,
    Variable,
    Parameter(Parameter, Tensor),
    Operation(Box<Backward>),
}

/// What a backward pass does with the gradients that parameters already have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gradients {
    Accumulate,
    Overwrite,
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
                format!("a tensor on {} on a tape of {}", tensor.device().name(), self.device.name()),
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

    fn index(&self, var: Var) -> Result<usize> {
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
        self.schedule(loss, Gradients::Accumulate)
    }

    /// Like [`Tape::backward`], but each backward pass replaces the gradients of the parameters it reaches: nothing
    /// needs zeroing between steps.
    ///
    /// # Errors
    /// See [`Tape::backward`].
    pub fn backward_overwriting(self, loss: Var) -> Result<Graph> {
        self.schedule(loss, Gradients::Overwrite)
    }

    fn schedule(self, loss: Var, mode: Gradients) -> Result<Graph> {
        let last = self.index(loss)?;
        let node = &self.nodes[last];
        if node.value.shape() != [1, 1] {
            return Err(Error::shape(
                "backward",
                format!(
                    "the loss is {} x {}; reduce it to 1 x 1 (mse and other losses do)",
                    node.value.rows(),
                    node.value.cols()
                ),
            ));
        }
        if !node.needs_gradient {
            return Err(Error::input(
                "backward",
                "the loss depends on no parameter and no variable: nothing to train (frozen parameters don't count)",
            ));
        }
        let seed = Tensor::new(&self.device, 1, 1, &[1.0])?;
        let mut gradients: Vec<Option<Tensor>> = vec![None; self.nodes.len()];
        gradients[last] = Some(seed);
        let recording = Recording::new(&self.device);
        let mut pass = BackwardPass { tape: &self, recording, gradients, mode };
        for (index, node) in self.nodes.iter().enumerate().take(last + 1).rev() {
            let (Source::Operation(backward), true) = (&node.source, node.needs_gradient) else { continue };
            if let Some(gradient) = pass.gradients[index].clone() {
                backward(&mut pass, &gradient)?;
            }
        }
        let (backward, gradients) = (pass.recording, pass.gradients);
        let clock = self.random.clock.filter(|_| !self.random.shared);
        Ok(Graph { tape: self.id, forward: self.forward, backward, gradients, clock, runs: AtomicU32::new(0) })
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape of {} values:\n{}", self.nodes.len(), self.forward)
    }
}

/// A backward pass while it is being scheduled.
pub struct BackwardPass<'a> {
    tape: &'a Tape,
    recording: Recording,
    gradients: Vec<Option<Tensor>>,
    mode: Gradients,
}

/// Where a gradient goes.
#[derive(Debug)]
pub struct Sink {
    /// The gradient's tensor, of its value's shape.
    pub tensor: Tensor,
    /// Whether to add to what the tensor holds; otherwise overwrite it.
    pub accumulate: bool,
}

impl BackwardPass<'_> {
    /// Where an operation's backward launches go.
    pub fn recording(&mut self) -> &mut Recording {
        &mut self.recording
    }

    /// Where the gradient of `var` goes; `None` when nothing needs it. Each call counts as one contribution, so what
    /// is asked for must be written.
    ///
    /// # Errors
    /// A value of another tape; no memory for the gradient.
    pub fn sink(&mut self, var: Var) -> Result<Option<Sink>> {
        let index = self.tape.index(var)?;
        let node = &self.tape.nodes[index];
        if !node.needs_gradient {
            return Ok(None);
        }
        if let Some(tensor) = &self.gradients[index] {
            return Ok(Some(Sink { tensor: tensor.clone(), accumulate: true }));
        }
        let (tensor, accumulate) = match &node.source {
            Source::Parameter(_, gradient) => (gradient.clone(), self.mode == Gradients::Accumulate),
            _ => (self.tape.zeros(node.value.rows(), node.value.cols())?, false),
        };
        self.gradients[index] = Some(tensor.clone());
        Ok(Some(Sink { tensor, accumulate }))
    }

    /// Adds `gradient` to the gradient of `var` as it is: the backward of an addition.
    ///
    /// # Errors
    /// See [`BackwardPass::sink`].
    pub fn add(&mut self, var: Var, gradient: &Tensor) -> Result<()> {
        let Some(sink) = self.sink(var)? else { return Ok(()) };
        let inputs = [gradient; 3];
        activation::backward(&mut self.recording, Activation::Identity, inputs, &sink.tensor, sink.accumulate)
    }
}

impl fmt::Debug for BackwardPass<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackwardPass:\n{}", self.recording)
    }
}

/// A forward and a backward pass, ready to run: see [`Tape::backward`].
#[derive(Debug)]
pub struct Graph {
    tape: u64,
    forward: Recording,
    backward: Recording,
    gradients: Vec<Option<Tensor>>,
    clock: Option<Tensor>,
    runs: AtomicU32,
}

impl Graph {
    /// Computes the loss, and every value on the way.
    ///
    /// # Errors
    /// A lost device.
    pub fn forward(&self) -> Result<()> {
        if let Some(clock) = &self.clock {
            clock.write(&[f32::from_bits(self.runs.fetch_add(1, Ordering::Relaxed))])?;
        }
        self.forward.run()
    }

    /// Computes the gradients from the values of the last forward pass.
    ///
    /// # Errors
    /// A lost device.
    pub fn backward(&self) -> Result<()> {
        self.backward.run()
    }

    /// The launches of the forward pass.
    pub fn forward_recording(&self) -> &Recording {
        &self.forward
    }

    /// The launches of the backward pass.
    pub fn backward_recording(&self) -> &Recording {
        &self.backward
    }

    /// The gradient of the loss by a value of the tape; `None` for a value that needs none.
    pub fn gradient(&self, var: Var) -> Option<&Tensor> {
        if var.tape != self.tape { None } else { self.gradients.get(var.index)?.as_ref() }
    }
}
