//! Prediction without training.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::data;
use crate::device::{Device, PendingRead, Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape};
use crate::lower::lower;
use crate::nn::{Module, Parameters};

/// Samples that go through the model at once.
const CHUNK_ROWS: usize = 4096;
/// Forward passes kept for the next calls: those of full chunks, of a rest, and of single rows.
const KEPT: usize = 4;
/// Chunks under way at a time: one is computed while the one before is read.
const IN_FLIGHT: usize = 2;

/// A model for inference: no loss, no optimizer. Clones share the model.
///
/// Recordings for the most recent batch sizes are cached, so repeated calls of one size need no preparation.
///
/// ```
/// use wgrad::Device;
/// use wgrad::nn::{Linear, Predictor, Sequential, Tanh};
///
/// let model = Sequential::new().add(Linear::new(2, 3)).add(Tanh);
/// let predictor = Predictor::new(&Device::cpu(), model)?;
/// assert_eq!(predictor.predict(&[0.1, 0.2, 0.3, 0.4], 2)?.len(), 2 * 3);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Predictor {
    model: Arc<dyn Module>,
    parameters: Parameters,
    networks: Arc<Mutex<VecDeque<Network>>>,
}

/// A forward pass over a fixed number of rows.
struct Network {
    input: Tensor,
    output: Tensor,
    forward: Recording,
}

impl Predictor {
    /// The model on this device, with the values that its parameters have: those of the training that they went through,
    /// or of the file that they come from; initial ones, drawn with seed 0, where they have none yet.
    ///
    /// # Errors
    /// See [`Parameters::new`].
    pub fn new(device: &Device, model: impl Module + 'static) -> Result<Self> {
        let parameters = Parameters::shared(device, &model)?;
        Ok(Self::of(Arc::new(model), parameters))
    }

    /// A model whose parameters are placed.
    pub(crate) fn of(model: Arc<dyn Module>, parameters: Parameters) -> Self {
        Self { model, parameters, networks: Arc::default() }
    }

    /// The model itself.
    #[cfg(feature = "export")]
    pub(crate) fn model(&self) -> &dyn Module {
        &self.model
    }

    /// The model's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The model's outputs for these inputs [n, i], row by row.
    ///
    /// # Errors
    /// Inputs that are not whole rows, not finite, or of another width than the model's; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        self.parameters.device().block_on("predict", "Predictor::predict_async", self.predict_async(inputs, input_cols))
    }

    /// [`Predictor::predict`] without blocking.
    ///
    /// # Errors
    /// See [`Predictor::predict`].
    pub async fn predict_async(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        let rows = data::rows("predict", "inputs", inputs, input_cols)?;
        let mut outputs = Vec::new();
        let mut pending: VecDeque<PendingRead> = VecDeque::new();
        for chunk in inputs.chunks(CHUNK_ROWS.min(rows) * input_cols) {
            pending.push_back(self.queue(chunk, [chunk.len() / input_cols, input_cols]).await?);
            while pending.len() >= IN_FLIGHT {
                let Some(read) = pending.pop_front() else { break };
                outputs.extend(read.await?);
            }
        }
        for read in pending {
            outputs.extend(read.await?);
        }
        Ok(outputs)
    }

    /// Has a chunk go through the model; what comes back are its outputs.
    async fn queue(&self, chunk: &[f32], shape: Shape) -> Result<PendingRead> {
        // Taken while it is in use, so that threads don't share one.
        let kept = {
            let mut networks = self.kept();
            let fitting = networks.iter().position(|network| network.input.shape() == shape);
            fitting.and_then(|fitting| networks.remove(fitting))
        };
        let network = match kept {
            Some(network) => network,
            None => Network::new(self.parameters.device(), &self.model, shape)?,
        };
        let device = self.parameters.device();
        let outputs = device.run_through(&network.forward, (&network.input, chunk), &network.output).await?;
        let mut networks = self.kept();
        networks.push_front(network);
        networks.truncate(KEPT);
        Ok(outputs)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Network>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictor({} parameters on {})", self.parameters.count(), self.parameters.device().name())
    }
}

impl Network {
    fn new(device: &Device, model: &dyn Module, [rows, cols]: Shape) -> Result<Self> {
        let input = Tensor::zeros(device, rows, cols)?;
        let mut graph = Graph::for_evaluation(device);
        let x = graph.input(&input)?;
        let y = model.forward(&mut graph, x)?;
        let lowered = lower(&graph, &[y])?;
        let unwanted = || Error::input("predict", "the model's output is no value of its graph");
        let output = lowered.tensor(y).cloned().ok_or_else(unwanted)?;
        Ok(Self { input, output, forward: lowered.into_recording() })
    }
}
