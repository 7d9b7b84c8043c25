//! The gradient check must catch wrong gradients.

use wgrad::ops::{Activation, activation};
use wgrad::{Graph, Operation, Recording, Result as Recorded, Shape, Tensor, Var};

use crate::harness::{Op, any};

/// What a gradient does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It is the derivative of another function.
    OtherDerivative,
    /// It is a thousandth too large.
    Scaled,
    /// It is there twice, as if two users of the value had given it.
    Twice,
    /// It ignores the gradient that reaches it.
    IgnoresUpstream,
    /// There is none.
    Missing,
    /// It is right, and has no gradient itself.
    Detached,
}

/// tanh, as a user would define it.
#[derive(Debug)]
struct Planted(Fault);

impl Operation for Planted {
    fn shapes(&self, inputs: &[Shape]) -> Recorded<Vec<Shape>> {
        Ok(vec![inputs[0]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Recorded<()> {
        activation::forward(recording, Activation::Tanh, inputs[0], outputs[0])
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], y: Var, dy: Var) -> Recorded<Vec<Option<Var>>> {
        if self.0 == Fault::Detached {
            return Ok(vec![Some(graph.call1(Slope, &[y, dy])?)]);
        }
        let slope = match self.0 {
            Fault::Missing => return Ok(vec![None]),
            Fault::OtherDerivative => {
                let rest = graph.affine(y, -1.0, 1.0)?;
                graph.mul(y, rest)?
            }
            _ => {
                let square = graph.mul(y, y)?;
                graph.affine(square, -1.0, 1.0)?
            }
        };
        let upstream = if self.0 == Fault::IgnoresUpstream { x[0] } else { dy };
        let dx = graph.mul(upstream, slope)?;
        Ok(vec![Some(match self.0 {
            Fault::Scaled => graph.mul_scalar(dx, 1.001)?,
            Fault::Twice => graph.add(dx, dx)?,
            _ => dx,
        })])
    }
}

/// dy times tanh's slope in one kernel, which says that nothing depends on it.
#[derive(Debug)]
struct Slope;

impl Operation for Slope {
    fn shapes(&self, inputs: &[Shape]) -> Recorded<Vec<Shape>> {
        Ok(vec![inputs[0]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Recorded<()> {
        activation::backward(recording, Activation::Tanh, [inputs[0], inputs[0], inputs[1]], outputs[0], false)
    }

    fn gradient(&self, _graph: &mut Graph, _x: &[Var], _y: Var, _dy: Var) -> Recorded<Vec<Option<Var>>> {
        Ok(vec![None, None])
    }
}

fn planted(fault: Fault) -> Op {
    Op::new("planted", &[any(3, 7)], move |graph, v| graph.call1(Planted(fault), &[v[0]]), |x| x[0].map(f64::tanh))
}

#[test]
fn the_right_gradient_passes() {
    assert_eq!(planted(Fault::None).check(), Ok(()));
    assert_eq!(planted(Fault::None).check_second(), Ok(()));
    assert_eq!(planted(Fault::Detached).check(), Ok(()));
}

#[test]
fn wrong_gradients_are_caught() {
    let faults = [Fault::OtherDerivative, Fault::Scaled, Fault::Twice, Fault::IgnoresUpstream, Fault::Missing];
    for fault in faults {
        assert!(planted(fault).check().is_err(), "{fault:?} passed");
        assert!(planted(fault).check_second().is_err(), "{fault:?} passed as a second derivative");
    }
    assert!(planted(Fault::Detached).check_second().is_err(), "no second derivative");
}

#[test]
fn a_wrong_value_and_a_small_error_are_caught() {
    let wrong = Op::new("planted", &[any(3, 7)], |graph, v| graph.tanh(v[0]), |x| x[0].map(|x| x.tanh() + 1e-4));
    assert!(wrong.check().unwrap_err().contains("value"));
    // Values off by no more than 1e-7, derivatives by 1e-3.
    let scaled = Op::new(
        "planted",
        &[any(3, 7)],
        |graph, v| graph.tanh(v[0]),
        |x| x[0].map(|x| x.tanh() + 1e-7 * (1e4 * x).sin()),
    );
    assert!(scaled.check().unwrap_err().contains("gradient"));
}
