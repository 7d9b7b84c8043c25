//! Losses, and what they take over: `src/ops/loss/operation.rs`, `src/ops/cross_entropy/operation.rs`.

use wgrad::ops::loss::Elementwise;
use wgrad::ops::{Activation, Reduction};
use wgrad::{Graph, Var, gradients};

use crate::support::{check, graph, inputs, pulled_back};

const SHAPE: [usize; 2] = [4, 3];

fn gradient(g: &mut Graph, loss: Var, by: Var) -> Var {
    gradients(g, loss, &[by]).unwrap()[0].unwrap()
}

#[test]
fn a_loss_comes_with_its_own_gradient() {
    let mut g = graph();
    let [p, t, other] = inputs(&mut g, [SHAPE; 3]);
    let loss = g.mse(p, t, Reduction::Mean).unwrap();
    let both = gradients(&mut g, loss, &[p, t]).unwrap();
    let (by_p, by_t) = (both[0].unwrap(), both[1].unwrap());
    check(&g, &[loss, by_p], 1);
    // The one by the target is another kernel's.
    check(&g, &[loss, by_t], 2);
    check(&g, &[loss, by_p, by_t], 2);
    // The gradient of another loss: of another error, of another reduction, with another target, the other way round.
    let others = [
        g.elementwise_loss(Elementwise::Absolute, p, t, Reduction::Mean).unwrap(),
        g.mse(p, t, Reduction::Sum).unwrap(),
        g.mse(p, other, Reduction::Mean).unwrap(),
        g.mse(t, p, Reduction::Mean).unwrap(),
    ];
    for other in others {
        let by_p = gradient(&mut g, other, p);
        check(&g, &[loss, by_p], 2);
    }
}

#[test]
fn a_cross_entropy_comes_with_its_own_gradient() {
    let mut g = graph();
    let [z, t, other] = inputs(&mut g, [SHAPE; 3]);
    let loss = g.cross_entropy(z, t, Reduction::Mean).unwrap();
    let by_z = gradient(&mut g, loss, z);
    check(&g, &[loss, by_z], 1);
    let others = [
        g.cross_entropy(z, t, Reduction::Sum).unwrap(),
        g.cross_entropy(z, other, Reduction::Mean).unwrap(),
        g.cross_entropy(t, z, Reduction::Mean).unwrap(),
    ];
    for other in others {
        let by_z = gradient(&mut g, other, if other == others[2] { t } else { z });
        check(&g, &[loss, by_z], 2);
    }
}

/// The loss's own gradient must be there when the loss is computed.
#[test]
fn a_gradient_that_is_made_of_the_loss_comes_after_it() {
    let mut g = graph();
    let [p, t] = inputs(&mut g, [SHAPE; 2]);
    let losses = [g.mse(p, t, Reduction::Mean).unwrap(), g.cross_entropy(p, t, Reduction::Mean).unwrap()];
    for loss in losses {
        let square = g.mul(loss, loss).unwrap();
        let by_p = gradient(&mut g, square, p);
        // The gradient of the square by the loss: two products and their sum.
        check(&g, &[loss, by_p], 5);
        // Where it is the loss itself.
        let by_p = pulled_back(&mut g, loss, loss, p);
        check(&g, &[loss, by_p], 2);
    }
}

/// Those whose derivative the kernel has, and one that it has not.
const FUNCTIONS: [(Activation, usize); 7] = [
    (Activation::Tanh, 2),
    (Activation::Sigmoid, 2),
    (Activation::ReLU, 2),
    (Activation::GELU, 2),
    (Activation::ELU { alpha: -0.5 }, 2),
    (Activation::LeakyReLU { slope: -0.5 }, 2),
    (Activation::Exp, 3),
];

#[test]
fn a_loss_goes_through_the_activation_of_its_prediction() {
    for (function, dispatches) in FUNCTIONS {
        let mut g = graph();
        let [x, t] = inputs(&mut g, [SHAPE; 2]);
        let p = g.activation(x, function).unwrap();
        let loss = g.mse(p, t, Reduction::Mean).unwrap();
        let both = gradients(&mut g, loss, &[p, x]).unwrap();
        let (by_p, by_x) = (both[0].unwrap(), both[1].unwrap());
        check(&g, &[loss, by_x], dispatches);
        // Not where the gradient in between is wanted, or read.
        check(&g, &[loss, by_x, by_p], 3);
        let product = g.mul(by_p, by_x).unwrap();
        check(&g, &[loss, product], 4);
    }
}

#[test]
fn a_loss_goes_through_one_activation() {
    let mut g = graph();
    let [x, t] = inputs(&mut g, [SHAPE; 2]);
    let q = g.tanh(x).unwrap();
    let p = g.tanh(q).unwrap();
    let loss = g.mse(p, t, Reduction::Mean).unwrap();
    let by_x = gradient(&mut g, loss, x);
    check(&g, &[loss, by_x], 4);
}

/// The kernel takes the derivative at the prediction, or where that came from; nowhere else.
#[test]
fn a_loss_does_not_go_through_what_did_not_give_its_prediction() {
    let mut g = graph();
    let [x, q, t, w] = inputs(&mut g, [SHAPE; 4]);
    // A residual connection: the prediction is a sum.
    let active = g.sigmoid(x).unwrap();
    let p = g.add(q, active).unwrap();
    let loss = g.mse(p, t, Reduction::Mean).unwrap();
    let by_x = gradient(&mut g, loss, x);
    check(&g, &[loss, by_x], 4);
    // The prediction is tanh of something, and the derivative tanh's of something else.
    let [p, other] = [x, q].map(|x| g.tanh(x).unwrap());
    let loss = g.mse(p, t, Reduction::Mean).unwrap();
    let by_p = gradient(&mut g, loss, p);
    let by_q = pulled_back(&mut g, other, by_p, q);
    check(&g, &[loss, by_q], 4);
    // The derivative is taken where the prediction came from, of another function.
    let inner = g.sigmoid(x).unwrap();
    let p = g.tanh(inner).unwrap();
    let loss = g.mse(p, t, Reduction::Mean).unwrap();
    let by_p = gradient(&mut g, loss, p);
    let by_x = pulled_back(&mut g, inner, by_p, x);
    check(&g, &[loss, by_x], 4);
    // The prediction is itself a derivative.
    let y = g.relu(x).unwrap();
    let product = g.mul(y, w).unwrap();
    let sum = g.sum(product).unwrap();
    let d = gradient(&mut g, sum, x);
    let loss = g.mse(d, t, Reduction::Mean).unwrap();
    let by_w = gradient(&mut g, loss, w);
    check(&g, &[loss, by_w], 7);
    // It comes from outside.
    let loss = g.mse(q, t, Reduction::Mean).unwrap();
    let by_q = gradient(&mut g, loss, q);
    let by_x = pulled_back(&mut g, y, by_q, x);
    check(&g, &[loss, by_x], 3);
}

/// A derivative of the loss's value is none of its gradient.
#[test]
fn a_derivative_times_the_loss_is_not_one_times_its_gradient() {
    let mut g = graph();
    let [x, t] = inputs(&mut g, [[1, 1]; 2]);
    let p = g.tanh(x).unwrap();
    let loss = g.mse(p, t, Reduction::Sum).unwrap();
    let by_p = gradient(&mut g, loss, p);
    let by_x = pulled_back(&mut g, p, loss, x);
    // By p is wanted, so that the loss has its gradient, and the loss is not.
    check(&g, &[by_p, by_x], 3);
}
