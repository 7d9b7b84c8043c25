//! A number for each step, that the host sets before an epoch.

use crate::device::Tensor;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::ops::gather::Gather;

/// The number of the step in a table [steps, 1], as a value [1, 1].
pub(super) fn of_step(graph: &mut Graph, table: &Tensor) -> Result<Var> {
    let in_order: Vec<u32> = (0..table.rows() as u32).collect();
    let (order, table) = (graph.input(&Tensor::indices(table.device(), &in_order)?)?, graph.input(table)?);
    let batch = graph.call(Gather { rows: 1, stride: 1 }, &[order, table, table])?;
    batch.first().copied().ok_or_else(|| Error::input("gather", "no values of a step"))
}
