//! What the lists of operations leave open: dropout, derivatives of higher orders, and operations that have none.

use wgrad::nn::{ELU, GELU, Linear, Module, Parameters, ReLU, Sequential, Tanh};
use wgrad::ops::{Activation, RULES, reduce};
use wgrad::{
    Device, ErrorKind, Graph, Lowering, Operation, Recording, Result as Recorded, Shape, Tensor, Var, gradients, lower,
};

use crate::common::{EPSILON, assert_close, signed};

/// The dropped elements are those of the first pass, also in the derivatives of derivatives.
#[test]
fn dropout_drops_alike_in_every_order() {
    let device = Device::cpu();
    let values = signed(1, 40);
    let mut graph = Graph::new(&device).seed(7);
    let x = graph.input(&Tensor::new(&device, 4, 10, &values).unwrap()).unwrap();
    let y = graph.dropout(x, 0.5).unwrap();
    let cube = graph.pow(y, 3.0).unwrap();
    let loss = graph.sum(cube).unwrap();
    let first = gradients(&mut graph, loss, &[x]).unwrap()[0].unwrap();
    let sum = graph.sum(first).unwrap();
    let second = gradients(&mut graph, sum, &[x]).unwrap()[0].unwrap();
    let lowered = lower(&graph, &[y, first, second]).unwrap();
    let mut masks = Vec::new();
    for _ in 0..3 {
        lowered.run().unwrap();
        let mask: Vec<f64> = lowered.read(y).unwrap().iter().map(|y| f64::from(u8::from(*y != 0.0))).collect();
        assert!(mask.contains(&0.0) && mask.contains(&1.0), "{mask:?}");
        // y = 2 x where it is kept, so that y³ = 8 x³.
        let expected =
            |f: fn(f64) -> f64| mask.iter().zip(&values).map(|(m, x)| m * f(f64::from(*x))).collect::<Vec<_>>();
        assert_close("first", &lowered.read(first).unwrap(), &expected(|x| 24.0 * x * x), 8.0 * EPSILON, 0.0);
        assert_close("second", &lowered.read(second).unwrap(), &expected(|x| 48.0 * x), 8.0 * EPSILON, 0.0);
        masks.push(mask);
    }
    assert_ne!(masks[0], masks[1]);
}

/// Value, first and second derivative by the one input, of an element.
type Jet = [f64; 3];

/// A network of one input and one output with tanh between its layers, on jets in f64.
fn network(layers: &[(Vec<f64>, Vec<f64>)], x: f64) -> Jet {
    let mut values: Vec<Jet> = vec![[x, 1.0, 0.0]];
    for (i, (weight, bias)) in layers.iter().enumerate() {
        let sum = |order: usize, w: &[f64]| w.iter().zip(&values).map(|(w, v)| w * v[order]).sum::<f64>();
        let linear = |(w, b): (&[f64], &f64)| [sum(0, w) + b, sum(1, w), sum(2, w)];
        let next: Vec<Jet> = weight.chunks_exact(values.len()).zip(bias).map(linear).collect();
        let tanh = |[z, d, dd]: Jet| {
            let t = z.tanh();
            let slope = 1.0 - t * t;
            [t, slope * d, slope * dd - 2.0 * t * slope * d * d]
        };
        values = if i + 1 < layers.len() { next.into_iter().map(tanh).collect() } else { next };
    }
    values[0]
}

