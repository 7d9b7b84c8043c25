//! Training: epochs of shuffled mini-batches, measured after each.

mod evaluation;
mod fit;
mod history;

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::buffer::PendingRead;
use crate::data::{self, Dataset};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::nn::{Loss, Module, Parameters};
use crate::ops;
use crate::optim::{Optimizer, Rule};
use crate::recording::Recording;
use crate::tape::Tape;
use crate::tensor::Tensor;
use evaluation::{Evaluation, PendingMetrics};
pub use fit::Fit;
pub use history::{EpochRecord, History, Metrics};

/// Trains a model: everything stays on the device from the first step of an epoch to its last.
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
    shuffle: ChaCha8Rng,
    /// Steps so far, for what is random within them.
    clock: Tensor,
    history: History,
}

/// A dataset in a device's memory.
struct Resident {
    inputs: Tensor,
    targets: Tensor,
    threshold: f32,
}

impl Resident {
    fn new(device: &Device, data: &Dataset) -> Result<Self> {
        Ok(Self {
            inputs: Tensor::new(device, data.len(), data.input_cols(), data.inputs())?,
            targets: Tensor::new(device, data.len(), data.target_cols(), data.targets())?,
            threshold: data.threshold(),
        })
    }
}

/// An epoch's launches: the full mini-batches, and the smaller one at the end.
struct Epoch {
    full: Recording,
    full_steps: u32,
    rest: Option<Recording>,
    /// The order of the samples, shuffled anew each epoch.
    order: Tensor,
    /// The loss of each step.
    losses: Tensor,
    /// The samples of each step.
    step_rows: Vec<usize>,
}

/// An epoch whose results are on their way.
struct PendingEpoch {
    epoch: usize,
    losses: PendingRead,
    train: Option<PendingMetrics>,
    validation: Option<PendingMetrics>,
}

