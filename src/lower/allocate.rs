//! Which value lies in which tensor.

use crate::device::{ALIGNMENT, Tensor};
use crate::error::Result;
use crate::graph::{Program, Shape, Source, Var};

/// A tensor for each value that is left after merging, and how many elements that took. It goes from the last call to the
/// first, so that what belongs into a flat buffer is computed there.
pub(super) fn allocate(program: &Program<'_>) -> Result<(Vec<Option<Tensor>>, usize)> {
    let graph = program.graph();
    let device = graph.device();
    let mut tensors: Vec<Option<Tensor>> = vec![None; graph.values()];
    let mut allocated = 0;
    let mut new = |[rows, cols]: Shape| -> Result<Tensor> {
        allocated += rows * cols;
        Tensor::zeros(device, rows, cols)
    };
    // By the value's number; each looks at most once through the calls in place before it.
    let homes: Vec<Var> = (0..graph.values()).map(|index| program.home(program.var(index))).collect();
    let home = |var: &Var| homes[var.index];
    for node in program.nodes().iter().rev() {
        for var in node.inputs.iter().chain(&node.outputs) {
            let home = home(var);
            if tensors[home.index].is_some() {
                continue;
            }
            tensors[home.index] = match (program.given(home), graph.source(home)) {
                (Some(tensor), _) => Some(tensor.clone()),
                (None, Source::Number(number)) => Some(Tensor::new(device, 1, 1, &[*number])?),
                (None, Source::Clock) => Some(Tensor::zeros(device, 1, 1)?),
                (None, _) => None,
            };
        }
        if node.op.joined() && node.outputs.iter().all(|y| tensors[home(y).index].is_none()) {
            let starts = |end: &mut usize, y: &Var| {
                let start = *end;
                *end += elements(program.shape(*y)).next_multiple_of(ALIGNMENT);
                Some((*y, start))
            };
            let parts: Vec<_> = node.outputs.iter().scan(0, starts).collect();
            let len = parts.iter().map(|(y, start)| start + elements(program.shape(*y))).max().unwrap_or(0);
            let whole = new([1, len])?;
            for (y, start) in parts {
                let [rows, cols] = program.shape(y);
                tensors[home(&y).index] = Some(whole.view(start, rows, cols)?);
            }
        }
        for y in &node.outputs {
            if tensors[home(y).index].is_none() {
                tensors[home(y).index] = Some(new(program.shape(*y))?);
            }
        }
        for (i, x) in node.inputs.iter().enumerate() {
            let (Some(start), None) = (node.op.place(i), &tensors[home(x).index]) else { continue };
            // What others read must not lie in a buffer that these may be writing.
            if program.readers(*x).len() > 1 {
                continue;
            }
            let Some(whole) = node.outputs.first().and_then(|y| tensors[home(y).index].as_ref()) else { continue };
            let [rows, cols] = program.shape(*x);
            tensors[home(x).index] = Some(whole.view(start, rows, cols)?);
        }
    }
    // Values in the memory of another lie where that one does; given values that are wanted are there, too.
    for index in 0..tensors.len() {
        if tensors[index].is_none() {
            let home = homes[index];
            tensors[index] = tensors[home.index].clone().or_else(|| program.given(home).cloned());
        }
    }
    Ok((tensors, allocated))
}

fn elements([rows, cols]: Shape) -> usize {
    rows * cols
}
