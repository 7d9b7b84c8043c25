//! Where a merged call may stand, and what happens to values that are changed in place.

use wgrad::nn::{Backprop, Linear, Module, Parameters};
use wgrad::ops::{Activation, Reduction, activation};
use wgrad::{
    Graph, Lowering, Merge, Operation, Program, Recording, Result, Rule, Shape, Tensor, Var, gradients, lower,
};

use crate::common::{EPSILON, assert_close, assert_same_bits};
use crate::support::{AddInto, check, device, graph, inputs, tensor, unmerged};

/// Computes wanted values with rules and without, on tensors from outside that the graph changes: `fresh` recreates them.
#[track_caller]
fn check_changing(fresh: impl Fn(&mut Graph) -> (Vec<Var>, Vec<Tensor>), dispatches: usize) {
    let results = |merged: bool| {
        let mut g = graph();
        let (wanted, changed) = fresh(&mut g);
        let lowered = if merged { lower(&g, &wanted).unwrap() } else { unmerged(&g, &wanted) };
        lowered.run().unwrap();
        if merged {
            assert_eq!(lowered.recording().len(), dispatches, "{g:?}{lowered:?}");
        }
        let values = wanted.iter().map(|var| lowered.read(*var).unwrap());
        values.chain(changed.iter().map(|tensor| tensor.read().unwrap())).collect::<Vec<_>>()
    };
    for (i, (merged, plain)) in results(true).iter().zip(&results(false)).enumerate() {
        assert_close(&format!("value {i}"), merged, plain, 0.0, 64.0 * EPSILON);
    }
}

/// z = x w; then x is changed; y = tanh(z). The product must not come to the tanh, but the tanh may come to it.
#[test]
fn what_a_call_reads_may_change_behind_it() {
    check_changing(
        |g| {
            let (x, more, w) = (tensor(1, [4, 3]), tensor(2, [4, 3]), tensor(3, [3, 5]));
            let [given, more, w] = [&x, &more, &w].map(|tensor| g.input(tensor).unwrap());
            let z = g.matmul(given, w).unwrap();
            let changed = g.call1(AddInto, &[given, more]).unwrap();
            let y = g.tanh(z).unwrap();
            (vec![changed, y], vec![x])
        },
        2,
    );
}

/// The same where the change goes through another name of the memory, a view of it.
#[test]
fn memory_has_more_names_than_one() {
    check_changing(
        |g| {
            let (whole, more, w) = (tensor(1, [1, 128]), tensor(2, [1, 64]), tensor(3, [16, 5]));
            let [view, part] = [whole.view(64, 4, 16).unwrap(), whole.view(64, 1, 64).unwrap()];
            let [x, part, more, w] = [&view, &part, &more, &w].map(|tensor| g.input(tensor).unwrap());
            let z = g.matmul(x, w).unwrap();
            let changed = g.call1(AddInto, &[part, more]).unwrap();
            let y = g.tanh(z).unwrap();
            (vec![changed, y], vec![whole])
        },
        2,
    );
}

/// x is changed once before and once behind the product that reads it.
#[test]
fn a_value_that_is_changed_twice_is_read_in_between() {
    check_changing(
        |g| {
            let (x, more, w) = (tensor(1, [4, 3]), tensor(2, [4, 3]), tensor(3, [3, 5]));
            let [given, more, w] = [&x, &more, &w].map(|tensor| g.input(tensor).unwrap());
            let once = g.call1(AddInto, &[given, more]).unwrap();
            let z = g.matmul(once, w).unwrap();
            let twice = g.call1(AddInto, &[once, more]).unwrap();
            let y = g.tanh(z).unwrap();
            (vec![twice, y], vec![x])
        },
        3,
    );
}

