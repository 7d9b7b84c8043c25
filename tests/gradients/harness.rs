//! The gradient check: an operation of the graph amid a few others, against central differences of an independent f64
//! computation of the same graph.

use std::ops::Index;

use wgrad::ops::{RULES, Reduction};
use wgrad::{Device, Graph, Lowering, Result as Recorded, Rule, Tensor, Var, gradients};

use crate::common::{EPSILON, compare, signed};

/// A matrix of f64, for formulas written out.
#[derive(Clone, Debug)]
pub(crate) struct Mat {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) values: Vec<f64>,
}

impl Mat {
    pub(crate) fn from_fn(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..rows * cols).map(|i| f(i / cols, i % cols)).collect();
        Self { rows, cols, values }
    }

    pub(crate) fn scalar(value: f64) -> Self {
        Self { rows: 1, cols: 1, values: vec![value] }
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| f(self[(i, j)]))
    }

    pub(crate) fn sum(&self) -> f64 {
        self.values.iter().sum()
    }

    fn from_f32([rows, cols]: [usize; 2], values: &[f32]) -> Self {
        Self { rows, cols, values: values.iter().map(|v| f64::from(*v)).collect() }
    }
}

impl Index<(usize, usize)> for Mat {
    type Output = f64;

    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        assert!(j < self.cols);
        &self.values[i * self.cols + j]
    }
}

/// An input's shape, and the values the operation is defined for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) shape: [usize; 2],
    positive: bool,
}

/// Any values, at least 0.02 from 0.
pub(crate) const fn any(rows: usize, cols: usize) -> Input {
    Input { shape: [rows, cols], positive: false }
}

/// Values from 0.3 to 1.3, for logarithms, roots and divisors.
pub(crate) const fn positive(rows: usize, cols: usize) -> Input {
    Input { shape: [rows, cols], positive: true }
}

type Build = Box<dyn Fn(&mut Graph, &[Var]) -> Recorded<Var>>;
type Formula = Box<dyn Fn(&[Mat]) -> Mat>;

/// An operation of the graph, and what it computes.
pub(crate) struct Op {
    pub(crate) name: String,
    inputs: Vec<Input>,
    build: Build,
    formula: Formula,
}

impl Op {
    pub(crate) fn new(
        name: impl Into<String>,
        inputs: &[Input],
        build: impl Fn(&mut Graph, &[Var]) -> Recorded<Var> + 'static,
        formula: impl Fn(&[Mat]) -> Mat + 'static,
    ) -> Self {
        Self { name: name.into(), inputs: inputs.to_vec(), build: Box::new(build), formula: Box::new(formula) }
    }

    /// Checks value and gradients where the operation is the only user of its inputs, and where they have another user, so
    /// that gradients add up; with calls merged and without.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.each_way(|at, rules| at.check_first(rules))
    }

    /// Checks second derivatives in the same ways.
    pub(crate) fn check_second(&self) -> Result<(), String> {
        self.each_way(|at, rules| at.check_second(rules))
    }

    fn each_way(&self, check: impl Fn(&Amid<'_>, &[Rule]) -> Result<(), String>) -> Result<(), String> {
        for (fan_out, rules) in [(false, RULES), (true, RULES), (false, &[]), (true, &[])] {
            check(&Amid::new(self, fan_out), rules)
                .map_err(|e| format!("{}, fan-out {fan_out}, {} rules: {e}", self.name, rules.len()))?;
        }
        Ok(())
    }

    /// The operation's inputs: leaves and the rows added to them.
    fn shifted(&self, leaves: &[Mat]) -> Vec<Mat> {
        let pairs = leaves.chunks_exact(2).take(self.inputs.len());
        pairs.map(|p| Mat::from_fn(p[0].rows, p[0].cols, |i, j| p[0][(i, j)] + p[1][(0, j)])).collect()
    }

    fn loss(&self, leaves: &[Mat], target: &[f32], input_targets: Option<&Vec<Vec<f32>>>) -> f64 {
        let inputs = self.shifted(leaves);
        let y = (self.formula)(&inputs);
        let squares = |values: &Mat, target: &[f32]| -> f64 {
            values.values.iter().zip(target).map(|(v, t)| (v - f64::from(*t)).powi(2)).sum()
        };
        let mut loss = squares(&y, target) / y.values.len() as f64;
        for (input, target) in inputs.iter().zip(input_targets.into_iter().flatten()) {
            loss += squares(input, target);
        }
        loss * leaves[leaves.len() - 1][(0, 0)]
    }

    fn record(
        &self,
        graph: &mut Graph,
        leaves: &[Var],
        target: &[f32],
        input_targets: &[Vec<f32>],
        fan_out: bool,
    ) -> Recorded<(Var, Var)> {
        let mut inputs = Vec::new();
        for pair in leaves.chunks_exact(2).take(self.inputs.len()) {
            inputs.push(graph.add(pair[0], pair[1])?);
        }
        let y = (self.build)(graph, &inputs)?;
        let mut loss = error(graph, y, target, Reduction::Mean)?;
        if fan_out {
            for (input, target) in inputs.iter().zip(input_targets) {
                let more = error(graph, *input, target, Reduction::Sum)?;
                loss = graph.add(loss, more)?;
            }
        }
        Ok((y, graph.matmul(loss, leaves[leaves.len() - 1])?))
    }
}

