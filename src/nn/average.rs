//! Several networks as one.

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::summary::shown;
use crate::nn::{Module, Parameter, prefixed};

/// `y = (m_0(x) + m_1(x) + ...) / n`: the mean of what n modules give for the same inputs, such as the members of an
/// [`Ensemble`](crate::Ensemble) once they are trained. So they are saved, loaded and used as one network. Parameters are
/// named by the module's number: `0.weight`, `1.weight`.
///
/// ```
/// use wgrad::nn::{Average, Linear, Predictor, Sequential, Softmax};
/// use wgrad::Device;
///
/// let member = || Sequential::new().add(Linear::new(2, 3)).add(Softmax);
/// let model = Average::new([member(), member()]);
/// let probabilities = Predictor::new(&Device::cpu(), model)?.predict(&[0.1, 0.2], 2)?;
/// assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Average(Vec<Box<dyn Module>>);

impl Average {
    /// Of these modules, which take and give equally many columns.
    pub fn new<M: Module + 'static>(modules: impl IntoIterator<Item = M>) -> Self {
        Self(modules.into_iter().map(|module| Box::new(module) as Box<dyn Module>).collect())
    }
}

impl Module for Average {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let outputs = self.0.iter().map(|module| module.forward(graph, x)).collect::<Result<Vec<_>>>()?;
        let Some((first, others)) = outputs.split_first() else {
            return Err(Error::shape("average", "no modules; give at least one"));
        };
        let shape = graph.shape(*first)?;
        let mut sum = *first;
        for (i, other) in others.iter().enumerate() {
            let found = graph.shape(*other)?;
            if found != shape {
                let detail = format!(
                    "module {} gives {} x {}, module 0 gives {} x {}; make them equal",
                    i + 1,
                    found[0],
                    found[1],
                    shape[0],
                    shape[1]
                );
                return Err(Error::shape("average", detail));
            }
            sum = graph.add(sum, *other)?;
        }
        if others.is_empty() { Ok(sum) } else { graph.mul_scalar(sum, 1.0 / outputs.len() as f32) }
    }

    fn describe(&self) -> Option<String> {
        let parts: Option<Vec<_>> = self.0.iter().map(|module| module.describe()).collect();
        Some(format!("Average({})", parts?.join(", ")))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        self.0.iter().enumerate().flat_map(|(i, module)| prefixed(&i.to_string(), module)).collect()
    }
}

impl fmt::Debug for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self))
    }
}
