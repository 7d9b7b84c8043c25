//! A rule at work on a model's parameters.

use std::fmt;

use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::ops::optim::{Stretch, Update};
use crate::ops::reduce::{self, Sum};
use crate::optim::{Rule, Settings};

/// A rule at work on a model's parameters, by hand as in PyTorch or within a [`Trainer`](crate::Trainer).
///
/// ```
/// use wgrad::nn::{Linear, Loss, Module, Mse, Parameters};
/// use wgrad::optim::{Optimizer, Sgd};
/// use wgrad::{Device, Tape, Tensor};
///
/// let device = Device::cpu();
/// let model = Linear::new(1, 1);
/// let parameters = Parameters::new(&device, &model, 0)?;
/// let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1))?;
///
/// let x = Tensor::new(&device, 4, 1, &[0.0, 1.0, 2.0, 3.0])?;
/// let t = Tensor::new(&device, 4, 1, &[1.0, 3.0, 5.0, 7.0])?;
/// let mut tape = Tape::new(&device);
/// let (x, t) = (tape.input(&x)?, tape.input(&t)?);
/// let y = model.forward(&mut tape, x)?;
/// let loss = Mse::new().forward(&mut tape, y, t)?;
/// let graph = tape.backward(loss)?;
///
/// for _ in 0..200 {
///     optimizer.zero_grad()?;
///     graph.forward()?;
///     graph.backward()?;
///     optimizer.step()?;
/// }
/// let slope = model.weight().value()?.read()?[0];
/// assert!((slope - 2.0).abs() < 0.01, "y = 2x + 1 was learnt as {slope} x + ...");
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Optimizer {
    parameters: Parameters,
    rule: Box<dyn Rule>,
    base_rate: f32,
    state: Vec<Tensor>,
    /// A row a step: rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused.
    rates: Tensor,
    uploaded: Vec<f32>,
    squared_norm: Tensor,
    update: Recording,
    zero_grad: Recording,
    steps: u64,
    epoch: usize,
}

impl Optimizer {
    /// A rule for these parameters.
    ///
    /// # Errors
    /// Settings that are negative or not finite; no memory for the rule's state.
    pub fn new(parameters: &Parameters, rule: impl Rule + 'static) -> Result<Self> {
        rule.settings().check()?;
        let device = parameters.device();
        let len = parameters.values().len();
        let mut zero_grad = Recording::new(device);
        parameters.record_zero_grad(&mut zero_grad)?;
        let mut optimizer = Self {
            parameters: parameters.clone(),
            base_rate: rule.settings().learning_rate,
            state: (0..rule.states()).map(|_| Tensor::zeros(device, 1, len)).collect::<Result<_>>()?,
            rates: Tensor::zeros(device, 1, 4)?,
            uploaded: Vec::new(),
            squared_norm: Tensor::zeros(device, 1, 1)?,
            update: Recording::new(device),
            zero_grad,
            steps: 0,
            epoch: 0,
            rule: Box::new(rule),
        };
        optimizer.record()?;
        Ok(optimizer)
    }

    /// Updates the parameters by their gradients.
    ///
    /// # Errors
    /// A schedule that gives a rate that is negative or not finite; a lost device.
    pub fn step(&mut self) -> Result<()> {
        self.upload_rates(1)?;
        self.update.run()?;
        self.steps += 1;
        Ok(())
    }

    /// Sets all gradients to zero.
    ///
    /// # Errors
    /// A lost device.
    pub fn zero_grad(&self) -> Result<()> {
        self.zero_grad.run()
    }

    /// Tells a schedule that an epoch has ended. ([`Trainer::fit`](crate::Trainer::fit) does it itself.)
    pub fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Updates so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f32 {
        self.rate_at(self.steps)
    }

