//! What a model is made of, as a table.

use std::collections::HashSet;
use std::fmt;

use crate::device::Device;
use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::{Module, Parameter};

/// The rows that shapes are computed for; printed as n.
const ROWS: usize = 2;

/// A model's modules with the shapes of what they give, their parameters and bytes, for inputs of this many columns. The
/// model needs no values and no device for it.
///
/// ```
/// use wgrad::nn::{BatchNorm1d, Linear, ReLU, Sequential, summary};
///
/// let hidden = Sequential::new().add(Linear::new(2, 25)).add(BatchNorm1d::new(25)).add(ReLU);
/// let model = Sequential::new().add(hidden).add(Linear::new(25, 1).without_bias());
/// assert_eq!(
///     summary(&model, 2)?.to_string(),
///     "\
/// module                          output  parameters  bytes
/// Sequential                       n x 1
///   0: Sequential                 n x 25
///     0.0: Linear(2, 25)          n x 25          75    300
///     0.1: BatchNorm1d(25)        n x 25          50    400
///     0.2: ReLU                   n x 25
///   1: Linear(25, 1, bias=false)   n x 1          25    100
/// total                                          150    800
/// "
/// );
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit: what [`Module::forward`] refuses; a parameter larger than any device takes.
pub fn summary(model: &dyn Module, input_cols: usize) -> Result<Summary> {
    let mut graph = Graph::for_shapes(&Device::cpu());
    let x = graph.placeholder([ROWS, input_cols]);
    let mut lister = Lister { graph, rows: Vec::new(), seen: HashSet::new() };
    lister.list("", model, x, 0)?;
    Ok(Summary { rows: lister.rows })
}

/// What [`summary`] gives; it prints as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    rows: Vec<SummaryRow>,
}

/// A module of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryRow {
    /// Where it is in the model: the prefix of its parameters' names.
    pub path: String,
    /// What it is, such as `Linear(2, 25)`.
    pub module: String,
    /// In how many modules it is.
    pub depth: usize,
    /// Columns of what it gives.
    pub output_cols: usize,
    /// Its own numbers that are trained, without those of the modules within it, and without those that a module above it
    /// in the table has, too.
    pub parameters: usize,
    /// The same that are frozen.
    pub frozen: usize,
    /// The same of buffers, such as running statistics.
    pub buffers: usize,
}

impl SummaryRow {
    /// Bytes of its own numbers: 4 for each.
    pub fn bytes(&self) -> usize {
        4 * (self.parameters + self.frozen + self.buffers)
    }
}

impl Summary {
    /// The modules, each before those within it.
    pub fn rows(&self) -> &[SummaryRow] {
        &self.rows
    }

    /// The numbers of all parameters, trained and frozen.
    pub fn parameters(&self) -> usize {
        self.rows.iter().map(|row| row.parameters + row.frozen).sum()
    }

    /// Bytes of all parameters and buffers.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(SummaryRow::bytes).sum()
    }
}

struct Lister {
    graph: Graph,
    rows: Vec<SummaryRow>,
    seen: HashSet<usize>,
}

impl Lister {
    fn list(&mut self, path: &str, module: &dyn Module, mut x: Var, depth: usize) -> Result<Var> {
        let y = module.forward(&mut self.graph, x)?;
        let [_, output_cols] = self.graph.shape(y)?;
        let children = module.children();
        let name = if children.is_empty() { shown(module) } else { module.name() };
        let mut row =
            SummaryRow { path: path.into(), module: name, depth, output_cols, parameters: 0, frozen: 0, buffers: 0 };
        let inner: HashSet<usize> =
            children.iter().flat_map(|(_, child)| child.named_parameters()).map(|(_, p)| p.id()).collect();
        for (name, parameter) in module.named_parameters() {
            if !inner.contains(&parameter.id()) && self.seen.insert(parameter.id()) {
                *kind_of(&mut row, &parameter) += parameter.checked_len(&name)?;
            }
        }
        self.rows.push(row);
        for (name, child) in children {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            x = self.list(&path, child, x, depth + 1)?;
        }
        Ok(y)
    }
}

fn kind_of<'r>(row: &'r mut SummaryRow, parameter: &Parameter) -> &'r mut usize {
    match (parameter.is_buffer(), parameter.is_frozen()) {
        (true, _) => &mut row.buffers,
        (_, true) => &mut row.frozen,
        _ => &mut row.parameters,
    }
}

/// A module in a line: its description, or its name with the modules or parameters in it.
pub(crate) fn shown(module: &dyn Module) -> String {
    if let Some(description) = module.describe() {
        return description;
    }
    let children: Vec<_> = module.children().into_iter().map(|(_, child)| shown(child)).collect();
    let parts = if children.is_empty() {
        let shapes = module.named_parameters().into_iter().map(|(name, p)| format!("{name} {:?}", p.shape()));
        shapes.collect()
    } else {
        children
    };
    format!("{}({})", module.name(), parts.join(", "))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: usize| if number == 0 { String::new() } else { number.to_string() };
        let mut lines = vec![["module", "output", "parameters", "bytes"].map(String::from)];
        for row in &self.rows {
            let path = if row.path.is_empty() { String::new() } else { format!("{}: ", row.path) };
            lines.push([
                format!("{:indent$}{path}{}", "", row.module, indent = 2 * row.depth),
                format!("n x {}", row.output_cols),
                number(row.parameters + row.frozen),
                number(row.bytes()),
            ]);
        }
        lines.push(["total".into(), String::new(), number(self.parameters()), number(self.bytes())]);
        let width = |col: usize| lines.iter().map(|line| line[col].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..4).map(width).collect();
        for [module, output, parameters, bytes] in &lines {
            let [a, b, c, d] = [widths[0], widths[1] + 2, widths[2] + 2, widths[3] + 2];
            let line = format!("{module:a$}{output:>b$}{parameters:>c$}{bytes:>d$}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let frozen: usize = self.rows.iter().map(|row| row.frozen).sum();
        if frozen > 0 {
            writeln!(f, "{frozen} of the parameters are frozen")?;
        }
        Ok(())
    }
}
