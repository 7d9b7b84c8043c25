//! Lowering: from a graph of calls to a recording of dispatches.

mod allocate;
mod path;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Program, Rule, Source, Var};
use crate::ops::RULES;
use allocate::allocate;
pub use path::StepPath;

/// The dispatches that compute the wanted values of a graph, and no others, with neighbours merged by all
/// [`RULES`](crate::ops::RULES). The same graph serves prediction (ask for the output), evaluation (ask for the loss)
/// and training (ask for the results of the optimizer's calls).
///
/// # Errors
/// A value of another graph; a call that reads what a call in place has changed; tensors that do not fit the device.
pub fn lower(graph: &Graph, wanted: &[Var]) -> Result<Lowered> {
    Lowering::default().lower(graph, wanted)
}

/// Options for lowering a graph; [`lower()`] uses the defaults.
///
/// ```
/// use wgrad::{Device, Graph, Lowering, Tensor};
///
/// let device = Device::cpu();
/// let mut graph = Graph::new(&device);
/// let x = graph.input(&Tensor::new(&device, 2, 2, &[1.0, 2.0, 3.0, 4.0])?)?;
/// let product = graph.matmul(x, x)?;
/// let y = graph.tanh(product)?;
/// assert_eq!(Lowering::default().rules(&[]).lower(&graph, &[y])?.recording().len(), 2);
/// assert_eq!(Lowering::default().lower(&graph, &[y])?.recording().len(), 1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Lowering<'a> {
    rules: &'a [Rule],
    before: Option<&'a Lowered>,
    rows_apart: bool,
}

impl Default for Lowering<'_> {
    fn default() -> Self {
        Self { rules: RULES, before: None, rows_apart: false }
    }
}

impl<'a> Lowering<'a> {
    /// Merges calls by these rules instead of all of [`RULES`](crate::ops::RULES): with none of them there is (at least) a
    /// dispatch for each call.
    pub fn rules(mut self, rules: &'a [Rule]) -> Self {
        self.rules = rules;
        self
    }

    /// Takes the values that another lowering of the same graph has computed as they lie in its tensors: a backward pass
    /// that runs after a forward pass.
    pub fn after(mut self, before: &'a Lowered) -> Self {
        self.before = Some(before);
        self
    }

    /// Computes a row in the same way however many there are, if this is true: see [`Recording::keep_rows_apart`].
    pub(crate) fn rows_apart(mut self, rows_apart: bool) -> Self {
        self.rows_apart = rows_apart;
        self
    }

    /// See [`lower()`].
    ///
    /// # Errors
    /// See [`lower()`].
    pub fn lower(self, graph: &Graph, wanted: &[Var]) -> Result<Lowered> {
        let wanted = [wanted, graph.updates()].concat();
        let mut program = Program::new(graph, &wanted, self.before.map_or(&[], |before| &before.tensors))?;
        program.merge(self.rules);
        check_order(&program)?;
        let (mut tensors, allocated) = allocate(&program)?;
        let mut recording = Recording::new(graph.device());
        if self.rows_apart {
            recording.keep_rows_apart();
        }
        for node in program.nodes() {
            let of = |vars: &[Var]| -> Result<Vec<&Tensor>> {
                let missing = || Error::input("lower", format!("{:?} has an operand without a tensor", node.op));
                vars.iter().map(|var| tensors[var.index].as_ref().ok_or_else(missing)).collect()
            };
            node.op.record(&mut recording, &of(&node.inputs)?, &of(&node.outputs)?)?;
        }
        let is_clock = |index: usize| matches!(graph.source(program.var(index)), Source::Clock);
        let own_clock =
            (0..graph.values()).find(|index| is_clock(*index) && program.given(program.var(*index)).is_none());
        let clock = own_clock.and_then(|index| tensors[index].clone());
        // Where a call in place has changed a value, that value is no more.
        for changed in program.nodes().iter().flat_map(changed).filter(|var| program.writer(*var).is_some()) {
            tensors[changed.index] = None;
        }
        Ok(Lowered { recording, tensors, allocated, clock, runs: AtomicU32::new(0) })
    }
}

impl fmt::Debug for Lowering<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lowering by {} rules", self.rules.len())
    }
}

/// A recording, and where the wanted values lie after a run: see [`lower()`].
pub struct Lowered {
    recording: Recording,
    /// By the value's number.
    tensors: Vec<Option<Tensor>>,
    allocated: usize,
    /// Of random operations, if it is the graph's own: holds the number of runs.
    clock: Option<Tensor>,
    runs: AtomicU32,
}

impl Lowered {
    /// Runs the recording once. Random operations draw new numbers each time.
    ///
    /// # Errors
    /// A lost device.
    pub fn run(&self) -> Result<()> {
        if let Some(clock) = &self.clock {
            clock.write(&[f32::from_bits(self.runs.fetch_add(1, Ordering::Relaxed))])?;
        }
        self.recording.run()
    }

    /// The dispatches. Run by itself, it does not advance the clock of random operations.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The recording alone.
    pub fn into_recording(self) -> Recording {
        self.recording
    }

    /// Where a value lies after a run; `None` for one that was merged away or is not computed.
    pub fn tensor(&self, var: Var) -> Option<&Tensor> {
        self.tensors.get(var.index)?.as_ref()
    }

    /// The numbers of a wanted value after a run, row by row.
    ///
    /// # Errors
    /// A value that was not wanted; a lost device.
    pub fn read(&self, var: Var) -> Result<Vec<f32>> {
        let unwanted = || Error::input("read", "a value that was not requested when the graph was lowered");
        self.tensor(var).ok_or_else(unwanted)?.read()
    }

    /// Elements allocated for the values on the way.
    pub fn allocated(&self) -> usize {
        self.allocated
    }
}

impl fmt::Debug for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lowered, {} elements allocated:\n{}", self.allocated, self.recording)
    }
}

/// The operands that a call changes.
fn changed(node: &Node) -> impl Iterator<Item = Var> {
    node.op.in_place().into_iter().map(|(_, input)| node.inputs[input])
}

/// An error if something reads a value, or a tensor from outside that shares memory with it, after a call in place has
/// changed it.
fn check_order(program: &Program<'_>) -> Result<()> {
    for (at, node) in program.nodes().iter().enumerate() {
        for changed in changed(node) {
            if let Some(late) =
                program.nodes()[at + 1..].iter().find(|late| late.inputs.iter().any(|x| program.shares(*x, changed)))
            {
                let detail =
                    format!("{:?} reads a value that {:?} has changed; use what that one gives", late.op, node.op);
                return Err(Error::input("lower", detail));
            }
            if program.is_wanted(changed) && program.writer(changed).is_some() {
                let detail = format!("a value is wanted that {:?} has changed; want what that one gives", node.op);
                return Err(Error::input("lower", detail));
            }
        }
    }
    Ok(())
}
