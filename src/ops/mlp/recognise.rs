//! Recognises a training step that the kernel can run: by operations and operands, never by names.

use super::{Chain, Loss, Plan, Rule, Run, Weights, padded, train};
use crate::device::{Kernel, Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Program, Source, Var};
use crate::ops::activation::{Apply, Slope};
use crate::ops::copy::{Flat, SliceCols};
use crate::ops::gather::Gather;
use crate::ops::matmul::Product;
use crate::ops::optim::{self, Update};
use crate::ops::reduce::{IntoHistory, Over, Sum};
use crate::ops::{Activation, Reduction, cross_entropy, loss};

/// A training step that one dispatch can run many times.
#[derive(Debug)]
pub(crate) struct Found {
    chain: Chain,
    data: [Tensor; 2],
    order: Tensor,
    rates: Tensor,
    values: Tensor,
    state: Vec<Tensor>,
    losses: Tensor,
}

impl Found {
    /// How it is run on the tensors' device.
    ///
    /// # Errors
    /// What [`Plan::new`] refuses.
    pub(crate) fn plan(&self) -> Result<Plan> {
        Plan::new(&self.chain, 1, self.values.device().capabilities())
    }

    /// The one dispatch.
    ///
    /// # Errors
    /// What [`train`] refuses.
    pub(crate) fn record(&self) -> Result<Recording> {
        let mut recording = Recording::new(self.values.device());
        let [inputs, targets] = &self.data;
        let run = Run {
            data: [inputs, targets],
            order: &self.order,
            rates: &self.rates,
            values: &self.values,
            state: &self.state,
            losses: &self.losses,
        };
        train(&mut recording, &self.chain, run)?;
        Ok(recording)
    }
}

/// A layer, as it was called.
struct Layer {
    x: Var,
    w: Var,
    b: Var,
    /// What the function is applied to, and what it gives: the same for a layer without one.
    z: Var,
    y: Var,
    /// Whether a function was called; it may be the identity.
    called: bool,
    function: Activation,
}

/// The training step that computes these values: a mini-batch, linear layers with activations, a loss into its history,
/// the gradients, one update.
///
/// With a reduction it is a step on samples with weights, without them: the last of the mini-batch's targets are the weights,
/// and the loss takes the others. What is found has each sample's error times its weight, so reduced.
///
/// # Errors
/// What of it is different.
pub(crate) fn recognise(graph: &Graph, wanted: &[Var], weighted: Option<Reduction>) -> Result<Found> {
    let program = &Program::new(graph, wanted, &[])?;
    let (histories, updates): (Vec<&Node>, Vec<_>) =
        wanted.iter().filter_map(|var| writer(program, *var)).partition(|node| node.is::<IntoHistory>().is_some());
    let (&[history], &[update]) = (&histories[..], &updates[..]) else {
        return no("other than one loss and one update: parameters in groups, shared, or frozen ones");
    };
    if weighted.is_none() && program.nodes().iter().any(|node| takes_weights(program, node)) {
        return no("samples with weights");
    }
    let (losses, loss) = (given(program, history.inputs[0])?, history.inputs[1]);
    let loss_node = writer(program, loss).ok_or_else(|| other("a loss that is not computed"))?;
    let (kind, scale) = match (loss::called(loss_node), cross_entropy::called(loss_node)) {
        (Some((error, scale)), _) => (Loss::Elementwise(error), scale),
        (None, Some(scale)) => (Loss::CrossEntropy, scale),
        (None, None) => return no(&format!("a loss that is {:?}", loss_node.op)),
    };
    let (y, t) = (loss_node.inputs[0], loss_node.inputs[1]);
    let targets = match weighted {
        None => t,
        Some(_) => targets_before_weights(program, t)?,
    };
    let batch = writer(program, targets).filter(|node| node.outputs.get(1) == Some(&targets));
    let Some((batch, gather)) = batch.and_then(|node| Some((node, node.is::<Gather>()?))) else {
        return no("targets that are not those of the mini-batch");
    };
    let layers = layers(program, y, batch.outputs[0])?;
    let Descent { rule, update: constants, values, gradients, rates, state } = update_of(program, update)?;
    let (starts, end) = starts(program, &layers, &values)?;
    let flat = writer(program, gradients).and_then(|node| Some((node, node.is::<Flat>()?)));
    let Some((flat, _)) = flat.filter(|(_, flat)| flat.starts == starts && values.len() == end) else {
        return no("an update of other parameters than the layers'");
    };
    let calls = backward(program, &layers, loss_node, &flat.inputs[1..])?;
    // A gather, perhaps the targets before the weights, the layers, a loss, a history, the gradients, one row of them, an
    // update.
    let called =
        layers.iter().map(|layer| 1 + usize::from(layer.called)).sum::<usize>() + usize::from(weighted.is_some());
    if called + calls + 5 != program.nodes().len() {
        return no("calls besides layers, loss and update");
    }
    let shape = |layer: &Layer| (program.shape(layer.w)[0], layer.function);
    let outputs = layers.last().map_or(1, |layer| program.shape(layer.w)[0]);
    let (scale, weights) = match weighted {
        None => (scale, Weights::None),
        Some(reduction) => {
            let outputs = if kind == Loss::CrossEntropy { 1 } else { outputs };
            let is_mean = matches!(reduction, Reduction::Mean | Reduction::SampleMean);
            (reduction.scale(1, outputs), if is_mean { Weights::Mean } else { Weights::Sum })
        }
    };
    let chain = Chain {
        inputs: program.shape(batch.outputs[0])[1],
        layers: layers.iter().map(shape).collect(),
        loss: kind,
        scale,
        weights,
        rule,
        update: constants,
        rows: gather.rows,
        stride: gather.stride,
    };
    let [order, inputs, targets] = [0, 1, 2].map(|i| given(program, batch.inputs[i]));
    let (inputs, targets) = (inputs?, targets?);
    if inputs.through(&targets).is_none() {
        return no("inputs and targets that are too large for one buffer");
    }
    Ok(Found { chain, data: [inputs, targets], order: order?, rates, values, state, losses })
}

