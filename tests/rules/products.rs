//! Products, and what they take over: `src/ops/matmul/operation.rs`, `src/ops/broadcast.rs`.

use wgrad::Lowering;
use wgrad::ops::{Activation, RULES};

use crate::support::{AddInto, EPILOGUES, check, check_by, gradient_of_sum, graph, inputs, pulled_back, tensor};

/// Activations that can't end a product.
const OTHERS: [Activation; 3] =
    [Activation::Exp, Activation::Pow { exponent: 2.0 }, Activation::Affine { scale: 2.0, shift: -1.0 }];

#[test]
fn an_activation_joins_its_product_if_the_kernel_has_it() {
    for (functions, dispatches) in [(&EPILOGUES[..], 1), (&OTHERS, 2)] {
        for function in functions {
            let mut g = graph();
            let [x, w, b] = inputs(&mut g, [[4, 3], [5, 3], [1, 5]]);
            let z = g.linear(x, w, b).unwrap();
            let y = g.activation(z, *function).unwrap();
            check(&g, &[y], dispatches);
            // What it was applied to comes with it where it is wanted,
            check(&g, &[y, z], dispatches);
            // or where another call reads it.
            let product = g.mul(z, y).unwrap();
            check(&g, &[product], dispatches + 1);
        }
    }
}

#[test]
fn a_product_takes_one_activation() {
    let mut g = graph();
    let [x, w] = inputs(&mut g, [[4, 3], [3, 5]]);
    let z = g.matmul(x, w).unwrap();
    let once = g.tanh(z).unwrap();
    let twice = g.sigmoid(once).unwrap();
    check(&g, &[twice], 2);
}

/// The identity leaves a product as it is, but not without a second output.
#[test]
fn a_product_that_keeps_its_argument_takes_nothing_more() {
    let mut g = graph();
    let [x, w, v] = inputs(&mut g, [[4, 3], [3, 5], [4, 5]]);
    let u = g.tanh(v).unwrap();
    let z = g.matmul(x, w).unwrap();
    let same = g.activation(z, Activation::Identity).unwrap();
    let activation = g.tanh(same).unwrap();
    check(&g, &[activation, z], 2);
    let sum = g.add(u, same).unwrap();
    check(&g, &[sum, z], 3);
    let derivative = pulled_back(&mut g, u, same, v);
    check(&g, &[derivative, z], 3);
}

/// dx = (product) f'(at) is one dispatch.
#[test]
fn a_derivative_joins_the_product_before_it() {
    for (functions, dispatches) in [(&EPILOGUES[1..], 4), (&OTHERS[..1], 5)] {
        for function in functions {
            let mut g = graph();
            let [x, w, c] = inputs(&mut g, [[4, 3], [3, 5], [4, 5]]);
            let y = g.activation(x, *function).unwrap();
            let z = g.matmul(y, w).unwrap();
            let weighted = g.mul(z, c).unwrap();
            let dx = gradient_of_sum(&mut g, weighted, x);
            // Besides the value: the gradient of the sum, times the weights, and the product.
            check(&g, &[dx, y], dispatches);
        }
    }
}

#[test]
fn a_derivative_leaves_a_product_that_others_read() {
    let mut g = graph();
    let [x, a, b] = inputs(&mut g, [[4, 5], [4, 3], [3, 5]]);
    let y = g.tanh(x).unwrap();
    let dy = g.matmul(a, b).unwrap();
    let dx = pulled_back(&mut g, y, dy, x);
    check(&g, &[dx], 2);
    check(&g, &[dx, dy], 3);
    let other = g.mul(dy, dx).unwrap();
    check(&g, &[other], 4);
}

#[test]
fn a_derivative_leaves_a_product_that_ends_with_something() {
    let mut g = graph();
    let [x, a, b, row] = inputs(&mut g, [[4, 5], [4, 3], [5, 3], [1, 5]]);
    let y = g.tanh(x).unwrap();
    // A bias: the kernel has one place for it and for where a derivative is taken.
    let linear = g.linear(a, b, row).unwrap();
    let dx = pulled_back(&mut g, y, linear, x);
    check(&g, &[dx], 3);
    // An activation.
    let b = g.transpose(b).unwrap();
    let product = g.matmul(a, b).unwrap();
    let active = g.sigmoid(product).unwrap();
    let dx = pulled_back(&mut g, y, active, x);
    check(&g, &[dx], 4);
    // Another derivative: through sigmoid, then through tanh.
    let inner = g.sigmoid(y).unwrap();
    let product = g.matmul(a, b).unwrap();
    let dx = pulled_back(&mut g, inner, product, x);
    check(&g, &[dx], 5);
}