/// The graph of a check: u_i = leaf_i + row_i, y = op(u...), loss = w (mean of (y - t)², and with `fan_out` also the sums of
/// (u_i - t_i)²). So neither the inputs nor the loss is where the graph ends, and the gradient that reaches y is
/// random, signed and not uniform.
struct Amid<'o> {
    op: &'o Op,
    fan_out: bool,
    leaves: Vec<([usize; 2], Vec<f32>)>,
    target: Vec<f32>,
    input_targets: Vec<Vec<f32>>,
    /// What the formula gives.
    y: Mat,
}

type Described = (Graph, Vec<Var>, [Var; 2], Vec<Option<Var>>);

impl<'o> Amid<'o> {
    fn new(op: &'o Op, fan_out: bool) -> Self {
        let mut leaves: Vec<([usize; 2], Vec<f32>)> = Vec::new();
        for (i, input) in op.inputs.iter().enumerate() {
            let [rows, cols] = input.shape;
            let mut values = signed(10 + i as u64, rows * cols);
            if input.positive {
                values.iter_mut().for_each(|v| *v = 0.8 + v.abs() / 2.0 * v.signum());
            }
            leaves.push((input.shape, values));
            leaves.push(([1, cols], signed(20 + i as u64, cols).iter().map(|v| 0.03 * v).collect()));
        }
        leaves.push(([1, 1], vec![-0.7]));
        let mut amid = Self { op, fan_out, leaves, target: vec![], input_targets: vec![], y: Mat::scalar(0.0) };
        amid.y = (op.formula)(&op.shifted(&amid.exact()));
        amid.target = signed(30, amid.y.values.len());
        amid.input_targets = op.inputs.iter().map(|input| signed(31, input.shape[0] * input.shape[1])).collect();
        amid
    }

    fn exact(&self) -> Vec<Mat> {
        self.leaves.iter().map(|(shape, values)| Mat::from_f32(*shape, values)).collect()
    }

    /// The formula's loss.
    fn loss(&self, leaves: &[Mat]) -> f64 {
        self.op.loss(leaves, &self.target, self.fan_out.then_some(&self.input_targets))
    }

    /// The terms of the longest sum.
    fn longest(&self) -> usize {
        self.leaves.iter().map(|(_, values)| values.len()).max().unwrap_or(0).max(self.y.values.len())
    }

    /// The graph up to the gradients of the loss by the leaves: the leaves, the result and the loss, the gradients.
    fn describe(&self) -> Recorded<Described> {
        let mut graph = Graph::new(&Device::cpu());
        let leaf = |graph: &mut Graph, ([rows, cols], values): &([usize; 2], Vec<f32>)| {
            let tensor = Tensor::new(graph.device(), *rows, *cols, values)?;
            graph.input(&tensor)
        };
        let leaves = self.leaves.iter().map(|values| leaf(&mut graph, values)).collect::<Recorded<Vec<_>>>()?;
        let (y, loss) = self.op.record(&mut graph, &leaves, &self.target, &self.input_targets, self.fan_out)?;
        let first = gradients(&mut graph, loss, &leaves)?;
        Ok((graph, leaves, [y, loss], first))
    }

    fn check_first(&self, rules: &[Rule]) -> Result<(), String> {
        let (graph, _, [y, loss], first) = self.describe().map_err(|error| error.to_string())?;
        let shape = graph.shape(y).map_err(|error| error.to_string())?;
        if shape != [self.y.rows, self.y.cols] {
            return Err(format!("the result is {shape:?}, by the formula {} x {}", self.y.rows, self.y.cols));
        }
        let differences = central_differences(&self.exact(), &|leaves| self.loss(leaves));
        let largest = differences.iter().flat_map(|d| &d.values).fold(1.0, |max: f64, d| max.max(d.abs()));
        // A gradient is a sum over no more elements than the largest matrix has, of products of a handful of factors;
        // values and factors are of the order of 1, gradients of the order of the largest.
        let rounding = (self.longest() + 16) as f64 * EPSILON;
        let results = run(&graph, rules, &[vec![Some(y), Some(loss)], first].concat())?;
        compare("value", &results[0], &self.y.values, 0.0, |_| rounding)?;
        compare("loss", &results[1], &[self.loss(&self.exact())], 0.0, |_| rounding * largest)?;
        for (i, (gradient, difference)) in results[2..].iter().zip(&differences).enumerate() {
            let name = format!("gradient {i} of {}", differences.len());
            compare(&name, gradient, &difference.values, 0.0, |_| rounding * largest)?;
        }
        Ok(())
    }

