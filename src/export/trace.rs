//! A model's forward pass as a list of steps that holds for any number of rows.

use std::collections::{BTreeMap, BTreeSet};

use super::Formula;
use super::patterns::normalisation;
use crate::device::Tensor;
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape, Source, Var};
use crate::nn::Predictor;
use crate::ops::Activation;
use crate::ops::activation::Apply;
use crate::ops::copy::AddTo;

/// Operations that expand to operations that expand: deeper counts as endless.
const MAX_EXPANSIONS: usize = 32;

/// A formula, its operands and its result.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) formula: Formula,
    pub(super) inputs: Vec<Var>,
    pub(super) output: Var,
}

/// What does not come from the model's input.
pub(super) struct Constant {
    pub(super) name: String,
    /// One-dimensional for vectors, as in safetensors files.
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The steps from the input to the output, in order, and what they read.
pub(super) struct Trace {
    pub(super) steps: Vec<Step>,
    pub(super) input: Var,
    pub(super) output: Var,
    pub(super) constants: BTreeMap<Var, Constant>,
    graph: Graph,
}

impl Trace {
    pub(super) async fn new(predictor: &Predictor, input_cols: usize) -> Result<Self> {
        let one = Pass::new(predictor, [1, input_cols])?;
        let two = Pass::new(predictor, [2, input_cols])?;
        one.check_against(&two)?;
        let Pass { graph, mut steps, input, output } = one;
        set_momenta(predictor, input_cols, &graph, &mut steps)?;
        let mut constants = BTreeMap::new();
        for var in steps.iter().flat_map(|step| &step.inputs).chain([&output]) {
            if *var == input || constants.contains_key(var) {
                continue;
            }
            let unnamed = format!("constant.{}", constants.len());
            match graph.source(*var) {
                Source::Call(_) => {}
                Source::Clock => return Err(Error::input("export", "the model is random in evaluation")),
                Source::Number(number) => {
                    let constant = Constant { name: unnamed, shape: vec![1, 1], values: vec![*number] };
                    constants.insert(*var, constant);
                }
                Source::Tensor(tensor) => {
                    constants.insert(*var, constant(predictor, tensor, unnamed).await?);
                }
            }
        }
        Ok(Self { steps, input, output, constants, graph })
    }

    /// A value's shape where the input has one row.
    pub(super) fn shape(&self, var: Var) -> Shape {
        self.graph.own_shape(var)
    }

    /// Columns of the input, and of the output.
    pub(super) fn cols(&self) -> [usize; 2] {
        [self.input, self.output].map(|var| self.shape(var)[1])
    }
}

/// A tensor from outside: a parameter by its name, or another one.
async fn constant(predictor: &Predictor, tensor: &Tensor, unnamed: String) -> Result<Constant> {
    let values = tensor.read_async()?.await?;
    let parameter = predictor
        .parameters()
        .named()
        .find(|(_, parameter)| parameter.shape() == tensor.shape() && parameter.value().is_ok_and(|v| v.is(tensor)));
    let (name, shape) = match parameter {
        Some((name, parameter)) => (name.to_string(), parameter.file_shape().to_vec()),
        None => (unnamed, tensor.shape().to_vec()),
    };
    Ok(Constant { name, shape, values })
}

/// The model's forward pass for some number of rows.
struct Pass {
    graph: Graph,
    steps: Vec<Step>,
    input: Var,
    output: Var,
}

impl Pass {
    fn new(predictor: &Predictor, [rows, cols]: Shape) -> Result<Self> {
        let device = predictor.parameters().device();
        let mut graph = Graph::for_evaluation(device);
        let input = graph.input(&Tensor::zeros(device, rows, cols)?)?;
        let output = predictor.model().forward(&mut graph, input)?;
        let mut list = Listing { steps: Vec::new(), same: BTreeMap::new() };
        for call in 0..graph.nodes().len() {
            list.add(&mut graph, call, 0)?;
        }
        let output = list.resolved(output);
        let vectors: BTreeSet<Var> = predictor
            .parameters()
            .named()
            .filter(|(_, parameter)| parameter.file_shape().len() == 1)
            .filter_map(|(_, parameter)| parameter.var(&mut graph).ok())
            .collect();
        let mut steps = list.steps;
        for i in 0..steps.len() {
            if let Some(step) = normalisation(&graph, &steps, i, &vectors) {
                steps[i] = step;
            }
        }
        Ok(Self { graph, steps: live(steps, output), input, output })
    }

