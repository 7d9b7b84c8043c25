//! ONNX graphs evaluated in f64, as the operators' specification has it, with a bound of the error that the same steps in f32
//! can have.

use std::collections::BTreeMap;

use crate::common::EPSILON;
use crate::proto::{Attribute, Model, Node};

/// A number, and how far a computation in f32 may be from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Approx {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl Approx {
    pub(crate) fn exact(value: f64) -> Self {
        Self { value, error: 0.0 }
    }

    /// With the rounding of a result to f32.
    fn rounded(value: f64, error: f64) -> Self {
        Self { value, error: error + 0.5 * EPSILON * (value.abs() + error) }
    }

    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.error + other.error)
    }

    fn sub(self, other: Self) -> Self {
        Self::rounded(self.value - other.value, self.error + other.error)
    }

    fn mul(self, other: Self) -> Self {
        let error = self.error * other.value.abs() + other.error * self.value.abs() + self.error * other.error;
        Self::rounded(self.value * other.value, error)
    }

    fn div(self, other: Self) -> Self {
        let least = other.value.abs() - other.error;
        assert!(least > 0.0, "{other:?}");
        let value = self.value / other.value;
        Self::rounded(value, (self.error + other.error * value.abs()) / least)
    }

    /// A monotonous or smooth function: what becomes of the error, and the function's own, of which libraries have some units
    /// in the last place of the value or, where they approximate by polynomials, of 1.
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let value = f(self.value);
        let moved = [-1.0, -0.5, 0.5, 1.0].map(|side| (f(self.value + side * self.error) - value).abs());
        Self { value, error: 1.01 * moved.into_iter().fold(0.0, f64::max) + 8.0 * EPSILON * (1.0 + value.abs()) }
    }
}

/// Rows of numbers; a vector is one row.
#[derive(Clone)]
struct Matrix {
    cols: usize,
    values: Vec<Approx>,
}

impl Matrix {
    fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    fn at(&self, row: usize, col: usize) -> Approx {
        self.values[row % self.rows() * self.cols + col % self.cols]
    }

    fn of(rows: usize, cols: usize, f: impl Fn(usize, usize) -> Approx) -> Self {
        Self { cols, values: (0..rows * cols).map(|i| f(i / cols, i % cols)).collect() }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { cols: self.cols, values: self.values.iter().map(|x| x.map(&f)).collect() }
    }

    fn each(&self, other: &Self, f: impl Fn(Approx, Approx) -> Approx) -> Self {
        let (rows, cols) = (self.rows().max(other.rows()), self.cols.max(other.cols));
        Self::of(rows, cols, |r, c| f(self.at(r, c), other.at(r, c)))
    }

    fn each_row(&self, f: impl Fn(&[Approx]) -> Vec<Approx>) -> Self {
        let values: Vec<_> = self.values.chunks(self.cols).flat_map(f).collect();
        Self { cols: values.len() / self.rows(), values }
    }
}

fn sum(values: impl IntoIterator<Item = Approx>) -> Approx {
    // In any order: as if every addition rounded at the largest partial sum.
    let values: Vec<_> = values.into_iter().collect();
    let size: f64 = values.iter().map(|x| x.value.abs() + x.error).sum();
    let error: f64 = values.iter().map(|x| x.error).sum();
    Approx { value: values.iter().map(|x| x.value).sum(), error: error + 0.5 * EPSILON * values.len() as f64 * size }
}

fn softmax(row: &[Approx], log: bool) -> Vec<Approx> {
    let top = row.iter().map(|x| x.value).fold(f64::NEG_INFINITY, f64::max);
    let shifted = row.iter().map(|x| x.sub(Approx::exact(top)));
    let total = sum(shifted.clone().map(|x| x.map(f64::exp)));
    shifted.map(|x| if log { x.sub(total.map(f64::ln)) } else { x.map(f64::exp).div(total) }).collect()
}

fn float(node: &Node, name: &str) -> f64 {
    match node.attributes.get(name) {
        Some(Attribute::Float(value)) => f64::from(*value),
        other => panic!("{name}: {other:?}"),
    }
}

fn is(node: &Node, name: &str, value: i64) -> bool {
    node.attributes.get(name) == Some(&Attribute::Int(value))
}

/// erf by its series; exact enough for |x| < 6.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// The outputs for these inputs, row by row.
pub(crate) fn evaluate(model: &Model, inputs: &[f32]) -> Vec<Approx> {
    let cols = |dims: &[usize]| dims.last().copied().unwrap_or(1);
    let mut values: BTreeMap<&str, Matrix> = BTreeMap::new();
    for (name, tensor) in &model.tensors {
        let numbers = tensor.values.iter().map(|value| Approx::exact(*value)).collect();
        values.insert(name, Matrix { cols: cols(&tensor.dims), values: numbers });
    }
    let inputs = inputs.iter().map(|x| Approx::exact(f64::from(*x))).collect();
    values.insert(&model.input.0, Matrix { cols: model.input.1 as usize, values: inputs });
    for node in &model.nodes {
        // In topological order, or this panics.
        let operands: Vec<&Matrix> = node.inputs.iter().map(|name| &values[name.as_str()]).collect();
        let result = operator(node, &operands);
        assert!(values.insert(&node.output, result).is_none(), "{} is written twice", node.output);
    }
    let output = &values[model.output.0.as_str()];
    assert_eq!(output.cols, model.output.1 as usize);
    output.values.clone()
}

