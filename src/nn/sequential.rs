//! Modules in sequence.

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::summary::shown;
use crate::nn::{Module, Parameter, prefixed};

/// Modules in sequence: each takes the previous one's output.
///
/// Parameters are named by index, as in PyTorch: `0.weight`, `0.bias`, `2.weight`.
///
/// ```
/// use wgrad::nn::{Linear, Module, ReLU, Sequential, Tanh};
///
/// let built = Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 1)).add(Tanh);
/// let listed = Sequential::from(vec![
///     Box::new(Linear::new(2, 25)) as Box<dyn Module>,
///     Box::new(ReLU),
/// ]);
/// assert_eq!((built.len(), listed.len()), (4, 2));
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Module>>);

impl Sequential {
    /// No modules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a module.
    #[expect(clippy::should_implement_trait, reason = "the name PyTorch users know; nothing is summed")]
    pub fn add(mut self, module: impl Module + 'static) -> Self {
        self.0.push(Box::new(module));
        self
    }

    /// The number of modules.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no module.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Box<dyn Module>>> for Sequential {
    fn from(modules: Vec<Box<dyn Module>>) -> Self {
        Self(modules)
    }
}

impl Module for Sequential {
    fn forward(&self, graph: &mut Graph, mut x: Var) -> Result<Var> {
        for (i, module) in self.0.iter().enumerate() {
            x = module
                .forward(graph, x)
                .map_err(|error| Error::new(error.kind(), format!("sequential, module {i}"), error.to_string()))?;
        }
        Ok(x)
    }

    fn describe(&self) -> Option<String> {
        let parts: Option<Vec<_>> = self.0.iter().map(|module| module.describe()).collect();
        Some(format!("Sequential({})", parts?.join(", ")))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        self.0.iter().enumerate().flat_map(|(i, module)| prefixed(&i.to_string(), module)).collect()
    }

    fn children(&self) -> Vec<(String, &dyn Module)> {
        self.0.iter().enumerate().map(|(i, module)| (i.to_string(), &**module)).collect()
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self))
    }
}
