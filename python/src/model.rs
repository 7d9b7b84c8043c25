//! Models, losses and optimizers from what Python says they are: a name, and options.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgrad::nn::{
    Activation, BatchNorm1d, BceWithLogits, CrossEntropy, Dropout, Embedding, Huber, Init, LayerNorm, Linear,
    LogSoftmax, Loss, Mae, Module, Mse, Quantile, Reduction, Residual, Sequential, Softmax,
};
use wgrad::optim::{Adam, Algorithm, RmsProp, Schedule, Sgd};

use crate::errors::invalid;

/// A name with its options.
pub(crate) type Spec<'py> = (String, Bound<'py, PyDict>);

/// An option, if it is given and is not None.
fn option<'py, T: for<'a> FromPyObject<'a, 'py>>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>> {
    match options.get_item(name)? {
        Some(value) if !value.is_none() => match value.extract() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(invalid(format!("{name}={} is not the kind of value that it should be", value.repr()?))),
        },
        _ => Ok(None),
    }
}

/// An option that must be there.
fn needed<'py, T: for<'a> FromPyObject<'a, 'py>>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<T> {
    option(options, name)?.ok_or_else(|| invalid(format!("{name} is missing")))
}

/// The modules, one after the other.
pub(crate) fn sequential(layers: &[Spec<'_>]) -> PyResult<Sequential> {
    Ok(Sequential::from(layers.iter().map(module).collect::<PyResult<Vec<_>>>()?))
}

fn module((name, options): &Spec<'_>) -> PyResult<Box<dyn Module>> {
    Ok(match name.as_str() {
        "Linear" => Box::new(linear(options)?),
        "Embedding" => Box::new(Embedding::new(needed(options, "rows")?, needed(options, "cols")?)),
        "BatchNorm1d" => {
            let layer = BatchNorm1d::new(needed(options, "cols")?);
            Box::new(layer.momentum(needed(options, "momentum")?).eps(needed(options, "eps")?))
        }
        "LayerNorm" => Box::new(LayerNorm::new(needed(options, "cols")?)),
        "Dropout" => Box::new(Dropout::new(needed(options, "p")?)),
        "Softmax" => Box::new(Softmax),
        "LogSoftmax" => Box::new(LogSoftmax),
        "Sequential" => Box::new(sequential(&needed::<Vec<Spec<'_>>>(options, "layers")?)?),
        "Residual" => Box::new(Residual::new(sequential(&needed::<Vec<Spec<'_>>>(options, "layers")?)?)),
        _ => Box::new(activation(name, options)?),
    })
}

fn linear(options: &Bound<'_, PyDict>) -> PyResult<Linear> {
    let layer = Linear::new(needed(options, "inputs")?, needed(options, "outputs")?);
    let weight = init(option(options, "weight_init")?)?;
    let bias = init(option(options, "bias_init")?)?;
    let layer = layer.init(weight, bias);
    Ok(if needed(options, "bias")? { layer } else { layer.without_bias() })
}

/// How values are drawn: `("XavierUniform", gain)`; PyTorch's default for None.
fn init(given: Option<(String, f32)>) -> PyResult<Init> {
    let Some((name, value)) = given else { return Ok(Init::Linear) };
    Ok(match name.as_str() {
        "Constant" => Init::Constant(value),
        "Uniform" => Init::Uniform { bound: value },
        "Normal" => Init::Normal { std: value },
        "XavierUniform" => Init::XavierUniform { gain: value },
        "XavierNormal" => Init::XavierNormal { gain: value },
        "HeUniform" => Init::HeUniform,
        "HeNormal" => Init::HeNormal,
        _ => return Err(invalid(format!("no way to draw initial values is called {name}"))),
    })
}

fn activation(name: &str, options: &Bound<'_, PyDict>) -> PyResult<Activation> {
    Ok(match name {
        "Identity" => Activation::Identity,
        "ReLU" => Activation::ReLU,
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "GELU" => Activation::GELU,
        "SiLU" => Activation::SiLU,
        "Softplus" => Activation::Softplus,
        "LeakyReLU" => Activation::LeakyReLU { slope: needed(options, "slope")? },
        "ELU" => Activation::ELU { alpha: needed(options, "alpha")? },
        _ => return Err(invalid(format!("no module is called {name}"))),
    })
}

pub(crate) fn loss((name, options): &Spec<'_>) -> PyResult<Box<dyn Loss>> {
    let reduction = match option::<String>(options, "reduction")?.as_deref() {
        None | Some("mean") => Reduction::Mean,
        Some("sum") => Reduction::Sum,
        Some(other) => return Err(invalid(format!("reduction='{other}'; give 'mean' or 'sum'"))),
    };
    Ok(match name.as_str() {
        "Mse" => Box::new(Mse::new().reduction(reduction)),
        "Mae" => Box::new(Mae::new().reduction(reduction)),
        "Huber" => Box::new(Huber::new(needed(options, "delta")?).reduction(reduction)),
        "Quantile" => Box::new(Quantile::new(needed(options, "quantile")?).reduction(reduction)),
        "BceWithLogits" => Box::new(BceWithLogits::new().reduction(reduction)),
        "CrossEntropy" => {
            let loss = CrossEntropy::new().reduction(reduction);
            let loss = loss.label_smoothing(option(options, "label_smoothing")?.unwrap_or(0.0));
            let loss = match option::<i32>(options, "ignore_index")? {
                Some(class) => loss.ignore_index(class),
                None => loss,
            };
            match option::<Vec<f32>>(options, "class_weights")? {
                Some(weights) => Box::new(loss.class_weights(weights)),
                None => Box::new(loss),
            }
        }
        _ => return Err(invalid(format!("no loss is called {name}"))),
    })
}

macro_rules! with_settings {
    ($algorithm:expr, $options:expr) => {{
        let (options, mut algorithm) = ($options, $algorithm);
        let rate: f32 = needed(options, "learning_rate")?;
        if let Some(decay) = option(options, "weight_decay")? {
            algorithm = algorithm.weight_decay(decay);
        }
        if let Some(decay) = option(options, "decoupled_weight_decay")? {
            algorithm = algorithm.decoupled_weight_decay(decay);
        }
        if let Some(decay) = option(options, "decay_of_weights")? {
            // Not of biases, as scikit-learn has it.
            algorithm = algorithm.group(|name| name.ends_with("weight"), rate, decay);
        }
        if let Some(limit) = option(options, "clip_value")? {
            algorithm = algorithm.clip_value(limit);
        }
        if let Some(limit) = option(options, "clip_norm")? {
            algorithm = algorithm.clip_norm(limit);
        }
        Box::new(algorithm.schedule(schedule(options)?)) as Box<dyn Algorithm>
    }};
}

pub(crate) fn algorithm((name, options): &Spec<'_>) -> PyResult<Box<dyn Algorithm>> {
    let rate: f32 = needed(options, "learning_rate")?;
    Ok(match name.as_str() {
        "Sgd" => {
            let momentum = option(options, "momentum")?.unwrap_or(0.0);
            let nesterov = option(options, "nesterov")?.unwrap_or(false);
            with_settings!(Sgd::new(rate).momentum(momentum).nesterov(nesterov), options)
        }
        "Adam" => {
            let (beta1, beta2) = option(options, "betas")?.unwrap_or((0.9, 0.999));
            let epsilon = option(options, "epsilon")?.unwrap_or(1e-8);
            with_settings!(Adam::new(rate).betas(beta1, beta2).epsilon(epsilon), options)
        }
        "RmsProp" => {
            let (alpha, momentum) =
                (option(options, "alpha")?.unwrap_or(0.99), option(options, "momentum")?.unwrap_or(0.0));
            let epsilon = option(options, "epsilon")?.unwrap_or(1e-8);
            with_settings!(RmsProp::new(rate).alpha(alpha).epsilon(epsilon).momentum(momentum), options)
        }
        _ => return Err(invalid(format!("no optimizer is called {name}"))),
    })
}

/// The product of the parts: `[("cosine", {"length": 100, "floor": 0.0}), ...]`.
fn schedule(options: &Bound<'_, PyDict>) -> PyResult<Schedule> {
    let mut whole = Schedule::constant();
    for (name, options) in option::<Vec<Spec<'_>>>(options, "schedule")?.unwrap_or_default() {
        let options = &options;
        let part = match name.as_str() {
            "step" => Schedule::step(needed(options, "every")?, needed(options, "gamma")?),
            "multi_step" => Schedule::multi_step(&needed::<Vec<(usize, f64)>>(options, "milestones")?),
            "exponential" => Schedule::exponential(needed(options, "gamma")?),
            "cosine" => Schedule::cosine(needed(options, "length")?, needed(options, "floor")?),
            "warmup" => Schedule::warmup(needed(options, "length")?, needed(options, "start")?),
            "inverse_power" => {
                // scikit-learn's 'invscaling': by the samples seen when an epoch begins.
                let (samples, power): (f64, f64) = (needed(options, "samples")?, needed(options, "power")?);
                Schedule::custom(move |epoch| (epoch as f64 * samples + 1.0).powf(-power))
            }
            _ => return Err(invalid(format!("no schedule is called {name}"))),
        };
        whole = whole.and(part);
    }
    Ok(if option(options, "per_step")?.unwrap_or(false) { whole.per_step() } else { whole })
}
