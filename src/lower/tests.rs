//! Rules on operations that only the crate calls: what is written to a history, step by step.

use super::*;
use crate::device::Device;
use crate::gradient::gradients;
use crate::ops::Reduction;
use crate::ops::reduce::IntoHistory;

const X: [f32; 6] = [1.0, -2.0, 3.0, 0.5, 4.0, -1.0];
const T: [f32; 6] = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0];

/// Lowered by all rules, a graph takes this many dispatches, and gives the same values as without rules, in two steps.
#[track_caller]
fn check(describe: impl Fn(&Device, &mut Graph) -> Vec<Var>, dispatches: usize) {
    let device = Device::cpu();
    let results = |rules: &[Rule]| {
        let mut graph = Graph::new(&device);
        let wanted = describe(&device, &mut graph);
        let lowered = Lowering::default().rules(rules).lower(&graph, &wanted).unwrap();
        lowered.recording().run_steps(0..2).unwrap();
        let values: Vec<Vec<f32>> = wanted.iter().map(|var| lowered.read(*var).unwrap()).collect();
        (values, lowered)
    };
    let ((plain, _), (merged, lowered)) = (results(&[]), results(RULES));
    assert_eq!(merged, plain, "{lowered:?}");
    assert_eq!(lowered.recording().len(), dispatches, "{lowered:?}");
}

fn input(device: &Device, graph: &mut Graph, rows: usize, values: &[f32]) -> Var {
    graph.input(&Tensor::new(device, rows, values.len() / rows, values).unwrap()).unwrap()
}

/// A history of this many slots.
fn history(device: &Device, graph: &mut Graph, slots: usize) -> Var {
    input(device, graph, 1, &vec![9.0; slots])
}

/// Everything that can be written to a history by itself.
fn losses(device: &Device, graph: &mut Graph, rows: usize) -> [Var; 3] {
    let (x, t) = (input(device, graph, rows, &X), input(device, graph, rows, &T));
    [
        graph.mse(x, t, Reduction::Sum).unwrap(),
        graph.cross_entropy(x, t, Reduction::Sum).unwrap(),
        graph.sum(x).unwrap(),
    ]
}

#[test]
fn a_loss_goes_into_the_history_alone() {
    for i in 0..3 {
        let logged = |device: &Device, graph: &mut Graph| {
            let loss = losses(device, graph, 2)[i];
            let history = history(device, graph, 2);
            (graph.call1(IntoHistory, &[history, loss]).unwrap(), loss)
        };
        check(|device, graph| vec![logged(device, graph).0], 1);
        // Not where it is wanted as well, or read.
        check(|device, graph| <[Var; 2]>::from(logged(device, graph)).to_vec(), 2);
        check(
            |device, graph| {
                let (history, loss) = logged(device, graph);
                vec![history, graph.tanh(loss).unwrap()]
            },
            3,
        );
    }
}

#[test]
fn a_loss_goes_into_one_history() {
    for i in 0..3 {
        check(
            |device, graph| {
                let loss = losses(device, graph, 2)[i];
                let (first, second) = (history(device, graph, 1), history(device, graph, 2));
                let first = graph.call1(IntoHistory, &[first, loss]).unwrap();
                vec![graph.call1(IntoHistory, &[second, first]).unwrap()]
            },
            2,
        );
    }
}

/// A loss gives its gradient, too, which may be one number.
#[test]
fn a_gradient_is_not_the_loss() {
    check(
        |device, graph| {
            let (p, t) = (input(device, graph, 1, &[3.0]), input(device, graph, 1, &[1.0]));
            let loss = graph.mse(p, t, Reduction::Sum).unwrap();
            let gradient = gradients(graph, loss, &[p]).unwrap()[0].unwrap();
            let history = history(device, graph, 2);
            vec![loss, graph.call1(IntoHistory, &[history, gradient]).unwrap()]
        },
        2,
    );
}

#[test]
fn only_a_plain_sum_over_all_goes_into_a_history() {
    // One that is added to something.
    check(
        |device, graph| {
            let x = input(device, graph, 2, &X);
            let start = graph.mean(x).unwrap();
            let sum = graph.sum(x).unwrap();
            let sum = graph.add(start, sum).unwrap();
            let history = history(device, graph, 2);
            vec![graph.call1(IntoHistory, &[history, sum]).unwrap()]
        },
        3,
    );
    // One over rows, of one column.
    check(
        |device, graph| {
            let x = input(device, graph, 6, &X);
            let sum = graph.sum_rows(x).unwrap();
            let history = history(device, graph, 2);
            vec![graph.call1(IntoHistory, &[history, sum]).unwrap()]
        },
        2,
    );
}

/// What is in a history is added by a separate call.
#[test]
fn a_sum_in_a_history_is_not_added_in_place() {
    check(
        |device, graph| {
            let x = input(device, graph, 2, &X);
            let start = graph.mean(x).unwrap();
            let sum = graph.sum(x).unwrap();
            let history = history(device, graph, 1);
            let logged = graph.call1(IntoHistory, &[history, sum]).unwrap();
            vec![logged, graph.add(start, logged).unwrap()]
        },
        3,
    );
    check(
        |device, graph| {
            let x = input(device, graph, 2, &X);
            let start = graph.mean(x).unwrap();
            let sum = graph.sum(x).unwrap();
            let history = history(device, graph, 1);
            let logged = graph.call1(IntoHistory, &[history, sum]).unwrap();
            vec![graph.add(start, logged).unwrap()]
        },
        3,
    );
}
