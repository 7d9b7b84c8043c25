//! Neighbouring elementwise calls as one.

use super::{From, MAX_STEPS, Step, What, run};
use crate::device::{MAX_INPUTS, Recording, Tensor};
use crate::error::Result;
use crate::graph::{Merge, Node, Operation, Program, Shape, Var};
use crate::ops::Activation;
use crate::ops::activation::{Apply, Slope};
use crate::ops::broadcast::Arithmetic;
use crate::ops::reduce::Repeat;

/// Elementwise calls, one after the other. Only rules make one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chain {
    steps: Vec<Step>,
    shape: Shape,
}

impl Operation for Chain {
    fn shapes(&self, _inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![self.shape])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        run(recording, &self.steps, inputs, outputs[0])
    }
}

/// The steps of an elementwise call.
fn steps(node: &Node) -> Option<Vec<Step>> {
    if let Some(chain) = node.is::<Chain>() {
        return Some(chain.steps.clone());
    }
    let what = if let Some(Apply(f)) = node.is() {
        What::Apply(*f)
    } else if let Some(Slope(f)) = node.is() {
        What::Slope(*f)
    } else if let Some(Arithmetic(binary)) = node.is() {
        What::Arithmetic(*binary)
    } else {
        let Repeat { scale, .. } = *node.is()?;
        What::Apply(Activation::Affine { scale, shift: 0.0 })
    };
    let last = node.inputs.len() - 1;
    Some(vec![Step { what, operands: [From::Input(0), From::Input(last)] }])
}

/// Rule: p = elementwise(..); y = elementwise(.., p, ..). One dispatch gives y, as long as p has y's shape and nobody else
/// reads it; p is never stored.
pub(crate) fn chain(program: &Program<'_>, second: usize) -> Option<Merge> {
    let later = program.nodes().get(second)?;
    let later_steps = steps(later)?;
    let shape = program.shape(later.outputs[0]);
    later.inputs.iter().find_map(|p| {
        let first = program.writer(*p).filter(|_| program.only_for(*p, second) && program.shape(*p) == shape)?;
        let earlier = &program.nodes()[first];
        let earlier_steps = steps(earlier)?;
        let mut inputs = earlier.inputs.clone();
        for input in later.inputs.iter().filter(|input| *input != p) {
            if !inputs.contains(input) {
                inputs.push(*input);
            }
        }
        if inputs.len() > MAX_INPUTS || earlier_steps.len() + later_steps.len() > MAX_STEPS {
            return None;
        }
        let before = earlier_steps.len();
        let moved = |from: From| match from {
            From::Step(step) => Some(From::Step(before + step)),
            From::Input(input) if later.inputs[input] == *p => Some(From::Step(before - 1)),
            From::Input(input) => place(&inputs, later.inputs[input]),
        };
        let mut steps = earlier_steps;
        for step in &later_steps {
            let [left, right] = step.operands;
            steps.push(Step { what: step.what, operands: [moved(left)?, moved(right)?] });
        }
        Merge::new([first, second], Chain { steps, shape }, inputs.clone(), later.outputs.clone())
    })
}

fn place(inputs: &[Var], input: Var) -> Option<From> {
    inputs.iter().position(|known| *known == input).map(From::Input)
}
