//! Random graphs, with gradients of gradients, shared values, residual connections, sums in place and gradients that
//! accumulate: lowered by rules, in their order or any other, they give what they give without.
//!
//! 200 of each family in a test; any number by `WGRAD_CASES=5000 cargo test --no-default-features --test rules random`.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use wgrad::nn::{Backprop, Init, Module, Parameter, Parameters};
use wgrad::ops::{Activation, RULES, Reduction};
use wgrad::{Device, Graph, Lowering, Result, Rule, Tensor, Var, gradients};

use crate::common::{EPSILON, compare, cpu_and_gpus, rng, signed, small_integers};
use crate::support::AddInto;

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    /// Small whole ones, and functions that keep them whole: nothing is rounded, so that every bit must be the same.
    Whole,
    /// Any, and smooth functions.
    Smooth,
}

impl Family {
    fn values(self, seed: u64, len: usize) -> Vec<f32> {
        if self == Self::Whole { small_integers(seed, len, 1) } else { signed(seed, len) }
    }

    fn functions(self) -> &'static [Activation] {
        match self {
            Self::Whole => &[
                Activation::ReLU,
                Activation::LeakyReLU { slope: 2.0 },
                Activation::LeakyReLU { slope: -1.0 },
                Activation::Identity,
                Activation::Affine { scale: -1.0, shift: 1.0 },
            ],
            Self::Smooth => &[
                Activation::Tanh,
                Activation::Sigmoid,
                Activation::ReLU,
                Activation::Softplus,
                Activation::GELU,
                Activation::SiLU,
                Activation::ELU { alpha: 1.5 },
                Activation::ELU { alpha: -0.5 },
                Activation::Identity,
            ],
        }
    }
}

/// Two weights and a bias.
struct Three([Parameter; 3]);

impl Module for Three {
    fn forward(&self, _graph: &mut Graph, x: Var) -> Result<Var> {
        Ok(x)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        ["v", "w", "bias"].iter().map(ToString::to_string).zip(self.0.clone()).collect()
    }
}

struct Drawn {
    graph: Graph,
    parameters: Parameters,
    by: [Var; 3],
    loss: Var,
    wanted: Vec<Var>,
    /// What is changed in place, and what it holds before a run.
    sums: Vec<(Tensor, Vec<f32>)>,
}

fn draw(device: &Device, family: Family, seed: u64) -> Drawn {
    let random = &mut rng(seed);
    let mut graph = Graph::new(device);
    let mut seeds = 100 * seed..;
    let mut tensor = |[rows, cols]: [usize; 2]| {
        let values = family.values(seeds.next().unwrap(), rows * cols);
        (Tensor::new(device, rows, cols, &values).unwrap(), values)
    };
    let shapes = [[3, 3], [3, 3], [1, 3]];
    let model = Three(shapes.map(|[rows, cols]| Parameter::new(rows, cols, Init::Constant(0.0))));
    let parameters = Parameters::new(device, &model, 0).unwrap();
    for ((_, parameter), shape) in parameters.named().zip(shapes) {
        parameter.value().unwrap().write(&tensor(shape).1).unwrap();
    }
    let by = model.0.each_ref().map(|parameter| parameter.var(&mut graph).unwrap());
    let [x, y, target] = [(); 3].map(|()| graph.input(&tensor([3, 3]).0).unwrap());
    let mut pool = vec![by[0], by[1], x, y];
    for _ in 0..random.random_range(2..7) {
        let [a, b] = [(); 2].map(|()| pool[random.random_range(0..pool.len())]);
        let function = family.functions()[random.random_range(0..family.functions().len())];
        let value = match random.random_range(0..10) {
            0 | 1 => graph.matmul(a, b),
            2 | 3 => graph.linear(a, b, by[2]),
            4 | 5 => graph.activation(a, function),
            6 => graph.mul(a, b),
            // A residual connection.
            7 | 8 => graph.activation(b, function).and_then(|b| graph.add(a, b)),
            _ => graph.add(a, b),
        };
        pool.push(value.unwrap());
    }
    let error = |graph: &mut Graph, random: &mut ChaCha8Rng, value: Var, other: Var| {
        let mean = family == Family::Smooth && random.random();
        let reduction = if mean { Reduction::Mean } else { Reduction::Sum };
        match random.random_range(0..4) {
            0 => graph.sum(value),
            1 => graph.add(value, other).and_then(|sum| graph.mse(sum, target, reduction)),
            _ => graph.mse(value, target, reduction),
        }
        .unwrap()
    };
    let (last, other) = (pool[pool.len() - 1], pool[random.random_range(0..pool.len())]);
    let mut loss = error(&mut graph, random, last, other);
    let first = gradients(&mut graph, loss, &by).unwrap();
    let mut wanted: Vec<Var> = if random.random() { vec![loss] } else { vec![] };
    wanted.extend(first.iter().flatten().skip(random.random_range(0..3)));
    if let (Some(v), true) = (first[0], random.random()) {
        let second = error(&mut graph, random, v, first[1].unwrap_or(v));
        wanted.extend(gradients(&mut graph, second, &by).unwrap().into_iter().flatten());
        if random.random() {
            loss = graph.add(loss, second).unwrap();
        }
    }
    let mut sums = Vec::new();
    for d in first.iter().flatten().filter(|_| random.random()) {
        let (sum, before) = tensor(graph.shape(*d).unwrap());
        let var = graph.input(&sum).unwrap();
        wanted.push(graph.call1(AddInto, &[var, *d]).unwrap());
        sums.push((sum, before));
    }
    if wanted.is_empty() {
        wanted.push(loss);
    }
    Drawn { graph, parameters, by, loss, wanted, sums }
}

