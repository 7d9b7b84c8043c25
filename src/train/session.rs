//! Async training: for web pages and asynchronous programs.

use std::fmt;
use std::sync::Arc;

use super::History;
use super::average::Average;
use super::monitor::Best;
use super::snapshot::Snapshots;
use super::state::State;
use crate::data::Dataset;
use crate::device::{Device, Recording, Tensor};
use crate::error::Result;
use crate::graph::Graph;
use crate::nn::{Loss, Module, Parameters, Predictor};
use crate::optim::{Algorithm, Optimizer, check};

/// Async training, on any executor: the core of [`Trainer`](crate::Trainer), which blocks on it.
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::nn::{Linear, Mse};
/// use wgrad::optim::Sgd;
/// use wgrad::{Device, Fit, Result, Session};
///
/// async fn train() -> Result<f32> {
///     let data = disk(100, 0, Labels::PlusMinusOne)?;
///     let mut session = Session::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
///     session.fit(&data, Fit::new(5, 10)).await?;
///     Ok(session.evaluate(&data).await?.loss)
/// }
/// # pollster::block_on(train()).unwrap();
/// ```
pub struct Session {
    pub(super) device: Device,
    pub(super) model: Arc<dyn Module>,
    pub(super) loss: Box<dyn Loss>,
    pub(super) parameters: Parameters,
    pub(super) optimizer: Optimizer,
    pub(super) seed: u64,
    /// Its number among those that train the same model together.
    pub(super) rank: usize,
    /// Steps so far, for what is random within them.
    pub(super) clock: Tensor,
    pub(super) history: History,
    /// The best epoch so far, where one was looked for.
    pub(super) best: Option<Best>,
    /// The average of the parameters, where they are averaged.
    pub(super) average: Option<Average>,
    /// What the device had after the last recorded epoch, where a device can be lost.
    pub(super) kept: Option<State>,
    /// The steps on single batches, the most recent first.
    pub(super) steps: Vec<BatchStep>,
    predictor: Predictor,
}

/// The dispatches of a step, for batches of one shape.
pub(super) struct BatchStep {
    /// Rows, columns of inputs and of targets, and whether the rows have weights.
    pub(super) shape: ([usize; 3], bool),
    /// Columns of the model's output.
    pub(super) outputs: usize,
    /// Which parameters were frozen when it was recorded.
    pub(super) frozen: Vec<bool>,
    pub(super) inputs: Tensor,
    pub(super) targets: Tensor,
    pub(super) loss: Tensor,
    pub(super) recording: Recording,
    /// The state before the step, to go back to if the loss is not finite.
    pub(super) before: Snapshots,
}

impl Session {
    /// See [`Trainer::new`](crate::Trainer::new).
    ///
    /// # Errors
    /// See [`Trainer::new`](crate::Trainer::new).
    pub fn new(
        device: &Device,
        model: impl Module + 'static,
        loss: impl Loss + 'static,
        algorithm: impl Algorithm + 'static,
        seed: u64,
    ) -> Result<Self> {
        // Before anything is placed.
        let named = model.named_parameters();
        check(&algorithm, device, &named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())?;
        let model: Arc<dyn Module> = Arc::new(model);
        let parameters = Parameters::new(device, &model, seed)?;
        Ok(Self {
            device: device.clone(),
            loss: Box::new(loss),
            optimizer: Optimizer::new(&parameters, algorithm)?,
            seed,
            rank: 0,
            clock: Tensor::zeros(device, 1, 1)?,
            history: History::default(),
            best: None,
            average: None,
            kept: None,
            steps: Vec::new(),
            predictor: Predictor::of(model.clone(), parameters.clone()),
            model,
            parameters,
        })
    }

    /// The device it trains on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The optimizer: its learning rate can be changed between calls of [`Session::fit`].
    pub fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// The epochs so far, over all calls of [`Session::fit`], also after one that failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// See [`Trainer::predict`](crate::Trainer::predict).
    ///
    /// # Errors
    /// See [`Trainer::predict`](crate::Trainer::predict).
    pub async fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        self.predictor.predict_async(inputs, input_cols).await
    }

    /// See [`Trainer::predictor`](crate::Trainer::predictor).
    pub fn predictor(&self) -> Predictor {
        self.predictor.clone()
    }

    /// See [`Trainer::into_model`](crate::Trainer::into_model).
    pub fn into_model(self) -> Arc<dyn Module> {
        self.model
    }

    /// Columns of the model's output for this data.
    pub(super) fn output_cols(&self, data: &Dataset) -> Result<usize> {
        let mut graph = Graph::for_evaluation(&self.device);
        let x = graph.input(&Tensor::zeros(&self.device, 1, data.input_cols())?)?;
        let y = self.model.forward(&mut graph, x)?;
        let [_, cols] = graph.shape(y)?;
        Ok(cols)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} parameters on {})", self.parameters.count(), self.device.name())
    }
}
