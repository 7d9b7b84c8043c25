//! Rows by number: categories as vectors that are learned.

use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::{Init, Module, Parameter};

/// A vector for each category: takes category numbers [n, k], from 0, and gives their rows of weight [m, c], side by
/// side: [n, k c]. PyTorch's `Embedding(m, c)`, followed by a `flatten(1)`.
///
/// A number that is no row of weight gives NaN, which [`Trainer::fit`](crate::Trainer::fit) reports. The rows are drawn from
/// N(0, 1), as in PyTorch; change that with [`Embedding::init`].
///
/// ```
/// use wgrad::nn::{Embedding, Linear, Module, Parameter, Parameters, prefixed};
/// use wgrad::{Device, Graph, Result, Tensor, Var};
///
/// /// A table's columns: a category of 7, then three numbers.
/// struct Columns {
///     category: Embedding,
///     output: Linear,
/// }
///
/// impl Module for Columns {
///     fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
///         let (category, numbers) = (graph.slice_cols(x, 0, 1)?, graph.slice_cols(x, 1, 4)?);
///         let category = self.category.forward(graph, category)?;
///         let both = graph.concat_cols(&[category, numbers])?;
///         self.output.forward(graph, both)
///     }
///
///     fn named_parameters(&self) -> Vec<(String, Parameter)> {
///         [prefixed("category", &self.category), prefixed("output", &self.output)].concat()
///     }
/// }
///
/// let device = Device::cpu();
/// let model = Columns { category: Embedding::new(7, 2), output: Linear::new(2 + 3, 1) };
/// Parameters::new(&device, &model, 0)?;
/// let mut graph = Graph::new(&device);
/// let x = graph.input(&Tensor::new(&device, 2, 4, &[6.0, 0.1, 0.2, 0.3, 0.0, 0.4, 0.5, 0.6])?)?;
/// let y = model.forward(&mut graph, x)?;
/// assert_eq!(graph.shape(y)?, [2, 1]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Parameter,
}

impl Embedding {
    /// For `rows` categories, each of which becomes a row of `cols` numbers.
    pub fn new(rows: usize, cols: usize) -> Self {
        Self { weight: Parameter::new(rows, cols, Init::Normal { std: 1.0 }) }
    }

    /// The same with other initial values.
    pub fn init(self, weight: Init) -> Self {
        Self { weight: self.weight.init(weight) }
    }

    /// The rows, [m, c].
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }
}

impl Module for Embedding {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let weight = self.weight.var(graph)?;
        graph.embedding(x, weight)
    }

    fn describe(&self) -> Option<String> {
        let [rows, cols] = self.weight.shape();
        Some(format!("Embedding({rows}, {cols})"))
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("weight".into(), self.weight.clone())]
    }
}
