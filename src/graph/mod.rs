//! The graph of calls, as data: operations, their operands and results. Nothing here knows a concrete operation.

mod program;
mod rows;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::device::{Device, Recording, Tensor};
use crate::error::{Error, Result};
pub use program::{Merge, Program, Rule};

/// `[rows, columns]`.
pub type Shape = [usize; 2];

/// A value of a [`Graph`]: the result of a call, or an input. Just an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var {
    graph: u64,
    pub(crate) index: usize,
}

/// An operation of a graph. Built-in and custom operations implement the same trait, on equal terms.
///
/// An operation holds its attributes (an activation's kind, a dropout's probability); its operands are in the [`Node`].
/// `examples/autograd.rs` defines one outside the crate.
pub trait Operation: Any + fmt::Debug + Send + Sync {
    /// The shapes of the outputs (usually one) for operands of these shapes.
    ///
    /// # Errors
    /// The wrong number of operands, or wrong shapes.
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>>;

    /// Pushes the dispatches (usually one) that compute the outputs.
    ///
    /// # Errors
    /// What [`Recording::dispatch`] refuses.
    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()>;

    /// The gradient of each operand x from dy, the gradient of the output y, as calls on the same graph; `None` is zero.
    /// Give all of them: lowering drops those that are not used. An operation with several outputs has none.
    ///
    /// # Errors
    /// By default: the operation is not differentiable.
    fn gradient(&self, graph: &mut Graph, x: &[Var], y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let _ = (graph, x, y, dy);
        Err(Error::input("gradients", format!("{self:?} has no gradient; the loss must not depend on it")))
    }

    /// The same value composed of other operations, for an operation that is differentiated through this expansion.
    ///
    /// # Errors
    /// What the calls refuse.
    fn expand(&self, graph: &mut Graph, x: &[Var]) -> Result<Option<Var>> {
        let _ = (graph, x);
        Ok(None)
    }

    /// Outputs that are computed in the memory of an input, as (output, input): sums that accumulate, parameters that are
    /// updated. The input must not be read afterwards.
    fn in_place(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }

    /// The element of the first output at which an input would best be computed in the first place, so that nothing has
    /// to be copied: the parts of a flat buffer.
    fn place(&self, input: usize) -> Option<usize> {
        let _ = input;
        None
    }

    /// Whether its outputs should be in one buffer, in order.
    fn joined(&self) -> bool {
        false
    }

    /// Whether row i of each output depends on row i of those operands that are rows `of_data`, and not on their other rows.
    /// (The other operands are parameters and constants.) A model of such operations predicts any number of rows by a few
    /// recordings; another has one recorded for each number of rows.
    fn keeps_rows_apart(&self, inputs: &[Shape], of_data: &[bool]) -> bool {
        let _ = (inputs, of_data);
        false
    }
}

/// A call: an operation, its operands, and the values it gives.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was called.
    pub op: Arc<dyn Operation>,
    /// Its operands.
    pub inputs: Vec<Var>,
    /// Its outputs.
    pub outputs: Vec<Var>,
}

impl Node {
    /// The operation, if it is of this type.
    pub fn is<T: Operation>(&self) -> Option<&T> {
        (&*self.op as &dyn Any).downcast_ref()
    }
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The call of this number.
    Call(usize),
    /// A tensor from outside.
    Tensor(Tensor),
    /// A constant, [1, 1].
    Number(f32),
    /// The number of runs so far, as the bits of a `u32`, [1, 1]: what random operations draw from.
    Clock,
}

struct Value {
    shape: Shape,
    source: Source,
}

