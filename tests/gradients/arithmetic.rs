//! Arithmetic with broadcasting, sums and means, and what moves elements about.

use wgrad::ops::Activation;
use wgrad::{Graph, Result as Recorded, Var};

use crate::harness::{Input, Mat, Op, any, positive};

type Build = fn(&mut Graph, Var, Var) -> Recorded<Var>;

/// Both operands at their full size, repeated where they are smaller.
fn binary(name: &str, [a, b]: [Input; 2], build: Build, f: fn(f64, f64) -> f64) -> Op {
    let ([a_rows, a_cols], [b_rows, b_cols]) = (a.shape, b.shape);
    Op::new(
        format!("{name} {:?} {:?}", a.shape, b.shape),
        &[a, b],
        move |graph, v| build(graph, v[0], v[1]),
        move |x| {
            let at =
                |m: &Mat, i: usize, j: usize| m[(if m.rows == 1 { 0 } else { i }, if m.cols == 1 { 0 } else { j })];
            let (rows, cols) = (a_rows.max(b_rows), a_cols.max(b_cols));
            Mat::from_fn(rows, cols, |i, j| f(at(&x[0], i, j), at(&x[1], i, j)))
        },
    )
}

/// Every way in which one operand, or each in another direction, is repeated.
const SHAPES: [[[usize; 2]; 2]; 9] = [
    [[3, 4], [3, 4]],
    [[3, 4], [1, 4]],
    [[1, 4], [3, 4]],
    [[3, 4], [3, 1]],
    [[3, 1], [3, 4]],
    [[3, 4], [1, 1]],
    [[1, 1], [3, 4]],
    [[3, 1], [1, 4]],
    [[1, 4], [3, 1]],
];

pub(crate) fn operations() -> Vec<Op> {
    let mut operations = Vec::new();
    for [a, b] in SHAPES {
        let pair = [any(a[0], a[1]), any(b[0], b[1])];
        let divisor = positive(b[0], b[1]);
        operations.extend([
            binary("add", pair, |graph, a, b| graph.add(a, b), |a, b| a + b),
            binary("sub", pair, |graph, a, b| graph.sub(a, b), |a, b| a - b),
            binary("mul", pair, |graph, a, b| graph.mul(a, b), |a, b| a * b),
            binary("div", [pair[0], divisor], |graph, a, b| graph.div(a, b), |a, b| a / b),
        ]);
    }
    operations.extend([
        Op::new("x * x", &[any(3, 4)], |graph, v| graph.mul(v[0], v[0]), |x| x[0].map(|x| x * x)),
        Op::new("x - x", &[any(3, 4)], |graph, v| graph.sub(v[0], v[0]), |x| x[0].map(|_| 0.0)),
        Op::new("x / x", &[positive(3, 4)], |graph, v| graph.div(v[0], v[0]), |x| x[0].map(|_| 1.0)),
        Op::new("neg", &[any(3, 4)], |graph, v| graph.neg(v[0]), |x| x[0].map(|x| -x)),
        Op::new("add_scalar", &[any(3, 4)], |graph, v| graph.add_scalar(v[0], 0.75), |x| x[0].map(|x| x + 0.75)),
        Op::new("mul_scalar", &[any(3, 4)], |graph, v| graph.mul_scalar(v[0], -1.5), |x| x[0].map(|x| -1.5 * x)),
        Op::new(
            "affine",
            &[any(3, 4)],
            |graph, v| graph.activation(v[0], Activation::Affine { scale: -0.5, shift: 2.0 }),
            |x| x[0].map(|x| 2.0 - 0.5 * x),
        ),
    ]);
    operations.extend(sums());
    operations.extend(moves());
    operations
}

/// Sums and means of everything, over rows and over columns.
fn sums() -> Vec<Op> {
    let over_rows = |x: &Mat| Mat::from_fn(1, x.cols, |_, j| (0..x.rows).map(|i| x[(i, j)]).sum());
    let over_cols = |x: &Mat| Mat::from_fn(x.rows, 1, |i, _| (0..x.cols).map(|j| x[(i, j)]).sum());
    vec![
        Op::new("sum", &[any(3, 4)], |graph, v| graph.sum(v[0]), |x| Mat::scalar(x[0].sum())),
        Op::new("mean", &[any(3, 4)], |graph, v| graph.mean(v[0]), |x| Mat::scalar(x[0].sum() / 12.0)),
        Op::new("sum_rows", &[any(3, 4)], |graph, v| graph.sum_rows(v[0]), move |x| over_rows(&x[0])),
        Op::new(
            "mean_rows",
            &[any(3, 4)],
            |graph, v| graph.mean_rows(v[0]),
            move |x| over_rows(&x[0]).map(|x| x / 3.0),
        ),
        Op::new("sum_cols", &[any(3, 4)], |graph, v| graph.sum_cols(v[0]), move |x| over_cols(&x[0])),
        Op::new(
            "mean_cols",
            &[any(3, 4)],
            |graph, v| graph.mean_cols(v[0]),
            move |x| over_cols(&x[0]).map(|x| x / 4.0),
        ),
    ]
}

fn moves() -> Vec<Op> {
    vec![
        Op::new(
            "transpose",
            &[any(3, 5)],
            |graph, v| graph.transpose(v[0]),
            |x| Mat::from_fn(5, 3, |i, j| x[0][(j, i)]),
        ),
        Op::new(
            "x by its transpose",
            &[any(3, 5)],
            |graph, v| {
                let transposed = graph.transpose(v[0])?;
                graph.matmul(v[0], transposed)
            },
            |x| Mat::from_fn(3, 3, |i, j| (0..5).map(|p| x[0][(i, p)] * x[0][(j, p)]).sum()),
        ),
        Op::new(
            "slice_cols",
            &[any(3, 5)],
            |graph, v| graph.slice_cols(v[0], 1, 4),
            |x| Mat::from_fn(3, 3, |i, j| x[0][(i, j + 1)]),
        ),
        Op::new(
            "product of slices that overlap",
            &[any(3, 5)],
            |graph, v| {
                let (left, right) = (graph.slice_cols(v[0], 0, 3)?, graph.slice_cols(v[0], 2, 5)?);
                graph.mul(left, right)
            },
            |x| Mat::from_fn(3, 3, |i, j| x[0][(i, j)] * x[0][(i, j + 2)]),
        ),
        Op::new(
            "concat_cols",
            &[any(3, 2), any(3, 1), any(3, 4)],
            |graph, v| graph.concat_cols(v),
            |x| {
                let rows = |i: usize| x.iter().flat_map(move |part| (0..part.cols).map(move |j| part[(i, j)]));
                Mat::from_fn(3, 7, |i, j| rows(i).nth(j).unwrap())
            },
        ),
        Op::new(
            "concat_cols with itself",
            &[any(3, 2)],
            |graph, v| graph.concat_cols(&[v[0], v[0], v[0]]),
            |x| Mat::from_fn(3, 6, |i, j| x[0][(i, j % 2)]),
        ),
        Op::new("concat_cols of one", &[any(3, 2)], |graph, v| graph.concat_cols(v), |x| x[0].clone()),
    ]
}
