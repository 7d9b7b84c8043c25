//! Products as operations, and the rules that merge them with their neighbours.

use super::{Epilogue, Factor, matmul};
use crate::device::{Recording, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Merge, Node, Operation, Program, Shape, Var};
use crate::ops::activation::{Apply, Slope};
use crate::ops::broadcast::growing;
use crate::ops::reduce::{Over, Sum};
use crate::ops::{Activation, operands};

/// What `matmul.wgsl` can do. A graph calls it with the first two attributes; rules set the others.
///
/// Operands: a, b, then the bias or where a derivative is taken, then what is added to (product, row sums).
/// Outputs: the result, then what the activation was applied to, or the row sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Product {
    /// Which factors are transposed.
    transposed: [bool; 2],
    /// Whether a row is added to each row.
    bias: bool,
    activation: Activation,
    derivative: Option<Activation>,
    keep: bool,
    sums: bool,
    adds: bool,
}

impl Operation for Product {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let name = if self.bias { "linear" } else { "matmul" };
        let (factors, row) = if self.bias {
            let [a, b, row] = operands(name, inputs)?;
            ([a, b], Some(row))
        } else {
            (operands(name, inputs)?, None)
        };
        let [[m, k], [inner, n]] = [0, 1].map(|i| {
            let [rows, cols] = factors[i];
            if self.transposed[i] { [cols, rows] } else { [rows, cols] }
        });
        if k != inner && self.bias {
            let detail = format!("the input is {m} x {k}, but the layer takes {inner} columns");
            return Err(Error::shape(name, detail));
        }
        if k != inner {
            let detail = format!("{m} x {k} times {inner} x {n}: the first's columns must be the second's rows");
            return Err(Error::shape(name, detail));
        }
        if let Some([rows, cols]) = row.filter(|row| *row != [1, n]) {
            let detail = format!("bias is {rows} x {cols}; it must be 1 x {n} to have an entry for each column");
            return Err(Error::shape(name, detail));
        }
        Ok(vec![[m, n]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let factor = |i: usize| if self.transposed[i] { inputs[i].t() } else { Factor::from(inputs[i]) };
        let epilogue = Epilogue {
            beta: f32::from(u8::from(self.adds)),
            bias: self.bias.then(|| inputs[2]),
            activation: self.activation,
            derivative: self.derivative.map(|function| (function, inputs[2])),
            keep: self.keep.then(|| outputs[1]),
            row_sums: self.sums.then(|| outputs[1]),
            ..Epilogue::default()
        };
        matmul(recording, factor(0), factor(1), outputs[0], epilogue)
    }

    fn gradient(&self, graph: &mut Graph, x: &[Var], _y: Var, dy: Var) -> Result<Vec<Option<Var>>> {
        let (a, b, [ta, tb]) = (x[0], x[1], self.transposed);
        // dA = dY Bᵀ and dB = Aᵀ dY, transposed where the factor is.
        let da = if ta { product(graph, [b, dy], [tb, true])? } else { product(graph, [dy, b], [false, !tb])? };
        let db = if tb { product(graph, [dy, a], [true, ta])? } else { product(graph, [a, dy], [!ta, false])? };
        let mut gradients = vec![Some(da), Some(db)];
        if self.bias {
            gradients.push(Some(graph.sum_rows(dy)?));
        }
        Ok(gradients)
    }

    fn in_place(&self) -> Vec<(usize, usize)> {
        let into = 2 + usize::from(self.bias || self.derivative.is_some());
        (0..if self.adds { 1 + usize::from(self.sums) } else { 0 }).map(|i| (i, into + i)).collect()
    }

    fn joined(&self) -> bool {
        self.sums
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], of_data: &[bool]) -> bool {
        !self.transposed[0] && of_data[0] && !of_data[1..].contains(&true)
    }
}

impl Product {
    /// What [`Product::called`] says of a linear layer.
    pub(crate) const LINEAR: ([bool; 2], bool) = ([false, true], true);

    /// Of a call of a product that no rule has changed: which factors are transposed, and whether there is a bias.
    pub(crate) fn called(node: &Node) -> Option<([bool; 2], bool)> {
        let Self { transposed, bias, .. } = *node.is()?;
        (node.is() == Some(&Self { transposed, bias, ..Self::default() })).then_some((transposed, bias))
    }
}

