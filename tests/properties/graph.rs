//! Graphs: any calls on any values, their gradients, lowered and run.

use wgrad::nn::Reduction;
use wgrad::ops::Activation;
use wgrad::ops::loss::Elementwise;
use wgrad::{Device, Graph, Lowering, Result, Var, gradients, lower};

use crate::Case;
use crate::device::tensor;
use crate::draw::Draw;

pub(crate) const CASES: &[Case] = &[("graphs", graphs)];

pub(crate) fn activation(d: &mut Draw) -> Activation {
    let constants = [d.real(), d.real()];
    d.pick(&Activation::all(constants))
}

pub(crate) fn reduction(d: &mut Draw) -> Reduction {
    d.pick(&[Reduction::Mean, Reduction::Sum, Reduction::SampleMean, Reduction::OutputMean])
}

pub(crate) fn elementwise(d: &mut Draw) -> Elementwise {
    let delta = d.real();
    let all = [
        Elementwise::Squared,
        Elementwise::Absolute,
        Elementwise::Huber { delta },
        Elementwise::BceWithLogits,
        Elementwise::Quantile { quantile: delta },
    ];
    d.pick(&all)
}

/// Any call on any of these values.
fn call(d: &mut Draw, graph: &mut Graph, values: &[Var]) -> Result<Var> {
    let [x, y, z] = [(); 3].map(|()| values[d.below(values.len())]);
    match d.below(40) {
        0 => graph.add(x, y),
        1 => graph.sub(x, y),
        2 => graph.mul(x, y),
        3 => graph.div(x, y),
        4 | 5 => graph.matmul(x, y),
        6 | 7 => graph.linear(x, y, d.chance(0.5).then_some(z)),
        8 => graph.transpose(x),
        9 => graph.slice_cols(x, d.size(), d.size()),
        10 => {
            let parts: Vec<Var> = values.iter().copied().take(d.small()).collect();
            graph.concat_cols(&parts)
        }
        11 => graph.sum(x),
        12 => graph.mean(x),
        13 => graph.sum_rows(x),
        14 => graph.sum_cols(x),
        15 => graph.mean_rows(x),
        16 => graph.mean_cols(x),
        17 => graph.softmax(x),
        18 => graph.log_softmax(x),
        19 => graph.cross_entropy(x, y, reduction(d)),
        20 => graph.mse(x, y, reduction(d)),
        21 => graph.elementwise_loss(elementwise(d), x, y, reduction(d)),
        22 => graph.one_hot(x, if d.chance(0.1) { d.size() } else { d.small() }),
        23 => graph.embedding(x, y),
        24 => graph.dropout(x, d.real()),
        25 => graph.relu(x),
        26 => graph.tanh(x),
        27 => graph.sigmoid(x),
        28 => graph.exp(x),
        29 => graph.log(x),
        30 => graph.pow(x, d.real()),
        31 => graph.neg(x),
        32 => graph.add_scalar(x, d.real()),
        33 => graph.mul_scalar(x, d.real()),
        34 => graph.affine(x, d.real(), d.real()),
        35 => Ok(graph.constant(d.real())),
        36 => graph.update(x, y).map(|()| y),
        37 => graph.call1(Nothing, &[x]),
        38 => graph.call(Nothing, &[x, y]).map(|outputs| outputs[0]),
        _ => graph.activation(x, activation(d)),
    }
}

fn graphs(d: &mut Draw) {
    let device = Device::cpu();
    let mut graph = match d.below(3) {
        0 => Graph::for_evaluation(&device),
        _ => Graph::new(&device).seed(d.seed() as u32),
    };
    assert!(graph.device() == &device);
    let _ = graph.is_training();
    let mut values = vec![graph.constant(d.real())];
    // Of few sizes, so that most fit.
    let sizes = [1 + d.below(4), 1 + d.below(4), 1];
    for _ in 0..1 + d.below(3) {
        let (rows, cols) = (d.pick(&sizes), d.pick(&sizes));
        if let Some(tensor) = tensor(d, &device, rows, cols) {
            let input = graph.input(&tensor);
            values.extend(d.see(input));
        }
    }
    if d.chance(0.1) {
        let tensor = tensor(d, &Device::cpu(), 1, 1);
        let input = graph.input(&tensor.unwrap());
        values.extend(d.see(input));
        // A value of another graph.
        let mut other = Graph::new(&device);
        values.extend((0..3).map(|_| other.constant(1.0)));
    }
    for _ in 0..d.below(12) {
        let value = call(d, &mut graph, &values);
        values.extend(d.see(value));
    }
    for node in graph.nodes() {
        assert!(!format!("{:?}", node.op).is_empty());
        let _ = node.is::<Nothing>();
    }
    if d.chance(0.5) {
        let loss = values[values.len() - 1];
        let loss = if d.chance(0.8) { graph.sum(loss) } else { Ok(loss) };
        if let Some(loss) = d.see(loss) {
            let by: Vec<Var> = values.iter().copied().take(1 + d.below(4)).collect();
            let found = gradients(&mut graph, loss, &by);
            values.extend(d.see(found).into_iter().flatten().flatten());
        }
    }
    let mut wanted: Vec<Var> = values.iter().copied().rev().take(1 + d.below(6)).collect();
    if d.chance(0.1) {
        wanted.clear();
    }
    for value in &wanted {
        let shape = graph.shape(*value);
        d.see(shape);
    }
    let results = [lower(&graph, &wanted), Lowering::default().rules(&[]).lower(&graph, &wanted)];
    for lowered in results {
        let Some(lowered) = d.see(lowered) else { continue };
        let run = lowered.run();
        d.see(run);
        for value in &values {
            let read = lowered.read(*value);
            d.see(read);
            let _ = lowered.tensor(*value);
        }
        let after = Lowering::default().after(&lowered).lower(&graph, &wanted);
        d.see(after);
        let (allocated, dispatches) = (lowered.allocated(), lowered.recording().len());
        assert!(lowered.into_recording().len() == dispatches && allocated < 1 << 28);
    }
}

/// An operation of one's own without anything.
#[derive(Debug)]
struct Nothing;

impl wgrad::Operation for Nothing {
    fn shapes(&self, inputs: &[[usize; 2]]) -> Result<Vec<[usize; 2]>> {
        Ok(inputs.to_vec())
    }

    fn record(&self, _: &mut wgrad::Recording, _: &[&wgrad::Tensor], _: &[&wgrad::Tensor]) -> Result<()> {
        Ok(())
    }
}
