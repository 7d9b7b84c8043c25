//! Several trainers that train one model together, each on rows of its own.

use super::average::trained;
use super::exchange::{Exchange, StepGradient};
use super::history::combine;
use super::state::live;
use super::{Control, Fit, MetricRecord, Metrics, Session};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Tensor};
use crate::error::Result;
use crate::ops::Reduction;

impl<'a> Fit<'a> {
    /// Has the gradient of each step pass through the host, where `exchange` changes it before the optimizer takes it:
    /// noise, a clipping of one's own, a look at norms; or the sum over trainers in other threads, processes or machines,
    /// by any protocol (see [`Exchange`]).
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Fit, StepGradient, Trainer};
    ///
    /// let data = disk(100, 0, Labels::PlusMinusOne)?;
    /// let mut norms = Vec::new();
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// trainer.fit(&data, Fit::new(5, 10).exchange(|step: &mut StepGradient<'_>| {
    ///     norms.push(step.values.iter().map(|g| g * g).sum::<f32>().sqrt());
    ///     step.values.iter_mut().for_each(|g| *g = g.clamp(-0.1, 0.1));
    ///     Ok(())
    /// }))?;
    /// assert_eq!(norms.len(), 50);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// A gradient that is left as it is changes no bit of a training layer by layer
    /// ([`StepPath::Layered`](crate::StepPath::Layered)). With [`Fit::accumulate`], it is called once for the
    /// mini-batches of a step. Each step waits for its gradient: on the CPU path that costs two copies of it, on a GPU a
    /// step's submit, the way to the host and back, and the path in one dispatch is not taken.
    ///
    /// Of several trainers, losses, accuracies and metrics of one's own are combined by how much each one's rows count
    /// (so a metric that is no mean over rows, such as R², is the mean of the trainers' values); running statistics are
    /// averaged after each epoch; mini-batches have the size of [`Fit::new`] on each. An error does not look for the call
    /// in which a loss became infinite or NaN.
    pub fn exchange(mut self, exchange: impl Exchange + 'a) -> Self {
        self.exchange = Some(Box::new(exchange));
        self
    }

    /// What trainers that train together must have in common.
    pub(super) fn facts(&self, data: &Dataset) -> Vec<(&'static str, String)> {
        let options = (self.batch_size, self.accumulate, self.ema, self.shuffle, self.drop_last);
        let validates = self.validation.is_some() || self.validation_rows.is_some();
        let measures = (self.evaluates, self.evaluates_train, self.evaluate_every, validates);
        let metrics: Vec<&str> = self.metrics.iter().map(|metric| &metric.name[..]).collect();
        let decides = (self.monitored(), self.looks_for_best(), self.early_stopping, self.control.is_some());
        vec![
            ("the number of epochs", format!("{}{}", self.epochs, if self.until { " in all" } else { "" })),
            ("the batch size, accumulate, ema, shuffle and drop_last", format!("{options:?}")),
            ("what is measured, validation data included", format!("{measures:?} {metrics:?}")),
            ("what stops training", format!("{decides:?}")),
            ("the columns of inputs and targets", format!("{} and {}", data.input_cols(), data.target_cols())),
        ]
    }
}

/// An exchange at work in an epoch.
pub(super) struct Exchanging<'e> {
    exchange: &'e mut dyn Exchange,
    gradients: Vec<Tensor>,
    /// Of the mini-batches.
    losses: Tensor,
    /// How much each of them counts.
    counts: &'e [f64],
    accumulate: usize,
    reduction: Reduction,
    /// What came out: the losses and counts of the steps, of all trainers.
    pub(super) steps: Steps,
}

/// The losses of an epoch's steps, and how much each counts.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) losses: Vec<f32>,
    pub(super) counts: Vec<f64>,
}

impl<'e> Exchanging<'e> {
    pub(super) fn new(
        exchange: &'e mut dyn Exchange,
        session: &Session,
        losses: &Tensor,
        counts: &'e [f64],
        accumulate: usize,
    ) -> Result<Self> {
        Ok(Self {
            exchange,
            gradients: trained(&session.parameters).iter().map(|part| part.gradients()).collect::<Result<_>>()?,
            losses: losses.clone(),
            counts,
            accumulate,
            reduction: session.loss.reduction(),
            steps: Steps::default(),
        })
    }

    /// Exchanges the gradient of this step, which its mini-batches have left; nothing, after the trainer's own last step.
    pub(super) async fn step(&mut self, step: usize) -> Result<()> {
        let counts = self.counts.chunks(self.accumulate).nth(step).unwrap_or_default();
        let mut values = Vec::new();
        let mut loss = 0.0;
        if counts.is_empty() {
            values.resize(self.gradients.iter().map(Tensor::len).sum(), 0.0);
        } else {
            let first = step * self.accumulate;
            let mut pending = Vec::new();
            for gradient in &self.gradients {
                pending.push(gradient.read_async()?);
            }
            let (end, start) = (first + counts.len(), first - first % ALIGNMENT);
            let losses = self.losses.view(start, 1, end - start)?.read_async()?;
            for pending in pending {
                let part = pending.await?;
                if values.is_empty() { values = part } else { values.extend(part) }
            }
            loss = combine(self.reduction, &losses.await?[first - start..], counts) as f32;
        }
        let (count, reduction) = (counts.iter().sum(), self.reduction);
        let mut gradient = StepGradient { values: &mut values, loss, count, reduction };
        self.exchange.gradient(&mut gradient)?;
        self.steps.losses.push(gradient.loss);
        self.steps.counts.push(gradient.count);
        let mut rest = &values[..];
        for gradient in &self.gradients {
            let (own, others) = rest.split_at(gradient.len());
            gradient.write(own)?;
            rest = others;
        }
        Ok(())
    }
}

