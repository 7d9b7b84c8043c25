//! Optimisers: rules that change parameters by their gradients.

mod sgd;

pub use sgd::Sgd;

use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::recording::Recording;
use crate::tensor::Tensor;

/// A rule by which parameters are updated, such as [`Sgd`].
pub trait Rule: Send + Sync {
    /// The learning rate to begin with.
    fn learning_rate(&self) -> f32;

    /// Pushes the launches of one update. `rates` holds the learning rates, one a step: see
    /// [`ops::optim`](crate::ops::optim).
    ///
    /// # Errors
    /// Settings that make no sense.
    fn record(&self, recording: &mut Recording, parameters: &Parameters, rates: &Tensor) -> Result<()>;
}

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
/// let optimizer = Optimizer::new(&parameters, Sgd::new(0.1))?;
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
#[derive(Debug)]
pub struct Optimizer {
    rates: Tensor,
    update: Recording,
    zero_grad: Recording,
}

impl Optimizer {
    /// A rule for these parameters.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn new(parameters: &Parameters, rule: impl Rule) -> Result<Self> {
        let rates = Tensor::zeros(parameters.device(), 1, 1)?;
        let mut update = Recording::new(parameters.device());
        rule.record(&mut update, parameters, &rates)?;
        let mut zero_grad = Recording::new(parameters.device());
        parameters.record_zero_grad(&mut zero_grad)?;
        let optimizer = Self { rates, update, zero_grad };
        optimizer.set_learning_rate(rule.learning_rate())?;
        Ok(optimizer)
    }

    /// Updates the parameters by their gradients.
    ///
    /// # Errors
    /// A lost device.
    pub fn step(&self) -> Result<()> {
        self.update.run()
    }

    /// Sets all gradients to zero.
    ///
    /// # Errors
    /// A lost device.
    pub fn zero_grad(&self) -> Result<()> {
        self.zero_grad.run()
    }

    /// Changes the learning rate, for everything run from now on.
    ///
    /// # Errors
    /// A rate that is negative or not finite; a lost device.
    pub fn set_learning_rate(&self, rate: f32) -> Result<()> {
        if !(rate >= 0.0 && rate.is_finite()) {
            return Err(Error::input("optimizer", format!("a learning rate of {rate}; give a finite one from 0")));
        }
        self.rates.write(&[rate])
    }

    /// The launches of an update.
    pub fn update(&self) -> &Recording {
        &self.update
    }
}
