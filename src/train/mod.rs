//! Training: epochs of shuffled mini-batches, measured after each.

mod average;
mod check;
#[cfg(feature = "safetensors")]
mod checkpoint;
mod clock;
#[cfg(feature = "plot")]
mod curves;
mod diverged;
mod ensemble;
mod epoch;
mod evaluation;
mod exchange;
#[cfg(all(test, feature = "gpu", feature = "safetensors"))]
mod faults;
mod fit;
mod history;
mod keep;
mod lr_find;
mod measure;
mod members;
mod metric;
mod monitor;
mod pass;
mod path;
#[cfg(feature = "progress")]
mod progress;
mod results;
mod run;
mod session;
mod snapshot;
mod state;
mod step;
mod table;
mod together;

use std::fmt;
#[cfg(feature = "safetensors")]
use std::path::Path;
use std::sync::Arc;

use crate::data::Dataset;
use crate::device::Device;
use crate::error::Result;
use crate::nn::{Loss, Module, Parameters, Predictor};
use crate::optim::{Algorithm, Optimizer};
pub use ensemble::{Ensemble, EnsemblePrediction, Statistics};
pub use exchange::{Exchange, StepGradient};
pub use fit::{Control, Fit};
pub use history::{EpochRecord, History, Metrics};
pub use lr_find::{LearningRates, LrFind};
pub use metric::MetricRecord;
pub use monitor::{EarlyStopping, Monitor};
pub use session::Session;

/// Trains a model: everything stays on the device from the first step of an epoch to its last. (Data that does not fit
/// is uploaded in chunks: see [`Fit::resident_bytes`].)
///
/// Its calls block until the results are available; [`Session`] is the async counterpart.
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::metrics::Decision;
/// use wgrad::nn::{Linear, Mse, ReLU, Sequential, Tanh};
/// use wgrad::optim::Sgd;
/// use wgrad::{Device, Fit, Trainer};
///
/// let (train, test) = (disk(1000, 0, Labels::PlusMinusOne)?, disk(1000, 1, Labels::PlusMinusOne)?);
/// let model = Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 1)).add(Tanh);
/// let loss = Mse::new().decision(Decision::between(-1.0, 1.0));
/// let mut trainer = Trainer::new(&Device::cpu(), model, loss, Sgd::new(0.1), 0)?;
/// let history = trainer.fit(&train, Fit::new(20, 32).validation(&test))?;
/// let last = history.epochs.last().unwrap();
/// println!("test accuracy {}", last.validation.unwrap().accuracy.unwrap());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Trainer(Session);

impl Trainer {
    /// Places the model's parameters on the device, unless they already have values there, and draws their initial
    /// values (see [`Parameters::new`]); `seed` also decides the order of the mini-batches, and what dropout drops.
    ///
    /// # Errors
    /// A model without parameters or with empty ones; parameters whose values lie on another device or were drawn with
    /// another seed; settings of the algorithm that make no sense.
    pub fn new(
        device: &Device,
        model: impl Module + 'static,
        loss: impl Loss + 'static,
        algorithm: impl Algorithm + 'static,
        seed: u64,
    ) -> Result<Self> {
        Session::new(device, model, loss, algorithm, seed).map(Self)
    }

    /// Trains, and returns the records of these epochs.
    ///
    /// The samples are reshuffled every epoch. Within an epoch nothing is read back; its losses and metrics come back
    /// while the next one runs, unless something depends on them: see [`Fit`].
    ///
    /// However it ends, parameters, optimizer and history are those of the same epoch: the last one that was recorded.
    ///
    /// # Errors
    /// No epochs, a batch size of 0 or larger than the data, data of another shape than the model's; a loss that is
    /// NaN or infinite ([`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite)); a checkpoint that can't be written; a lost
    /// device.
    pub fn fit(&mut self, train: &Dataset, fit: Fit<'_>) -> Result<History> {
        let device = self.device().clone();
        device.block_on("fit", "Session::fit", self.0.fit(train, fit))
    }

