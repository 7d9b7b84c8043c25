//! Residual blocks.

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::summary::shown;
use crate::nn::{Module, Parameter, prefixed};

/// `y = x + block(x)` (He et al. 2016), for a block that gives as many columns as it takes. Its parameters have the prefix
/// `block.`.
///
/// ```
/// use wgrad::nn::{LayerNorm, Linear, Parameters, ReLU, Residual, Sequential};
/// use wgrad::Device;
///
/// let block = Sequential::new().add(LayerNorm::new(16)).add(Linear::new(16, 16)).add(ReLU);
/// let model = Sequential::new().add(Linear::new(4, 16)).add(Residual::new(block)).add(Linear::new(16, 1));
/// let parameters = Parameters::new(&Device::cpu(), &model, 0)?;
/// assert!(parameters.named().any(|(name, _)| name == "1.block.1.weight"));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Residual {
    block: Box<dyn Module>,
}

impl Residual {
    /// Around this block.
    pub fn new(block: impl Module + 'static) -> Self {
        Self { block: Box::new(block) }
    }
}

impl Module for Residual {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let y = self.block.forward(graph, x)?;
        let ([rows, takes], [gives_rows, gives]) = (graph.shape(x)?, graph.shape(y)?);
        if [rows, takes] != [gives_rows, gives] {
            let detail = format!(
                "the block takes {rows} x {takes} and gives {gives_rows} x {gives}, which can't be added; make them equal"
            );
            return Err(Error::shape("residual", detail));
        }
        graph.add(x, y)
    }

    fn describe(&self) -> Option<String> {
        Some(format!("Residual({})", self.block.describe()?))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("block", &self.block)
    }

    fn children(&self) -> Vec<(String, &dyn Module)> {
        vec![("block".into(), &*self.block)]
    }
}

impl fmt::Debug for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self))
    }
}
