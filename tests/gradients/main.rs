//! Every operation's gradient against central differences of formulas in f64 that share no code with the library.
//! A new operation is one entry of `operations`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod arithmetic;
mod functions;
mod harness;
mod losses;
mod planted;
mod shared;

use harness::{Mat, Op, any};

fn product(a: &Mat, b: &Mat) -> Mat {
    Mat::from_fn(a.rows, b.cols, |i, j| (0..a.cols).map(|p| a[(i, p)] * b[(p, j)]).sum())
}

/// The operations of the tape, with shapes small enough for differences, and in no dimension equal. Dropout, which
/// draws anew for every run, is tested by itself.
fn operations() -> Vec<Op> {
    let mut operations = vec![
        Op::new("matmul", &[any(3, 5), any(5, 2)], |tape, v| tape.matmul(v[0], v[1]), |x| product(&x[0], &x[1])),
        Op::new("matmul by itself", &[any(4, 4)], |tape, v| tape.matmul(v[0], v[0]), |x| product(&x[0], &x[0])),
        Op::new(
            "linear",
            &[any(3, 5), any(2, 5), any(1, 2)],
            |tape, v| tape.linear(v[0], v[1], v[2]),
            |x| {
                let dot = |i, j| (0..5).map(|p| x[0][(i, p)] * x[1][(j, p)]).sum::<f64>();
                Mat::from_fn(3, 2, |i, j| dot(i, j) + x[2][(0, j)])
            },
        ),
        Op::new(
            "add_row",
            &[any(4, 3), any(1, 3)],
            |tape, v| tape.add_row(v[0], v[1]),
            |x| Mat::from_fn(4, 3, |i, j| x[0][(i, j)] + x[1][(0, j)]),
        ),
        Op::new("add_row to itself", &[any(1, 3)], |tape, v| tape.add_row(v[0], v[0]), |x| x[0].map(|x| x + x)),
    ];
    operations.extend(arithmetic::operations());
    operations.extend(functions::operations());
    operations.extend(losses::operations());
    operations
}

#[test]
fn gradients_of_all_operations_match_central_differences() {
    let faults: Vec<_> = operations().iter().filter_map(|op| op.check().err()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
