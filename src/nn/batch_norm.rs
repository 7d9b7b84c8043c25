//! Batch normalisation.

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::{Init, Module, Parameter};
use crate::ops::copy::AddTo;

/// `y = (x - mean) / √(variance + eps) * weight + bias`, column by column (Ioffe & Szegedy 2015): PyTorch's `BatchNorm1d`.
///
/// In a graph for training, mean and variance are those of the batch's n rows, and every run moves the running
/// statistics by `momentum` towards them (towards n / (n - 1) times the variance, which is its unbiased estimate); in a graph
/// for evaluation, they are the running statistics. [`Trainer`](crate::Trainer) and [`Predictor`](crate::nn::Predictor) make the
/// right one. weight, bias, running_mean and running_var are [1, c]; files hold all four.
///
/// ```
/// use wgrad::nn::{BatchNorm1d, Module, Parameters};
/// use wgrad::{Device, Graph, Tensor, lower};
///
/// let device = Device::cpu();
/// let layer = BatchNorm1d::new(1);
/// let parameters = Parameters::new(&device, &layer, 0)?;
/// let mut graph = Graph::new(&device);
/// let x = graph.input(&Tensor::new(&device, 2, 1, &[10.0, 30.0])?)?;
/// let y = layer.forward(&mut graph, x)?;
/// let training = lower(&graph, &[y])?;
/// training.run()?;
/// assert!((training.read(y)?[1] - 1.0).abs() < 1e-6);
/// assert_eq!(layer.running_mean().value()?.read()?, [2.0]); // 0.9 * 0 + 0.1 * 20
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm1d {
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    momentum: f32,
    eps: f32,
}

impl BatchNorm1d {
    const MOMENTUM: f32 = 0.1;
    const EPS: f32 = 1e-5;

    /// For rows of this many columns, with a momentum of 0.1 and an eps of 1e-5.
    pub fn new(cols: usize) -> Self {
        Self {
            weight: Parameter::vector(cols, Init::Constant(1.0)),
            bias: Parameter::vector(cols, Init::Constant(0.0)),
            running_mean: Parameter::buffer(cols, Init::Constant(0.0)),
            running_var: Parameter::buffer(cols, Init::Constant(1.0)),
            momentum: Self::MOMENTUM,
            eps: Self::EPS,
        }
    }

    /// The same with another momentum: the share of the batch in what the running statistics become, from 0 to 1.
    pub fn momentum(self, momentum: f32) -> Self {
        Self { momentum, ..self }
    }

    /// The same with another number, positive, that is added to the variance.
    pub fn eps(self, eps: f32) -> Self {
        Self { eps, ..self }
    }

    /// The running mean, [1, c].
    pub fn running_mean(&self) -> &Parameter {
        &self.running_mean
    }

    /// The running variance, [1, c].
    pub fn running_var(&self) -> &Parameter {
        &self.running_var
    }

    fn check(&self, [rows, cols]: [usize; 2], is_training: bool) -> Result<()> {
        const OPERATION: &str = "batch_norm";
        let [_, own] = self.weight.shape();
        if cols != own {
            let detail = format!("the input is {rows} x {cols}, but the layer takes {own} columns");
            return Err(Error::shape(OPERATION, detail));
        }
        if is_training && rows < 2 {
            let detail = "a batch of 1 sample has no variance to train with; give larger batches, and Fit::drop_last \
                          where a single sample is left over";
            return Err(Error::shape(OPERATION, detail));
        }
        if !((0.0..=1.0).contains(&self.momentum) && self.eps > 0.0 && self.eps.is_finite()) {
            let detail = format!("a momentum of {} and an eps of {}", self.momentum, self.eps);
            return Err(Error::input(OPERATION, detail + "; give a momentum from 0 to 1 and a positive eps"));
        }
        Ok(())
    }

    /// Has each run of the graph move a running statistic towards what the batch has.
    fn track(&self, graph: &mut Graph, running: &Parameter, batch: Var) -> Result<()> {
        let before = running.var(graph)?;
        let difference = graph.sub(batch, before)?;
        let step = graph.mul_scalar(difference, self.momentum)?;
        let after = graph.call1(AddTo, &[before, step])?;
        graph.update(before, after)
    }
}

impl Module for BatchNorm1d {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let shape = graph.shape(x)?;
        self.check(shape, graph.is_training())?;
        let (weight, bias) = (self.weight.var(graph)?, self.bias.var(graph)?);
        let (centred, variance) = if graph.is_training() {
            let mean = graph.mean_rows(x)?;
            let centred = graph.sub(x, mean)?;
            let squares = graph.mul(centred, centred)?;
            let variance = graph.mean_rows(squares)?;
            let rows = shape[0] as f32;
            let unbiased = graph.mul_scalar(variance, rows / (rows - 1.0))?;
            self.track(graph, &self.running_mean, mean)?;
            self.track(graph, &self.running_var, unbiased)?;
            (centred, variance)
        } else {
            let (mean, variance) = (self.running_mean.var(graph)?, self.running_var.var(graph)?);
            (graph.sub(x, mean)?, variance)
        };
        let shifted = graph.add_scalar(variance, self.eps)?;
        let inverse = graph.pow(shifted, -0.5)?;
        let scale = graph.mul(inverse, weight)?;
        let scaled = graph.mul(centred, scale)?;
        graph.add(scaled, bias)
    }

    fn describe(&self) -> Option<String> {
        let [_, cols] = self.weight.shape();
        Some(if (self.momentum, self.eps) == (Self::MOMENTUM, Self::EPS) {
            format!("BatchNorm1d({cols})")
        } else {
            format!("BatchNorm1d({cols}, momentum={}, eps={})", self.momentum, self.eps)
        })
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![
            ("weight".into(), self.weight.clone()),
            ("bias".into(), self.bias.clone()),
            ("running_mean".into(), self.running_mean.clone()),
            ("running_var".into(), self.running_var.clone()),
        ]
    }
}