impl Drawn {
    /// The wanted values after two runs, and the number of dispatches.
    fn run(&self, rules: &[Rule], wanted: &[Var]) -> (Vec<Vec<f32>>, usize) {
        for (sum, before) in &self.sums {
            sum.write(before).unwrap();
        }
        let lowered = Lowering::default().rules(rules).lower(&self.graph, wanted).unwrap();
        lowered.run().unwrap();
        lowered.run().unwrap();
        (wanted.iter().map(|var| lowered.read(*var).unwrap()).collect(), lowered.recording().len())
    }

    /// The largest number on the way to the wanted ones.
    fn largest(&self) -> f64 {
        let changed: Vec<Var> = self
            .graph
            .nodes()
            .iter()
            .filter(|node| !node.op.in_place().is_empty())
            .map(|node| node.outputs[0])
            .collect();
        let all: Vec<Var> = self
            .graph
            .nodes()
            .iter()
            .flat_map(|node| node.outputs.clone())
            .filter(|var| !changed.contains(var))
            .collect();
        let (values, _) = self.run(&[], &all);
        values.iter().flatten().fold(1.0, |max, v| if f64::from(v.abs()) <= max { max } else { f64::from(v.abs()) })
    }
}

/// How many dispatches rules have merged away; `None` if the numbers are too large to say anything.
fn check(device: &Device, family: Family, seed: u64) -> Option<usize> {
    let mut drawn = draw(device, family, seed);
    let described = format!("{family:?} {seed} on {}:\n{:?}", device.name(), drawn.graph);
    let largest = drawn.largest();
    let calls = drawn.graph.nodes().len() as f64;
    let tolerance = match family {
        // Squares of differences, nine of them added up, are whole numbers that f32 has.
        Family::Whole if 9.0 * (2.0 * largest).powi(2) < f64::from(1 << 24) => 0.0,
        Family::Whole => return None,
        // A call errs by the rounding of sums of nine terms at most, each a product of two numbers; what it errs by is
        // multiplied by numbers of that size again on its way.
        Family::Smooth => calls * 9.0 * EPSILON * largest * largest,
    };
    let same = |name: &str, actual: &[Vec<f32>], expected: &[Vec<f32>]| {
        for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            let result = compare(&format!("{name}, value {i}"), actual, expected, 0.0, |_| tolerance);
            result.unwrap_or_else(|fault| panic!("{fault}\n{described}"));
        }
    };
    let (expected, plain) = drawn.run(&[], &drawn.wanted);
    let (merged, dispatches) = drawn.run(RULES, &drawn.wanted);
    same("by rules", &merged, &expected);
    // Rules may come in any order, or be left out.
    let mut rules = RULES.to_vec();
    rules.shuffle(&mut rng(seed + 1));
    rules.truncate(1 + seed as usize % RULES.len());
    same("by some rules", &drawn.run(&rules, &drawn.wanted).0, &expected);

    let alone = gradients(&mut drawn.graph, drawn.loss, &drawn.by).unwrap();
    if alone.iter().any(Option::is_some) {
        let wanted: Vec<Var> = alone.iter().flatten().copied().collect();
        let (expected, _) = drawn.run(&[], &wanted);
        let largest = drawn.largest();
        if family == Family::Smooth || 9.0 * (2.0 * largest).powi(2) < f64::from(1 << 24) {
            let pass = Backprop::new(&mut drawn.graph, &drawn.parameters, drawn.loss, &[]).unwrap();
            for (_, parameter) in drawn.parameters.named() {
                let gradient = parameter.gradient().unwrap();
                gradient.write(&vec![0.25; gradient.len()]).unwrap();
            }
            for _ in 0..2 {
                pass.forward().unwrap();
                pass.backward().unwrap();
            }
            let of = |parameter: &Parameter| parameter.gradient().unwrap().read().unwrap();
            let trained = drawn.parameters.named().zip(&alone).filter(|(_, gradient)| gradient.is_some());
            for (((_, parameter), _), once) in trained.zip(&expected) {
                let twice: Vec<f64> = once.iter().map(|g| 0.25 + 2.0 * f64::from(*g)).collect();
                let tolerance =
                    if family == Family::Whole { 0.0 } else { 4.0 * (calls + 1.0) * 9.0 * EPSILON * largest * largest };
                let result = compare("accumulated", &of(parameter), &twice, 0.0, |_| tolerance);
                result.unwrap_or_else(|fault| panic!("{fault}\n{described}"));
            }
        }
    }
    Some(plain - dispatches)
}

fn check_all(device: &Device, family: Family, cases: u64) {
    let results: Vec<_> = (0..cases).map(|seed| check(device, family, seed)).collect();
    let compared = results.iter().flatten().count();
    let merged: usize = results.iter().flatten().sum();
    println!("{family:?} on {}: {compared} graphs, {merged} dispatches merged away", device.name());
    assert!(2 * compared > cases as usize, "{compared} of {cases} {family:?} graphs say something");
    assert!(merged > compared / 2, "{merged} dispatches merged away in {compared} graphs");
}

fn cases() -> u64 {
    std::env::var("WGRAD_CASES").map_or(200, |cases| cases.parse().unwrap())
}

#[test]
fn random_graphs_of_whole_numbers_give_the_same_bits() {
    check_all(&Device::cpu(), Family::Whole, cases());
}

#[test]
fn random_graphs_of_smooth_functions_give_the_same() {
    check_all(&Device::cpu(), Family::Smooth, cases());
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn random_graphs_give_the_same_on_every_gpu() {
    for (_, device) in &cpu_and_gpus()[1..] {
        for family in [Family::Whole, Family::Smooth] {
            check_all(device, family, 10);
        }
    }
}