    /// Trains on one batch, such as one that has just arrived: inputs [rows, i] and targets [rows, t], row by row.
    /// Returns its loss before the update. Calls for the batches of an epoch in their order give the same bits as
    /// [`Trainer::fit`] with [`Fit::shuffle`]`(false)`; they are counted by the optimizer, not in the history.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Trainer};
    ///
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// for i in 0..200 {
    ///     // Two samples of y = 2 x - 1.
    ///     let x = [(i % 5) as f32 / 4.0, (i % 7) as f32 / 6.0];
    ///     trainer.step(&x, &x.map(|x| 2.0 * x - 1.0), 2)?;
    /// }
    /// assert!((trainer.predict(&[0.5], 1)?[0]).abs() < 0.05);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Values that are not whole rows, not finite, or of other widths than the model's; a loss that is NaN or infinite
    /// ([`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite)), after which parameters and optimizer are as before the
    /// call; a lost device.
    pub fn step(&mut self, inputs: &[f32], targets: &[f32], rows: usize) -> Result<f32> {
        let device = self.device().clone();
        device.block_on("step", "Session::step", self.0.step(inputs, targets, rows))
    }

    /// [`Trainer::step`] on rows with weights, one each, from 0: see [`Fit`] for how they count.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Trainer};
    ///
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// for _ in 0..200 {
    ///     // Two measurements of one point: the first is three times as reliable.
    ///     trainer.step_weighted(&[1.0, 1.0], &[2.0, 6.0], &[3.0, 1.0])?;
    /// }
    /// assert!((trainer.predict(&[1.0], 1)?[0] - 3.0).abs() < 1e-3); // (3 * 2 + 1 * 6) / (3 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Trainer::step`] refuses; weights that are negative, not finite or all 0; a loss that takes none.
    pub fn step_weighted(&mut self, inputs: &[f32], targets: &[f32], weights: &[f32]) -> Result<f32> {
        let device = self.device().clone();
        device.block_on("step", "Session::step_weighted", self.0.step_weighted(inputs, targets, weights))
    }

