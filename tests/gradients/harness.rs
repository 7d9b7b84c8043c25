//! The gradient check: an operation of the tape amid a small graph, against central differences of an independent f64
//! computation of the same graph.

use std::ops::Index;

use wgrad::ops::Reduction;
use wgrad::{Device, Result as Recorded, Tape, Tensor, Var};

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

type Build = Box<dyn Fn(&mut Tape, &[Var]) -> Recorded<Var>>;
type Formula = Box<dyn Fn(&[Mat]) -> Mat>;

/// An operation of the tape, and what it computes.
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
        build: impl Fn(&mut Tape, &[Var]) -> Recorded<Var> + 'static,
        formula: impl Fn(&[Mat]) -> Mat + 'static,
    ) -> Self {
        Self { name: name.into(), inputs: inputs.to_vec(), build: Box::new(build), formula: Box::new(formula) }
    }

    /// Checks value and gradients where the operation is the only user of its inputs, so that its backward writes
    /// their gradients, and where they have another user, so that it adds to them.
    pub(crate) fn check(&self) -> Result<(), String> {
        for fan_out in [false, true] {
            self.check_in_graph(fan_out).map_err(|e| format!("{}, fan-out {fan_out}: {e}", self.name))?;
        }
        Ok(())
    }

    /// The graph: u_i = leaf_i + row_i, y = op(u...), loss = w (mean of (y - t)², and with `fan_out` also the sums of
    /// (u_i - t_i)²). So neither the inputs nor the loss is where the graph ends, and the gradient that reaches y is
    /// random, signed and not uniform.
    fn check_in_graph(&self, fan_out: bool) -> Result<(), String> {
        let device = Device::cpu();
        let mut leaves: Vec<([usize; 2], Vec<f32>)> = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let [rows, cols] = input.shape;
            let mut values = signed(10 + i as u64, rows * cols);
            if input.positive {
                values.iter_mut().for_each(|v| *v = 0.8 + v.abs() / 2.0 * v.signum());
            }
            leaves.push((input.shape, values));
            leaves.push(([1, cols], signed(20 + i as u64, cols).iter().map(|v| 0.03 * v).collect()));
        }
        leaves.push(([1, 1], vec![-0.7]));
        let exact: Vec<Mat> = leaves.iter().map(|(shape, values)| Mat::from_f32(*shape, values)).collect();
        let y = (self.formula)(&self.shifted(&exact));
        let target = signed(30, y.values.len());
        let input_targets: Vec<_> =
            self.inputs.iter().map(|input| signed(31, input.shape[0] * input.shape[1])).collect();
        let loss_of = |leaves: &[Mat]| self.loss(leaves, &target, fan_out.then_some(&input_targets));

        // The tape's side.
        let mut tape = Tape::new(&device);
        let fail = |error: wgrad::Error| error.to_string();
        let mut vars = Vec::new();
        for ([rows, cols], values) in &leaves {
            let tensor = Tensor::new(&device, *rows, *cols, values).map_err(fail)?;
            vars.push(tape.variable(&tensor).map_err(fail)?);
        }
        let (out, loss) = self.record(&mut tape, &vars, &target, &input_targets, fan_out).map_err(fail)?;
        let (out_value, loss_value) = (tape.tensor(out).map_err(fail)?, tape.tensor(loss).map_err(fail)?);
        if out_value.shape() != [y.rows, y.cols] {
            return Err(format!("the result is {:?}, by the formula {} x {}", out_value.shape(), y.rows, y.cols));
        }
        let graph = tape.backward(loss).map_err(fail)?;
        let run = || -> Recorded<Vec<Vec<f32>>> {
            graph.forward()?;
            graph.backward()?;
            vars.iter().map(|var| graph.gradient(*var).map_or(Ok(Vec::new()), Tensor::read)).collect()
        };
        let gradients = run().map_err(fail)?;
        if run().map_err(fail)? != gradients {
            return Err("a second run gives other gradients".into());
        }

        // The formula's side.
        let differences = central_differences(&exact, &loss_of);
        let largest = differences.iter().flat_map(|d| &d.values).fold(1.0, |max: f64, d| max.max(d.abs()));
        let longest = leaves.iter().map(|(_, values)| values.len()).max().unwrap_or(0).max(y.values.len());
        // A gradient is a sum over no more elements than the largest matrix has, of products of a handful of factors;
        // values and factors are of the order of 1, gradients of the order of the largest.
        let tolerance = (longest + 16) as f64 * EPSILON * largest;
        let values = out_value.read().map_err(fail)?;
        compare("value", &values, &y.values, 0.0, |_| (longest + 16) as f64 * EPSILON)?;
        let value = loss_value.read().map_err(fail)?;
        compare("loss", &value, &[loss_of(&exact)], tolerance, |_| tolerance)?;
        for (i, (gradient, difference)) in gradients.iter().zip(&differences).enumerate() {
            compare(&format!("gradient {i} of {}", leaves.len()), gradient, &difference.values, 0.0, |_| tolerance)?;
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
        tape: &mut Tape,
        leaves: &[Var],
        target: &[f32],
        input_targets: &[Vec<f32>],
        fan_out: bool,
    ) -> Recorded<(Var, Var)> {
        let mut inputs = Vec::new();
        for pair in leaves.chunks_exact(2).take(self.inputs.len()) {
            inputs.push(tape.add_row(pair[0], pair[1])?);
        }
        let y = (self.build)(tape, &inputs)?;
        let mut loss = error(tape, y, target, Reduction::Mean)?;
        if fan_out {
            for (input, target) in inputs.iter().zip(input_targets) {
                let more = error(tape, *input, target, Reduction::Sum)?;
                loss = tape.add_row(loss, more)?;
            }
        }
        Ok((y, tape.matmul(loss, leaves[leaves.len() - 1])?))
    }
}

fn error(tape: &mut Tape, value: Var, target: &[f32], reduction: Reduction) -> Recorded<Var> {
    let [rows, cols] = tape.tensor(value)?.shape();
    let target = Tensor::new(tape.device(), rows, cols, target)?;
    let target = tape.input(&target)?;
    tape.mse(value, target, reduction)
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
