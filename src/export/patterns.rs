//! Steps that together are one operation elsewhere.

use std::collections::BTreeSet;

use super::{Formula, Step};
use crate::graph::{Graph, Var};
use crate::ops::reduce::Over;
use crate::ops::{Activation, Binary};

/// PyTorch's, and [`BatchNorm1d`](crate::nn::BatchNorm1d)'s.
const DEFAULT_MOMENTUM: f32 = 0.1;

/// The normalisation whose last step this is: what [`BatchNorm1d`](crate::nn::BatchNorm1d) in evaluation and
/// [`LayerNorm`](crate::nn::LayerNorm) call. `vectors` are the one-dimensional parameters.
pub(super) fn normalisation(graph: &Graph, steps: &[Step], last: usize, vectors: &BTreeSet<Var>) -> Option<Step> {
    let known = Steps { graph, steps: &steps[..last] };
    let step = &steps[last];
    let [scaled, bias] = arithmetic(step, Binary::Add)?;
    let [normal, factor] = known.arithmetic(scaled, Binary::Mul)?;
    let of = |formula, inputs: Vec<Var>| {
        let cols = |var: &Var| graph.own_shape(*var)[1];
        let fit = inputs[1..].iter().all(|input| vectors.contains(input) && cols(input) == cols(&inputs[0]));
        fit.then_some(Step { formula, inputs, output: step.output })
    };
    // A batch's: (x - mean) * (inverse * weight) + bias.
    if let Some([inverse, weight]) = known.arithmetic(factor, Binary::Mul) {
        let [x, mean] = known.arithmetic(normal, Binary::Sub)?;
        let (variance, eps) = known.inverse_root(inverse)?;
        return of(Formula::BatchNorm { eps, momentum: DEFAULT_MOMENTUM }, vec![x, weight, bias, mean, variance]);
    }
    // A row's: (x - mean) * inverse * weight + bias.
    let [centred, inverse] = known.arithmetic(normal, Binary::Mul)?;
    let [x, mean] = known.arithmetic(centred, Binary::Sub)?;
    let (variance, eps) = known.inverse_root(inverse)?;
    let squares = known.row_mean(variance)?;
    let is_its_own = known.arithmetic(squares, Binary::Mul)? == [centred; 2] && known.row_mean(mean)? == x;
    is_its_own.then(|| of(Formula::LayerNorm { eps }, vec![x, factor, bias]))?
}

struct Steps<'a> {
    graph: &'a Graph,
    steps: &'a [Step],
}

impl Steps<'_> {
    fn of(&self, var: Var) -> Option<&Step> {
        self.steps.iter().rfind(|step| step.output == var)
    }

    fn arithmetic(&self, var: Var, binary: Binary) -> Option<[Var; 2]> {
        arithmetic(self.of(var)?, binary)
    }

    /// v and eps of `(v + eps)^(-1/2)`.
    fn inverse_root(&self, var: Var) -> Option<(Var, f32)> {
        let root = self.of(var)?;
        let shifted = self.of(*root.inputs.first()?)?;
        match (&root.formula, &shifted.formula) {
            (
                Formula::Function(Activation::Pow { exponent: -0.5 }),
                Formula::Function(Activation::Affine { scale: 1.0, shift }),
            ) => Some((*shifted.inputs.first()?, *shift)),
            _ => None,
        }
    }

    /// What this is the mean of, over each row.
    fn row_mean(&self, var: Var) -> Option<Var> {
        let step = self.of(var)?;
        let x = *step.inputs.first()?;
        let scale = 1.0 / self.graph.own_shape(x)[1] as f32;
        (step.formula == Formula::Sum { over: Over::Columns, scale, square: false }).then_some(x)
    }
}

fn arithmetic(step: &Step, binary: Binary) -> Option<[Var; 2]> {
    (step.formula == Formula::Arithmetic(binary)).then(|| step.inputs[..].try_into().ok())?
}
