//! First and second derivatives against PyTorch's `create_graph=True`: `tests/oracle/second.json`.

use wgrad::nn::{LayerNorm, Module, Parameters};
use wgrad::ops::loss::Elementwise;
use wgrad::ops::{Activation, RULES, Reduction};
use wgrad::{Device, Graph, Lowering, Result as Recorded, Rule, Tensor, Var, gradients};

use crate::common::{EPSILON, compare, floats, list, numbers, oracle, shape, text};

/// The function of this name, on the graph.
fn function(name: &str, graph: &mut Graph, v: &[Var]) -> Recorded<Var> {
    let unary = |activation| Some((activation, v[0]));
    let activation = match name {
        "identity" => unary(Activation::Identity),
        "relu" => unary(Activation::ReLU),
        "tanh" => unary(Activation::Tanh),
        "sigmoid" => unary(Activation::Sigmoid),
        "leaky_relu 0.125" => unary(Activation::LeakyReLU { slope: 0.125 }),
        "leaky_relu -0.5" => unary(Activation::LeakyReLU { slope: -0.5 }),
        "elu 1.5" => unary(Activation::ELU { alpha: 1.5 }),
        "elu -0.5" => unary(Activation::ELU { alpha: -0.5 }),
        "gelu" => unary(Activation::GELU),
        "gelu_tanh" => unary(Activation::GELUTanh),
        "silu" => unary(Activation::SiLU),
        "softplus" => unary(Activation::Softplus),
        "exp" => unary(Activation::Exp),
        "log" => unary(Activation::Log),
        "pow 2" => unary(Activation::Pow { exponent: 2.0 }),
        "pow 3" => unary(Activation::Pow { exponent: 3.0 }),
        "pow -0.5" => unary(Activation::Pow { exponent: -0.5 }),
        "affine" => unary(Activation::Affine { scale: -0.5, shift: 2.0 }),
        _ => None,
    };
    if let Some((activation, x)) = activation {
        return graph.activation(x, activation);
    }
    let target = |graph: &mut Graph, cols: usize, values: &[f32]| {
        let tensor = Tensor::new(graph.device(), values.len() / cols, cols, values)?;
        graph.input(&tensor)
    };
    match name {
        "softmax" => graph.softmax(v[0]),
        "log_softmax" => graph.log_softmax(v[0]),
        "layer_norm" => {
            let layer = LayerNorm::new(5);
            Parameters::new(graph.device(), &layer, 0)?;
            let normal = layer.forward(graph, v[0])?;
            let scaled = graph.mul(normal, v[1])?;
            graph.add(scaled, v[2])
        }
        "mse mean" => graph.mse(v[0], v[1], Reduction::Mean),
        "mse sum" => graph.mse(v[0], v[1], Reduction::Sum),
        "mae mean" => graph.elementwise_loss(Elementwise::Absolute, v[0], v[1], Reduction::Mean),
        "huber 0.5" => graph.elementwise_loss(Elementwise::Huber { delta: 0.5 }, v[0], v[1], Reduction::Mean),
        "bce" => graph.elementwise_loss(Elementwise::BceWithLogits, v[0], v[1], Reduction::Mean),
        "bce with itself" => graph.elementwise_loss(Elementwise::BceWithLogits, v[0], v[0], Reduction::Mean),
        "cross_entropy classes" => {
            let classes = target(graph, 1, &[2.0, 0.0, 1.0, 2.0])?;
            graph.cross_entropy(v[0], classes, Reduction::Mean)
        }
        "cross_entropy probabilities" => graph.cross_entropy(v[0], v[1], Reduction::Mean),
        "add row" => graph.add(v[0], v[1]),
        "sub column" => graph.sub(v[0], v[1]),
        "mul both ways" => graph.mul(v[0], v[1]),
        "mul by itself" => graph.mul(v[0], v[0]),
        "div" | "div number" | "div row" => graph.div(v[0], v[1]),
        "matmul" => graph.matmul(v[0], v[1]),
        "matmul by itself" => graph.matmul(v[0], v[0]),
        "linear" => graph.linear(v[0], v[1], v[2]),
        "sum of squares" => {
            let square = graph.mul(v[0], v[0])?;
            graph.sum(square)
        }
        "cube of sum_rows" => {
            let sums = graph.sum_rows(v[0])?;
            graph.pow(sums, 3.0)
        }
        "cube of mean_cols" => {
            let means = graph.mean_cols(v[0])?;
            graph.pow(means, 3.0)
        }
        "tanh of transpose" => {
            let transposed = graph.transpose(v[0])?;
            graph.tanh(transposed)
        }
        "product of slices" => {
            let (left, right) = (graph.slice_cols(v[0], 0, 3)?, graph.slice_cols(v[0], 2, 5)?);
            graph.mul(left, right)
        }
        "tanh of concat" => {
            let joined = graph.concat_cols(&[v[0], v[1], v[0]])?;
            graph.tanh(joined)
        }
        "residual" => {
            let product = graph.matmul(v[0], v[1])?;
            let active = graph.tanh(product)?;
            let sum = graph.add(v[0], active)?;
            graph.pow(sum, 2.0)
        }
        "attention" => {
            let transposed = graph.transpose(v[0])?;
            let scores = graph.matmul(v[0], transposed)?;
            let weights = graph.softmax(scores)?;
            graph.matmul(weights, v[0])
        }
        other => panic!("no function {other}"),
    }
}