/// u'' of a network by its input, and the gradients of mean(u''²) by its parameters: derivatives of third order.
#[test]
fn derivatives_of_third_order_of_a_network() {
    const POINTS: usize = 20;
    let device = Device::cpu();
    let linears = [Linear::new(1, 16), Linear::new(16, 16), Linear::new(16, 1)];
    let [a, b, c] = linears.clone();
    let model = Sequential::new().add(a).add(Tanh).add(b).add(Tanh).add(c);
    let parameters = Parameters::new(&device, &model, 3).unwrap();
    let points = signed(1, POINTS);
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::new(&device, POINTS, 1, &points).unwrap()).unwrap();
    let u = model.forward(&mut graph, x).unwrap();
    let mut derivative = u;
    for _ in 0..2 {
        // Each output depends on its own input alone, so that the sum's gradient has the derivatives.
        let sum = graph.sum(derivative).unwrap();
        derivative = gradients(&mut graph, sum, &[x]).unwrap()[0].unwrap();
    }
    let squares = graph.mul(derivative, derivative).unwrap();
    let loss = graph.mean(squares).unwrap();
    let by: Vec<Var> = parameters.named().map(|(_, p)| p.var(&mut graph).unwrap()).collect();
    let slopes = gradients(&mut graph, loss, &by).unwrap();
    // The last bias only shifts u.
    assert!(slopes[5].is_none());

    let exact =
        |tensor: Recorded<Tensor>| tensor.unwrap().read().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
    let layers: Vec<_> =
        linears.iter().map(|l| (exact(l.weight().value()), exact(l.bias().unwrap().value()))).collect();
    let second = |layers: &[_]| points.iter().map(|x| network(layers, f64::from(*x))[2]).collect::<Vec<_>>();
    let loss_of = |layers: &[_]| second(layers).iter().map(|dd| dd * dd).sum::<f64>() / POINTS as f64;
    for rules in [RULES, &[]] {
        let wanted: Vec<Var> = [derivative].into_iter().chain(slopes.iter().flatten().copied()).collect();
        let lowered = Lowering::default().rules(rules).lower(&graph, &wanted).unwrap();
        lowered.run().unwrap();
        let expected = second(&layers);
        let largest = |values: &[f64]| values.iter().fold(0.1, |max: f64, v| max.max(v.abs()));
        // Three layers of sums of 16 products, each through some twenty calls on the way to u''.
        let tolerance = (3 * 16 + 20) as f64 * EPSILON * largest(&expected);
        assert_close("u''", &lowered.read(derivative).unwrap(), &expected, 0.0, tolerance);
        for (p, slope) in slopes.iter().enumerate().filter_map(|(p, slope)| Some((p, (*slope)?))) {
            let moved = |i: usize, by: f64| {
                let mut layers = layers.clone();
                let (weight, bias) = &mut layers[p / 2];
                (if p % 2 == 0 { weight } else { bias })[i] += by;
                loss_of(&layers)
            };
            let count = if p % 2 == 0 { layers[p / 2].0.len() } else { layers[p / 2].1.len() };
            let expected: Vec<f64> = (0..count).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect();
            // And back, and over the points.
            let tolerance = (6 * 16 + POINTS + 60) as f64 * EPSILON * largest(&expected);
            assert_close(&format!("by parameter {p}"), &lowered.read(slope).unwrap(), &expected, 0.0, tolerance);
        }
    }
}

/// The derivatives of a power, one after the other, also at 0.
#[test]
fn powers_have_derivatives_of_every_order_at_zero() {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::new(&device, 1, 3, &[0.0, 2.0, -1.0]).unwrap()).unwrap();
    let mut y = graph.pow(x, 3.0).unwrap();
    for expected in [[0.0, 12.0, 3.0], [0.0, 12.0, -6.0], [6.0; 3]] {
        let sum = graph.sum(y).unwrap();
        y = gradients(&mut graph, sum, &[x]).unwrap()[0].unwrap();
        let lowered = lower(&graph, &[y]).unwrap();
        lowered.run().unwrap();
        assert_eq!(lowered.read(y).unwrap(), expected);
    }
    let sum = graph.sum(y).unwrap();
    let fourth = gradients(&mut graph, sum, &[x]).unwrap()[0];
    if let Some(fourth) = fourth {
        let lowered = lower(&graph, &[fourth]).unwrap();
        lowered.run().unwrap();
        assert_eq!(lowered.read(fourth).unwrap(), [0.0; 3]);
    }
    let one = graph.pow(x, 0.0).unwrap();
    let sum = graph.sum(one).unwrap();
    assert_eq!(gradients(&mut graph, sum, &[x]).unwrap(), [None]);
}

