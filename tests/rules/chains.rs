//! The rule that makes one dispatch of neighbouring elementwise calls.

use wgrad::ops::{Activation, RULES};
use wgrad::{Graph, Lowering, Var, gradients};

use crate::support::{check_by, graph, inputs};

/// By all rules.
#[track_caller]
fn check(graph: &Graph, wanted: &[Var], dispatches: usize) {
    check_by(RULES, graph, wanted, dispatches);
}

#[test]
fn elementwise_calls_become_one_dispatch() {
    let mut g = graph();
    let [a, b, row, column] = inputs(&mut g, [[5, 7], [5, 7], [1, 7], [5, 1]]);
    let sum = g.add(a, b).unwrap();
    let shifted = g.sub(sum, row).unwrap();
    let active = g.tanh(shifted).unwrap();
    let y = g.mul(active, column).unwrap();
    check(&g, &[y], 1);
}

#[test]
fn a_value_that_is_used_twice_is_computed_once() {
    let mut g = graph();
    let [a] = inputs(&mut g, [[5, 7]]);
    let exp = g.exp(a).unwrap();
    let square = g.mul(exp, exp).unwrap();
    let y = g.add(square, a).unwrap();
    check(&g, &[y], 1);
}

/// Whoever else reads the value between two calls, after the run too, needs it stored.
#[test]
fn what_others_read_is_stored() {
    let mut g = graph();
    let [a, b] = inputs(&mut g, [[5, 7], [5, 7]]);
    let middle = g.add(a, b).unwrap();
    let y = g.exp(middle).unwrap();
    check(&g, &[y, middle], 2);
    let z = g.tanh(middle).unwrap();
    check(&g, &[y, z], 3);
}

/// A repeated value would be computed once for each element: it stays a separate dispatch.
#[test]
fn what_is_repeated_is_computed_before() {
    let mut g = graph();
    let [row, a] = inputs(&mut g, [[1, 7], [5, 7]]);
    let exp = g.exp(row).unwrap();
    let y = g.mul(a, exp).unwrap();
    check(&g, &[y], 2);
}

#[test]
fn a_chain_has_at_most_eight_steps() {
    let mut g = graph();
    let [a] = inputs(&mut g, [[3, 3]]);
    let mut y = a;
    for _ in 0..9 {
        y = g.activation(y, Activation::Affine { scale: 0.9, shift: 0.1 }).unwrap();
    }
    check(&g, &[y], 2);
}

#[test]
fn a_chain_has_at_most_five_inputs() {
    let mut g = graph();
    let all = inputs(&mut g, [[3, 3]; 6]);
    let add = |g: &mut Graph, x, y| g.add(x, y).unwrap();
    let five = all[1..5].iter().fold(all[0], |sum, x| add(&mut g, sum, *x));
    check(&g, &[five], 1);
    let six = add(&mut g, five, all[5]);
    check(&g, &[six], 2);
}

/// The derivative of an activation, and a gradient that is spread by a sum, are elementwise, too.
#[test]
fn backward_passes_are_chained() {
    let mut g = graph();
    let [a] = inputs(&mut g, [[5, 7]]);
    let tanh = g.tanh(a).unwrap();
    let exp = g.exp(tanh).unwrap();
    let loss = g.sum(exp).unwrap();
    let da = gradients(&mut g, loss, &[a]).unwrap()[0].unwrap();
    // tanh, which is read twice; exp with both derivatives behind it.
    let lowered = Lowering::default().lower(&g, &[da]).unwrap();
    check(&g, &[da], lowered.recording().len());
    assert!(lowered.recording().len() <= 3, "{lowered:?}");
}
