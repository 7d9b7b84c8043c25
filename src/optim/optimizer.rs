//! An algorithm bound to a model's parameters.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::lower::lower;
use crate::nn::{Parameter, Parameters, Stretch, parameter_gradients};
use crate::ops::copy::{AddTo, Flat};
use crate::ops::optim::Update;
use crate::ops::reduce::{Over, Sum};
use crate::optim::step::{OptimizerStep, check};
use crate::optim::{Algorithm, Settings};

/// An algorithm bound to a model's parameters: for hand-written training loops as in PyTorch (see
/// [`Backprop`](crate::nn::Backprop)), and inside a [`Trainer`](crate::Trainer).
///
/// ```
/// use wgrad::nn::{Linear, Parameters};
/// use wgrad::optim::{Optimizer, Sgd};
/// use wgrad::Device;
///
/// let layer = Linear::new(1, 1);
/// let parameters = Parameters::new(&Device::cpu(), &layer, 0)?;
/// let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.5))?;
/// layer.weight().value()?.write(&[3.0])?;
/// layer.weight().gradient()?.write(&[2.0])?;
/// optimizer.step()?;
/// assert_eq!(layer.weight().value()?.read()?, [2.0]); // 3 - 0.5 * 2
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Optimizer {
    parameters: Parameters,
    algorithm: Arc<dyn Algorithm>,
    base_rate: f32,
    /// Each laid out as the parameters' list.
    state: Vec<Tensor>,
    /// A row a step: rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused. One tensor for each group, then that of all others.
    rates: Vec<Tensor>,
    uploaded: Vec<Vec<f32>>,
    step: Option<HandStep>,
    steps: u64,
    epoch: usize,
}

/// The dispatches of a step by hand, and which parameters they leave out.
struct HandStep {
    recording: Recording,
    frozen: Vec<bool>,
}

impl Optimizer {
    /// An algorithm for these parameters.
    ///
    /// # Errors
    /// Settings that are negative or not finite, or that the algorithm refuses; a group without parameters; no memory for
    /// the algorithm's state.
    pub fn new(parameters: &Parameters, algorithm: impl Algorithm + 'static) -> Result<Self> {
        let device = parameters.device();
        check(&algorithm, device, &parameters.named().map(|(name, _)| name).collect::<Vec<_>>())?;
        let len = parameters.padded_len();
        let rates = algorithm.settings().groups.len() + 1;
        Ok(Self {
            parameters: parameters.clone(),
            base_rate: algorithm.settings().learning_rate,
            state: (0..algorithm.states()).map(|_| Tensor::zeros(device, 1, len)).collect::<Result<_>>()?,
            rates: (0..rates).map(|_| Tensor::zeros(device, 1, 4)).collect::<Result<_>>()?,
            uploaded: Vec::new(),
            step: None,
            steps: 0,
            epoch: 0,
            algorithm: Arc::new(algorithm),
        })
    }

    /// Updates the parameters that are not frozen by their gradients.
    ///
    /// # Errors
    /// Parameters that are all frozen; a schedule that gives a rate that is negative or not finite; a lost device.
    pub fn step(&mut self) -> Result<()> {
        self.upload_rates(1)?;
        let frozen: Vec<bool> = self.parameters.named().map(|(_, parameter)| parameter.is_frozen()).collect();
        let step = match self.step.take().filter(|step| step.frozen == frozen) {
            Some(step) => step,
            None => HandStep { recording: self.record_step()?, frozen },
        };
        self.step.insert(step).recording.run()?;
        self.steps += 1;
        Ok(())
    }

    fn record_step(&self) -> Result<Recording> {
        let mut graph = Graph::new(self.parameters.device());
        let updated = self.updates(
            &mut graph,
            |parameter| !parameter.is_frozen(),
            |graph, stretch| graph.input(&stretch.gradients()?),
        )?;
        if updated.is_empty() {
            return Err(Error::input("optimizer", "every parameter is frozen: nothing to train"));
        }
        let updated: Vec<_> = updated.into_iter().map(|(_, updated)| updated).collect();
        Ok(lower(&graph, &updated)?.into_recording())
    }

    /// Sets all gradients to zero.
    ///
    /// # Errors
    /// A lost device.
    pub fn zero_grad(&self) -> Result<()> {
        let mut recording = Recording::new(self.parameters.device());
        self.parameters.record_zero_grad(&mut recording)?;
        recording.run()
    }