fn other(what: &str) -> Error {
    Error::input("mlp", format!("it has {what}; one dispatch takes a chain of linear layers"))
}

fn no<T>(what: &str) -> Result<T> {
    Err(other(what))
}

/// Of which these are all columns but the last.
fn targets_before_weights(program: &Program<'_>, t: Var) -> Result<Var> {
    let all = writer(program, t).filter(|node| node.is::<SliceCols>().is_some()).map(|node| node.inputs[0]);
    let first_cols = |all: &Var| program.shape(*all)[1] == program.shape(t)[1] + 1;
    all.filter(first_cols).ok_or_else(|| other("targets that are not those of the mini-batch"))
}

/// Whether a call takes apart what a mini-batch has behind its targets.
fn takes_weights(program: &Program<'_>, node: &Node) -> bool {
    node.is::<SliceCols>().is_some()
        && writer(program, node.inputs[0])
            .is_some_and(|batch| batch.is::<Gather>().is_some() && batch.outputs.get(1) == Some(&node.inputs[0]))
}

fn writer<'p>(program: &'p Program<'_>, var: Var) -> Option<&'p Node> {
    Some(program.node(program.writer(var)?))
}

fn given(program: &Program<'_>, var: Var) -> Result<Tensor> {
    program.given(var).cloned().ok_or_else(|| other("values that are computed where data and parameters are read"))
}

/// The layers from x to y.
fn layers(program: &Program<'_>, y: Var, x: Var) -> Result<Vec<Layer>> {
    let (mut layers, mut at) = (Vec::new(), y);
    while at != x {
        let apply = writer(program, at).and_then(|node| Some((node.inputs[0], node.is::<Apply>()?.0)));
        let (z, function) = apply.unwrap_or((at, Activation::Identity));
        let called = apply.is_some();
        match writer(program, z) {
            Some(node) if Product::called(node) == Some(Product::LINEAR) => {
                let (x, w, b) = (node.inputs[0], node.inputs[1], node.inputs[2]);
                layers.push(Layer { x, w, b, z, y: at, called, function });
                at = x;
            }
            Some(node) => return no(&format!("{:?} between its layers", node.op)),
            None => return no("an input that is not the data's"),
        }
    }
    layers.reverse();
    Ok(layers)
}

/// Where the layers' parameters begin among these values, behind each other, and where they end.
fn starts(program: &Program<'_>, layers: &[Layer], values: &Tensor) -> Result<(Vec<usize>, usize)> {
    let mut starts = Vec::new();
    let mut end = 0;
    for layer in layers {
        let [outputs, inputs] = program.shape(layer.w);
        starts.extend([end, end + padded(inputs * outputs)]);
        end += padded(inputs * outputs) + padded(outputs);
        for (var, start) in [layer.w, layer.b].iter().zip(&starts[starts.len() - 2..]) {
            let tensor = given(program, *var)?;
            if tensor.buffer.id() != values.buffer.id() || tensor.offset != values.offset + start {
                return no("parameters that do not lie behind each other, layer by layer");
            }
        }
    }
    Ok((starts, end))
}

/// A forward pass that one dispatch can run.
#[derive(Debug)]
pub(crate) struct ForwardPass {
    pub(crate) layers: Vec<(usize, Activation)>,
    /// From the first weight to the last bias.
    pub(crate) values: Tensor,
}