    /// Changes the rate that the schedule multiplies, for every step from now on. Groups keep their ratio to it.
    ///
    /// # Errors
    /// A rate that is negative or not finite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        Settings::new(rate).check()?;
        self.base_rate = rate;
        Ok(())
    }

    /// Leaves out parameters that are frozen by now, and takes in those that no longer are.
    ///
    /// # Errors
    /// All parameters are frozen.
    pub fn record(&mut self) -> Result<()> {
        let mut update = Recording::new(self.parameters.device());
        let settings = self.rule.settings();
        if settings.clip_norm > 0.0 {
            // Of what is trained: frozen parameters may hold gradients from before.
            for (i, stretch) in self.parameters.stretches(|_| None).iter().enumerate() {
                let gradients = self.parameters.gradients().view(stretch.start, 1, stretch.len)?;
                let how = Sum { square: true, clip: settings.clip_value, accumulate: i > 0 };
                reduce::sum_of(&mut update, &gradients, 1.0, &self.squared_norm, how)?;
            }
        }
        let group_of = |name: &str| settings.groups.iter().position(|group| (group.has)(name));
        for stretch in self.parameters.stretches(group_of) {
            let group = stretch.group.map(|group| &settings.groups[group]);
            let own_rate = settings.learning_rate;
            let (decay, decoupled_decay) = match group {
                None => (settings.decay, settings.decoupled_decay),
                Some(group) if settings.decoupled_decay > 0.0 => (settings.decay, group.decay),
                Some(group) => (group.decay, 0.0),
            };
            let constants = Update {
                rate_factor: group.map_or(1.0, |g| if own_rate == 0.0 { 0.0 } else { g.learning_rate / own_rate }),
                decay,
                decoupled_decay,
                shrink: settings.shrink,
                clip_value: settings.clip_value,
                clip_norm: settings.clip_norm,
                ..self.rule.update()
            };
            let view = |tensor: &Tensor| tensor.view(stretch.start, 1, stretch.len);
            let on = Stretch {
                gradients: &view(self.parameters.gradients())?,
                values: &view(self.parameters.values())?,
                state: &self.state.iter().map(view).collect::<Result<Vec<_>>>()?,
                rates: &self.rates,
                squared_norm: &self.squared_norm,
            };
            self.rule.record(&mut update, constants, on)?;
        }
        if update.is_empty() {
            return Err(Error::input("optimizer", "every parameter is frozen: nothing to train"));
        }
        self.update = update;
        Ok(())
    }

    /// Makes room for the rates of so many steps in one run.
    pub(crate) fn reserve(&mut self, steps: usize) -> Result<()> {
        if self.rates.rows() < steps {
            self.rates = Tensor::zeros(self.parameters.device(), steps, 4)?;
            self.uploaded.clear();
        }
        self.record()
    }

    /// Sets the rates of the next `steps` steps, which the caller runs, and counts them.
    pub(crate) fn begin_epoch(&mut self, steps: usize) -> Result<()> {
        self.upload_rates(steps)?;
        self.steps += steps as u64;
        self.epoch += 1;
        Ok(())
    }

    /// What the rule keeps, each laid out as the parameters.
    #[cfg(feature = "safetensors")]
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.state
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn rule_name(&self) -> &'static str {
        self.rule.name()
    }

    /// Epochs so far, as schedules count them.
    #[cfg(feature = "safetensors")]
    pub(crate) fn epoch(&self) -> usize {
        self.epoch
    }

    /// The rate that the schedule multiplies.
    #[cfg(feature = "safetensors")]
    pub(crate) fn base_rate(&self) -> f32 {
        self.base_rate
    }

    /// Counts from here on.
    #[cfg(feature = "safetensors")]
    pub(crate) fn go_to(&mut self, steps: u64, epoch: usize) {
        (self.steps, self.epoch) = (steps, epoch);
    }

    /// The launches of an update.
    pub fn update(&self) -> &Recording {
        &self.update
    }

    fn rate_at(&self, step: u64) -> f32 {
        let schedule = &self.rule.settings().schedule;
        let at = if schedule.is_per_step() { step as usize } else { self.epoch };
        (f64::from(self.base_rate) * schedule.factor(at)) as f32
    }

    fn upload_rates(&mut self, steps: usize) -> Result<()> {
        let betas = [self.rule.update().beta1, self.rule.update().beta2];
        let mut rows = Vec::with_capacity(self.rates.len());
        for step in 0..steps as u64 {
            let rate = self.rate_at(self.steps + step);
            if !(rate >= 0.0 && rate.is_finite()) {
                let detail = format!("the schedule gives a rate of {rate} at step {}", self.steps + step);
                return Err(Error::input("optimizer", detail + "; give a finite one from 0"));
            }
            let t = (self.steps + step + 1) as f64;
            let [correction1, correction2] = betas.map(|beta| (1.0 / (1.0 - f64::from(beta).powf(t))) as f32);
            rows.extend([rate, correction1, correction2, 0.0]);
        }
        if rows != self.uploaded {
            let mut padded = rows.clone();
            padded.resize(self.rates.len(), 0.0);
            self.rates.write(&padded)?;
            self.uploaded = rows;
        }
        Ok(())
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Optimizer({} steps, rate {}):\n{}", self.steps, self.learning_rate(), self.update)
    }
}