    /// Looks for a learning rate: trains with rates that rise exponentially, on mini-batches of this data, until the loss
    /// explodes, and then puts everything back. The trainer is afterwards what it was, to the bit. (Lightning's and fastai's
    /// `lr_find`; Smith 2015.)
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Fit, LrFind, Trainer};
    ///
    /// let data = disk(500, 0, Labels::ZeroOne)?;
    /// let model = Sequential::new().add(Linear::new(2, 16)).add(ReLU).add(Linear::new(16, 1));
    /// let mut trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Sgd::new(0.1), 0)?;
    /// let found = trainer.lr_find(&data, LrFind::new(50))?;
    /// if let Some(rate) = found.suggestion() {
    ///     println!("a learning rate of {rate:.1e}");
    ///     trainer.optimizer().set_learning_rate(rate)?;
    /// }
    /// trainer.fit(&data, Fit::new(20, 50))?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// `LearningRates::curve` (feature `plot`) draws it.
    ///
    /// # Errors
    /// No steps, rates that do not rise, a batch size of 0 or larger than the data; data that the model or the loss does not
    /// take; a loss that is NaN or infinite from the first step; a lost device.
    pub fn lr_find(&mut self, data: &Dataset, finder: LrFind) -> Result<LearningRates> {
        let device = self.device().clone();
        device.block_on("lr_find", "Session::lr_find", self.0.lr_find(data, finder))
    }

    /// The device it trains on.
    pub fn device(&self) -> &Device {
        self.0.device()
    }

    /// The model's parameters.
    pub fn parameters(&self) -> &Parameters {
        self.0.parameters()
    }

    /// The optimizer: its learning rate can be changed between calls of [`Trainer::fit`].
    pub fn optimizer(&mut self) -> &mut Optimizer {
        self.0.optimizer()
    }

    /// The epochs so far, over all calls of [`Trainer::fit`], also after one that failed.
    pub fn history(&self) -> &History {
        self.0.history()
    }

    /// The loss and accuracy of the model on this data, of any size: what does not fit on the device is processed in
    /// chunks.
    ///
    /// # Errors
    /// Data of another shape than the model's, or targets that the loss does not take; a lost device.
    pub fn evaluate(&self, data: &Dataset) -> Result<Metrics> {
        self.device().block_on("evaluate", "Session::evaluate", self.0.evaluate(data))
    }

    /// The model's modules, shapes, parameters and bytes ([`nn::summary`](crate::nn::summary())), and how
    /// [`Trainer::fit`] would run a step on this data: in how many dispatches, and why.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse, Sequential, Tanh};
    /// use wgrad::{Device, Fit, Trainer, optim::Sgd};
    ///
    /// let model = Sequential::new().add(Linear::new(2, 25)).add(Tanh).add(Linear::new(25, 1));
    /// let trainer = Trainer::new(&Device::cpu(), model, Mse::new(), Sgd::new(0.1), 0)?;
    /// let summary = trainer.summary(&disk(100, 0, Labels::PlusMinusOne)?, &Fit::new(10, 50))?;
    /// assert!(summary.ends_with("training  layered, 8 dispatches a step: the CPU path is faster layer by layer\n"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Session::path`].
    pub fn summary(&self, train: &Dataset, fit: &Fit<'_>) -> Result<String> {
        self.0.summary(train, fit)
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
    /// Inputs that are not whole rows, not finite, or of another width than the model's; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<f32>> {
        self.device().block_on("predict", "Session::predict", self.0.predict(inputs, input_cols))
    }

    /// A predictor that shares the model: it always uses the current parameters, from any thread.
    pub fn predictor(&self) -> Predictor {
        self.0.predictor()
    }

    /// The trained model: for another trainer, a predictor, or a part of another model.
    pub fn into_model(self) -> Arc<dyn Module> {
        self.0.into_model()
    }

    /// The async [`Session`] of this training run: what it awaits is there for the members of an [`Ensemble`], too.
    ///
    /// ```
    /// # use wgrad::{Device, Trainer, nn::{Linear, Mse}, optim::Sgd};
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 3), Mse::new(), Sgd::new(0.1), 0)?;
    /// assert!(trainer.session().history().epochs.is_empty());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn session(&mut self) -> &mut Session {
        &mut self.0
    }

    /// The same training run, as an async [`Session`].
    pub fn into_session(self) -> Session {
        self.0
    }

    /// Goes on where another trainer of the same model and algorithm is, on this or another device: with its parameters, its
    /// optimizer's state, its seed and its history. A [`Trainer::fit`] with [`Fit::until`](crate::Fit::until) then gives, on
    /// such a device, bit for bit what it would have given there.
    ///
    /// If the other's device is lost, it is at the last epoch that was recorded in its history (or where its last `fit` began, if that
    /// recorded none), which each epoch's losses bring along to the host. That holds for models of up to 2^20 parameters;
    /// larger ones need `Fit::checkpoint`, and so do steps by [`Trainer::step`].
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Adam;
    /// use wgrad::{Device, ErrorKind, Fit, Result, Trainer};
    ///
    /// let make = |device: &Device| Trainer::new(device, Linear::new(2, 1), Mse::new(), Adam::new(0.01), 0);
    /// let data = disk(100, 0, Labels::PlusMinusOne)?;
    /// let mut trainer = make(&Device::auto()?)?;
    /// match trainer.fit(&data, Fit::until(20, 10)) {
    ///     Err(error) if error.kind() == ErrorKind::DeviceLost => {
    ///         let mut on_cpu = make(&Device::cpu())?;
    ///         on_cpu.resume_from(&trainer)?;
    ///         on_cpu.fit(&data, Fit::until(20, 10))?;
    ///         trainer = on_cpu;
    ///     }
    ///     result => drop(result?),
    /// }
    /// assert_eq!(trainer.history().epochs.len(), 20);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another model, or another algorithm; a lost device of which nothing was kept. This trainer is then unchanged.
    pub fn resume_from(&mut self, other: &Self) -> Result<()> {
        let device = self.device().clone();
        device.block_on("resume_from", "Session::resume_from", self.0.resume_from(&other.0))
    }

    /// See [`Session::save_checkpoint`].
    ///
    /// # Errors
    /// See [`Session::save_checkpoint`].
    #[cfg(feature = "safetensors")]
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.device().block_on("save_checkpoint", "Session::save_checkpoint", self.0.save_checkpoint(path))
    }

    /// See [`Session::resume`].
    ///
    /// # Errors
    /// See [`Session::resume`].
    #[cfg(feature = "safetensors")]
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let device = self.device().clone();
        device.block_on("resume", "Session::resume", self.0.resume(path))
    }
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trainer({} parameters on {})", self.parameters().count(), self.device().name())
    }
}