impl Trainer {
    /// Places the model's parameters on the device and draws their initial values; `seed` also decides the order of
    /// the mini-batches.
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
        let mut shuffle = ChaCha8Rng::seed_from_u64(seed);
        // Parameters are drawn from stream 0 of the same seed.
        shuffle.set_stream(1);
        Ok(Self {
            device: device.clone(),
            model: Box::new(model),
            loss: Box::new(loss),
            parameters,
            optimizer,
            seed,
            shuffle,
            clock: Tensor::zeros(device, 1, 1)?,
            history: History::default(),
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

    /// Trains, and returns the records of these epochs.
    ///
    /// The samples are shuffled anew for each epoch. Within an epoch nothing is read back; its losses and measurements
    /// come back while the next one runs.
    ///
    /// # Errors
    /// No epochs, a batch size of 0 or larger than the data, data of another shape than the model's; a loss that is
    /// NaN or infinite ([`ErrorKind::NotFinite`]; what was recorded until then is in [`Trainer::history`]); a lost
    /// device.
    pub fn fit(&mut self, train: &Dataset, mut fit: Fit<'_>) -> Result<History> {
        if fit.epochs == 0 {
            return Err(Error::input("fit", "0 epochs; give at least 1"));
        }
        if fit.batch_size == 0 || fit.batch_size > train.len() {
            return Err(Error::input(
                "fit",
                format!("a batch size of {} for {} samples; give 1 to {}", fit.batch_size, train.len(), train.len()),
            ));
        }
        let start = Instant::now();
        for data in std::iter::once(train).chain(fit.validation) {
            self.loss.check_targets(data, self.output_cols(data)?)?;
        }
        let data = Resident::new(&self.device, train)?;
        self.optimizer.reserve(train.len().div_ceil(fit.batch_size))?;
        let epoch_plan = self.record_epoch(&data, &fit)?;
        let evaluation = Evaluation::new(self, data)?;
        let validation = match fit.validation {
            Some(data) => Some(Evaluation::new(self, Resident::new(&self.device, data)?)?),
            None => None,
        };

        let (already, already_steps) = (self.history.epochs.len(), self.history.step_losses.len());
        let mut order: Vec<u32> = (0..train.len() as u32).collect();
        let mut pending = VecDeque::new();
        for epoch in 1..=fit.epochs {
            order.shuffle(&mut self.shuffle);
            self.clock.write(&[f32::from_bits(self.optimizer.steps() as u32)])?;
            self.optimizer.begin_epoch(epoch_plan.step_rows.len())?;
            epoch_plan.run(&order, fit.steps_per_submit)?;
            let measure = epoch == fit.epochs || (fit.evaluate_every > 0 && epoch.is_multiple_of(fit.evaluate_every));
            pending.push_back(PendingEpoch {
                epoch: already + epoch,
                losses: epoch_plan.losses.read_async()?,
                train: if measure { Some(evaluation.start()?) } else { None },
                validation: match &validation {
                    Some(validation) if measure => Some(validation.start()?),
                    _ => None,
                },
            });
            // The device works on one epoch while the host takes in the one before.
            while pending.len() > usize::from(epoch < fit.epochs) {
                let Some(oldest) = pending.pop_front() else { break };
                self.take_in(oldest, &epoch_plan.step_rows, start, &mut fit)?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        self.history.seconds += seconds;
        Ok(self.history.since(already, already_steps, seconds))
    }

    fn take_in(&mut self, pending: PendingEpoch, step_rows: &[usize], start: Instant, fit: &mut Fit<'_>) -> Result<()> {
        let losses = pending.losses.wait()?;
        if let Some(step) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(Error::new(
                ErrorKind::NotFinite,
                "fit",
                format!(
                    "the loss became {} in epoch {}, step {}; try a smaller learning rate",
                    losses[step],
                    pending.epoch,
                    step + 1
                ),
            ));
        }
        let record = EpochRecord {
            epoch: pending.epoch,
            loss: self.loss.reduction().combine(&losses, step_rows) as f32,
            train: pending.train.map(PendingMetrics::wait).transpose()?,
            validation: pending.validation.map(PendingMetrics::wait).transpose()?,
            seconds: start.elapsed().as_secs_f64(),
        };
        if let Some(on_epoch) = &mut fit.on_epoch {
            on_epoch(&record);
        }
        self.history.epochs.push(record);
        self.history.step_losses.extend(losses);
        Ok(())
    }

    /// The loss and accuracy of the model on this data.
    ///
    /// # Errors
    /// Data of another shape than the model's, or targets that the loss does not take; a lost device.
    pub fn evaluate(&self, data: &Dataset) -> Result<Metrics> {
        self.loss.check_targets(data, self.output_cols(data)?)?;
        Evaluation::new(self, Resident::new(&self.device, data)?)?.start()?.wait()
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
        let rows = data::rows("inputs", inputs, input_cols)?;
        let mut outputs = Vec::new();
        let mut network: Option<(Tensor, Tensor, Recording)> = None;
        for chunk in inputs.chunks(evaluation::CHUNK_ROWS.min(rows) * input_cols) {
            if network.as_ref().is_none_or(|(x, ..)| x.len() != chunk.len()) {
                let x = Tensor::zeros(&self.device, chunk.len() / input_cols, input_cols)?;
                let mut tape = Tape::for_evaluation(&self.device);
                let input = tape.input(&x)?;
                let output = self.model.forward(&mut tape, input)?;
                let y = tape.tensor(output)?;
                let forward = tape.finish().fused(&[&y]);
                network = Some((x, y, forward));
            }
            if let Some((x, y, forward)) = &network {
                x.write(chunk)?;
                forward.run()?;
                outputs.extend(y.read()?);
            }
        }
        Ok(outputs)
    }

    /// Columns of the model's output for this data.
    fn output_cols(&self, data: &Dataset) -> Result<usize> {
        let mut tape = Tape::for_evaluation(&self.device);
        let x = tape.input(&Tensor::zeros(&self.device, 1, data.input_cols())?)?;
        let y = self.model.forward(&mut tape, x)?;
        Ok(tape.tensor(y)?.cols())
    }

    fn record_epoch(&self, data: &Resident, fit: &Fit<'_>) -> Result<Epoch> {
        let (samples, batch_size) = (data.inputs.rows(), fit.batch_size);
        let rest = if fit.drop_last { 0 } else { samples % batch_size };
        let mut step_rows = vec![batch_size; samples / batch_size];
        step_rows.extend((rest > 0).then_some(rest));
        let order = Tensor::zeros(&self.device, 1, samples)?;
        let losses = Tensor::zeros(&self.device, 1, step_rows.len())?;
        let record = |rows| self.record_step(data, (&order, batch_size), rows, &losses, fit.fused);
        Ok(Epoch {
            full: record(batch_size)?,
            full_steps: (samples / batch_size) as u32,
            rest: if rest > 0 { Some(record(rest)?) } else { None },
            order,
            losses,
            step_rows,
        })
    }

    /// One step on a mini-batch of `rows` samples, the step's number times `batch_size` into the order.
    fn record_step(
        &self,
        data: &Resident,
        (order, batch_size): (&Tensor, usize),
        rows: usize,
        losses: &Tensor,
        fused: bool,
    ) -> Result<Recording> {
        let (x, t) = (
            Tensor::zeros(&self.device, rows, data.inputs.cols())?,
            Tensor::zeros(&self.device, rows, data.targets.cols())?,
        );
        let mut step = Recording::new(&self.device);
        ops::gather(&mut step, order, [&data.inputs, &data.targets], [&x, &t], batch_size)?;
        let mut tape = Tape::with_clock(&self.device, self.seed, &self.clock);
        let (x, t) = (tape.input(&x)?, tape.input(&t)?);
        let y = self.model.forward(&mut tape, x)?;
        let loss = self.loss.forward(&mut tape, y, t)?;
        let loss_value = tape.tensor(loss)?;
        let graph = tape.backward_overwriting(loss)?;
        step.append(graph.forward_recording())?;
        ops::reduce::sum(&mut step, &loss_value, 1.0, losses)?;
        step.append(graph.backward_recording())?;
        step.append(self.optimizer.update())?;
        Ok(if fused { step.fused(&[]) } else { step })
    }
}

impl Epoch {
    fn run(&self, order: &[u32], steps_per_submit: u32) -> Result<()> {
        self.order.write(bytemuck::cast_slice(order))?;
        let mut first = 0;
        while first < self.full_steps {
            let end = self.full_steps.min(first.saturating_add(steps_per_submit));
            self.full.run_steps(first..end)?;
            first = end;
        }
        match &self.rest {
            Some(rest) => rest.run_steps(self.full_steps..self.full_steps + 1),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trainer({} parameters on {})", self.parameters.count(), self.device.name())
    }
}
