//! The backward pass while it is scheduled, and the graph that runs both passes.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::ops::{Activation, activation};
use crate::tape::{Source, Tape, Var};

/// What a backward pass does with the gradients that parameters already have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gradients {
    Accumulate,
    Overwrite,
}

/// Walks the tape from its end and lets each operation push its backward launches.
pub(crate) fn schedule(tape: Tape, loss: Var, mode: Gradients) -> Result<Graph> {
    let last = tape.index(loss)?;
    let node = &tape.nodes[last];
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
    let seed = Tensor::new(&tape.device, 1, 1, &[1.0])?;
    let mut gradients: Vec<Option<Tensor>> = vec![None; tape.nodes.len()];
    gradients[last] = Some(seed);
    let recording = Recording::new(&tape.device);
    let mut pass = BackwardPass { tape: &tape, recording, gradients, mode };
    for (index, node) in tape.nodes.iter().enumerate().take(last + 1).rev() {
        let (Source::Operation(backward), true) = (&node.source, node.needs_gradient) else { continue };
        if let Some(gradient) = pass.gradients[index].clone() {
            backward(&mut pass, &gradient)?;
        }
    }
    let (backward, gradients) = (pass.recording, pass.gradients);
    let clock = tape.random.clock.filter(|_| !tape.random.shared);
    Ok(Graph { tape: tape.id, forward: tape.forward, backward, gradients, clock, runs: AtomicU32::new(0) })
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
#[non_exhaustive]
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
