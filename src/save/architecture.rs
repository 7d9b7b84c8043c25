//! Modules rebuilt from their `Module::describe`.

use std::str::FromStr;

use crate::nn::{
    Activation, Average, BatchNorm1d, Dropout, Embedding, LayerNorm, Linear, LogSoftmax, Module, Residual, Sequential,
    Softmax,
};

/// Deeper nesting counts as a damaged file.
const MAX_DEPTH: usize = 100;

/// The model that a text describes; else what is wrong with the text.
pub(super) fn parse(text: &str) -> Result<Sequential, String> {
    let (name, arguments) = call(text)?;
    if name != "Sequential" {
        return Err(format!("a {name} is not a Sequential: build the model, then load its parameters"));
    }
    sequential(&arguments, MAX_DEPTH)
}

fn sequential(parts: &[&str], depth: usize) -> Result<Sequential, String> {
    parts.iter().map(|part| module(part, depth)).collect::<Result<Vec<_>, _>>().map(Sequential::from)
}

fn module(text: &str, depth: usize) -> Result<Box<dyn Module>, String> {
    let (name, arguments) = call(text)?;
    Ok(match (name, &arguments[..]) {
        ("Sequential" | "Residual" | "Average", _) if depth == 0 => {
            return Err(format!("modules nested more than {MAX_DEPTH} deep"));
        }
        ("Sequential", parts) => Box::new(sequential(parts, depth - 1)?),
        ("Average", parts) => {
            Box::new(Average::new(parts.iter().map(|part| module(part, depth - 1)).collect::<Result<Vec<_>, _>>()?))
        }
        ("Linear", [inputs, outputs]) => Box::new(Linear::new(number(inputs)?, number(outputs)?)),
        ("Linear", [inputs, outputs, "bias=false"]) => {
            Box::new(Linear::new(number(inputs)?, number(outputs)?).without_bias())
        }
        ("Embedding", [rows, cols]) => Box::new(Embedding::new(number(rows)?, number(cols)?)),
        ("BatchNorm1d", [cols]) => Box::new(BatchNorm1d::new(number(cols)?)),
        ("BatchNorm1d", [cols, momentum, eps]) => {
            let (momentum, eps) = (option("momentum=", momentum)?, option("eps=", eps)?);
            Box::new(BatchNorm1d::new(number(cols)?).momentum(momentum).eps(eps))
        }
        ("Residual", [block]) => Box::new(Residual::new(module(block, depth - 1)?)),
        ("LayerNorm", [cols]) => Box::new(LayerNorm::new(number(cols)?)),
        ("Dropout", [p]) => Box::new(Dropout::new(number(p)?)),
        ("Softmax", []) => Box::new(Softmax),
        ("LogSoftmax", []) => Box::new(LogSoftmax),
        (_, arguments) => Box::new(activation(name, arguments)?),
    })
}

fn activation(name: &str, arguments: &[&str]) -> Result<Activation, String> {
    Ok(match (name, arguments) {
        ("Identity", []) => Activation::Identity,
        ("ReLU", []) => Activation::ReLU,
        ("Tanh", []) => Activation::Tanh,
        ("Sigmoid", []) => Activation::Sigmoid,
        ("LeakyReLU", [slope]) => Activation::LeakyReLU { slope: number(slope)? },
        ("ELU", [alpha]) => Activation::ELU { alpha: number(alpha)? },
        ("GELU", []) => Activation::GELU,
        ("GELUTanh", []) => Activation::GELUTanh,
        ("SiLU", []) => Activation::SiLU,
        ("Softplus", []) => Activation::Softplus,
        ("Exp", []) => Activation::Exp,
        ("Log", []) => Activation::Log,
        ("Pow", [exponent]) => Activation::Pow { exponent: number(exponent)? },
        ("Affine", [scale, shift]) => Activation::Affine { scale: number(scale)?, shift: number(shift)? },
        (name, arguments) => return Err(format!("no module '{name}' that takes {} arguments", arguments.len())),
    })
}

/// A name, and what stands between its brackets, split at the commas outside of inner brackets.
fn call(text: &str) -> Result<(&str, Vec<&str>), String> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else { return Ok((text, Vec::new())) };
    let inner = rest.strip_suffix(')').ok_or_else(|| format!("no ) at the end of '{text}'"))?;
    if inner.trim().is_empty() {
        return Ok((name, Vec::new()));
    }
    let mut depth = 0_usize;
    let separators = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    Ok((name, inner.split(separators).map(str::trim).collect()))
}

/// The number of an argument that has a name.
fn option<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    number(text.strip_prefix(name).ok_or_else(|| format!("'{text}' does not begin with {name}"))?)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is not the number it should be"))
}
