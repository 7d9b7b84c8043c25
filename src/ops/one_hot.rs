//! Class numbers as rows: `shaders/one_hot.wgsl`.

use crate::device::{Call, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Shape, Var};
use crate::ops::metrics::class;
use crate::ops::{GROUP, expect_shape, grid, operands, size};

params! {
    struct Params {
        rows: u32,
        cols: u32,
        on: f32,
        off: f32,
        ignored: f32,
    }
}

const SHADER: Shader = shader!(["common/grid", "common/numbers", "common/class", "one_hot"], shared: [GROUP]);

pub(crate) static ROWS: Kernel =
    kernel!("one_hot", "rows", SHADER, [GROUP, 1, 1], Params, inputs: 1, outputs: 1, step: false, reference);

/// Row r of `out` [n, c] is `on` in the column `numbers[r]` and `off` elsewhere, with class numbers [n, 1] from 0. A number
/// equal to `ignored` gives a row of 0, another one that is no class a row of NaN.
///
/// # Errors
/// Other shapes.
pub fn one_hot(
    recording: &mut Recording,
    numbers: &Tensor,
    [on, off]: [f32; 2],
    ignored: Option<f32>,
    out: &Tensor,
) -> Result<()> {
    expect_shape("one_hot", "the class numbers", numbers, [out.rows(), 1], "to have one for each row")?;
    let ignored = ignored.unwrap_or(f32::NAN);
    let params = Params { rows: size(out.rows()), cols: size(out.cols()), on, off, ignored };
    recording.push(&ROWS, grid(out.len(), GROUP), params, &[numbers], &[out], out.len() as u64)
}

fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [numbers, ..] = call.inputs;
    let [out, ..] = call.outputs;
    let cols = params.cols as usize;
    for (row, number) in out.chunks_exact_mut(cols).zip(numbers) {
        match class(*number, cols) {
            _ if *number == params.ignored => row.fill(0.0),
            None => row.fill(f32::NAN),
            Some(class) => {
                row.fill(params.off);
                row[class] = params.on;
            }
        }
    }
}

/// Class numbers as rows. Operand: the numbers, which are constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OneHot {
    pub(crate) classes: usize,
    pub(crate) on: f32,
    pub(crate) off: f32,
    pub(crate) ignored: Option<f32>,
}

impl Operation for OneHot {
    fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        let [[rows, cols]] = operands("one_hot", inputs)?;
        if cols != 1 || self.classes == 0 {
            let detail = format!("{rows} x {cols} class numbers as {} columns; give {rows} x 1", self.classes);
            return Err(Error::shape("one_hot", detail + " and at least one class"));
        }
        Ok(vec![[rows, self.classes]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        one_hot(recording, inputs[0], [self.on, self.off], self.ignored, outputs[0])
    }

    fn gradient(&self, _graph: &mut Graph, _x: &[Var], _y: Var, _dy: Var) -> Result<Vec<Option<Var>>> {
        Ok(vec![None])
    }

    fn keeps_rows_apart(&self, _inputs: &[Shape], _of_data: &[bool]) -> bool {
        true
    }
}

impl Graph {
    /// Class numbers [n, 1] as rows [n, classes]: 1 in the class's column, 0 elsewhere; NaN for a number that is no class.
    /// `F.one_hot` in PyTorch.
    ///
    /// # Errors
    /// Numbers in several columns; no class; a value of another graph.
    pub fn one_hot(&mut self, numbers: Var, classes: usize) -> Result<Var> {
        self.call1(OneHot { classes, on: 1.0, off: 0.0, ignored: None }, &[numbers])
    }
}
