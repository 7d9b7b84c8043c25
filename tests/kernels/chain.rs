//! `shaders/chain.wgsl`

use wgrad::ops::chain::{self, From, Step, What};
use wgrad::ops::{Activation, Binary};

use crate::activation::{EPILOGUES, MANY_GROUPS, OTHERS, derivative_error, derived_at, error, in_domain, slope};
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

fn step(what: What, x: From, y: From) -> Step {
    Step { what, operands: [x, y] }
}

/// As many steps and inputs as a chain has; each result stays below 8, and the divisor above 1.
fn longest() -> Vec<Step> {
    use From::{Input, Step as Before};
    let arithmetic = |binary, x, y| step(What::Arithmetic(binary), x, y);
    let affine = Activation::Affine { scale: 0.5, shift: 2.0 };
    vec![
        arithmetic(Binary::Add, Input(0), Input(1)),
        arithmetic(Binary::Mul, Before(0), Input(2)),
        arithmetic(Binary::Sub, Before(1), Input(3)),
        step(What::Apply(Activation::ReLU), Before(2), Before(2)),
        step(What::Slope(Activation::ReLU), Before(3), Before(0)),
        step(What::Apply(affine), Input(4), Input(4)),
        arithmetic(Binary::Div, Before(4), Before(5)),
        arithmetic(Binary::Add, Before(6), Before(1)),
    ]
}

pub(crate) fn run() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        let [rows, cols] = *shape;
        let repeated = [[rows, cols], [1, cols], [rows, 1], [1, 1], [rows, cols]];
        let steps = longest();
        let mut case = Case::new(format!("eight steps {shape:?}"), move |recording, inputs, outputs| {
            chain::run(recording, &steps, inputs, outputs[0])
        });
        // In turn: all of the result's shape, and repeated ones.
        for input in 0..5 {
            let shape = if i % 2 == 0 { *shape } else { repeated[(i / 2 + input) % 5] };
            case = case.input(shape, signed((10 * i + input) as u64, shape[0] * shape[1]));
        }
        // Eight roundings, one of them a quotient's, of numbers below 8.
        cases.push(case.close(*shape, |_, _| 12.0 * 8.0 * EPSILON));
    }
    let len = 300;
    for function in EPILOGUES.into_iter().chain(OTHERS) {
        let x: Vec<f32> = signed(3, len).into_iter().map(|x| in_domain(function, 3.0 * x)).collect();
        let (at, dy) = (x.clone(), signed(4, len));
        let apply = [step(What::Apply(function), From::Input(0), From::Input(0))];
        let case = Case::new(format!("{function:?}"), move |recording, inputs, outputs| {
            chain::run(recording, &apply, inputs, outputs[0])
        });
        cases.push(case.input([1, len], x.clone()).close([1, len], move |i, _| error(function, at[i])));

        let y: Vec<f32> = x.iter().map(|x| function.apply(*x)).collect();
        let at: Vec<f32> = x.iter().zip(&y).map(|(x, y)| derived_at(function, *x, *y)).collect();
        let off: Vec<f64> = (0..len)
            .map(|i| {
                let (steep, dy) = (slope(function, x[i], y[i]).abs(), f64::from(dy[i].abs()));
                dy * (derivative_error(function, x[i], y[i]) + 2.0 * EPSILON * steep)
            })
            .collect();
        let slopes = [step(What::Slope(function), From::Input(0), From::Input(1))];
        let case = Case::new(format!("{function:?} backward"), move |recording, inputs, outputs| {
            chain::run(recording, &slopes, inputs, outputs[0])
        });
        cases.push(case.input([1, len], at).input([1, len], dy).close([1, len], move |i, _| off[i]));
    }
    // Where WGSL leaves powers undefined.
    for exponent in [0.0, 1.0, 2.0, 3.0] {
        let x = [0.0, -1.0, -2.0, -3.5, 0.5, 4.0];
        let power = Activation::Pow { exponent };
        let apply = [step(What::Apply(power), From::Input(0), From::Input(0))];
        let case =
            Case::new(format!("{power:?} of numbers that are not positive"), move |recording, inputs, outputs| {
                chain::run(recording, &apply, inputs, outputs[0])
            });
        let off = move |i: usize, _: f64| if x[i] == 0.0 || exponent == 0.0 { 0.0 } else { error(power, x[i]) };
        cases.push(case.input([1, 6], x.to_vec()).close([1, 6], off));
    }
    cases
}
