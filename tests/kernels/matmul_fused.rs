//! Products that take over their neighbours in a graph: an activation and what it is applied to, an activation's
//! derivative, the sums of a factor's columns.

use wgrad::ops::Activation;
use wgrad::ops::matmul::{Epilogue, Plan, Variant, matmul_by};

use crate::activation::{EPILOGUES, derivative_error, error, slope};
use crate::case::Case;
use crate::common::{EPSILON, signed, small_integers};
use crate::matmul::has_all_epilogues;

/// For a product [m, k] by [k, n].
pub(crate) fn cases(plan: Plan, shape: [usize; 3]) -> Vec<Case> {
    let functions = EPILOGUES.into_iter().filter(|f| match f {
        Activation::Identity => false,
        // Its derivative takes another input than its value.
        Activation::GELU => true,
        _ => has_all_epilogues(plan.variant),
    });
    let mut cases: Vec<_> = functions.flat_map(|f| [kept(plan, shape, f), derived(plan, shape, f)]).collect();
    if plan.variant != Variant::Wide {
        cases.extend([false, true].map(|accumulate| with_sums(plan, shape, accumulate)));
    }
    cases
}

/// Element by element: the sums in f64, and how far two of them in f32 may lie apart.
fn sums([m, n, k]: [usize; 3], a: &[f32], b: &[f32]) -> Vec<(f64, f64)> {
    let term = |i: usize, p: usize| f64::from(a[i / n * k + p]) * f64::from(b[p * n + i % n]);
    let sum = |i: usize| (0..k).fold((0.0, 0.0), |(sum, size), p| (sum + term(i, p), size + term(i, p).abs()));
    (0..m * n).map(sum).map(|(sum, size)| (sum, (k + 4) as f64 * EPSILON * size)).collect()
}

/// z = a b + bias; y = activation(z): both are wanted.
fn kept(plan: Plan, [m, n, k]: [usize; 3], function: Activation) -> Case {
    let (a, b, row) = (signed(1, m * k), signed(2, k * n), signed(3, n));
    let plain = sums([m, n, k], &a, &b);
    let z: Vec<f64> = plain.iter().enumerate().map(|(i, (sum, _))| sum + f64::from(row[i % n])).collect();
    let of_z: Vec<f64> = plain.iter().map(|(_, off)| off + 2.0 * EPSILON).collect();
    let of_y: Vec<f64> = z.iter().zip(&of_z).map(|(z, off)| 1.5 * off + error(function, *z as f32)).collect();
    let case =
        Case::new(format!("{plan:?}, {m} x {n} x {k} to {function:?}, kept"), move |recording, inputs, outputs| {
            let (bias, keep) = (Some(inputs[2]), Some(outputs[0]));
            let epilogue = Epilogue { bias, activation: function, keep, ..Epilogue::default() };
            matmul_by(recording, plan, inputs[0], inputs[1], outputs[1], epilogue)
        });
    let case = case.dispatches(1).input([m, k], a).input([k, n], b).input([1, n], row);
    case.close([m, n], move |i, _| of_z[i]).close([m, n], move |i, _| of_y[i])
}

/// dy = a b; dx = dy activation'(x): dy is wanted no more.
fn derived(plan: Plan, [m, n, k]: [usize; 3], function: Activation) -> Case {
    let (a, b) = (signed(1, m * k), signed(2, k * n));
    let x: Vec<f32> = signed(3, m * n).iter().map(|x| 3.0 * x).collect();
    let y: Vec<f32> = x.iter().map(|x| function.apply(*x)).collect();
    let plain = sums([m, n, k], &a, &b);
    let tolerance = |i: usize| {
        let (steep, (dy, off)) = (slope(function, x[i], y[i]).abs(), plain[i]);
        off * steep + dy.abs() * (derivative_error(function, x[i], y[i]) + EPSILON * steep)
    };
    let tolerances: Vec<f64> = (0..m * n).map(tolerance).collect();
    let case =
        Case::new(format!("{plan:?}, {m} x {n} x {k} times {function:?}'"), move |recording, inputs, outputs| {
            let at = if function.derivative_needs_input() { inputs[2] } else { inputs[3] };
            let epilogue = Epilogue { derivative: Some((function, at)), ..Epilogue::default() };
            matmul_by(recording, plan, inputs[0], inputs[1], outputs[0], epilogue)
        });
    let case = case.dispatches(1).input([m, k], a).input([k, n], b).input([m, n], x).input([m, n], y);
    case.close([m, n], move |i, _| tolerances[i])
}

/// dW = dyᵀ x; db = sums of dy's columns, which lie behind dW in one buffer. Whole numbers are exact.
fn with_sums(plan: Plan, [m, n, k]: [usize; 3], accumulate: bool) -> Case {
    let start = (m * n).next_multiple_of(64);
    let name = format!("{plan:?}, {m} x {n} x {k} with column sums, accumulate {accumulate}");
    let case = Case::new(name, move |recording, inputs, outputs| {
        let (dy, x) = (inputs[0], inputs[1]);
        let (dw, db) = (outputs[0].view(0, m, n)?, outputs[0].view(start, 1, m)?);
        let beta = f32::from(u8::from(accumulate));
        matmul_by(recording, plan, dy.t(), x, &dw, Epilogue { beta, row_sums: Some(&db), ..Epilogue::default() })
    });
    let case = case.dispatches(1).input([k, m], small_integers(1, k * m, 4)).input([k, n], small_integers(2, k * n, 4));
    let before = small_integers(3, start + m, 4);
    case.exact([1, start + m]).before(Some(before))
}