/// A product that is added to something can't be multiplied by a derivative, too: both would be its last operand.
#[test]
fn a_derivative_leaves_a_product_that_is_added() {
    let mut g = graph();
    let [x, v, w] = inputs(&mut g, [[4, 3], [3, 5], [3, 5]]);
    let y = g.tanh(x).unwrap();
    let (one, two) = (g.matmul(y, v).unwrap(), g.matmul(y, w).unwrap());
    let product = g.mul(one, two).unwrap();
    let dx = gradient_of_sum(&mut g, product, x);
    // y, both products and both gradients of them (of a number each, weighted), two products added, the derivative.
    check(&g, &[dx], 9);
}

/// Where the derivative is taken at the product itself.
#[test]
fn a_derivative_taken_at_the_product_needs_the_product() {
    let mut g = graph();
    let [a, b] = inputs(&mut g, [[4, 3], [3, 5]]);
    let z = g.matmul(a, b).unwrap();
    // GELU's derivative is computed from its argument, here z, and is multiplied by z.
    let y = g.activation(z, Activation::GELU).unwrap();
    let dz = pulled_back(&mut g, y, z, z);
    check(&g, &[dz], 2);
}

#[test]
fn a_product_is_added_to_what_is_there() {
    let mut g = graph();
    let [a, b, c, d] = inputs(&mut g, [[4, 2], [2, 5], [4, 3], [3, 5]]);
    let (u, p) = (g.matmul(a, b).unwrap(), g.matmul(c, d).unwrap());
    // The later one to the earlier one, in whichever order they are added.
    for [one, other] in [[u, p], [p, u]] {
        let sum = g.add(one, other).unwrap();
        check(&g, &[sum], 2);
        let recorded = Lowering::default().lower(&g, &[sum]).unwrap().recording().to_string();
        let last = recorded.trim().lines().last().unwrap();
        assert!(last.contains("[4 x 3]") && last.contains("[3 x 5]"), "{recorded}");
        // Not if somebody else wants one of them,
        check(&g, &[sum, u], 3);
        check(&g, &[sum, p], 3);
        // or reads it.
        let more = g.mul(sum, u).unwrap();
        check(&g, &[more], 4);
        let more = g.mul(sum, p).unwrap();
        check(&g, &[more], 4);
    }
    // To one, once.
    let twice = g.add(p, p).unwrap();
    check(&g, &[twice], 2);
}

/// What lies outside of the graph is not the graph's to write to.
#[test]
fn a_product_is_not_added_to_what_comes_from_outside() {
    let mut g = graph();
    let [u, a, b, row, column] = inputs(&mut g, [[4, 5], [4, 3], [3, 5], [1, 3], [3, 1]]);
    let p = g.matmul(a, b).unwrap();
    let sum = g.add(u, p).unwrap();
    check(&g, &[sum], 2);
    // A constant.
    let two = g.constant(2.0);
    let number = g.matmul(row, column).unwrap();
    let sum = g.add(two, number).unwrap();
    check(&g, &[sum], 2);
    // Memory from outside that a call has been allowed to change, and this one has not.
    let growing = tensor(9, [4, 5]);
    let before = growing.read().unwrap();
    let given = g.input(&growing).unwrap();
    let grown = g.call1(AddInto, &[given, u]).unwrap();
    let p = g.matmul(a, b).unwrap();
    let sum = g.add(grown, p).unwrap();
    let lowered = Lowering::default().lower(&g, &[sum]).unwrap();
    lowered.run().unwrap();
    let expected: Vec<f32> = before.iter().zip(tensor(1, [4, 5]).read().unwrap()).map(|(a, b)| a + b).collect();
    assert_eq!(growing.read().unwrap(), expected);
}

#[test]
fn only_products_and_sums_of_the_same_shape_are_added_in_place() {
    let mut g = graph();
    let [v, a, b, t] = inputs(&mut g, [[4, 5], [1, 3], [3, 5], [4, 5]]);
    // A row that is added to each row.
    let u = g.tanh(v).unwrap();
    let row = g.matmul(a, b).unwrap();
    let sum = g.add(u, row).unwrap();
    check(&g, &[sum], 3);
    let u = g.tanh(t).unwrap();
    let sums = g.sum_rows(v).unwrap();
    let sum = g.add(u, sums).unwrap();
    check(&g, &[sum], 3);
    // Of one shape.
    let u = g.matmul(a, b).unwrap();
    let sums = g.sum_rows(v).unwrap();
    let sum = g.add(u, sums).unwrap();
    check(&g, &[sum], 2);
}

#[test]
fn a_product_is_added_once_and_bare() {
    let mut g = graph();
    let [v, a, b, row] = inputs(&mut g, [[4, 5], [4, 3], [5, 3], [1, 5]]);
    let u = g.tanh(v).unwrap();
    // With a bias it would be rounded in another order.
    let linear = g.linear(a, b, row).unwrap();
    let sum = g.add(u, linear).unwrap();
    check(&g, &[sum], 3);
    // An activation comes after the addition.
    let b = g.transpose(b).unwrap();
    let product = g.matmul(a, b).unwrap();
    let active = g.relu(product).unwrap();
    let sum = g.add(u, active).unwrap();
    check(&g, &[sum], 4);
    // (first + product) + second: the product has been added to the first.
    let (first, second) = (g.tanh(v).unwrap(), g.sigmoid(v).unwrap());
    let product = g.matmul(a, b).unwrap();
    let sum = g.add(first, product).unwrap();
    let sum = g.add(second, sum).unwrap();
    check(&g, &[sum], 5);
}

