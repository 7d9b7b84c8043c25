//! Optimizer updates over the flat parameter buffer: `shaders/optim.wgsl`.

mod lanes;

use crate::device::{Call, Cut, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::elementary::clip;
use crate::ops::{GROUP, LOAD, grid, same_shape, size};

params! {
    /// The constants of an update. [`Settings`](crate::optim::Settings) holds those that all algorithms share. A custom
    /// algorithm starts from `Update::default()` and sets its fields.
    #[derive(Debug)]
    #[non_exhaustive]
    pub struct Update {
        /// Elements: set when the dispatch is recorded.
        pub len: u32,
        /// The last row of rates: set when the dispatch is recorded.
        pub last_rate: u32,
        /// Multiplies the learning rate.
        pub rate_factor: f32,
        /// Weight decay that is added to the gradient.
        pub decay: f32,
        /// Decoupled weight decay: values shrink by rate * this.
        pub decoupled_decay: f32,
        /// Values shrink by this share, whatever the rate.
        pub shrink: f32,
        /// Gradients are clamped to ± this.
        pub clip_value: f32,
        /// Clamped gradients are scaled down to this norm; 0 leaves them.
        pub clip_norm: f32,
        /// The share of the last velocity that is kept.
        pub momentum: f32,
        /// 1 for Nesterov's momentum.
        pub nesterov: u32,
        /// Adam's decay of the mean.
        pub beta1: f32,
        /// Adam's and RMSProp's decay of the mean square.
        pub beta2: f32,
        /// Added to the divisor to keep it from being 0.
        pub epsilon: f32,
    }
}

impl Default for Update {
    fn default() -> Self {
        Self { rate_factor: 1.0, clip_value: f32::INFINITY, ..bytemuck::Zeroable::zeroed() }
    }
}

/// What an update reads and writes, all of one length: gradients, values, and as much state as the algorithm has.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Read.
    pub gradients: &'a Tensor,
    /// Changed.
    pub values: &'a Tensor,
    /// Changed.
    pub state: &'a [Tensor],
    /// Rows of rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused: [steps, 4].
    pub rates: &'a Tensor,
    /// The squared norm of all gradients, clamped, [1, 1]; read when clipping by norm.
    pub squared_norm: &'a Tensor,
}

/// Every invocation reads what holds for the whole step, so where there is much to update each updates several values. A
/// large GPU is full with these.
const MAX_GROUPS: usize = 2048;

const SHADER: Shader = shader!(["common/grid", "common/step", "common/numbers", "optim"], shared: [GROUP]);

pub(crate) static SGD: Kernel =
    kernel!("optim", "sgd", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 1, step: true, sgd_reference)
        .cut(Cut::by_rows)
        .lanes_with_own_params(lanes::sgd);
pub(crate) static MOMENTUM: Kernel =
    kernel!("optim", "momentum", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 2, step: true, momentum_reference)
        .cut(Cut::by_rows)
        .lanes_with_own_params(lanes::momentum);
pub(crate) static ADAM: Kernel =
    kernel!("optim", "adam", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 3, step: true, adam_reference)
        .cut(Cut::by_rows)
        .lanes_with_own_params(lanes::adam);
pub(crate) static RMSPROP: Kernel =
    kernel!("optim", "rmsprop", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 3, step: true, rmsprop_reference)
        .cut(Cut::by_rows)
        .lanes_with_own_params(lanes::rmsprop);

/// `value -= rate * gradient`; no state.
///
/// # Errors
/// Tensors of different shapes; constants out of their range.
pub fn sgd(recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
    push(recording, &SGD, update, on)
}

/// SGD with momentum; one state, the velocity.
///
/// # Errors
/// Tensors of different shapes; constants out of their range.
pub fn momentum(recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
    push(recording, &MOMENTUM, update, on)
}

/// Adam (Kingma & Ba 2015); two states, the means of the gradient and of its square.
///
/// # Errors
/// Tensors of different shapes; constants out of their range.
pub fn adam(recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
    push(recording, &ADAM, update, on)
}

/// RMSProp (Hinton 2012); two states, the velocity and the mean square of the gradient.
///
/// # Errors
/// Tensors of different shapes; constants out of their range.
pub fn rmsprop(recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
    push(recording, &RMSPROP, update, on)
}

fn push(recording: &mut Recording, kernel: &'static Kernel, update: Update, on: Stretch<'_>) -> Result<()> {
    let share = 0.0..1.0;
    let constants = [
        ("value to clip to", update.clip_value, update.clip_value >= 0.0, "from 0"),
        ("momentum", update.momentum, update.momentum >= 0.0 && update.momentum.is_finite(), "a finite one from 0"),
        ("beta1", update.beta1, share.contains(&update.beta1), "from 0 to below 1"),
        ("beta2 or alpha", update.beta2, share.contains(&update.beta2), "from 0 to below 1"),
        ("epsilon", update.epsilon, update.epsilon >= 0.0 && update.epsilon.is_finite(), "a finite one from 0"),
    ];
    if let Some((name, value, _, range)) = constants.into_iter().find(|(_, _, fits, _)| !fits) {
        return Err(Error::input(kernel.name, format!("a {name} of {value}; give {range}")));
    }
    same_shape(kernel.name, &[("values", on.values), ("gradients", on.gradients)])?;
    if on.state.len() + 1 != kernel.outputs {
        let states = kernel.outputs - 1;
        return Err(Error::input(kernel.name, format!("{} states; it takes {states}", on.state.len())));
    }
    for state in on.state {
        same_shape(kernel.name, &[("values", on.values), ("the state", state)])?;
    }
    if on.rates.cols() != 4 {
        return Err(Error::shape(kernel.name, format!("rates of {} columns; it takes 4", on.rates.cols())));
    }
    let len = on.values.len();
    let params = Update { len: size(len), last_rate: size(on.rates.rows() - 1), ..update };
    let outputs: Vec<_> = std::iter::once(on.values).chain(on.state).collect();
    let norm = Some(on.squared_norm).filter(|_| update.clip_norm > 0.0);
    let inputs: Vec<_> = [on.gradients, on.rates].into_iter().chain(norm).collect();
    recording.push(kernel, grid(len.min(MAX_GROUPS * GROUP), GROUP), params, &inputs, &outputs, (4 * LOAD * len) as u64)
}

