//! Mini-batches by row numbers: `shaders/gather.wgsl`.

use std::ops::Range;

use crate::device::{
    Call, Cut, Dispatch, Kernel, LaneCall, Lanes, MEMBERS, Recording, Shader, Share, Tensor, Values, kernel, params,
    shader,
};
use crate::error::{Error, Result};
use crate::graph::{Operation, Shape};
use crate::ops::{GROUP, expect_shape, grid, operands, size};

params! {
    struct Params {
        rows: u32,
        input_cols: u32,
        target_cols: u32,
        stride: u32,
        entries: u32,
        last_row: u32,
        first_row: u32,
    }
}

fn cut(dispatch: &Dispatch) -> Option<Cut> {
    let params = |params: &[u8], rows: Range<usize>| {
        let params: Params = bytemuck::pod_read_unaligned(params);
        bytemuck::bytes_of(&Params { rows: size(rows.len()), first_row: size(rows.start), ..params }).to_vec()
    };
    let outputs = dispatch.outputs.iter().map(|batch| Share::Rows(batch.cols())).collect();
    Some(Cut { params, ..Cut::chunks(dispatch.outputs[0].rows(), vec![Share::Whole; 3], outputs)? })
}

const SHADER: Shader = shader!(["common/grid", "common/step", "gather"], shared: [GROUP]);

pub(crate) static ROWS: Kernel =
    kernel!("gather", "rows", SHADER, [GROUP, 1, 1], Params, inputs: 3, outputs: 2, step: true, reference)
        .cut(cut)
        .lanes(lanes);

/// Rows of inputs [n, i] and targets [n, t], as many as the outputs `batch` ([b, i] and [b, t]) have: at step s row
/// r of both outputs is the data's row `order[s * stride + r]`.
///
/// `order` is a matrix of `u32` row numbers, stored as bits. The list wraps around at its end, and a row number
/// beyond the data is its last row.
///
/// # Errors
/// Shapes that do not fit.
pub fn gather(
    recording: &mut Recording,
    order: &Tensor,
    [inputs, targets]: [&Tensor; 2],
    batch: [&Tensor; 2],
    stride: usize,
) -> Result<()> {
    if inputs.rows() != targets.rows() {
        return Err(Error::shape(
            "gather",
            format!("{} rows of inputs and {} rows of targets; they go in pairs", inputs.rows(), targets.rows()),
        ));
    }
    let rows = batch[0].rows();
    expect_shape("gather", "the inputs' batch", batch[0], [rows, inputs.cols()], "as the inputs have")?;
    expect_shape("gather", "the targets' batch", batch[1], [rows, targets.cols()], "as the targets have")?;
    let params = Params {
        rows: size(rows),
        input_cols: size(inputs.cols()),
        target_cols: size(targets.cols()),
        stride: size(stride),
        entries: size(order.len()),
        last_row: size(inputs.rows() - 1),
        first_row: 0,
    };
    let elements = rows * (inputs.cols() + targets.cols());
    recording.push(&ROWS, grid(elements, GROUP), params, &[order, inputs, targets], &batch, elements as u64)
}

#[inline(always)]
fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [order, inputs, targets, ..] = call.inputs;
    let [batch_inputs, batch_targets, ..] = call.outputs;
    let order: &[u32] = bytemuck::cast_slice(order);
    let entries = params.entries as usize;
    let first = (call.step * params.stride as usize + params.first_row as usize) % entries;
    let rows = || {
        // The list wraps around.
        let order = order[first..entries].iter().chain(order[..entries].iter().cycle());
        order.take(params.rows as usize).map(|row| row.min(&params.last_row)).map(|row| *row as usize)
    };
    copy_rows(rows(), params.input_cols as usize, inputs, batch_inputs);
    copy_rows(rows(), params.target_cols as usize, targets, batch_targets);
}

#[inline(always)]
fn copy_rows(rows: impl Iterator<Item = usize>, cols: usize, from: &[f32], to: &mut [f32]) {
    // Short rows are moved at once: calling `memcpy` takes longer than they do.
    macro_rules! by {
        ($($short:literal)*) => {
            match cols {
                $($short => {
                    let (from, to) = (from.as_chunks::<$short>().0, to.as_chunks_mut::<$short>().0);
                    to.iter_mut().zip(rows).for_each(|(to, row)| *to = from[row]);
                })*
                _ => to.chunks_exact_mut(cols).zip(rows).for_each(|(to, row)| {
                    to.copy_from_slice(&from[row * cols..][..cols]);
                }),
            }
        };
    }
    by!(1 2 3 4 8 10 16);
}