    /// Adds a whole training step to a graph: the backward pass of a loss, and an update by its gradients, which replace
    /// those that the parameters had. Gives what is to be wanted of it, besides the loss. Unlike [`Optimizer::step`], the
    /// recording counts no steps: however often it runs, it updates with the rate and as the step of now. (A
    /// [`Trainer`](crate::Trainer) sets them for every step of an epoch.)
    ///
    /// ```
    /// use wgrad::nn::{Linear, Loss, Module, Mse, Parameters};
    /// use wgrad::optim::{Optimizer, Sgd};
    /// use wgrad::{Device, Graph, Tensor, lower};
    ///
    /// let device = Device::cpu();
    /// let model = Linear::new(1, 1);
    /// let parameters = Parameters::new(&device, &model, 0)?;
    /// let mut graph = Graph::new(&device);
    /// let x = graph.input(&Tensor::new(&device, 2, 1, &[0.0, 1.0])?)?;
    /// let t = graph.input(&Tensor::new(&device, 2, 1, &[1.0, 3.0])?)?;
    /// let y = model.forward(&mut graph, x)?;
    /// let loss = Mse::new().forward(&mut graph, y, t)?;
    /// let mut wanted = vec![loss];
    /// wanted.extend(Optimizer::new(&parameters, Sgd::new(0.5))?.train_step(&mut graph, loss)?);
    /// let step = lower(&graph, &wanted)?;
    /// for _ in 0..100 {
    ///     step.run()?;
    /// }
    /// assert!(step.read(loss)?[0] < 1e-3);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A loss that is not [1, 1], or depends on no parameter that is trained; an operation without a gradient on the way.
    pub fn train_step(&mut self, graph: &mut Graph, loss: Var) -> Result<Vec<Var>> {
        self.upload_rates(1)?;
        Ok(self.train(graph, loss)?.into_iter().map(|(_, updated)| updated).collect())
    }

    /// The backward pass of a loss, and an update by its gradients, which replace those that the parameters had. Gives what
    /// is to be wanted of it: what parameters become, and where they lie in the list's own layout.
    pub(crate) fn train(&self, graph: &mut Graph, loss: Var) -> Result<Vec<(Range<usize>, Var)>> {
        let gradients = parameter_gradients(graph, &self.parameters, loss)?;
        let has = |parameter: &Parameter| gradients.iter().any(|(with, _)| with == parameter);
        self.updates(graph, has, |graph, stretch| flat(graph, stretch, &gradients))
    }

    /// The backward pass of a loss, whose gradients replace those that its parameters had. Gives what is to be wanted of it, and
    /// these parameters.
    pub(crate) fn backward(&self, graph: &mut Graph, loss: Var) -> Result<(Vec<Var>, Vec<Parameter>)> {
        let gradients = parameter_gradients(graph, &self.parameters, loss)?;
        let has = |parameter: &Parameter| gradients.iter().any(|(with, _)| with == parameter);
        let stretches = self.parameters.stretches(has, |_| None);
        let replaced = stretches.iter().map(|stretch| flat(graph, stretch, &gradients)).collect::<Result<_>>()?;
        Ok((replaced, gradients.into_iter().map(|(parameter, _)| parameter).collect()))
    }

    /// The backward pass of a loss, whose gradients are added to those that its parameters have. Gives what is to be wanted of
    /// it, and these parameters.
    pub(crate) fn accumulate(&self, graph: &mut Graph, loss: Var) -> Result<(Vec<Var>, Vec<Parameter>)> {
        let gradients = parameter_gradients(graph, &self.parameters, loss)?;
        let add = |(parameter, gradient): &(Parameter, Var)| {
            let sum = graph.input(&parameter.gradient()?)?;
            graph.call1(AddTo, &[sum, *gradient])
        };
        let sums = gradients.iter().map(add).collect::<Result<_>>()?;
        Ok((sums, gradients.into_iter().map(|(parameter, _)| parameter).collect()))
    }

    /// An update of these parameters by the gradients that they have.
    pub(crate) fn update_by_sums(&self, graph: &mut Graph, of: &[Parameter]) -> Result<Vec<(Range<usize>, Var)>> {
        self.updates(graph, |parameter| of.contains(parameter), |graph, stretch| graph.input(&stretch.gradients()?))
    }

