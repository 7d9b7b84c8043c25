//! The optimizers: SGD, Adam, RMSProp, and the settings that they share.

use std::fmt;
use std::sync::Arc;

use crate::device::Recording;
use crate::error::{Error, Result};
use crate::ops::optim::{self, Stretch, Update};
use crate::optim::Schedule;

/// How parameters are updated by their gradients: [`Sgd`], [`Adam`], [`RmsProp`], or a custom algorithm.
pub trait Algorithm: Send + Sync {
    /// Its name in a checkpoint: the type's, unless it says otherwise.
    fn name(&self) -> &'static str {
        let whole = std::any::type_name::<Self>();
        let path = whole.split('<').next().unwrap_or(whole);
        path.rsplit("::").next().unwrap_or(path)
    }

    /// The learning rate, decay, clipping, schedule and groups.
    fn settings(&self) -> &Settings;

    /// How many numbers it keeps per parameter: momentum, means.
    fn states(&self) -> usize;

    /// The constants of an update, of which the optimizer fills in those of the [`Settings`].
    fn update(&self) -> Update;

    /// Pushes the dispatches that update a stretch of parameters.
    ///
    /// # Errors
    /// Tensors of different shapes.
    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()>;
}

/// One that is chosen when the program runs.
impl Algorithm for Box<dyn Algorithm> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn settings(&self) -> &Settings {
        (**self).settings()
    }

    fn states(&self) -> usize {
        (**self).states()
    }

    fn update(&self) -> Update {
        (**self).update()
    }

    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
        (**self).record(recording, update, on)
    }
}

/// The settings that all algorithms share. Each has a method for each of these.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) learning_rate: f32,
    pub(super) schedule: Schedule,
    pub(super) decay: f32,
    pub(super) decoupled_decay: f32,
    pub(super) shrink: f32,
    pub(super) clip_value: Option<f32>,
    pub(super) clip_norm: Option<f32>,
    pub(super) groups: Vec<Group>,
}

/// Parameters with their own learning rate and weight decay.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) has: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    pub(super) learning_rate: f32,
    pub(super) decay: f32,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group(rate {}, decay {})", self.learning_rate, self.decay)
    }
}

impl Settings {
    /// A constant learning rate, and nothing else.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            schedule: Schedule::constant(),
            decay: 0.0,
            decoupled_decay: 0.0,
            shrink: 0.0,
            clip_value: None,
            clip_norm: None,
            groups: Vec::new(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let group_values =
            self.groups.iter().flat_map(|g| [("learning rate", g.learning_rate), ("weight decay", g.decay)]);
        let values = [
            ("learning rate", self.learning_rate),
            ("weight decay", self.decay),
            ("decoupled weight decay", self.decoupled_decay),
        ];
        for (name, value) in values.into_iter().chain(group_values) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::input("optimizer", format!("a {name} of {value}; give a finite one of at least 0")));
            }
        }
        let clips = [("value to clip to", self.clip_value), ("norm to clip to", self.clip_norm)];
        for (name, limit) in clips.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
            if !(limit > 0.0 && limit.is_finite()) {
                let detail = format!("a {name} of {limit}; give a positive one, or don't call it");
                return Err(Error::input("optimizer", detail));
            }
        }
        if !(0.0..1.0).contains(&self.shrink) {
            let detail = format!("a shrink of {}; give a share from 0 to below 1", self.shrink);
            return Err(Error::input("optimizer", detail));
        }
        Ok(())
    }

    /// The group that a parameter of this name is in.
    pub(super) fn group_of(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| (group.has)(name))
    }

    /// An error if a group has none of these parameters, as one whose names are misspelt.
    pub(super) fn check_groups(&self, names: &[&str]) -> Result<()> {
        let is_empty = |group: &usize| names.iter().all(|name| self.group_of(name) != Some(*group));
        match (0..self.groups.len()).find(is_empty) {
            Some(group) => {
                let detail = format!("group {group} has no parameters; the model's are {}", names.join(", "));
                Err(Error::input("optimizer", detail))
            }
            None => Ok(()),
        }
    }
}

