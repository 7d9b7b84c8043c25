//! Whether the rows of a result depend on each other.

use super::{Graph, Shape, Var};

impl Graph {
    /// Whether row i of y depends on row i of x and on no other: then further rows behind the last change nothing.
    pub(crate) fn keeps_rows_apart(&self, x: Var, y: Var) -> bool {
        // Of the values that come from x, whether they do so row by row.
        let mut apart: Vec<Option<bool>> = vec![None; self.values()];
        apart[x.index] = Some(true);
        for node in &self.nodes {
            let of_x: Vec<bool> = node.inputs.iter().map(|var| apart[var.index].is_some()).collect();
            if !of_x.contains(&true) {
                continue;
            }
            let shapes: Vec<Shape> = node.inputs.iter().map(|var| self.own_shape(*var)).collect();
            let mixed = node.inputs.iter().any(|var| apart[var.index] == Some(false));
            let so = !mixed && node.op.keeps_rows_apart(&shapes, &of_x);
            node.outputs.iter().for_each(|var| apart[var.index] = Some(so));
        }
        // A state that a run changes may do so by all rows.
        self.updates.is_empty() && apart[y.index] == Some(true)
    }
}
