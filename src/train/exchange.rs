//! What several trainers that train one model together tell each other.

use std::fmt;

use crate::error::Result;
use crate::ops::Reduction;

/// What happens to gradients between the backward pass and the optimizer's step: see
/// [`Fit::exchange`](crate::Fit::exchange).
///
/// A closure of a [`StepGradient`] is one that changes gradients, or looks at them, and leaves the rest as it is. For
/// several trainers that are to train one model together, in threads, processes or on machines, implement all of it. All
/// trainers then make the same calls in the same order, and each call must give all of them the same numbers, bit for
/// bit. The crate `wgrad-mpi` does that over MPI.
///
/// Two threads, which send each other numbers:
///
/// ```
/// use std::sync::mpsc::{Receiver, Sender, channel};
/// use std::thread;
///
/// use wgrad::data::{Labels, disk};
/// use wgrad::nn::{Linear, Mse};
/// use wgrad::ops::Reduction;
/// use wgrad::optim::Sgd;
/// use wgrad::{Device, Exchange, Fit, Result, StepGradient, Trainer};
///
/// struct Pair {
///     rank: usize,
///     to: Sender<(Vec<f64>, f64)>,
///     from: Receiver<(Vec<f64>, f64)>,
/// }
///
/// impl Exchange for Pair {
///     fn gradient(&mut self, step: &mut StepGradient<'_>) -> Result<()> {
///         let mut numbers: Vec<f64> = step.values.iter().map(|value| f64::from(*value)).collect();
///         numbers.push(f64::from(step.loss));
///         let (count, mut counts) = (step.count, [step.count]);
///         self.combine(&mut numbers, count, step.reduction)?;
///         self.combine(&mut counts, count, Reduction::Sum)?;
///         step.count = counts[0];
///         step.loss = numbers.pop().unwrap_or_default() as f32;
///         step.values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number as f32);
///         Ok(())
///     }
///
///     fn combine(&mut self, numbers: &mut [f64], count: f64, reduction: Reduction) -> Result<()> {
///         self.to.send((numbers.to_vec(), count)).unwrap();
///         let (other, other_count) = self.from.recv().unwrap();
///         for (own, other) in numbers.iter_mut().zip(other) {
///             // In the order of ranks, so that both get the same bits.
///             *own = match self.rank {
///                 0 => reduction.combine(&[*own, other], &[count, other_count]),
///                 _ => reduction.combine(&[other, *own], &[other_count, count]),
///             };
///         }
///         Ok(())
///     }
///
///     fn rank(&self) -> usize {
///         self.rank
///     }
/// }
///
/// let ((to_second, from_first), (to_first, from_second)) = (channel(), channel());
/// let first = Pair { rank: 0, to: to_second, from: from_second };
/// let second = Pair { rank: 1, to: to_first, from: from_first };
/// let train = |pair: Pair| -> Result<Vec<f32>> {
///     let rows = disk(100, pair.rank as u64, Labels::PlusMinusOne)?;
///     let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
///     trainer.fit(&rows, Fit::new(5, 10).exchange(pair))?;
///     trainer.parameters().read()
/// };
/// let other = thread::spawn(move || train(second));
/// assert_eq!(train(first)?, other.join().unwrap()?);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Exchange: Send {
    /// After the backward pass of each step, before the optimizer's: makes this trainer's gradient, loss and count those
    /// of all.
    ///
    /// # Errors
    /// Whatever stops the training: parameters, optimizer and history are then those of the last recorded epoch.
    fn gradient(&mut self, step: &mut StepGradient<'_>) -> Result<()>;

    /// Makes numbers of this trainer, which count so much, those of all: losses, accuracies and metrics of an evaluation,
    /// running statistics, decisions. [`Reduction::combine`] does the arithmetic. By default they stay as they are.
    ///
    /// # Errors
    /// As [`Exchange::gradient`].
    fn combine(&mut self, numbers: &mut [f64], count: f64, reduction: Reduction) -> Result<()> {
        let _ = (numbers, count, reduction);
        Ok(())
    }

    /// An error unless these facts, each with its name, are the same for all trainers: what the training is, before the
    /// first step; the parameters' bits after each epoch. By default it is none.
    ///
    /// # Errors
    /// Another fact of another trainer; as [`Exchange::gradient`].
    fn same(&mut self, facts: &[(&str, String)]) -> Result<()> {
        let _ = facts;
        Ok(())
    }

    /// The most steps of an epoch that any trainer has, of which this one has `own`. In the steps that it lacks, its
    /// gradient is 0 and counts 0.
    ///
    /// # Errors
    /// As [`Exchange::gradient`].
    fn steps(&mut self, own: usize) -> Result<usize> {
        Ok(own)
    }

    /// This trainer's number, from 0. The one with 0 writes checkpoints and decides by
    /// [`Fit::control`](crate::Fit::control); the others have random numbers of their own for the order of their rows and
    /// for dropout.
    fn rank(&self) -> usize {
        0
    }
}

impl<F: FnMut(&mut StepGradient<'_>) -> Result<()> + Send> Exchange for F {
    fn gradient(&mut self, step: &mut StepGradient<'_>) -> Result<()> {
        self(step)
    }
}

/// The gradient of a step, on the host, where an [`Exchange`] changes it.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepGradient<'a> {
    /// Of all parameters that are not frozen, in the order of [`Parameters::named`](crate::nn::Parameters::named): each
    /// begins at a multiple of 64, after zeros.
    pub values: &'a mut [f32],
    /// The loss of the step, before its update.
    pub loss: f32,
    /// How much the rows of the step count in a mean: their number, or the sum of their weights.
    pub count: f64,
    /// How the loss is reduced over samples.
    pub reduction: Reduction,
}

impl fmt::Debug for dyn Exchange + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange of rank {}", self.rank())
    }
}
