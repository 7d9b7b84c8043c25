//! Prediction without training.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::data;
use crate::device::{Device, Recording, Tensor};
use crate::error::Result;
use crate::nn::{Module, Parameters};
use crate::tape::Tape;

/// Samples that go through the model at once.
const CHUNK_ROWS: usize = 4096;

/// A model that only predicts: no loss, no optimiser.
///
/// The launches for as many rows as the last call had are kept, so calls of one size cost no preparation.
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
pub struct Predictor {
    model: Box<dyn Module>,
    parameters: Parameters,
    network: Mutex<Option<Network>>,
}

/// A forward pass of so many rows.
pub(crate) struct Network {
    input: Tensor,
    output: Tensor,
    forward: Recording,
}

impl Predictor {
    /// Places the model on the device: with the values of the file that it comes from, or with initial ones, to be
    /// replaced through [`Predictor::parameters`].
    ///
    /// # Errors
    /// See [`Parameters::new`].
    pub fn new(device: &Device, model: impl Module + 'static) -> Result<Self> {
        let parameters = Parameters::new(device, &model, 0)?;
        Ok(Self { model: Box::new(model), parameters, network: Mutex::new(None) })
    }

    /// The model's parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The model's outputs for these inputs [n, i], row by row.
    ///
    /// # Errors
    /// Inputs that make no whole rows or are not finite, or of another width than the model's; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        predict(self.parameters.device(), &self.model, &mut network, inputs, input_cols)
    }
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictor({} parameters on {})", self.parameters.count(), self.parameters.device().name())
    }
}

/// The outputs of a placed model for these inputs, chunk by chunk, through `network` where it has the right size.
pub(crate) fn predict(
    device: &Device,
    model: &dyn Module,
    network: &mut Option<Network>,
    inputs: &[f32],
    input_cols: usize,
) -> Result<Vec<f32>> {
    let rows = data::rows("predict", "inputs", inputs, input_cols)?;
    let mut outputs = Vec::new();
    for chunk in inputs.chunks(CHUNK_ROWS.min(rows) * input_cols) {
        let shape = [chunk.len() / input_cols, input_cols];
        let fitting = match network.take().filter(|network| network.input.shape() == shape) {
            Some(fitting) => fitting,
            None => Network::new(device, model, shape)?,
        };
        let Network { input, output, forward } = network.insert(fitting);
        input.write(chunk)?;
        forward.run()?;
        outputs.extend(output.read()?);
    }
    Ok(outputs)
}

impl Network {
    fn new(device: &Device, model: &dyn Module, [rows, cols]: [usize; 2]) -> Result<Self> {
        let input = Tensor::zeros(device, rows, cols)?;
        let mut tape = Tape::for_evaluation(device);
        let x = tape.input(&input)?;
        let y = model.forward(&mut tape, x)?;
        let output = tape.tensor(y)?;
        let forward = tape.finish().fused(&[&output]);
        Ok(Self { input, output, forward })
    }
}