    /// A step for each stretch of the parameters that `has` takes. Gives what they become.
    fn updates(
        &self,
        graph: &mut Graph,
        has: impl Fn(&Parameter) -> bool,
        mut gradients: impl FnMut(&mut Graph, &Stretch) -> Result<Var>,
    ) -> Result<Vec<(Range<usize>, Var)>> {
        let settings = self.algorithm.settings();
        let clip_value = settings.clip_value.unwrap_or(f32::INFINITY);
        let stretches = self.parameters.stretches(has, |name| settings.group_of(name));
        let gradients = stretches.iter().map(|stretch| gradients(graph, stretch)).collect::<Result<Vec<_>>>()?;
        let mut norm = graph.constant(0.0);
        if settings.clip_norm.is_some() {
            for (i, gradient) in gradients.iter().enumerate() {
                let square =
                    graph.call1(Sum { square: true, clip: clip_value, ..Sum::new(Over::All, 1.0) }, &[*gradient])?;
                norm = if i == 0 { square } else { graph.add(norm, square)? };
            }
        }
        let mut updated = Vec::new();
        for (stretch, gradient) in stretches.iter().zip(gradients) {
            let group = stretch.group.map(|group| &settings.groups[group]);
            let (decay, decoupled_decay) = match group {
                None => (settings.decay, settings.decoupled_decay),
                Some(group) if settings.decoupled_decay > 0.0 => (settings.decay, group.decay),
                Some(group) => (group.decay, 0.0),
            };
            let constants = Update {
                decay,
                decoupled_decay,
                shrink: settings.shrink,
                clip_value,
                clip_norm: settings.clip_norm.unwrap_or_default(),
                ..self.algorithm.update()
            };
            let rates = &self.rates[stretch.group.unwrap_or(settings.groups.len())];
            let mut operands = vec![graph.input(&stretch.values()?)?, gradient, graph.input(rates)?, norm];
            for state in &self.state {
                operands.push(graph.input(&state.view(stretch.start, 1, stretch.len)?)?);
            }
            let step = OptimizerStep { algorithm: self.algorithm.clone(), constants };
            let range = stretch.start..stretch.start + stretch.len;
            updated.extend(graph.call(step, &operands)?.first().map(|updated| (range, *updated)));
        }
        Ok(updated)
    }

    /// Advances the schedule by an epoch. ([`Trainer::fit`](crate::Trainer::fit) does it itself.)
    pub fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f32 {
        self.rate_at(self.base_rate, self.steps)
    }

