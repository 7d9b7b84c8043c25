//! Every operation's gradient against central differences of formulas in f64 that share no code with the library.
//! A new operation is one entry of `operations`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod arithmetic;
mod functions;
mod harness;
mod layers;
mod losses;
mod planted;
mod pytorch;
mod second;
mod shared;

use harness::{Mat, Op, any};

fn product(a: &Mat, b: &Mat) -> Mat {
    Mat::from_fn(a.rows, b.cols, |i, j| (0..a.cols).map(|p| a[(i, p)] * b[(p, j)]).sum())
}

/// The operations of the graph, with shapes small enough for differences, and in no dimension equal. Dropout, which
/// draws new numbers for every run, is tested in `second.rs`.
fn operations() -> Vec<Op> {
    let mut operations = vec![
        Op::new("matmul", &[any(3, 5), any(5, 2)], |graph, v| graph.matmul(v[0], v[1]), |x| product(&x[0], &x[1])),
        Op::new("matmul by itself", &[any(4, 4)], |graph, v| graph.matmul(v[0], v[0]), |x| product(&x[0], &x[0])),
        Op::new(
            "linear",
            &[any(3, 5), any(2, 5), any(1, 2)],
            |graph, v| graph.linear(v[0], v[1], v[2]),
            |x| {
                let dot = |i, j| (0..5).map(|p| x[0][(i, p)] * x[1][(j, p)]).sum::<f64>();
                Mat::from_fn(3, 2, |i, j| dot(i, j) + x[2][(0, j)])
            },
        ),
        Op::new("x + x", &[any(1, 3)], |graph, v| graph.add(v[0], v[0]), |x| x[0].map(|x| x + x)),
    ];
    operations.extend(arithmetic::operations());
    operations.extend(functions::operations());
    operations.extend(losses::operations());
    operations.extend(layers::operations());
    operations
}

#[test]
fn gradients_of_all_operations_match_central_differences() {
    let faults: Vec<_> = operations().iter().filter_map(|op| op.check().err()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn second_derivatives_of_all_operations_match_central_differences() {
    let faults: Vec<_> = operations().iter().filter_map(|op| op.check_second().err()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// All text of the Rust files of a folder and its subfolders.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

/// The methods of `Graph` that call an operation: those that take a graph that they change, and the rows of the table of
/// functions of one variable.
fn methods() -> Vec<String> {
    let (source, mut names) = (sources("src/ops"), Vec::new());
    let name = |text: &str| text.split('(').next().unwrap().to_string();
    for (line, next) in source.lines().zip(source.lines().skip(1)) {
        match line.trim().strip_prefix("pub fn ") {
            Some(method) if method.contains("(&mut self") || method.ends_with('(') && next.trim() == "&mut self," => {
                names.push(name(method))
            }
            None if line.contains(") = Activation::") => names.push(name(line.trim())),
            _ => {}
        }
    }
    names.retain(|name| !name.starts_with('$'));
    names
}

#[test]
fn no_operation_is_forgotten() {
    let (methods, tests) = (methods(), sources("tests/gradients"));
    assert!(methods.len() > 30, "{methods:?}");
    let forgotten: Vec<_> = methods.iter().filter(|name| !tests.contains(&format!("graph.{name}("))).collect();
    assert!(forgotten.is_empty(), "{forgotten:?} stand in no test of gradients");
}