/// The linear layers with activations that compute y from x.
///
/// # Errors
/// What of it is different.
pub(crate) fn recognise_forward(graph: &Graph, x: Var, y: Var) -> Result<ForwardPass> {
    let program = &Program::new(graph, &[y], &[])?;
    let layers = layers(program, y, x)?;
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return no("no layers") };
    let (weight, bias) = (given(program, first.w)?, given(program, last.b)?);
    starts(program, &layers, &weight)?;
    let values = weight.through(&bias).ok_or_else(|| other("parameters in other than one buffer"))?;
    Ok(ForwardPass { layers: layers.iter().map(|layer| (program.shape(layer.w)[0], layer.function)).collect(), values })
}

/// Checks that these are the gradients of weights and biases, layer by layer. How many calls they take.
fn backward(program: &Program<'_>, layers: &[Layer], loss: &Node, parts: &[Var]) -> Result<usize> {
    let wrong = || other("gradients that are not the loss's");
    let product = |node: &Node, transposed, operands: [Var; 2]| {
        Product::called(node) == Some((transposed, false)) && node.inputs == operands
    };
    let mut calls = 0;
    let mut above: Option<(Var, &Layer)> = None;
    for (layer, parts) in layers.iter().zip(parts.chunks_exact(2)).rev() {
        let [dw, db] = [0, 1].map(|i| writer(program, parts[i]).ok_or_else(wrong));
        let (dw, db) = (dw?, db?);
        let dz = dw.inputs[0];
        let sums = db.is::<Sum>() == Some(&Sum::new(Over::Rows, 1.0)) && db.inputs == [dz];
        let mut fits = sums && product(dw, [true, false], [dz, layer.x]);
        let mut dy = dz;
        if layer.function != Activation::Identity {
            let slope =
                writer(program, dz).filter(|node| node.is() == Some(&Slope(layer.function))).ok_or_else(wrong)?;
            let at = if layer.function.derivative_needs_input() { layer.z } else { layer.y };
            fits &= slope.inputs[0] == at;
            dy = slope.inputs[1];
            calls += 1;
        }
        let node = writer(program, dy).ok_or_else(wrong)?;
        fits &= match above {
            Some((dz, layer)) => product(node, [false, false], [dz, layer.w]),
            None => {
                let is_one = |var: Var| matches!(program.graph().source(var), Source::Number(1.0));
                (loss::is_gradient(node, loss) || cross_entropy::is_gradient(node, loss)) && is_one(node.inputs[2])
            }
        };
        if !fits {
            return Err(wrong());
        }
        above = Some((dz, layer));
        calls += 3;
    }
    Ok(calls)
}

/// An update of one row of parameters.
struct Descent {
    rule: Rule,
    update: Update,
    values: Tensor,
    gradients: Var,
    rates: Tensor,
    state: Vec<Tensor>,
}

/// What an update does is known by the dispatch that it records.
fn update_of(program: &Program<'_>, node: &Node) -> Result<Descent> {
    let unknown = || other(&format!("an update that is {:?}", node.op));
    let &[values, gradients, rates, norm, ref state @ ..] = &node.inputs[..] else { return Err(unknown()) };
    let (values, rates) = (given(program, values)?, given(program, rates)?);
    let state = state.iter().map(|var| given(program, *var)).collect::<Result<Vec<_>>>()?;
    if program.writer(norm).is_some() {
        return no("gradients clipped by norm, which needs all of them before any update");
    }
    let stand_in = |shape: [usize; 2]| Tensor::zeros(values.device(), shape[0], shape[1]);
    let (row, number) = (stand_in(program.shape(gradients))?, stand_in([1, 1])?);
    let inputs: Vec<_> = [&values, &row, &rates, &number].into_iter().chain(&state).collect();
    let outputs: Vec<_> = [&values].into_iter().chain(&state).collect();
    let mut recording = Recording::new(values.device());
    node.op.record(&mut recording, &inputs, &outputs)?;
    let [dispatch] = recording.dispatches() else { return Err(unknown()) };
    let same = |tensors: &[Tensor], others: &[&Tensor]| {
        tensors.len() == others.len() && tensors.iter().zip(others).all(|(one, other)| one.is(other))
    };
    if !same(&dispatch.outputs, &outputs) || !same(&dispatch.inputs, &[&row, &rates]) {
        return Err(unknown());
    }
    let kernels: [&'static Kernel; 4] = [&optim::SGD, &optim::MOMENTUM, &optim::ADAM, &optim::RMSPROP];
    let place = kernels.iter().position(|kernel| std::ptr::eq(*kernel, dispatch.kernel)).ok_or_else(unknown)?;
    let update = bytemuck::pod_read_unaligned(&dispatch.params);
    Ok(Descent { rule: Rule::ALL[place], update, values, gradients, rates, state })
}
