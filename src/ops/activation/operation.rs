//! Functions of one variable as operations, with first and second derivatives.

use super::{Activation, backward, forward};
use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::operands;

/// `y = f(x)`, element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Apply(pub(crate) Activation);

/// `dx = dy f'`, with f' computed from y where possible, else from x. Operands: that value, dy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slope(pub(crate) Activation);

impl Operation for Apply {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [x] = operands("activation", inputs)?;
        if self.0.constants().iter().any(|constant| constant.is_nan()) {
            return Err(Error::input("activation", format!("{:?}; give a number", self.0)));
        }
        Ok(vec![x])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        forward(recording, self.0, inputs[0], outputs[0])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        match self.0 {
            Activation::Identity => return Ok(vec![Some(dy)]),
            // A constant, also at 0, where 0 x^-1 is none.
            Activation::Pow { exponent: 0.0 } => return Ok(vec![None]),
            _ => {}
        }
        let at = if self.0.derivative_needs_input() { x[0] } else { y };
        Ok(vec![Some(graph.call1(Slope(self.0), &[at, dy])?)])
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], _of_data: &[bool]) -> bool {
        true
    }
}

impl Operation for Slope {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [_, dy] = operands("activation backward", inputs)?;
        Ok(vec![dy])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let [at, dy] = [inputs[0], inputs[1]];
        backward(recording, self.0, [at, at, dy], outputs[0], false)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, up: Var) -> Result<Vec<Option<Var>>> {
        let (at, dy) = (x[0], x[1]);
        let by_dy = graph.call1(Slope(self.0), &[at, up])?;
        let both = graph.mul(up, dy)?;
        Ok(vec![curvature(self.0, graph, at, both)?, Some(by_dy)])
    }
}

/// `dy` times the derivative of f' with respect to what it is computed from; `None` where that is zero.
fn curvature(f: Activation, graph: &mut Graph, at: Var, dy: Var) -> Result<Option<Var>> {
    // dy where `at` is negative, else 0.
    let where_negative = |graph: &mut Graph, dy: Var| {
        let minus = graph.neg(at)?;
        graph.call1(Slope(Activation::ReLU), &[minus, dy])
    };
    let factor = match f {
        Activation::Identity | Activation::ReLU | Activation::LeakyReLU { .. } | Activation::Affine { .. } => {
            return Ok(None);
        }
        // f' = 1 - y²
        Activation::Tanh => graph.mul_scalar(at, -2.0)?,
        // f' = y (1 - y)
        Activation::Sigmoid => graph.affine(at, -2.0, 1.0)?,
        // f' = y
        Activation::Exp => return Ok(Some(dy)),
        // f' = alpha exp(x) where x < 0
        Activation::ELU { alpha } => {
            let below = where_negative(graph, dy)?;
            // exp(min(x, 0)), so that nothing overflows where the factor is 0.
            let elu = graph.activation(at, Activation::ELU { alpha: 1.0 })?;
            let exp = graph.affine(elu, alpha, alpha)?;
            return graph.mul(below, exp).map(Some);
        }
        // f' = σ(x)
        Activation::Softplus => {
            let s = graph.sigmoid(at)?;
            let rest = graph.affine(s, -1.0, 1.0)?;
            graph.mul(s, rest)?
        }
        // f' = s (1 + x (1 - s)) with s = σ(x), so f'' = s (1 - s) (2 + x (1 - 2 s))
        Activation::SiLU => {
            let s = graph.sigmoid(at)?;
            let rest = graph.affine(s, -1.0, 1.0)?;
            let slope = graph.mul(s, rest)?;
            let tilt = graph.affine(s, -2.0, 1.0)?;
            let tilted = graph.mul(at, tilt)?;
            let two_more = graph.add_scalar(tilted, 2.0)?;
            graph.mul(slope, two_more)?
        }
        // f' = Φ(x) + x φ(x), so f'' = φ(x) (2 - x²)
        Activation::GELU => {
            let square = graph.mul(at, at)?;
            let half = graph.mul_scalar(square, -0.5)?;
            let bell = graph.exp(half)?;
            let scale = 1.0 / (2.0 * std::f32::consts::PI).sqrt();
            let rest = graph.affine(square, -scale, 2.0 * scale)?;
            graph.mul(bell, rest)?
        }
        Activation::GELUTanh => gelu_tanh_curvature(graph, at)?,
        // f' = 1 / x
        Activation::Log => {
            let inverse = graph.pow(at, -2.0)?;
            graph.neg(inverse)?
        }
        // f' = p x^(p - 1)
        Activation::Pow { exponent: p } => {
            if p * (p - 1.0) == 0.0 {
                return Ok(None);
            }
            let power = graph.pow(at, p - 2.0)?;
            graph.mul_scalar(power, p * (p - 1.0))?
        }
    };
    graph.mul(dy, factor).map(Some)
}