/// The value, the first and the second derivatives of a case, computed with these rules.
fn derivatives(case: &serde_json::Value, rules: &[Rule]) -> Recorded<[Vec<Vec<f32>>; 3]> {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let shapes: Vec<[usize; 2]> = list(&case["shapes"]).iter().map(shape).collect();
    let tensor = |graph: &mut Graph, [rows, cols]: [usize; 2], values: &serde_json::Value| {
        graph.input(&Tensor::new(&device, rows, cols, &floats(values))?)
    };
    let inputs = list(&case["inputs"]).iter().zip(&shapes);
    let inputs = inputs.map(|(values, shape)| tensor(&mut graph, *shape, values)).collect::<Recorded<Vec<_>>>()?;
    let y = function(text(&case["name"]), &mut graph, &inputs)?;
    let shape = graph.shape(y)?;
    let upstream = tensor(&mut graph, shape, &case["upstream"])?;
    let weighted = graph.mul(y, upstream)?;
    let loss = graph.sum(weighted)?;
    let first = gradients(&mut graph, loss, &inputs)?;
    let mut sum = graph.constant(0.0);
    for ((gradient, direction), shape) in first.iter().zip(list(&case["directions"])).zip(&shapes) {
        let Some(gradient) = gradient else { continue };
        let direction = tensor(&mut graph, *shape, direction)?;
        let weighted = graph.mul(*gradient, direction)?;
        let along = graph.sum(weighted)?;
        sum = graph.add(sum, along)?;
    }
    let second = gradients(&mut graph, sum, &inputs)?;
    let wanted: Vec<Var> = [y].into_iter().chain(first.iter().chain(&second).flatten().copied()).collect();
    let lowered = Lowering::default().rules(rules).lower(&graph, &wanted)?;
    lowered.run()?;
    let read = |vars: &[Option<Var>]| -> Recorded<Vec<Vec<f32>>> {
        let zeros = |[rows, cols]: [usize; 2]| Ok(vec![0.0; rows * cols]);
        vars.iter().zip(&shapes).map(|(var, shape)| var.map_or(zeros(*shape), |var| lowered.read(var))).collect()
    };
    Ok([vec![lowered.read(y)?], read(&first)?, read(&second)?])
}

#[test]
fn first_and_second_derivatives_match_pytorch() {
    let file = oracle("second.json");
    let mut faults = Vec::new();
    for case in list(&file["cases"]) {
        let name = text(&case["name"]);
        let expected = [
            vec![numbers(&case["value"])],
            list(&case["first"]).iter().map(numbers).collect::<Vec<_>>(),
            list(&case["second"]).iter().map(numbers).collect(),
        ];
        // What a derivative is made of: sums over no more elements than there are, of products of some dozens of factors.
        let terms = expected.iter().flatten().map(Vec::len).max().unwrap_or(0);
        for rules in [RULES, &[]] {
            let actual = derivatives(case, rules).unwrap();
            for (order, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                let largest = expected.iter().flatten().fold(1.0, |max: f64, d| max.max(d.abs()));
                let tolerance = (terms + 24 * (order + 1)) as f64 * EPSILON * largest;
                for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                    let name = format!("{name}, {} rules, order {order}, input {i}", rules.len());
                    faults.extend(compare(&name, actual, expected, 0.0, |_| tolerance).err());
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