fn operator(node: &Node, operands: &[&Matrix]) -> Matrix {
    let x = operands[0];
    match node.op.as_str() {
        "Gemm" => {
            let (ta, tb) = (is(node, "transA", 1), is(node, "transB", 1));
            let w = operands[1];
            let ((rows, k), cols) =
                (if ta { (x.cols, x.rows()) } else { (x.rows(), x.cols) }, if tb { w.rows() } else { w.cols });
            assert_eq!(k, if tb { w.cols } else { w.rows() });
            Matrix::of(rows, cols, |r, c| {
                let a = |i| if ta { x.at(i, r) } else { x.at(r, i) };
                let b = |i| if tb { w.at(c, i) } else { w.at(i, c) };
                let product = sum((0..k).map(|i| a(i).mul(b(i))));
                operands.get(2).map_or(product, |bias| product.add(bias.at(r, c)))
            })
        }
        "Add" => x.each(operands[1], Approx::add),
        "Sub" => x.each(operands[1], Approx::sub),
        "Mul" => x.each(operands[1], Approx::mul),
        "Div" => x.each(operands[1], Approx::div),
        "Pow" => {
            let exponent = operands[1].values[0].value;
            x.map(|x| x.powf(exponent))
        }
        "Identity" | "Flatten" | "Unsqueeze" | "Cast" => x.clone(),
        "Relu" => x.map(|x| x.max(0.0)),
        "Tanh" => x.map(f64::tanh),
        "Sigmoid" => x.map(|x| 1.0 / (1.0 + (-x).exp())),
        "Softplus" => x.map(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Exp" => x.map(f64::exp),
        "Log" => x.map(f64::ln),
        "LeakyRelu" => x.map(|x| if x < 0.0 { float(node, "alpha") * x } else { x }),
        "Elu" => x.map(|x| if x < 0.0 { float(node, "alpha") * x.exp_m1() } else { x }),
        "Gelu" if node.attributes["approximate"] == Attribute::Text("none".into()) => {
            x.map(|x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)))
        }
        "Gelu" => x.map(|x| {
            let angle = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + angle.tanh())
        }),
        "Softmax" => x.each_row(|row| softmax(row, false)),
        "LogSoftmax" => x.each_row(|row| softmax(row, true)),
        "ReduceSum" => match operands[1].values.iter().map(|axis| axis.value as i64).collect::<Vec<_>>()[..] {
            [1] => x.each_row(|row| vec![sum(row.iter().copied())]),
            [0, 1] => Matrix { cols: 1, values: vec![sum(x.values.iter().copied())] },
            ref other => panic!("{other:?}"),
        },
        "Slice" => {
            let [start, end, axis] = [1, 2, 3].map(|i| operands[i].values[0].value as usize);
            assert_eq!(axis, 1);
            x.each_row(|row| row[start..end].to_vec())
        }
        "Concat" => {
            let row = |r: usize| operands.iter().flat_map(move |part| (0..part.cols).map(move |c| part.at(r, c)));
            let values: Vec<_> = (0..x.rows()).flat_map(row).collect();
            Matrix { cols: values.len() / x.rows(), values }
        }
        // With the rows of each row of numbers side by side, as Flatten has them.
        "Gather" => operands[1].each_row(|numbers| {
            numbers.iter().flat_map(|number| (0..x.cols).map(|c| x.at(number.value as usize, c))).collect()
        }),
        "OneHot" => {
            let (depth, range) = (operands[1].values[0].value as usize, operands[2]);
            x.each_row(|row| (0..depth).map(|c| range.values[usize::from(row[0].value == c as f64)]).collect())
        }
        "Transpose" => Matrix::of(x.cols, x.rows(), |r, c| x.at(c, r)),
        "BatchNormalization" => {
            let eps = Approx::exact(float(node, "epsilon"));
            Matrix::of(x.rows(), x.cols, |r, c| {
                let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|i| operands[i].at(0, c));
                // Either of the two orders: x s + (b - m s) has products that cancel.
                let factor = scale.mul(variance.add(eps).map(|v| v.powf(-0.5)));
                let way = x.at(r, c).sub(mean).mul(factor).add(bias);
                let other = x.at(r, c).mul(factor).add(bias.sub(mean.mul(factor)));
                Approx { value: way.value, error: way.error.max(other.error) }
            })
        }
        "LayerNormalization" => {
            let eps = Approx::exact(float(node, "epsilon"));
            x.each_row(|row| {
                let n = Approx::exact(row.len() as f64);
                let mean = sum(row.iter().copied()).div(n);
                let centred: Vec<_> = row.iter().map(|x| x.sub(mean)).collect();
                let variance = sum(centred.iter().map(|x| x.mul(*x))).div(n);
                let inverse = variance.add(eps).map(|v| v.powf(-0.5));
                let scaled = centred.iter().enumerate();
                scaled.map(|(c, x)| x.mul(inverse).mul(operands[1].at(0, c)).add(operands[2].at(0, c))).collect()
            })
        }
        other => panic!("{other}"),
    }
}