/// With t = tanh(u) and u = c (x + 0.044715 x³): f' = (1 + t) / 2 + x (1 - t²) u' / 2, so
/// f'' = (1 - t²) (u' + x (u'' / 2 - t u'²)).
fn gelu_tanh_curvature(graph: &mut Graph, x: Var) -> Result<Var> {
    let c = (2.0 / std::f32::consts::PI).sqrt();
    let square = graph.mul(x, x)?;
    let inner = graph.affine(square, 2.0 * c * 0.044715, 2.0 * c)?;
    let angle = graph.mul(x, inner)?;
    let slope = graph.affine(square, c * 0.134145, c)?;
    let half_bend = graph.mul_scalar(x, c * 0.134145)?;
    // 1 - t² = 4 σ(2 u) σ(-2 u): what grows with a power of x is multiplied by something that vanishes before it.
    let above = graph.sigmoid(angle)?;
    let minus = graph.neg(angle)?;
    let below = graph.sigmoid(minus)?;
    let t = graph.sub(above, below)?;
    let quarter = graph.mul(above, below)?;
    let steepness = graph.mul_scalar(quarter, 4.0)?;
    let first = graph.mul(steepness, slope)?;
    let steep_x = graph.mul(steepness, x)?;
    let second = graph.mul(steep_x, half_bend)?;
    let third = graph.mul(first, t)?;
    let third = graph.mul(third, x)?;
    let third = graph.mul(third, slope)?;
    let sum = graph.add(first, second)?;
    graph.sub(sum, third)
}

/// One method for each function, named as in PyTorch.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),*) = $activation:expr;)*) => {
        impl Graph {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// A value of another graph.
                pub fn $name(&mut self, x: Var $(, $argument: f32)*) -> Result<Var> {
                    self.activation(x, $activation)
                }
            )*
        }
    };
}

unary! {
    /// `max(x, 0)`.
    relu() = Activation::ReLU;
    /// `tanh(x)`.
    tanh() = Activation::Tanh;
    /// `1 / (1 + exp(-x))`.
    sigmoid() = Activation::Sigmoid;
    /// `exp(x)`.
    exp() = Activation::Exp;
    /// `log(x)`: -infinity at 0, NaN for negative x.
    log() = Activation::Log;
    /// `x^exponent`: NaN for negative x, unless the exponent is a whole number.
    pow(exponent) = Activation::Pow { exponent };
    /// `-x`.
    neg() = Activation::Affine { scale: -1.0, shift: 0.0 };
    /// `x + number`.
    add_scalar(number) = Activation::Affine { scale: 1.0, shift: number };
    /// `x * number`.
    mul_scalar(number) = Activation::Affine { scale: number, shift: 0.0 };
    /// `scale * x + shift`.
    affine(scale, shift) = Activation::Affine { scale, shift };
}

impl Graph {
    /// `activation(x)`, element by element.
    ///
    /// # Errors
    /// A value of another graph.
    pub fn activation(&mut self, x: Var, activation: Activation) -> Result<Var> {
        self.call1(Apply(activation), &[x])
    }
}
