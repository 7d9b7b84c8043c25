//! Backpropagation: adds the calls that compute gradients to the same graph.

use crate::error::{Error, Result};
use crate::graph::{Graph, Var};

/// The gradients of a [1, 1] value with respect to others, as values of the same graph; `None` where it does not depend
/// on them. They may be part of a loss and be differentiated again, so derivatives of any order work: PyTorch's
/// `torch.autograd.grad(loss, by, create_graph=True)`.
///
/// ```
/// use wgrad::{Device, Graph, Tensor, gradients, lower};
///
/// let device = Device::cpu();
/// let mut graph = Graph::new(&device);
/// let x = graph.input(&Tensor::new(&device, 1, 1, &[2.0])?)?;
/// let y = graph.pow(x, 3.0)?;
/// let first = gradients(&mut graph, y, &[x])?[0].unwrap();
/// let second = gradients(&mut graph, first, &[x])?[0].unwrap();
/// let lowered = lower(&graph, &[first, second])?;
/// lowered.run()?;
/// assert_eq!((lowered.read(first)?, lowered.read(second)?), (vec![12.0], vec![12.0])); // 3 x² and 6 x
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// A loss that is not [1, 1]; an operation without a gradient on the way; a value of another graph.
pub fn gradients(graph: &mut Graph, loss: Var, by: &[Var]) -> Result<Vec<Option<Var>>> {
    let shape = graph.shape(loss)?;
    if shape != [1, 1] {
        let [rows, cols] = shape;
        let detail = format!("the loss is {rows} x {cols}; reduce it to 1 x 1 (sum, mean and all losses do)");
        return Err(Error::shape("gradients", detail));
    }
    by.iter().try_for_each(|var| graph.check(*var))?;
    let one = graph.constant(1.0);
    pull_back(graph, loss, one, by, 0)
}

/// The gradients with respect to `by`, given `dy`, the gradient of `y`, through the calls from index `first` on.
fn pull_back(graph: &mut Graph, y: Var, dy: Var, by: &[Var], first: usize) -> Result<Vec<Option<Var>>> {
    let last = graph.nodes().len();
    // Which values depend on those asked for.
    let mut depends = vec![false; graph.values()];
    by.iter().for_each(|var| depends[var.index] = true);
    for node in &graph.nodes()[first..] {
        if node.inputs.iter().any(|x| depends[x.index]) {
            node.outputs.iter().for_each(|y| depends[y.index] = true);
        }
    }
    let mut gradients: Vec<Option<Var>> = vec![None; graph.values()];
    if depends[y.index] {
        gradients[y.index] = Some(dy);
    }
    for at in (first..last).rev() {
        let node = graph.nodes()[at].clone();
        let dy = node.outputs.iter().find_map(|y| gradients[y.index].map(|dy| (*y, dy)));
        let (Some((y, dy)), true) = (dy, node.inputs.iter().any(|x| depends[x.index])) else { continue };
        if node.outputs.len() > 1 {
            let detail = format!("{:?} has several outputs, and so no gradient; leave it out of the loss", node.op);
            return Err(Error::input("gradients", detail));
        }
        let from = graph.nodes().len();
        let each = match node.op.expand(graph, &node.inputs)? {
            Some(same) => {
                let mut each = pull_back(graph, same, dy, &node.inputs, from)?;
                // For an operand that appears twice, the expansion gives the whole gradient each time.
                for (i, (x, dx)) in node.inputs.iter().zip(&mut each).enumerate() {
                    if node.inputs[..i].contains(x) {
                        *dx = None;
                    }
                }
                each
            }
            None => node.op.gradient(graph, &node.inputs, y, dy)?,
        };
        check(graph, &node.inputs, &each)
            .map_err(|error| Error::new(error.kind(), "gradients", format!("of {:?}: {error}", node.op)))?;
        for (x, dx) in node.inputs.iter().zip(each).filter(|(x, _)| depends[x.index]) {
            let Some(dx) = dx else { continue };
            gradients[x.index] = Some(match gradients[x.index] {
                Some(sum) => graph.add(sum, dx)?,
                None => dx,
            });
        }
    }
    Ok(by.iter().map(|var| gradients[var.index]).collect())
}

/// An error unless there is a gradient for each operand, of its shape.
fn check(graph: &Graph, inputs: &[Var], gradients: &[Option<Var>]) -> Result<()> {
    if gradients.len() != inputs.len() {
        let detail =
            format!("{} gradients for {} operands; give one (or None) for each", gradients.len(), inputs.len());
        return Err(Error::input("gradient", detail));
    }
    for (x, dx) in inputs.iter().zip(gradients) {
        let Some(dx) = dx else { continue };
        let (shape, own) = (graph.shape(*dx)?, graph.shape(*x)?);
        if shape != own {
            let detail = format!("a gradient of shape {shape:?} for an operand of shape {own:?}; they must be equal");
            return Err(Error::shape("gradient", detail));
        }
    }
    Ok(())
}