/// dy = a b; then `at` is changed, where the derivative is to be taken: neither can move.
#[test]
fn neither_call_passes_one_that_changes_what_it_reads() {
    check_changing(
        |g| {
            let (a, b, at) = (tensor(1, [4, 3]), tensor(2, [3, 5]), tensor(3, [4, 5]));
            let [a_given, b, at_given, more] = [&a, &b, &at, &tensor(4, [4, 3])].map(|tensor| g.input(tensor).unwrap());
            let dy = g.matmul(a_given, b).unwrap();
            let a_changed = g.call1(AddInto, &[a_given, more]).unwrap();
            let at_changed = g.call1(AddInto, &[at_given, dy]).unwrap();
            let y = g.tanh(dy).unwrap();
            (vec![a_changed, at_changed, y], vec![a, at])
        },
        3,
    );
}

/// `sum += x`, which a rule makes of two others: it must not pass who reads the sum as it was.
#[derive(Debug)]
struct OneMoreInto;

impl Operation for OneMoreInto {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![inputs[0]; 2])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        activation::forward(recording, Activation::Affine { scale: 1.0, shift: 1.0 }, inputs[1], outputs[1])?;
        AddInto.record(recording, &[inputs[0], outputs[1]], &outputs[..1])
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        vec![(0, 0)]
    }
}

/// x + 1, as a call that a rule can find.
#[derive(Debug)]
struct OneMore;

