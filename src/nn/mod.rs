//! Modules: what a network is made of. They call operations on a [`Graph`] and hold no backward code.

mod activation;
mod average;
mod backprop;
mod batch_norm;
mod cross_entropy;
mod dropout;
mod embedding;
mod init;
mod linear;
mod loss;
mod normalization;
mod parameter;
mod parameters;
mod predictor;
mod residual;
mod sequential;
mod summary;
mod weighted;

pub use crate::ops::Activation::{self, ELU, GELU, Identity, LeakyReLU, ReLU, SiLU, Sigmoid, Softplus, Tanh};
pub use crate::ops::Reduction;
pub use activation::{LogSoftmax, Softmax};
pub use average::Average;
pub use backprop::Backprop;
pub(crate) use backprop::parameter_gradients;
pub use batch_norm::BatchNorm1d;
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use init::Init;
pub use linear::Linear;
pub use loss::{BceWithLogits, Huber, Loss, Mae, Mse, Quantile};
pub use normalization::LayerNorm;
pub(crate) use parameter::Claim;
pub use parameter::Parameter;
pub use parameters::Parameters;
pub(crate) use parameters::Stretch;
pub use predictor::Predictor;
pub use residual::Residual;
pub use sequential::Sequential;
pub use summary::{Summary, SummaryRow, summary};

use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Graph, Var};

/// A network or a part of one.
///
/// `forward` calls operations on the graph, which know their gradients. A module with parameters lists them by name, so
/// that [`Parameters::new`] can place them on a device; nested names are joined with dots, as in PyTorch.
///
/// ```
/// use wgrad::nn::{Linear, Module, Parameter, Parameters, prefixed};
/// use wgrad::{Device, Graph, Result, Tensor, Var};
///
/// /// A linear layer used twice: both uses share its weights, and their gradients add up.
/// struct Twice(Linear);
///
/// impl Module for Twice {
///     fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
///         let once = self.0.forward(graph, x)?;
///         let active = graph.tanh(once)?;
///         self.0.forward(graph, active)
///     }
///
///     fn named_parameters(&self) -> Vec<(String, Parameter)> {
///         prefixed("inner", &self.0)
///     }
/// }
///
/// let device = Device::cpu();
/// let model = Twice(Linear::new(4, 4));
/// let parameters = Parameters::new(&device, &model, 0)?;
/// let names: Vec<_> = parameters.named().map(|(name, _)| name).collect();
/// assert_eq!(names, ["inner.weight", "inner.bias"]);
///
/// let mut graph = Graph::new(&device);
/// let x = graph.input(&Tensor::zeros(&device, 3, 4)?)?;
/// let y = model.forward(&mut graph, x)?;
/// assert_eq!(graph.shape(y)?, [3, 4]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// Calls the module's operations on `x`.
    ///
    /// # Errors
    /// Shapes that do not fit; parameters that are not placed on the graph's device.
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var>;

    /// The parameters, with names unique within the module.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        Vec::new()
    }

    /// The module's description as stored in files: `Linear(2, 25)`. Built-in modules have one, so that
    /// `Sequential::load` (feature `safetensors`) can rebuild them; custom modules need none.
    fn describe(&self) -> Option<String> {
        None
    }

    /// The modules that it is made of, each of which takes what the one before gives, with the prefixes of their
    /// parameters' names: what [`summary`] lists. None unless it is such a sequence.
    fn children(&self) -> Vec<(String, &dyn Module)> {
        Vec::new()
    }

    /// What it is called where it is shown: by default its type's name.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>().split('<').next().unwrap_or_default();
        path.rsplit("::").next().unwrap_or_default().to_string()
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        (**self).forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        (**self).named_parameters()
    }

    fn describe(&self) -> Option<String> {
        (**self).describe()
    }

    fn children(&self) -> Vec<(String, &dyn Module)> {
        (**self).children()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        (**self).forward(graph, x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        (**self).named_parameters()
    }

    fn describe(&self) -> Option<String> {
        (**self).describe()
    }

    fn children(&self) -> Vec<(String, &dyn Module)> {
        (**self).children()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

/// A submodule's parameters under their full names: `prefix.name`.
pub fn prefixed(prefix: &str, part: &dyn Module) -> Vec<(String, Parameter)> {
    part.named_parameters().into_iter().map(|(name, p)| (format!("{prefix}.{name}"), p)).collect()
}