    /// Changes the rate that the schedule multiplies, for every step from now on. The rates of groups change in
    /// proportion, unless the algorithm's own rate is 0, to which nothing is in proportion.
    ///
    /// # Errors
    /// A rate that is negative or not finite, or that makes the rate of a group infinite.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        Settings::new(rate).check()?;
        if let Some(group) = self.base_rates(rate).into_iter().find(|group| !group.is_finite()) {
            let own = self.algorithm.settings().learning_rate;
            let detail = format!("a learning rate of {rate} instead of {own} makes that of a group {group}");
            return Err(Error::input("optimizer", detail + "; give both of the same order of magnitude"));
        }
        self.base_rate = rate;
        Ok(())
    }

    /// What the schedule multiplies if the learning rate is `rate`: the rates of the groups, then that of all others.
    fn base_rates(&self, rate: f32) -> Vec<f32> {
        let settings = self.algorithm.settings();
        let own = settings.learning_rate;
        let change = if own == 0.0 { 1.0 } else { f64::from(rate) / f64::from(own) };
        let groups = settings.groups.iter().map(|group| (f64::from(group.learning_rate) * change) as f32);
        groups.chain([rate]).collect()
    }

    /// Allocates the rates of this many steps in one run.
    pub(crate) fn reserve(&mut self, steps: usize) -> Result<()> {
        if self.rates[0].rows() < steps {
            let device = self.parameters.device();
            let room = (0..self.rates.len()).map(|_| Tensor::zeros(device, steps, 4)).collect::<Result<_>>()?;
            self.rates = room;
            self.uploaded.clear();
            self.step = None;
        }
        Ok(())
    }

    /// Sets the rate of the next step, which the caller runs, and counts it: this one, whatever the schedule says, if one is
    /// given.
    pub(crate) fn begin_step(&mut self, rate: Option<f32>) -> Result<()> {
        match rate {
            None => self.upload_rates(1)?,
            Some(rate) => {
                self.upload(self.base_rates(rate).iter().map(|base| self.rows(1, |_| *base)).collect::<Result<_>>()?)?
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// Sets the rates of the next `steps` steps, which the caller runs, and counts them, and an epoch.
    pub(crate) fn begin_epoch(&mut self, steps: usize) -> Result<()> {
        self.upload_rates(steps)?;
        self.steps += steps as u64;
        self.epoch += 1;
        Ok(())
    }

    /// What the algorithm keeps, each laid out as the parameters' list.
    pub(crate) fn state(&self) -> &[Tensor] {
        &self.state
    }

    pub(crate) fn algorithm_name(&self) -> &'static str {
        self.algorithm.name()
    }

    /// What it does, as a text that tells algorithms apart.
    pub(crate) fn described(&self) -> String {
        let (name, settings) = (self.algorithm.name(), self.algorithm.settings());
        format!("{name} at {}: {settings:?}, {:?}", self.base_rate, self.algorithm.update())
    }

    /// Epochs so far, as schedules count them.
    pub(crate) fn epoch(&self) -> usize {
        self.epoch
    }

    /// The rate that the schedule multiplies.
    pub(crate) fn base_rate(&self) -> f32 {
        self.base_rate
    }

    /// Counts from here on.
    pub(crate) fn go_to(&mut self, steps: u64, epoch: usize) {
        (self.steps, self.epoch) = (steps, epoch);
    }

    fn rate_at(&self, base_rate: f32, step: u64) -> f32 {
        let schedule = &self.algorithm.settings().schedule;
        let at = if schedule.is_per_step() { step as usize } else { self.epoch };
        (f64::from(base_rate) * schedule.factor(at)) as f32
    }

    fn upload_rates(&mut self, steps: usize) -> Result<()> {
        let bases = self.base_rates(self.base_rate);
        let rows = bases.iter().map(|base| self.rows(steps, |step| self.rate_at(*base, step)));
        self.upload(rows.collect::<Result<_>>()?)
    }

    /// Rows of rates, unless they are there.
    fn upload(&mut self, rows: Vec<Vec<f32>>) -> Result<()> {
        if rows != self.uploaded {
            for (rates, rows) in self.rates.iter().zip(&rows) {
                rates.view(0, rows.len() / 4, 4)?.write(rows)?;
            }
            self.uploaded = rows;
        }
        Ok(())
    }

    /// The rows of the next `steps` steps, each with the rate of its number.
    fn rows(&self, steps: usize, rate: impl Fn(u64) -> f32) -> Result<Vec<f32>> {
        let betas = [self.algorithm.update().beta1, self.algorithm.update().beta2];
        let mut rows = Vec::with_capacity(4 * steps);
        for step in 0..steps as u64 {
            let rate = rate(self.steps + step);
            if !(rate >= 0.0 && rate.is_finite()) {
                let detail = format!("the schedule gives a rate of {rate} at step {}", self.steps + step);
                return Err(Error::input("optimizer", detail + "; give a finite one of at least 0"));
            }
            let t = (self.steps + step + 1) as f64;
            let [correction1, correction2] = betas.map(|beta| (1.0 / (1.0 - f64::from(beta).powf(t))) as f32);
            rows.extend([rate, correction1, correction2, 0.0]);
        }
        Ok(rows)
    }
}

/// The gradients of a stretch's parameters, in its row.
fn flat(graph: &mut Graph, stretch: &Stretch, gradients: &[(Parameter, Var)]) -> Result<Var> {
    let (mut parts, mut starts) = (vec![graph.input(&stretch.gradients()?)?], Vec::new());
    for (parameter, gradient) in gradients {
        if let Some(start) = stretch.offset_of(parameter) {
            parts.push(*gradient);
            starts.push(start);
        }
    }
    graph.call1(Flat { starts }, &parts)
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Optimizer({}, {} steps, rate {})", self.algorithm.name(), self.steps, self.learning_rate())
    }
}