/// An update's constants at a step, all of which may differ from member to member of an ensemble.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    rate: f32,
    /// What is left of a value after its decay.
    kept: f32,
    decay: f32,
    clip_value: f32,
    norm_scale: f32,
    momentum: f32,
    nesterov: bool,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// 1 / (1 - beta^t).
    corrections: [f32; 2],
}

impl Constants {
    /// With the step's row of rates, and the squared norm of all gradients.
    pub(crate) fn new(update: &Update, [rate, correction1, correction2]: [f32; 3], squared_norm: f32) -> Self {
        // `f32::min` would turn a norm that is NaN into a scale of 1.
        let norm_scale = match update.clip_norm / (squared_norm.sqrt() + 1e-6) {
            scale if update.clip_norm > 0.0 && (scale < 1.0 || scale.is_nan()) => scale,
            _ => 1.0,
        };
        let rate = rate * update.rate_factor;
        Self {
            rate,
            kept: 1.0 - rate * update.decoupled_decay - update.shrink,
            decay: update.decay,
            clip_value: update.clip_value,
            norm_scale,
            momentum: update.momentum,
            nesterov: update.nesterov != 0,
            beta1: update.beta1,
            beta2: update.beta2,
            epsilon: update.epsilon,
            corrections: [correction1, correction2],
        }
    }

    fn of(call: &Call<'_>) -> Self {
        let update: Update = call.params();
        let [_, rates, squared_norm, ..] = call.inputs;
        let row = &rates[4 * call.step.min(update.last_rate as usize)..];
        Self::new(&update, [row[0], row[1], row[2]], squared_norm.first().copied().unwrap_or(0.0))
    }

    /// A gradient, clipped and with decay.
    #[inline(always)]
    fn gradient(&self, gradient: f32, value: f32) -> f32 {
        clip(gradient, self.clip_value) * self.norm_scale + self.decay * value
    }

    #[inline(always)]
    pub(crate) fn sgd(&self, gradient: f32, value: &mut f32) {
        *value = *value * self.kept - self.rate * self.gradient(gradient, *value);
    }

    #[inline(always)]
    pub(crate) fn momentum(&self, gradient: f32, value: &mut f32, velocity: &mut f32) {
        let g = self.gradient(gradient, *value);
        *velocity = self.momentum * *velocity + g;
        let direction = if self.nesterov { g + self.momentum * *velocity } else { *velocity };
        *value = *value * self.kept - self.rate * direction;
    }

    #[inline(always)]
    pub(crate) fn adam(&self, gradient: f32, value: &mut f32, m: &mut f32, v: &mut f32) {
        let g = self.gradient(gradient, *value);
        let [correct1, correct2] = self.corrections;
        *m = self.beta1 * *m + (1.0 - self.beta1) * g;
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *value = *value * self.kept - self.rate * (*m * correct1) / ((*v * correct2).sqrt() + self.epsilon);
    }

    #[inline(always)]
    pub(crate) fn rmsprop(&self, gradient: f32, value: &mut f32, velocity: &mut f32, v: &mut f32) {
        let g = self.gradient(gradient, *value);
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *velocity = self.momentum * *velocity + g / (v.sqrt() + self.epsilon);
        *value = *value * self.kept - self.rate * *velocity;
    }
}

#[inline(always)]
fn sgd_reference(call: Call<'_>) {
    let constants = Constants::of(&call);
    let [gradients, ..] = call.inputs;
    let [values, ..] = call.outputs;
    for (value, gradient) in values.iter_mut().zip(gradients) {
        constants.sgd(*gradient, value);
    }
}

#[inline(always)]
fn momentum_reference(call: Call<'_>) {
    let constants = Constants::of(&call);
    let [gradients, ..] = call.inputs;
    let [values, velocities, ..] = call.outputs;
    for ((value, velocity), gradient) in values.iter_mut().zip(velocities).zip(gradients) {
        constants.momentum(*gradient, value, velocity);
    }
}

#[inline(always)]
fn adam_reference(call: Call<'_>) {
    let constants = Constants::of(&call);
    let [gradients, ..] = call.inputs;
    let [values, means, squares, ..] = call.outputs;
    for (((value, m), v), gradient) in values.iter_mut().zip(means).zip(squares).zip(gradients) {
        constants.adam(*gradient, value, m, v);
    }
}

#[inline(always)]
fn rmsprop_reference(call: Call<'_>) {
    let constants = Constants::of(&call);
    let [gradients, ..] = call.inputs;
    let [values, velocities, squares, ..] = call.outputs;
    for (((value, velocity), v), gradient) in values.iter_mut().zip(velocities).zip(squares).zip(gradients) {
        constants.rmsprop(*gradient, value, velocity, v);
    }
}