/// Where the functions are flat or straight, their second derivatives are 0, not something that is no number.
#[test]
fn second_derivatives_are_finite_far_out() {
    let device = Device::cpu();
    let x = [-3e18, -1e9, -1e5, -300.0, -100.0, -20.0, 20.0, 100.0, 300.0, 1e5, 1e9, 3e18];
    let functions = [
        Tanh,
        Activation::Sigmoid,
        ReLU,
        ELU { alpha: 1.5 },
        ELU { alpha: -0.5 },
        GELU,
        Activation::GELUTanh,
        Activation::SiLU,
        Activation::Softplus,
    ];
    for function in functions {
        let mut graph = Graph::new(&device);
        let x = graph.input(&Tensor::new(&device, 1, x.len(), &x).unwrap()).unwrap();
        let y = graph.activation(x, function).unwrap();
        let sum = graph.sum(y).unwrap();
        let first = gradients(&mut graph, sum, &[x]).unwrap()[0].unwrap();
        let sum = graph.sum(first).unwrap();
        let Some(second) = gradients(&mut graph, sum, &[x]).unwrap()[0] else { continue };
        let lowered = lower(&graph, &[second]).unwrap();
        lowered.run().unwrap();
        // SiLU's factor s (1 - s) is a rounding of s, times x.
        let allowed = |x: f64| if function == Activation::SiLU && x < 1e3 { EPSILON * x.abs() } else { 1e-7 };
        for (second, x) in lowered
            .read(second)
            .unwrap()
            .iter()
            .zip([-3e18, -1e9, -1e5, -300.0, -100.0, -20.0, 20.0, 100.0, 300.0, 1e5, 1e9, 3e18])
        {
            assert!(f64::from(second.abs()) <= allowed(x), "{function:?}'' is {second} at {x}");
        }
    }
}

/// A sum that says nothing of its gradient.
#[derive(Debug)]
struct Total;

impl Operation for Total {
    fn shapes(&self, _inputs: &[Shape]) -> Recorded<Vec<Shape>> {
        Ok(vec![[1, 1]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Recorded<()> {
        reduce::sum(recording, inputs[0], 1.0, outputs[0])
    }
}

/// Two sums of one matrix.
#[derive(Debug)]
struct Both;

impl Operation for Both {
    fn shapes(&self, _inputs: &[Shape]) -> Recorded<Vec<Shape>> {
        Ok(vec![[1, 1]; 2])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Recorded<()> {
        outputs.iter().try_for_each(|out| reduce::sum(recording, inputs[0], 1.0, out))
    }
}

/// A gradient of another shape than its operand.
#[derive(Debug)]
struct Misshapen;

impl Operation for Misshapen {
    fn shapes(&self, inputs: &[Shape]) -> Recorded<Vec<Shape>> {
        Total.shapes(inputs)
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Recorded<()> {
        Total.record(recording, inputs, outputs)
    }

    fn gradient(&self, _graph: &mut Graph, _x: &[Var], _y: Var, dy: Var) -> Recorded<Vec<Option<Var>>> {
        Ok(vec![Some(dy)])
    }
}

#[test]
fn an_operation_without_a_gradient_says_so() {
    let device = Device::cpu();
    let mut graph = Graph::new(&device);
    let x = graph.input(&Tensor::zeros(&device, 2, 3).unwrap()).unwrap();
    let total = graph.call1(Total, &[x]).unwrap();
    let both = graph.call(Both, &[x]).unwrap();
    let misshapen = graph.call1(Misshapen, &[x]).unwrap();
    let error = gradients(&mut graph, total, &[x]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("Total has no gradient"), "{error}");
    let error = gradients(&mut graph, both[1], &[x]).unwrap_err();
    assert!(error.to_string().contains("Both has several outputs"), "{error}");
    let error = gradients(&mut graph, misshapen, &[x]).unwrap_err();
    assert!(error.to_string().contains("Misshapen"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Shape);
    let error = gradients(&mut graph, x, &[x]).unwrap_err();
    assert!(error.to_string().contains("2 x 3"), "{error}");
    let mut other = Graph::new(&device);
    let stranger = other.constant(1.0);
    assert!(gradients(&mut graph, total, &[stranger]).unwrap_err().to_string().contains("another graph"));
    assert!(gradients(&mut graph, stranger, &[x]).unwrap_err().to_string().contains("another graph"));
    // Where it leads to no loss, or nothing asked for leads to it, it does no harm.
    let mean = graph.mean(x).unwrap();
    assert!(gradients(&mut graph, mean, &[x]).unwrap()[0].is_some());
    let y = graph.input(&Tensor::zeros(&device, 1, 1).unwrap()).unwrap();
    let sum = graph.mul(total, y).unwrap();
    assert!(gradients(&mut graph, sum, &[y]).unwrap()[0].is_some());
}
