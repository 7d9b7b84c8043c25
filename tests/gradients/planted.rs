//! The gradient check must catch wrong gradients.

use wgrad::ops::{Activation, activation};
use wgrad::{Result as Recorded, Tape, Var};

use crate::harness::{Op, any};

/// What a backward does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The derivative of another function.
    OtherDerivative,
    /// It never adds to a gradient that another user of the value has written.
    Overwrites,
    /// It always adds to what the gradient happens to hold.
    Accumulates,
    /// It ignores the gradient that reaches it.
    IgnoresUpstream,
    /// It leaves its input without a gradient.
    Missing,
}

/// tanh, as a user would define it on the tape.
fn tanh(tape: &mut Tape, x: Var, fault: Fault) -> Recorded<Var> {
    let input = tape.tensor(x)?;
    let out = tape.zeros(input.rows(), input.cols())?;
    activation::forward(tape.recording(), Activation::Tanh, &input, &out)?;
    let y = out.clone();
    tape.push(out, &[x], move |pass, dy| {
        if fault == Fault::Missing {
            return Ok(());
        }
        let Some(sink) = pass.sink(x)? else { return Ok(()) };
        let function = if fault == Fault::OtherDerivative { Activation::Sigmoid } else { Activation::Tanh };
        let accumulate = match fault {
            Fault::Overwrites => false,
            Fault::Accumulates => true,
            _ => sink.accumulate,
        };
        let dy = if fault == Fault::IgnoresUpstream { &y } else { dy };
        activation::backward(pass.recording(), function, [&input, &y, dy], &sink.tensor, accumulate)
    })
}

fn verdict(fault: Fault) -> Result<(), String> {
    Op::new("planted", &[any(3, 7)], move |tape, v| tanh(tape, v[0], fault), |x| x[0].map(f64::tanh)).check()
}

#[test]
fn the_right_gradient_passes() {
    assert_eq!(verdict(Fault::None), Ok(()));
}

#[test]
fn wrong_gradients_are_caught() {
    let faults =
        [Fault::OtherDerivative, Fault::Overwrites, Fault::Accumulates, Fault::IgnoresUpstream, Fault::Missing];
    for fault in faults {
        assert!(verdict(fault).is_err(), "{fault:?} passed");
    }
}

#[test]
fn a_wrong_value_and_a_small_error_are_caught() {
    let wrong = Op::new("planted", &[any(3, 7)], |tape, v| tape.tanh(v[0]), |x| x[0].map(|x| x.tanh() + 1e-4));
    assert!(wrong.check().unwrap_err().contains("value"));
    // Values off by no more than 1e-7, derivatives by 1e-3.
    let scaled = Op::new(
        "planted",
        &[any(3, 7)],
        |tape, v| tape.tanh(v[0]),
        |x| x[0].map(|x| x.tanh() + 1e-7 * (1e4 * x).sin()),
    );
    assert!(scaled.check().unwrap_err().contains("gradient"));
}