/// The calls in the order in which they were made. Building a graph allocates and dispatches nothing;
/// [`lower`](crate::lower()) turns it into a [`Recording`], and [`gradients`](crate::gradients) adds the backward pass
/// as calls on the same graph.
///
/// ```
/// use wgrad::ops::Reduction;
/// use wgrad::{Device, Graph, Tensor, gradients, lower};
///
/// let device = Device::cpu();
/// let x = Tensor::new(&device, 1, 2, &[3.0, -1.0])?;
/// let zero = Tensor::zeros(&device, 1, 2)?;
///
/// let mut graph = Graph::new(&device);
/// let (x, t) = (graph.input(&x)?, graph.input(&zero)?);
/// let y = graph.relu(x)?;
/// let loss = graph.mse(y, t, Reduction::Sum)?;
/// let dx = gradients(&mut graph, loss, &[x])?[0].unwrap();
///
/// let lowered = lower(&graph, &[loss, dx])?;
/// lowered.run()?;
/// assert_eq!(lowered.read(loss)?, [9.0]);      // max(3, 0)² + max(-1, 0)²
/// assert_eq!(lowered.read(dx)?, [6.0, 0.0]);   // 2 max(x, 0)
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Graph {
    device: Device,
    id: u64,
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: HashMap<(u64, usize, Shape), Var>,
    updates: Vec<Var>,
    training: bool,
    /// Whether it is there for its shapes alone.
    only_shapes: bool,
    random: Random,
}

/// What operations with random numbers draw from.
#[derive(Default)]
struct Random {
    seed: u32,
    /// How many operations have drawn a key.
    keys: u32,
    clock: Option<Var>,
}