#[test]
fn a_sum_is_added_to_what_is_there_once() {
    let mut g = graph();
    let [v, x, y] = inputs(&mut g, [[1, 5], [4, 5], [3, 5]]);
    let u = g.tanh(v).unwrap();
    let sums = g.sum_rows(x).unwrap();
    let one = g.add(u, sums).unwrap();
    check(&g, &[one], 2);
    check(&g, &[one, u], 3);
    check(&g, &[one, sums], 3);
    // Both were there before, so that the sum comes to both.
    let (first, second) = (g.tanh(v).unwrap(), g.sigmoid(v).unwrap());
    let sums = g.sum_rows(y).unwrap();
    let sum = g.add(first, sums).unwrap();
    let sum = g.add(second, sum).unwrap();
    check(&g, &[sum], 4);
}

/// aᵀ b comes with the sums of a's columns.
#[test]
fn row_sums_join_a_product_of_the_same_factor() {
    let mut g = graph();
    let [a, b, c, v] = inputs(&mut g, [[4, 3], [3, 5], [4, 5], [3, 5]]);
    let z = g.matmul(a, b).unwrap();
    let weighted = g.mul(z, c).unwrap();
    // aᵀ times the weights.
    let db = gradient_of_sum(&mut g, weighted, b);
    let sums = g.sum_rows(a).unwrap();
    // The weights, repeated and multiplied.
    check(&g, &[db, sums], 3);
    // Sums over something else.
    let (rows, all) = (g.sum_cols(a).unwrap(), g.sum(a).unwrap());
    check(&g, &[db, rows], 4);
    check(&g, &[db, all], 4);
    // Sums of another matrix: of the second factor, and of neither.
    let (second, neither) = (g.relu(c).unwrap(), g.sum_rows(c).unwrap());
    let dz = pulled_back(&mut g, z, second, b);
    let of_second = g.sum_rows(second).unwrap();
    check(&g, &[dz, of_second], 3);
    check(&g, &[db, neither], 4);
    // Two sums of it: one joins.
    let twice = g.sum_rows(a).unwrap();
    check(&g, &[db, sums, twice], 4);
    // A factor that is not transposed.
    check(&g, &[z, sums], 2);
    // A product that goes on.
    let active = g.relu(db).unwrap();
    check(&g, &[active, sums], 4);
    let same = g.activation(db, Activation::Identity).unwrap();
    check(&g, &[same, db, sums], 4);
    let u = g.tanh(v).unwrap();
    let dv = pulled_back(&mut g, u, db, v);
    check(&g, &[dv, sums], 5);
}

/// A product that is added to something, beside sums that are not, and the other way round.
#[test]
fn row_sums_and_product_are_both_added_or_neither() {
    let mut g = graph();
    let [a, b, c, v, row] = inputs(&mut g, [[4, 3], [3, 5], [4, 5], [3, 5], [1, 3]]);
    let (u, start) = (g.tanh(v).unwrap(), g.tanh(row).unwrap());
    let z = g.matmul(a, b).unwrap();
    let weighted = g.mul(z, c).unwrap();
    let db = gradient_of_sum(&mut g, weighted, b);
    let sums = g.sum_rows(a).unwrap();
    let (grown, grown_sums) = (g.add(u, db).unwrap(), g.add(start, sums).unwrap());
    // The weights, repeated and multiplied; where it starts; product and sums.
    check(&g, &[grown, sums], 5);
    check(&g, &[db, grown_sums], 5);
    check(&g, &[grown, grown_sums], 5);
}

/// Rules may come in any order, and still see whole calls only.
#[test]
fn a_product_with_sums_takes_nothing_more() {
    let [activation, derivative, addition, _, row_sums] = RULES[..5] else { panic!("fewer rules") };
    let mut g = graph();
    let [a, b, c, v] = inputs(&mut g, [[4, 3], [3, 5], [4, 5], [3, 5]]);
    let z = g.matmul(a, b).unwrap();
    let weighted = g.mul(z, c).unwrap();
    let db = gradient_of_sum(&mut g, weighted, b);
    let sums = g.sum_rows(a).unwrap();
    let active = g.relu(db).unwrap();
    check_by(&[row_sums, activation], &g, &[active, sums], 4);
    let u = g.tanh(v).unwrap();
    let dv = pulled_back(&mut g, u, db, v);
    check_by(&[row_sums, derivative], &g, &[dv, sums], 5);
    let u = g.tanh(v).unwrap();
    let late = gradient_of_sum(&mut g, weighted, b);
    let sum = g.add(u, late).unwrap();
    check_by(&[row_sums, addition], &g, &[sum, sums], 5);
}
