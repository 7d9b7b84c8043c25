//! Training: epochs of shuffled mini-batches, measured after each.

#[cfg(feature = "safetensors")]
mod checkpoint;
#[cfg(feature = "plot")]
mod curves;
mod epoch;
mod evaluation;
mod fit;
mod history;
mod monitor;
mod pass;
#[cfg(feature = "progress")]
mod progress;
mod run;

use std::fmt;

use crate::data::Dataset;
use crate::device::{Device, Tensor};
use crate::error::Result;
use crate::nn::{Loss, Module, Parameters, predict};
use crate::optim::{Optimizer, Rule};
use crate::tape::Tape;
use evaluation::{Evaluation, chunk_rows};
pub use fit::{Control, Fit};
pub use history::{EpochRecord, History, Metrics};
use monitor::Best;
pub use monitor::{EarlyStopping, Monitor};
use pass::Source;

/// Trains a model: everything stays on the device from the first step of an epoch to its last. (Data that does not fit
/// is uploaded in chunks: see [`Fit::resident_bytes`].)
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::nn::{Linear, Mse, ReLU, Sequential, Tanh};
/// use wgrad::optim::Sgd;
/// use wgrad::{Device, Fit, Trainer};
///
/// let (train, test) = (disk(1000, 0, Labels::PlusMinusOne)?, disk(1000, 1, Labels::PlusMinusOne)?);
/// let model = Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 1)).add(Tanh);
/// let mut trainer = Trainer::new(&Device::cpu(), model, Mse::new(), Sgd::new(0.1), 0)?;
/// let history = trainer.fit(&train, Fit::new(20, 32).validation(&test))?;
/// let last = history.epochs.last().unwrap();
/// println!("test accuracy {}", last.validation.unwrap().accuracy);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Trainer {
    device: Device,
    model: Box<dyn Module>,
    loss: Box<dyn Loss>,
    parameters: Parameters,
    optimizer: Optimizer,
    seed: u64,
    /// Steps so far, for what is random within them.
    clock: Tensor,
    history: History,
    /// The best epoch so far, where one was looked for.
    best: Option<Best>,
}

impl Trainer {
    /// Places the model's parameters on the device and draws their initial values (see [`Parameters::new`]); `seed`
    /// also decides the order of the mini-batches, and what dropout drops.
    ///
    /// # Errors
    /// A model without parameters or with empty ones, settings of the rule that make no sense.
    pub fn new(
        device: &Device,
        model: impl Module + 'static,
        loss: impl Loss + 'static,
        rule: impl Rule + 'static,
        seed: u64,
    ) -> Result<Self> {
        let parameters = Parameters::new(device, &model, seed)?;
        let optimizer = Optimizer::new(&parameters, rule)?;
        Ok(Self {
            device: device.clone(),
            model: Box::new(model),
            loss: Box::new(loss),
            parameters,
            optimizer,
            seed,
            clock: Tensor::zeros(device, 1, 1)?,
            history: History::default(),
            best: None,
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

    /// The optimiser: its learning rate can be changed between calls of [`Trainer::fit`].
    pub fn optimizer(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// The epochs so far, over all calls of [`Trainer::fit`], also after one that failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The loss and accuracy of the model on this data, of any size: what does not fit the device goes through it in
    /// chunks.
    ///
    /// # Errors
    /// Data of another shape than the model's, or targets that the loss does not take; a lost device.
    pub fn evaluate(&self, data: &Dataset) -> Result<Metrics> {
        self.loss.check_targets(data, self.output_cols(data)?)?;
        self.evaluation(data, u64::MAX)?.start()?.wait()
    }

    fn evaluation<'a>(&self, data: &'a Dataset, resident_bytes: u64) -> Result<Evaluation<'a>> {
        let source = Source::new(&self.device, data, chunk_rows(&self.device, data), resident_bytes)?;
        Evaluation::new(self, source)
    }

    /// The model's outputs for these inputs [n, i], row by row.
    ///
    /// ```
    /// # use wgrad::{Device, Trainer, nn::{Linear, Mse}, optim::Sgd};
    /// let trainer = Trainer::new(&Device::cpu(), Linear::new(2, 3), Mse::new(), Sgd::new(0.1), 0)?;
    /// assert_eq!(trainer.predict(&[0.1, 0.2, 0.3, 0.4], 2)?.len(), 2 * 3);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Inputs that make no whole rows or are not finite, or of another width than the model's; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        predict(&self.device, &self.model, &mut None, inputs, input_cols)
    }

    /// Columns of the model's output for this data.
    fn output_cols(&self, data: &Dataset) -> Result<usize> {
        let mut tape = Tape::for_evaluation(&self.device);
        let x = tape.input(&Tensor::zeros(&self.device, 1, data.input_cols())?)?;
        let y = self.model.forward(&mut tape, x)?;
        Ok(tape.tensor(y)?.cols())
    }
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trainer({} parameters on {})", self.parameters.count(), self.device.name())
    }
}