/// Members side by side, each with an order of its own.
fn lanes(call: LaneCall<'_>, _cpu: fn(Call<'_>)) {
    let params: Params = call.common_params();
    let [order, inputs, targets, ..] = call.inputs;
    let [batch_inputs, batch_targets, ..] = call.outputs;
    let [rows, entries, input_cols, target_cols] =
        [params.rows, params.entries, params.input_cols, params.target_cols].map(|n| n as usize);
    let mut entry = call.step * params.stride as usize % entries;
    for to in 0..rows {
        let rows = order.at(entry).map(|row| row.to_bits().min(params.last_row) as usize);
        copy_row(&inputs, rows, &mut batch_inputs[to * input_cols..][..input_cols]);
        copy_row(&targets, rows, &mut batch_targets[to * target_cols..][..target_cols]);
        entry = if entry + 1 == entries { 0 } else { entry + 1 };
    }
}

/// Each member's row of its data.
#[inline(always)]
fn copy_row(from: &Values<'_>, rows: [usize; MEMBERS], to: &mut [Lanes]) {
    let cols = to.len();
    match from {
        Values::Shared(values) => {
            let rows = rows.map(|row| &values[row * cols..][..cols]);
            for (col, to) in to.iter_mut().enumerate() {
                *to = rows.map(|row| row[col]);
            }
        }
        Values::Own(values) => {
            let rows = rows.map(|row| &values[row * cols..][..cols]);
            for (col, to) in to.iter_mut().enumerate() {
                for (member, to) in to.iter_mut().enumerate() {
                    *to = rows[member][col][member];
                }
            }
        }
    }
}

/// A step's mini-batch. Operands: order, inputs, targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gather {
    /// Rows of the mini-batch.
    pub(crate) rows: usize,
    /// Rows from one step's first to the next one's.
    pub(crate) stride: usize,
}

impl Operation for Gather {
    fn shapes(&self, shapes: &[Shape]) -> Result<Vec<Shape>> {
        let [_, inputs, targets] = operands("gather", shapes)?;
        Ok(vec![[self.rows, inputs[1]], [self.rows, targets[1]]])
    }

    fn record(&self, recording: &mut Recording, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        gather(recording, inputs[0], [inputs[1], inputs[2]], [outputs[0], outputs[1]], self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::gather;
    use crate::device::{Device, Recording, RecordingSet, Tensor};
    use crate::error::Result;

    /// Eight members with the same data, or each with its own, and mini-batches that go over an order's end.
    #[test]
    fn orders_wrap_around_side_by_side_as_alone() -> Result<()> {
        let device = Device::cpu();
        let matrix = |rows: usize, cols: usize, first: usize| {
            let values: Vec<f32> = (first..first + rows * cols).map(|value| value as f32).collect();
            Tensor::new(&device, rows, cols, &values)
        };
        let common = [matrix(7, 3, 0)?, matrix(7, 2, 100)?];
        for shared in [true, false] {
            let (mut recordings, mut batches, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            for member in 0..8 {
                let first = 1000 * member;
                let own = if shared { common.clone() } else { [matrix(7, 3, first)?, matrix(7, 2, first + 100)?] };
                let [inputs, targets] = &own;
                let order: [u32; 5] = std::array::from_fn(|i| ((3 * i + member) % 8) as u32);
                let numbers = Tensor::new(&device, 1, 5, bytemuck::cast_slice(&order))?;
                let batch = [matrix(4, 3, 0)?, matrix(4, 2, 0)?];
                let mut recording = Recording::new(&device);
                gather(&mut recording, &numbers, [inputs, targets], [&batch[0], &batch[1]], 4)?;
                recordings.push(recording);
                // Step 2 takes the order's entries 8 to 11: 3, 4, 0, 1. A row beyond the data is its last.
                let rows = [3, 4, 0, 1].map(|entry: usize| (order[entry] as usize).min(6));
                let first = if shared { 0 } else { first };
                let values = |cols: usize, first: usize| {
                    rows.iter().flat_map(|row| (0..cols).map(move |col| (first + row * cols + col) as f32)).collect()
                };
                let both: [Vec<f32>; 2] = [values(3, first), values(2, first + 100)];
                expected.push(both);
                batches.push(batch);
            }
            let set = RecordingSet::new(recordings)?;
            assert_eq!(set.side_by_side(), 8);
            pollster::block_on(set.run_steps(0..3))?;
            set.into_recordings();
            for (batch, expected) in batches.iter().zip(&expected) {
                assert_eq!([batch[0].read()?, batch[1].read()?], *expected, "shared {shared}");
            }
        }
        Ok(())
    }
}