/// The methods that set [`Settings`].
macro_rules! settings {
    ($algorithm:ident) => {
        impl $algorithm {
            /// Changes the learning rate over time.
            pub fn schedule(mut self, schedule: Schedule) -> Self {
                self.settings.schedule = schedule;
                self
            }

            /// Weight decay that is added to the gradient: `∇ + decay θ`, as PyTorch's `weight_decay` of SGD and Adam.
            pub fn weight_decay(mut self, decay: f32) -> Self {
                self.settings.decay = decay;
                self
            }

            /// Decoupled weight decay (Loshchilov & Hutter 2019): `θ -= rate decay θ`.
            pub fn decoupled_weight_decay(mut self, decay: f32) -> Self {
                self.settings.decoupled_decay = decay;
                self
            }

            /// Values shrink by this share each step, whatever the rate: `θ -= share θ`. With a rate of 0.01, a
            /// hundred times as much as the same number of decoupled weight decay. From 0 to below 1.
            pub fn shrink(mut self, share: f32) -> Self {
                self.settings.shrink = share;
                self
            }

            /// Clamps each gradient to ± this: PyTorch's `clip_grad_value_`, before `clip_grad_norm_` if both are set.
            pub fn clip_value(mut self, limit: f32) -> Self {
                self.settings.clip_value = Some(limit);
                self
            }

            /// Scales the gradients down to this norm, taken over all parameters (of the clamped gradients, if values are
            /// clipped, too), where it is larger: PyTorch's `clip_grad_norm_`.
            pub fn clip_norm(mut self, limit: f32) -> Self {
                self.settings.clip_norm = Some(limit);
                self
            }

            /// Gives the parameters whose name `has` accepts, and that no earlier group has, a learning rate and a
            /// weight decay of their own, whatever the others': PyTorch's parameter groups. The decay is decoupled if
            /// the algorithm's is, else added to the gradient. The schedule multiplies all rates. A group that has no
            /// parameter is an error.
            pub fn group(
                mut self,
                has: impl Fn(&str) -> bool + Send + Sync + 'static,
                learning_rate: f32,
                decay: f32,
            ) -> Self {
                self.settings.groups.push(Group { has: Arc::new(has), learning_rate, decay });
                self
            }
        }
    };
}

/// Stochastic gradient descent: `θ -= rate ∇`, with momentum `v = μ v + ∇; θ -= rate v`.
///
/// ```
/// use wgrad::optim::{Schedule, Sgd};
///
/// let sgd = Sgd::new(0.1).momentum(0.9).weight_decay(1e-4).schedule(Schedule::step(30, 0.1));
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    settings: Settings,
    momentum: f32,
    nesterov: bool,
}

settings!(Sgd);

impl Sgd {
    /// With this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Self { settings: Settings::new(learning_rate), momentum: 0.0, nesterov: false }
    }

    /// Sets the momentum: this share of the velocity is kept from step to step.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Nesterov's momentum: `θ -= rate (∇ + μ v)`, as PyTorch has it. Needs [`Sgd::momentum`].
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }
}

impl Algorithm for Sgd {
    fn name(&self) -> &'static str {
        "Sgd"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn states(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }

    fn update(&self) -> Update {
        Update { momentum: self.momentum, nesterov: self.nesterov.into(), ..Update::default() }
    }

    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
        match self.momentum {
            0.0 if self.nesterov => {
                Err(Error::input("optimizer", "Nesterov's momentum without momentum; set Sgd::momentum, too"))
            }
            0.0 => optim::sgd(recording, update, on),
            _ => optim::momentum(recording, update, on),
        }
    }
}

/// Adam (Kingma & Ba 2015): `m = β₁ m + (1 - β₁) ∇; v = β₂ v + (1 - β₂) ∇²;
/// θ -= rate m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + ε)`.
///
/// With [`Adam::decoupled_weight_decay`] it is AdamW.
///
/// ```
/// use wgrad::optim::Adam;
///
/// let adam = Adam::new(1e-3);
/// let adam_w = Adam::new(1e-3).decoupled_weight_decay(0.01);
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    settings: Settings,
    betas: [f32; 2],
    epsilon: f32,
}

settings!(Adam);

impl Adam {
    /// With this learning rate, β 0.9 and 0.999, ε 1e-8.
    pub fn new(learning_rate: f32) -> Self {
        Self { settings: Settings::new(learning_rate), betas: [0.9, 0.999], epsilon: 1e-8 }
    }

    /// Other decays of the means.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.betas = [beta1, beta2];
        self
    }

    /// Another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl Algorithm for Adam {
    fn name(&self) -> &'static str {
        "Adam"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn states(&self) -> usize {
        2
    }

    fn update(&self) -> Update {
        Update { beta1: self.betas[0], beta2: self.betas[1], epsilon: self.epsilon, ..Update::default() }
    }

    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
        optim::adam(recording, update, on)
    }
}

/// RMSProp (Hinton 2012): `v = α v + (1 - α) ∇²; θ -= rate ∇ / (√v + ε)`.
#[derive(Clone, Debug)]
pub struct RmsProp {
    settings: Settings,
    alpha: f32,
    epsilon: f32,
    momentum: f32,
}

settings!(RmsProp);

impl RmsProp {
    /// With this learning rate, α 0.99, ε 1e-8.
    pub fn new(learning_rate: f32) -> Self {
        Self { settings: Settings::new(learning_rate), alpha: 0.99, epsilon: 1e-8, momentum: 0.0 }
    }

    /// Another decay of the mean square.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = alpha;
        self
    }

    /// Another ε.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Momentum on top: `u = μ u + ∇ / (√v + ε); θ -= rate u`.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }
}

impl Algorithm for RmsProp {
    fn name(&self) -> &'static str {
        "RmsProp"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn states(&self) -> usize {
        2
    }

    fn update(&self) -> Update {
        Update { beta2: self.alpha, epsilon: self.epsilon, momentum: self.momentum, ..Update::default() }
    }

    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
        optim::rmsprop(recording, update, on)
    }
}