    /// An error unless another pass, over another number of rows, takes the same steps.
    fn check_against(&self, other: &Self) -> Result<()> {
        let refused = |what: &dyn std::fmt::Display| {
            let detail = format!(
                "{what} is computed otherwise for another number of rows; only a model that treats each row alike can be \
                 exported"
            );
            Err(Error::input("export", detail))
        };
        let numbers = |step: &Step| step.inputs.iter().chain([&step.output]).map(|var| var.index).collect::<Vec<_>>();
        for (one, two) in self.steps.iter().zip(&other.steps) {
            if one.formula != two.formula || numbers(one) != numbers(two) {
                return refused(&format!("{:?}", one.formula));
            }
        }
        if self.steps.len() != other.steps.len() {
            return refused(&"the output");
        }
        match [self, other].map(|pass| pass.graph.own_shape(pass.output)) {
            [[1, one], [2, two]] if one == two => Ok(()),
            [one, two] => refused(&format!("the output, {one:?} for one row and {two:?} for two,")),
        }
    }
}

/// Calls as steps.
struct Listing {
    steps: Vec<Step>,
    /// Values that are others under another name.
    same: BTreeMap<Var, Var>,
}

impl Listing {
    /// Adds a call of the graph, or what it expands to.
    fn add(&mut self, graph: &mut Graph, call: usize, depth: usize) -> Result<()> {
        let node = graph.nodes()[call].clone();
        let inputs: Vec<Var> = node.inputs.iter().map(|var| self.resolved(*var)).collect();
        let Some(formula) = Formula::of(&node) else {
            let first = graph.nodes().len();
            let expanded = if depth < MAX_EXPANSIONS { node.op.expand(graph, &inputs)? } else { None };
            for call in first..graph.nodes().len() {
                self.add(graph, call, depth + 1)?;
            }
            for output in &node.outputs {
                match expanded {
                    Some(value) => {
                        self.same.insert(*output, self.resolved(value));
                    }
                    // An error only where it is needed.
                    None => {
                        let formula = Formula::Unknown(format!("{:?}", node.op));
                        self.steps.push(Step { formula, inputs: inputs.clone(), output: *output });
                    }
                }
            }
            return Ok(());
        };
        self.steps.extend(node.outputs.iter().map(|output| Step {
            formula: formula.clone(),
            inputs: inputs.clone(),
            output: *output,
        }));
        Ok(())
    }

    fn resolved(&self, var: Var) -> Var {
        self.same.get(&var).copied().unwrap_or(var)
    }
}

/// Gives batch normalisations the momentum that they have in a graph for training, as far as such a graph can be made.
fn set_momenta(predictor: &Predictor, input_cols: usize, graph: &Graph, steps: &mut [Step]) -> Result<()> {
    let device = predictor.parameters().device();
    let mut training = Graph::new(device);
    let x = training.input(&Tensor::zeros(device, 2, input_cols)?)?;
    // What a model of one's own can't do in training, it need not do here.
    let _ = predictor.model().forward(&mut training, x);
    let nodes = training.nodes();
    for step in steps {
        let (Formula::BatchNorm { momentum, .. }, [_, _, _, mean, _]) = (&mut step.formula, &step.inputs[..]) else {
            continue;
        };
        let Source::Tensor(mean) = graph.source(*mean) else { continue };
        // What is added to the running mean is a difference times the momentum.
        let added = nodes.iter().filter(|node| node.is::<AddTo>().is_some()).find_map(|node| {
            let [before, added] = node.inputs[..] else { return None };
            matches!(training.source(before), Source::Tensor(tensor) if tensor.is(mean)).then_some(added)
        });
        let product = added.and_then(|added| nodes.iter().find(|node| node.outputs.contains(&added)));
        if let Some(Apply(Activation::Affine { scale, .. })) = product.and_then(|node| node.is()) {
            *momentum = *scale;
        }
    }
    Ok(())
}

/// The steps that the output needs.
fn live(steps: Vec<Step>, output: Var) -> Vec<Step> {
    let mut needed = BTreeSet::from([output]);
    let mut kept: Vec<Step> = Vec::new();
    for step in steps.into_iter().rev() {
        if needed.contains(&step.output) {
            needed.extend(&step.inputs);
            kept.push(step);
        }
    }
    kept.reverse();
    kept
}
