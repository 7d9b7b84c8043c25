//! Optimizer updates over the flat parameter buffer: `shaders/optim.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::elementary::clip;
use crate::ops::{GROUP, grid, same_shape, size};

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
    kernel!("optim", "sgd", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 1, step: true, sgd_reference);
pub(crate) static MOMENTUM: Kernel =
    kernel!("optim", "momentum", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 2, step: true, momentum_reference);
pub(crate) static ADAM: Kernel =
    kernel!("optim", "adam", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 3, step: true, adam_reference);
pub(crate) static RMSPROP: Kernel =
    kernel!("optim", "rmsprop", SHADER, [GROUP, 1, 1], Update, inputs: 3, outputs: 3, step: true, rmsprop_reference);

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
    recording.push(kernel, grid(len.min(MAX_GROUPS * GROUP), GROUP), params, &inputs, &outputs, 4 * len as u64)
}

/// What holds for all values in a step: the constants, the step's row of rates, how the norm is clipped.
pub(crate) struct Ready {
    update: Update,
    rate: f32,
    corrections: [f32; 2],
    norm_scale: f32,
}

impl Ready {
    /// With a step's row of rates, and the squared norm of all gradients where it is clipped.
    pub(crate) fn new(update: Update, rates: [f32; 4], squared_norm: Option<f32>) -> Self {
        // `f32::min` would turn a norm that is NaN into a scale of 1.
        let norm_scale = match update.clip_norm / (squared_norm.map_or(0.0, f32::sqrt) + 1e-6) {
            scale if update.clip_norm > 0.0 && (scale < 1.0 || scale.is_nan()) => scale,
            _ => 1.0,
        };
        let [rate, correction1, correction2, _] = rates;
        Self { update, rate: rate * update.rate_factor, corrections: [correction1, correction2], norm_scale }
    }

    fn of(call: &Call<'_>) -> Self {
        let update: Update = call.params();
        let [_, rates, squared_norm, ..] = call.inputs;
        let row = 4 * call.step.min(update.last_rate as usize);
        Self::new(update, [0, 1, 2, 3].map(|i| rates[row + i]), squared_norm.first().copied())
    }

    #[inline(always)]
    fn gradient(&self, gradient: f32, value: f32) -> f32 {
        clip(gradient, self.update.clip_value) * self.norm_scale + self.update.decay * value
    }

    /// What is left of a value after its decay.
    fn kept(&self) -> f32 {
        1.0 - self.rate * self.update.decoupled_decay - self.update.shrink
    }

    #[inline(always)]
    pub(crate) fn sgd(&self, gradients: &[f32], values: &mut [f32]) {
        let kept = self.kept();
        for (value, gradient) in values.iter_mut().zip(gradients) {
            *value = *value * kept - self.rate * self.gradient(*gradient, *value);
        }
    }

    #[inline(always)]
    pub(crate) fn momentum(&self, gradients: &[f32], values: &mut [f32], velocities: &mut [f32]) {
        let (kept, momentum) = (self.kept(), self.update.momentum);
        for ((value, velocity), gradient) in values.iter_mut().zip(velocities).zip(gradients) {
            let g = self.gradient(*gradient, *value);
            *velocity = momentum * *velocity + g;
            let direction = if self.update.nesterov != 0 { g + momentum * *velocity } else { *velocity };
            *value = *value * kept - self.rate * direction;
        }
    }

    #[inline(always)]
    pub(crate) fn adam(&self, gradients: &[f32], values: &mut [f32], means: &mut [f32], squares: &mut [f32]) {
        let Update { beta1, beta2, epsilon, .. } = self.update;
        let [correct1, correct2] = self.corrections;
        let kept = self.kept();
        for (((value, m), v), gradient) in values.iter_mut().zip(means).zip(squares).zip(gradients) {
            let g = self.gradient(*gradient, *value);
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *value = *value * kept - self.rate * (*m * correct1) / ((*v * correct2).sqrt() + epsilon);
        }
    }

    #[inline(always)]
    pub(crate) fn rmsprop(&self, gradients: &[f32], values: &mut [f32], velocities: &mut [f32], squares: &mut [f32]) {
        let Update { momentum, beta2, epsilon, .. } = self.update;
        let kept = self.kept();
        for (((value, velocity), v), gradient) in values.iter_mut().zip(velocities).zip(squares).zip(gradients) {
            let g = self.gradient(*gradient, *value);
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *velocity = momentum * *velocity + g / (v.sqrt() + epsilon);
            *value = *value * kept - self.rate * *velocity;
        }
    }
}

#[inline(always)]
fn sgd_reference(call: Call<'_>) {
    let ready = Ready::of(&call);
    let [values, ..] = call.outputs;
    ready.sgd(call.inputs[0], values);
}

#[inline(always)]
fn momentum_reference(call: Call<'_>) {
    let ready = Ready::of(&call);
    let [values, velocities, ..] = call.outputs;
    ready.momentum(call.inputs[0], values, velocities);
}

#[inline(always)]
fn adam_reference(call: Call<'_>) {
    let ready = Ready::of(&call);
    let [values, means, squares, ..] = call.outputs;
    ready.adam(call.inputs[0], values, means, squares);
}

#[inline(always)]
fn rmsprop_reference(call: Call<'_>) {
    let ready = Ready::of(&call);
    let [values, velocities, squares, ..] = call.outputs;
    ready.rmsprop(call.inputs[0], values, velocities, squares);
}