impl Operation for OneMore {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        Ok(vec![inputs[0]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        activation::forward(recording, Activation::Affine { scale: 1.0, shift: 1.0 }, inputs[0], outputs[0])
    }
}

/// A rule of a user's own: y = x + 1; sum += y.
fn into(program: &Program<'_>, second: usize) -> Option<Merge> {
    program.op::<AddInto>(second)?;
    let [sum, y] = program.inputs(second)?;
    let first = program.writer(y).filter(|first| program.op::<OneMore>(*first).is_some())?;
    let [x] = program.inputs(first)?;
    let grown = program.nodes()[second].outputs[0];
    Merge::new([first, second], OneMoreInto, vec![sum, x], vec![grown, y])
}

#[test]
fn a_call_in_place_does_not_pass_who_reads_what_it_changes() {
    let (sum, x) = (tensor(1, [4, 3]), tensor(2, [4, 3]));
    let mut g = graph();
    let [given, x] = [&sum, &x].map(|tensor| g.input(tensor).unwrap());
    let y = g.call1(OneMore, &[x]).unwrap();
    // Reads both: what the first call gives, and the sum before it grows.
    let between = g.mul(y, given).unwrap();
    let grown = g.call1(AddInto, &[given, y]).unwrap();
    let expected: Vec<f32> = {
        let (y, sum) = (x_plus_one(2), sum.read().unwrap());
        y.iter().zip(&sum).map(|(y, sum)| y * sum).collect()
    };
    let lowered = Lowering::default().rules(&[into as Rule]).lower(&g, &[between, grown]).unwrap();
    lowered.run().unwrap();
    assert_same_bits("before it grew", &lowered.read(between).unwrap(), &expected);
    // Without that reader the rule fits.
    let lowered = Lowering::default().rules(&[into as Rule]).lower(&g, &[grown]).unwrap();
    assert_eq!(lowered.recording().len(), 2);
    assert!(lowered.tensor(y).is_some(), "the rule's second output");
}

fn x_plus_one(seed: u64) -> Vec<f32> {
    tensor(seed, [4, 3]).read().unwrap().iter().map(|x| x + 1.0).collect()
}

/// Both outputs of a call may be read between it and the one that it joins: then that one comes to it.
#[test]
fn the_later_call_comes_to_the_earlier_one() {
    let mut g = graph();
    let [x, w, t, c] = inputs(&mut g, [[4, 3], [3, 5], [4, 5], [4, 5]]);
    let z = g.matmul(x, w).unwrap();
    let read = g.mul(z, c).unwrap();
    let y = g.tanh(z).unwrap();
    check(&g, &[read, y], 2);
    // Not where it waits for something else that came later.
    let loss = g.mse(read, t, Reduction::Mean).unwrap();
    let square = g.mul(loss, loss).unwrap();
    let by_read = gradients(&mut g, square, &[read]).unwrap()[0].unwrap();
    check(&g, &[by_read], 7);
}

#[test]
fn a_changed_value_can_be_neither_read_nor_wanted() {
    let mut g = graph();
    let [v, x] = inputs(&mut g, [[2, 2]; 2]);
    let sum = g.relu(v).unwrap();
    let changed = g.call1(AddInto, &[sum, x]).unwrap();
    let late = g.tanh(sum).unwrap();
    for wanted in [[late, changed], [sum, changed]] {
        let error = lower(&g, &wanted).unwrap_err().to_string();
        assert!(error.contains("AddInto") && error.contains("changed"), "{error}");
    }
    // In a graph of its own the value is as it was.
    let lowered = lower(&g, &[late]).unwrap();
    lowered.run().unwrap();
    // Nor can another lowering take it as it was.
    let before = lower(&g, &[changed]).unwrap();
    before.run().unwrap();
    assert!(before.read(sum).is_err());
    let after = Lowering::default().after(&before).lower(&g, &[late]).unwrap();
    after.run().unwrap();
    assert_same_bits("computed again", &after.read(late).unwrap(), &lowered.read(late).unwrap());
}

/// A value in whose memory a merged call has computed another is not there for a second pass.
#[test]
fn a_second_pass_does_not_take_what_was_merged_away() {
    let mut g = graph();
    let [x, v, w] = inputs(&mut g, [[4, 3], [3, 5], [3, 5]]);
    let (u, p) = (g.matmul(x, v).unwrap(), g.matmul(x, w).unwrap());
    let sum = g.add(u, p).unwrap();
    let first = lower(&g, &[sum]).unwrap();
    assert_eq!(first.recording().len(), 2, "the second product is added to the first");
    first.run().unwrap();
    let late = g.relu(u).unwrap();
    let second = Lowering::default().after(&first).lower(&g, &[late]).unwrap();
    second.run().unwrap();
    let alone = unmerged(&g, &[late]);
    alone.run().unwrap();
    assert_same_bits("u", &second.read(late).unwrap(), &alone.read(late).unwrap());
}

/// A backward pass that adds to gradients, lowered beside a forward pass whose values it reads.
#[test]
fn accumulated_gradients_are_those_of_one_pass_twice() {
    let model = Linear::new(3, 2);
    let parameters = Parameters::new(device(), &model, 1).unwrap();
    let mut g = graph();
    let [x, t] = inputs(&mut g, [[5, 3], [5, 2]]);
    let once = model.forward(&mut g, x).unwrap();
    let y = g.activation(once, wgrad::nn::SiLU).unwrap();
    let loss = g.mse(y, t, Reduction::Sum).unwrap();
    let by = parameters.named().map(|(_, p)| p.var(&mut g).unwrap()).collect::<Vec<_>>();
    let single: Vec<Var> = gradients(&mut g, loss, &by).unwrap().into_iter().flatten().collect();
    let plain = unmerged(&g, &single);
    plain.run().unwrap();
    let pass = Backprop::new(&mut g, &parameters, loss, &[]).unwrap();
    // The weight's and the bias's in one dispatch, after the loss's with its own.
    assert!(pass.backward_pass().recording().len() <= 3, "{pass:?}");
    for _ in 0..2 {
        pass.forward().unwrap();
        pass.backward().unwrap();
    }
    for ((_, parameter), gradient) in parameters.named().zip(single) {
        let twice: Vec<f64> = plain.read(gradient).unwrap().iter().map(|g| 2.0 * f64::from(*g)).collect();
        let got = parameter.gradient().unwrap().read().unwrap();
        // Sums of five terms of the order of 1.
        assert_close("twice", &got, &twice, 0.0, 32.0 * EPSILON);
    }
}
