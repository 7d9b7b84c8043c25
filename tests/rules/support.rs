//! What the tests of rules share.

use std::sync::LazyLock;

use wgrad::ops::{Activation, RULES, copy, reduce};
use wgrad::{Device, Graph, Lowered, Lowering, Operation, Recording, Result, Rule, Shape, Tensor, Var, gradients};

use crate::common::{EPSILON, assert_close, signed};

/// The activations that can end a product; the first does nothing.
pub(crate) const EPILOGUES: [Activation; 12] = [
    Activation::Identity,
    Activation::ReLU,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::LeakyReLU { slope: 0.1 },
    Activation::LeakyReLU { slope: -0.5 },
    Activation::ELU { alpha: 1.5 },
    Activation::ELU { alpha: -0.5 },
    Activation::GELU,
    Activation::GELUTanh,
    Activation::SiLU,
    Activation::Softplus,
];

/// One for all: tensors of two devices don't go together.
pub(crate) fn device() -> &'static Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(Device::cpu);
    &DEVICE
}

pub(crate) fn graph() -> Graph {
    Graph::new(device())
}

pub(crate) fn tensor(seed: u64, [rows, cols]: Shape) -> Tensor {
    Tensor::new(device(), rows, cols, &signed(seed, rows * cols)).unwrap()
}

/// Matrices from outside, of these shapes, each with other numbers.
pub(crate) fn inputs<const N: usize>(graph: &mut Graph, shapes: [Shape; N]) -> [Var; N] {
    let mut seed = 0;
    shapes.map(|shape| {
        seed += 1;
        graph.input(&tensor(seed, shape)).unwrap()
    })
}

pub(crate) fn unmerged(graph: &Graph, wanted: &[Var]) -> Lowered {
    Lowering::default().rules(&[]).lower(graph, wanted).unwrap()
}

/// Lowered, a graph takes so many dispatches and gives what it gives without rules. By all rules but the last, that of
/// elementwise chains, which would merge what a test keeps apart; it is tested in `chains.rs`.
#[track_caller]
pub(crate) fn check(graph: &Graph, wanted: &[Var], dispatches: usize) {
    check_by(&RULES[..RULES.len() - 1], graph, wanted, dispatches);
}

/// [`check`] by these rules.
#[track_caller]
pub(crate) fn check_by(rules: &[Rule], graph: &Graph, wanted: &[Var], dispatches: usize) {
    let (plain, merged) = (unmerged(graph, wanted), Lowering::default().rules(rules).lower(graph, wanted).unwrap());
    // Twice: what a run leaves behind must not change the next.
    for run in 0..2 {
        plain.run().unwrap();
        merged.run().unwrap();
        for (i, var) in wanted.iter().enumerate() {
            let (value, expected) = (merged.read(*var).unwrap(), plain.read(*var).unwrap());
            let largest = expected.iter().fold(1.0, |max: f64, v| max.max(f64::from(v.abs())));
            // A handful of sums over no more than eight products, which may be rounded in another order.
            assert_close(
                &format!("run {run}, value {i} of\n{graph:?}{merged:?}"),
                &value,
                &expected,
                0.0,
                64.0 * EPSILON * largest,
            );
        }
    }
    assert_eq!(merged.recording().len(), dispatches, "{graph:?}{merged:?}");
}

/// The gradient of the sum of all elements.
pub(crate) fn gradient_of_sum(graph: &mut Graph, y: Var, x: Var) -> Var {
    let sum = graph.sum(y).unwrap();
    gradients(graph, sum, &[x]).unwrap()[0].unwrap()
}

/// `sum += x` in the memory of the sum, by an operation of a user's own. Operands: the sum, then x.
#[derive(Debug)]
pub(crate) struct AddInto;

impl Operation for AddInto {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![inputs[0]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        copy::broadcast(recording, inputs[1], 1.0, outputs[0], true)
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}

/// The sum of y, of which a second operand is the gradient: whatever a derivative is to be applied to.
#[derive(Debug)]
struct SumWithGradient;

impl Operation for SumWithGradient {
    fn shapes(&self, _inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![[1, 1]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        reduce::sum(recording, inputs[0], 1.0, outputs[0])
    }

    fn gradient(&self, _graph: &mut Graph, x: &[Var], _y: Var, _dy: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(x[1]), None])
    }
}

/// The gradient by x where that of y, which is computed from x, is `dy`.
pub(crate) fn pulled_back(graph: &mut Graph, y: Var, dy: Var, x: Var) -> Var {
    let sum = graph.call1(SumWithGradient, &[y, dy]).unwrap();
    gradients(graph, sum, &[x]).unwrap()[0].unwrap()
}