impl Graph {
    /// An empty graph for training.
    pub fn new(device: &Device) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            device: device.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: HashMap::new(),
            updates: Vec::new(),
            training: true,
            only_shapes: false,
            random: Random::default(),
        }
    }

    /// An empty graph for evaluation, on which nothing is random: dropout returns its input.
    pub fn for_evaluation(device: &Device) -> Self {
        Self { training: false, ..Self::new(device) }
    }

    /// An empty graph for evaluation that is there for its shapes alone: tensors of any device fit, and parameters need none.
    pub(crate) fn for_shapes(device: &Device) -> Self {
        Self { only_shapes: true, ..Self::for_evaluation(device) }
    }

    /// Whether the graph is there for its shapes alone.
    pub(crate) fn has_only_shapes(&self) -> bool {
        self.only_shapes
    }

    /// A value without numbers, for a graph of shapes.
    pub(crate) fn placeholder(&mut self, shape: Shape) -> Var {
        self.value(shape, Source::Number(0.0))
    }

    /// The same graph with another seed for its random operations (0 unless set).
    pub fn seed(mut self, seed: u32) -> Self {
        self.random.seed = seed;
        self
    }

    /// Makes random operations count runs with this tensor, which the caller advances, instead of the graph's own.
    pub(crate) fn with_clock(mut self, clock: &Tensor) -> Result<Self> {
        self.random.clock = Some(self.input(clock)?);
        Ok(self)
    }

    /// The device of its tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the graph is for training, not evaluation.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// A tensor from outside: data, a parameter, a state. The same tensor is the same value, however often it is
    /// passed; so a parameter that two layers share gets one gradient. Writing to the tensor changes what the next run
    /// sees.
    ///
    /// # Errors
    /// A tensor of another device.
    pub fn input(&mut self, tensor: &Tensor) -> Result<Var> {
        if *tensor.device() != self.device && !self.only_shapes {
            return Err(Error::input(
                "graph",
                format!(
                    "a tensor on {} in a graph on {}; make both on one Device (clones of it are the same)",
                    tensor.device().name(),
                    self.device.name()
                ),
            ));
        }
        let key = (tensor.buffer.id(), tensor.offset, tensor.shape());
        if let Some(var) = self.inputs.get(&key) {
            return Ok(*var);
        }
        let var = self.value(tensor.shape(), Source::Tensor(tensor.clone()));
        self.inputs.insert(key, var);
        Ok(var)
    }

    /// Makes `after`, which a call in place gives for `before`, part of all lowerings of this graph: a state that every run
    /// changes, such as running statistics. `before` is a tensor from outside ([`Graph::input`]); whoever passes it from
    /// here on gets `after`.
    ///
    /// # Errors
    /// Another shape; a value that is no such tensor, or that was updated already; a value of another graph.
    pub fn update(&mut self, before: Var, after: Var) -> Result<()> {
        let (old, new) = (self.shape(before)?, self.shape(after)?);
        if old != new {
            return Err(Error::shape("update", format!("{old:?} becomes {new:?}; an update keeps the shape")));
        }
        let Some(current) = self.inputs.values_mut().find(|var| **var == before) else {
            let detail = "only a tensor from outside, as it is now, can be updated; pass what Graph::input gives";
            return Err(Error::input("update", detail));
        };
        *current = after;
        self.updates.retain(|var| *var != before);
        self.updates.push(after);
        Ok(())
    }

    /// What every lowering computes besides what is wanted.
    pub(crate) fn updates(&self) -> &[Var] {
        &self.updates
    }

    /// A constant, [1, 1], which arithmetic repeats to any shape.
    pub fn constant(&mut self, number: f32) -> Var {
        self.value([1, 1], Source::Number(number))
    }

    /// Adds a call: every operation enters the graph this way. Returns its outputs.
    ///
    /// # Errors
    /// Operands of another graph, or what the operation refuses.
    pub fn call(&mut self, op: impl Operation, inputs: &[Var]) -> Result<Vec<Var>> {
        let shapes = inputs.iter().map(|var| self.shape(*var)).collect::<Result<Vec<_>>>()?;
        let outputs = op.shapes(&shapes)?;
        let fits = |(output, input): &(usize, usize)| {
            outputs.get(*output).zip(shapes.get(*input)).is_some_and(|(output, input)| output == input)
        };
        if !op.in_place().iter().all(fits) {
            return Err(Error::input("graph", format!("{op:?} computes in place of an operand of another shape")));
        }
        let node = self.nodes.len();
        let outputs: Vec<_> = outputs.into_iter().map(|shape| self.value(shape, Source::Call(node))).collect();
        self.nodes.push(Node { op: Arc::new(op), inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// [`Graph::call`] of an operation with one output.
    ///
    /// # Errors
    /// See [`Graph::call`]; an operation without outputs.
    pub fn call1(&mut self, op: impl Operation, inputs: &[Var]) -> Result<Var> {
        let outputs = self.call(op, inputs)?;
        outputs.first().copied().ok_or_else(|| Error::input("graph", "an operation without outputs"))
    }

    fn value(&mut self, shape: Shape, source: Source) -> Var {
        self.values.push(Value { shape, source });
        Var { graph: self.id, index: self.values.len() - 1 }
    }

    /// A value's shape.
    ///
    /// # Errors
    /// A value of another graph.
    pub fn shape(&self, var: Var) -> Result<Shape> {
        self.check(var)?;
        Ok(self.values[var.index].shape)
    }

    /// An error unless the value is one of this graph.
    pub(crate) fn check(&self, var: Var) -> Result<()> {
        if var.graph == self.id {
            return Ok(());
        }
        Err(Error::input("graph", "a value of another graph; values belong to the graph that created them"))
    }

    /// The clock of random operations, and a new key for each caller.
    pub(crate) fn random_key(&mut self) -> (Var, [u32; 2]) {
        let clock = match self.random.clock {
            Some(clock) => clock,
            None => self.value([1, 1], Source::Clock),
        };
        self.random.clock = Some(clock);
        self.random.keys += 1;
        (clock, [self.random.seed, self.random.keys])
    }

    /// The number of values.
    pub(crate) fn values(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn source(&self, var: Var) -> &Source {
        &self.values[var.index].source
    }

    /// The shape of a value of this graph.
    pub(crate) fn own_shape(&self, var: Var) -> Shape {
        self.values[var.index].shape
    }

    /// The calls, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// One call per line: `v3[32, 25] = Apply(Tanh)(v2[32, 25])`.
impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |vars: &[Var]| {
            let show = |var: &Var| format!("v{}{:?}", var.index, self.own_shape(*var));
            vars.iter().map(show).collect::<Vec<_>>().join(", ")
        };
        for node in &self.nodes {
            writeln!(f, "{} = {:?}({})", list(&node.outputs), node.op, list(&node.inputs))?;
        }
        Ok(())
    }
}