    /// The gradients of the sum of v ∘ the first gradients, with random v, against differences of differences.
    fn check_second(&self, rules: &[Rule]) -> Result<(), String> {
        let exact = self.exact();
        let directions: Vec<Vec<f32>> =
            self.leaves.iter().zip(40..).map(|((_, values), seed)| signed(seed, values.len())).collect();
        let second = || -> Recorded<_> {
            let (mut graph, leaves, _, first) = self.describe()?;
            let mut sum = graph.constant(0.0);
            for ((gradient, direction), (shape, _)) in first.iter().zip(&directions).zip(&self.leaves) {
                let Some(gradient) = gradient else { continue };
                let direction = graph.input(&Tensor::new(&graph.device().clone(), shape[0], shape[1], direction)?)?;
                let weighted = graph.mul(*gradient, direction)?;
                let along = graph.sum(weighted)?;
                sum = graph.add(sum, along)?;
            }
            let second = gradients(&mut graph, sum, &leaves)?;
            Ok((graph, second))
        };
        let (graph, second) = second().map_err(|error| error.to_string())?;
        // The first gradients along v are the slope of the loss there; the gradient of that slope is what is asked for.
        let slope = |leaves: &[Mat]| {
            let moved = |by: f64| {
                let along = |(leaf, v): (&Mat, &Vec<f32>)| {
                    Mat::from_fn(leaf.rows, leaf.cols, |i, j| leaf[(i, j)] + by * f64::from(v[i * leaf.cols + j]))
                };
                self.loss(&leaves.iter().zip(&directions).map(along).collect::<Vec<_>>())
            };
            // Right to the fourth power of the step.
            const STEP: f64 = 1e-3;
            (8.0 * (moved(STEP) - moved(-STEP)) - (moved(2.0 * STEP) - moved(-2.0 * STEP))) / (12.0 * STEP)
        };
        let differences = central_differences(&exact, &slope);
        let largest = differences.iter().flat_map(|d| &d.values).fold(1.0, |max: f64, d| max.max(d.abs()));
        // Sums of sums, of products of twice as many factors.
        let tolerance = 2.0 * (self.longest() + 48) as f64 * EPSILON * largest;
        for (i, (gradient, difference)) in run(&graph, rules, &second)?.iter().zip(&differences).enumerate() {
            // What the loss depends on at most linearly has none.
            let zeros = vec![0.0; difference.values.len()];
            let gradient = if second[i].is_none() { &zeros } else { gradient };
            compare(&format!("second derivative {i}"), gradient, &difference.values, 0.0, |_| tolerance)?;
        }
        Ok(())
    }
}

/// The numbers of these values, none for a value that is none; of two runs, which must give the same.
fn run(graph: &Graph, rules: &[Rule], wanted: &[Option<Var>]) -> Result<Vec<Vec<f32>>, String> {
    let given: Vec<Var> = wanted.iter().flatten().copied().collect();
    let twice = || -> Recorded<_> {
        let lowered = Lowering::default().rules(rules).lower(graph, &given)?;
        let once = || {
            lowered.run()?;
            wanted.iter().map(|var| var.map_or(Ok(Vec::new()), |var| lowered.read(var))).collect::<Recorded<Vec<_>>>()
        };
        Ok([once()?, once()?])
    };
    let [first, second]: [Vec<Vec<f32>>; 2] = twice().map_err(|error| error.to_string())?;
    if first == second { Ok(first) } else { Err("a second run gives other numbers".into()) }
}

fn error(graph: &mut Graph, value: Var, target: &[f32], reduction: Reduction) -> Recorded<Var> {
    let [rows, cols] = graph.shape(value)?;
    let target = Tensor::new(graph.device(), rows, cols, target)?;
    let target = graph.input(&target)?;
    graph.mse(value, target, reduction)
}

/// `(f(x + h) - f(x - h)) / 2h` for every element: in f64, with a step of 1e-5, right to about 1e-10.
pub(crate) fn central_differences(at: &[Mat], f: &dyn Fn(&[Mat]) -> f64) -> Vec<Mat> {
    const STEP: f64 = 1e-5;
    let mut at = at.to_vec();
    let mut differences = at.clone();
    for (i, difference) in differences.iter_mut().enumerate() {
        for element in 0..difference.values.len() {
            let x = at[i].values[element];
            at[i].values[element] = x + STEP;
            let above = f(&at);
            at[i].values[element] = x - STEP;
            let below = f(&at);
            at[i].values[element] = x;
            difference.values[element] = (above - below) / (2.0 * STEP);
        }
    }
    differences
}
