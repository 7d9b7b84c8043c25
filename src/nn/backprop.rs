//! Forward and backward passes for hand-written training loops, as in PyTorch.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::gradient::gradients;
use crate::graph::{Graph, Var};
use crate::lower::{Lowered, Lowering};
use crate::nn::{Parameter, Parameters};
use crate::ops::copy::AddTo;

/// A forward pass, and a backward pass that accumulates the gradients of a model's parameters until they are zeroed:
/// the building blocks of a hand-written training loop.
///
/// ```
/// use wgrad::nn::{Backprop, Linear, Loss, Module, Mse, Parameters};
/// use wgrad::optim::{Optimizer, Sgd};
/// use wgrad::{Device, Graph, Tensor};
///
/// let device = Device::cpu();
/// let model = Linear::new(1, 1);
/// let parameters = Parameters::new(&device, &model, 0)?;
/// let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1))?;
///
/// let x = Tensor::new(&device, 4, 1, &[0.0, 1.0, 2.0, 3.0])?;
/// let t = Tensor::new(&device, 4, 1, &[1.0, 3.0, 5.0, 7.0])?;
/// let mut graph = Graph::new(&device);
/// let (x, t) = (graph.input(&x)?, graph.input(&t)?);
/// let y = model.forward(&mut graph, x)?;
/// let loss = Mse::new().forward(&mut graph, y, t)?;
/// let pass = Backprop::new(&mut graph, &parameters, loss, &[y])?;
///
/// for _ in 0..200 {
///     optimizer.zero_grad()?;
///     pass.forward()?;
///     pass.backward()?;
///     optimizer.step()?;
/// }
/// assert!(pass.read(loss)?[0] < 1e-3);
/// assert!((pass.read(y)?[3] - 7.0).abs() < 0.1);
/// assert!(model.weight().gradient()?.read()?[0].abs() < 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Backprop {
    forward: Lowered,
    backward: Lowered,
}

impl Backprop {
    /// The passes of a [1, 1] loss. Besides the loss, the values `wanted` can be read after a forward pass.
    ///
    /// # Errors
    /// A loss that is not [1, 1], or depends on no parameter that is trained; an operation without a gradient on the way;
    /// values of another graph.
    pub fn new(graph: &mut Graph, parameters: &Parameters, loss: Var, wanted: &[Var]) -> Result<Self> {
        let described = graph.nodes().len();
        let mut sums = Vec::new();
        for (parameter, gradient) in parameter_gradients(graph, parameters, loss)? {
            let sum = graph.input(&parameter.gradient()?)?;
            sums.push(graph.call1(AddTo, &[sum, gradient])?);
        }
        // What the backward pass reads of the forward pass must be there when it runs.
        let mut kept: Vec<Var> = [loss].into_iter().chain(wanted.iter().copied()).collect();
        let given: HashSet<Var> = graph.nodes()[..described].iter().flat_map(|node| node.outputs.clone()).collect();
        kept.extend(graph.nodes()[described..].iter().flat_map(|node| &node.inputs).filter(|var| given.contains(var)));
        let forward = Lowering::default().lower(graph, &kept)?;
        let backward = Lowering::default().after(&forward).lower(graph, &sums)?;
        Ok(Self { forward, backward })
    }

    /// Computes the loss and the wanted values. Random operations draw new numbers.
    ///
    /// # Errors
    /// A lost device.
    pub fn forward(&self) -> Result<()> {
        self.forward.run()
    }

    /// Adds the gradients at the values of the last forward pass to those of the parameters.
    ///
    /// # Errors
    /// A lost device.
    pub fn backward(&self) -> Result<()> {
        self.backward.run()
    }

    /// The numbers of the loss or a wanted value after a forward pass, row by row.
    ///
    /// # Errors
    /// Another value; a lost device.
    pub fn read(&self, var: Var) -> Result<Vec<f32>> {
        self.forward.read(var)
    }

    /// The forward pass as it was lowered.
    pub fn forward_pass(&self) -> &Lowered {
        &self.forward
    }

    /// The backward pass as it was lowered.
    pub fn backward_pass(&self) -> &Lowered {
        &self.backward
    }
}

/// The gradients of a loss with respect to the trained parameters that it depends on.
pub(crate) fn parameter_gradients(
    graph: &mut Graph,
    parameters: &Parameters,
    loss: Var,
) -> Result<Vec<(Parameter, Var)>> {
    let trained: Vec<_> = parameters.named().map(|(_, p)| p.clone()).filter(|p| !p.is_frozen()).collect();
    let by = trained.iter().map(|parameter| parameter.var(graph)).collect::<Result<Vec<_>>>()?;
    let gradients = gradients(graph, loss, &by)?;
    let found: Vec<_> = trained.into_iter().zip(gradients).filter_map(|(p, gradient)| Some((p, gradient?))).collect();
    if found.is_empty() {
        let detail = "the loss depends on no parameter that is trained: nothing to train (frozen ones don't count)";
        return Err(Error::input("gradients", detail));
    }
    Ok(found)
}