impl Session {
    /// An error unless all trainers have the same model, state and options; and the most steps of an epoch that one has.
    pub(super) async fn begin_exchange(&mut self, fit: &mut Fit<'_>, data: &Dataset, steps: usize) -> Result<usize> {
        let mut facts = fit.facts(data);
        let shapes: Vec<_> =
            self.parameters.named().map(|(name, part)| (name, part.shape(), part.is_frozen())).collect();
        let (steps_so_far, epoch) = (self.optimizer.steps(), self.optimizer.epoch());
        facts.extend([
            ("the model's parameters, and which are frozen", format!("{shapes:?}")),
            ("the algorithm", self.optimizer.described()),
            ("the loss", format!("{:?}, {:?}", self.loss.reduction(), self.loss.decision())),
            ("the seed", self.seed.to_string()),
            ("steps and epochs so far", format!("{steps_so_far}, {epoch}, {}", self.history.epochs.len())),
            ("the values of parameters and optimizer", self.state_hash().await?),
        ]);
        let Some(exchange) = &mut fit.exchange else { return Ok(steps) };
        exchange.same(&facts)?;
        exchange.steps(steps)
    }

    /// Has all trainers end an epoch with the same running statistics; and is an error where their parameters are not the
    /// same.
    pub(super) async fn end_exchange(&self, exchange: &mut dyn Exchange, epoch: usize) -> Result<()> {
        for (_, buffer) in self.parameters.named().filter(|(_, parameter)| parameter.is_buffer()) {
            let values = buffer.value()?;
            let mut numbers: Vec<f64> = values.read_async()?.await?.into_iter().map(f64::from).collect();
            exchange.combine(&mut numbers, 1.0, Reduction::Mean)?;
            values.write(&numbers.iter().map(|number| *number as f32).collect::<Vec<_>>())?;
        }
        exchange.same(&[("parameters and optimizer", format!("after epoch {epoch}: {}", self.state_hash().await?))])
    }

    /// A number of 64 bits that tells states apart (FNV-1a over the bits).
    async fn state_hash(&self) -> Result<String> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let average = self.average.as_ref().map(|average| &average.values);
        for tensor in live(&self.parameters, &self.optimizer, average)? {
            for value in tensor.read_async()?.await? {
                hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        Ok(format!("{hash:016x}"))
    }
}

/// Makes measurements on the training and on the validation data those of all trainers. `counts` is how much losses and
/// accuracies count.
pub(super) fn combine_measured(
    exchange: &mut dyn Exchange,
    reduction: Reduction,
    counts: [[f64; 2]; 2],
    measured: &mut [Option<Metrics>; 2],
    metrics: &mut [MetricRecord],
) -> Result<()> {
    for (part, ([rows, answers], measured)) in counts.into_iter().zip(measured).enumerate() {
        let Some(measured) = measured else { continue };
        let mut loss = [f64::from(measured.loss)];
        exchange.combine(&mut loss, rows, reduction)?;
        measured.loss = loss[0] as f32;
        if let Some(accuracy) = &mut measured.accuracy {
            let mut all = [f64::from(*accuracy)];
            exchange.combine(&mut all, answers, Reduction::Mean)?;
            *accuracy = all[0] as f32;
        }
        if !metrics.is_empty() {
            let mut own = metrics.iter_mut().map(|m| if part == 0 { &mut m.train } else { &mut m.validation });
            let mut own: Vec<_> = own.by_ref().collect();
            let mut values: Vec<f64> = own.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            exchange.combine(&mut values, rows, Reduction::Mean)?;
            for (own, value) in own.iter_mut().zip(values) {
                **own = Some(value).filter(|value| !value.is_nan());
            }
        }
    }
    Ok(())
}

/// What the first trainer decides.
pub(super) fn decide_together(exchange: &mut dyn Exchange, own: Control) -> Result<Control> {
    let is_first = exchange.rank() == 0;
    let mut decision = match own {
        Control::Stop if is_first => [1.0, 0.0],
        Control::LearningRate(rate) if is_first => [2.0, f64::from(rate)],
        _ => [0.0, 0.0],
    };
    exchange.combine(&mut decision, if is_first { 1.0 } else { 0.0 }, Reduction::Mean)?;
    Ok(match decision {
        [1.0, _] => Control::Stop,
        [2.0, rate] => Control::LearningRate(rate as f32),
        _ => Control::Continue,
    })
}