fn product(graph: &mut Graph, factors: [Var; 2], transposed: [bool; 2]) -> Result<Var> {
    graph.call1(Product { transposed, ..Product::default() }, &factors)
}

/// The product at a place, if nothing but a bias follows it.
fn plain(program: &Program<'_>, at: usize) -> Option<Product> {
    let product = *program.op::<Product>(at)?;
    let Product { transposed, bias, .. } = product;
    (product == Product { transposed, bias, ..Product::default() }).then_some(product)
}

/// Rule: z = product; y = activation(z). One dispatch gives y, and z too where somebody else reads it.
pub(crate) fn activation(program: &Program<'_>, second: usize) -> Option<Merge> {
    let Apply(activation) = *program.op(second)?;
    let (z, y) = (program.node(second).inputs[0], program.node(second).outputs[0]);
    let first = program.writer(z)?;
    let product = plain(program, first).filter(|_| activation.is_epilogue())?;
    let keep = !program.only_for(z, second);
    let outputs = if keep { vec![y, z] } else { vec![y] };
    Merge::new([first, second], Product { activation, keep, ..product }, program.node(first).inputs.clone(), outputs)
}

/// Rule: dy = product; dx = dy activation'. One dispatch gives dx; dy is never stored.
pub(crate) fn derivative(program: &Program<'_>, second: usize) -> Option<Merge> {
    let Slope(function) = *program.op(second)?;
    let [at, dy] = program.inputs(second)?;
    let first = program.writer(dy).filter(|_| program.only_for(dy, second))?;
    let product = plain(program, first).filter(|product| !product.bias && function.is_epilogue())?;
    let inputs = program.node(first).inputs.iter().copied().chain([at]).collect();
    let product = Product { derivative: Some(function), ..product };
    Merge::new([first, second], product, inputs, program.node(second).outputs.clone())
}

/// Rule: p = product; sum = u + p. The product is added to u where u lies, if nobody else reads u.
pub(crate) fn addition(program: &Program<'_>, second: usize) -> Option<Merge> {
    let (u, p) = growing(program, second)?;
    let first = program.writer(p)?;
    let product = plain(program, first).filter(|product| !product.bias)?;
    let inputs = program.node(first).inputs.iter().copied().chain([u]).collect();
    Merge::new([first, second], Product { adds: true, ..product }, inputs, program.node(second).outputs.clone())
}

/// Rule: dw = dyᵀ x; db = sums of dy's columns. One dispatch gives both where db lies behind dw; else it takes two.
pub(crate) fn row_sums(program: &Program<'_>, at: usize) -> Option<Merge> {
    let sum = program.op::<Sum>(at).filter(|sum| sum.over == Over::Rows)?;
    let sums = program.node(at);
    program.readers(sums.inputs[0]).iter().find_map(|other| {
        let node = program.node(*other);
        let product = *program.op::<Product>(*other).filter(|product| {
            let plain = Product { adds: sum.adds, transposed: [true, product.transposed[1]], ..Product::default() };
            **product == plain && node.inputs[0] == sums.inputs[0]
        })?;
        // What the sums are added to comes behind what the product is added to.
        let inputs = node.inputs.iter().chain(&sums.inputs[1..]).copied().collect();
        let outputs = vec![node.outputs[0], sums.outputs[0]];
        Merge::new([at, *other], Product { sums: true, ..product }, inputs, outputs)
    })
}

impl Graph {
    /// `a b`, with a [m, k] and b [k, n].
    ///
    /// # Errors
    /// Other shapes; a value of another graph.
    pub fn matmul(&mut self, a: Var, b: Var) -> Result<Var> {
        product(self, [a, b], [false, false])
    }

    /// A linear layer: `x wᵀ + bias`, with x [n, in], w [out, in] and bias [1, out], or None, in one dispatch.
    ///
    /// # Errors
    /// Other shapes; a value of another graph.
    pub fn linear(&mut self, x: Var, w: Var, bias: impl Into<Option<Var>>) -> Result<Var> {
        let bias = bias.into();
        let product = Product { transposed: [false, true], bias: bias.is_some(), ..Product::default() };
        let operands: Vec<Var> = [x, w].into_iter().chain(bias).collect();
        self.call1(product, &operands)
    }
}
