//! A pass over a dataset in steps of a fixed number of rows: an epoch's mini-batches, or an evaluation. The rows lie in
//! the device's memory, or come in chunks of whole steps where they do not fit; the dispatches are the same, and so are
//! the results, bit for bit.

use std::ops::Range;

use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, MAX_ELEMENTS, Recording, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Var};
use crate::ops::gather::Gather;

/// The most bytes of a chunk, unless a single step has more: much to compute on, and little compared with a GPU's
/// memory.
const CHUNK_BYTES: u64 = 64 << 20;

/// Rows to go through, `step_rows` in a step.
pub(super) struct Source<'a> {
    data: &'a Dataset,
    /// The whole dataset, or room for a chunk of it.
    inputs: Tensor,
    targets: Tensor,
    /// Which row of these comes when. Streamed rows arrive in the order of their steps, so there it counts from 0, and
    /// wraps around with each chunk: steps keep their numbers.
    order: Tensor,
    resident: bool,
    step_rows: usize,
    steps_at_once: usize,
}

impl<'a> Source<'a> {
    /// Places the data on the device if it has at most `resident_bytes` and fits, else room for a chunk.
    pub(super) fn new(device: &Device, data: &'a Dataset, step_rows: usize, resident_bytes: u64) -> Result<Self> {
        let samples = data.len();
        if samples > MAX_ELEMENTS {
            return Err(Error::input("dataset", format!("{samples} samples; a pass takes up to {MAX_ELEMENTS}")));
        }
        let row_bytes = 4 * (data.input_cols() + data.target_cols()) as u64;
        let room = |rows: usize, steps_at_once: usize| -> Result<Self> {
            let [inputs, targets] = side_by_side(device, rows, [data.input_cols(), data.target_cols()])?;
            Ok(Self {
                data,
                inputs,
                targets,
                order: in_order(device, rows)?,
                resident: false,
                step_rows,
                steps_at_once,
            })
        };
        let steps = samples.div_ceil(step_rows);
        if samples as u64 * row_bytes <= resident_bytes {
            match room(samples, steps) {
                Ok(source) => {
                    source.inputs.write(data.inputs())?;
                    source.targets.write(data.targets())?;
                    return Ok(Self { resident: true, ..source });
                }
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    log::info!("{samples} samples are uploaded in chunks: {error}")
                }
                Err(error) => return Err(error),
            }
        }
        let bytes = CHUNK_BYTES.min(resident_bytes).min(device.capabilities().max_tensor_bytes);
        let steps_at_once = ((bytes / (row_bytes * step_rows as u64)) as usize).clamp(1, steps);
        room(steps_at_once * step_rows, steps_at_once)
    }

    /// The same data in steps of another size; shares what is on the device.
    pub(super) fn in_steps_of(&self, step_rows: usize, resident_bytes: u64) -> Result<Self> {
        let device = self.inputs.device();
        if !self.resident {
            return Self::new(device, self.data, step_rows, resident_bytes);
        }
        Ok(Self {
            inputs: self.inputs.clone(),
            targets: self.targets.clone(),
            order: in_order(device, self.data.len())?,
            step_rows,
            steps_at_once: self.data.len().div_ceil(step_rows),
            ..*self
        })
    }

    pub(super) fn device(&self) -> &Device {
        self.inputs.device()
    }

    pub(super) fn data(&self) -> &Dataset {
        self.data
    }

    /// The rows of each step.
    pub(super) fn steps(&self, drop_last: bool) -> Vec<usize> {
        let rest = self.data.len() % self.step_rows;
        let mut rows = vec![self.step_rows; self.data.len() / self.step_rows];
        rows.extend((rest > 0 && !drop_last).then_some(rest));
        rows
    }

    /// A step's rows, as values of a graph: inputs and targets.
    pub(super) fn gather(&self, graph: &mut Graph, rows: usize) -> Result<[Var; 2]> {
        let operands = [graph.input(&self.order)?, graph.input(&self.inputs)?, graph.input(&self.targets)?];
        let batch = graph.call(Gather { rows, stride: self.step_rows }, &operands)?;
        batch.try_into().map_err(|_| Error::input("gather", "a batch of other than inputs and targets"))
    }

    /// Has the rows of these steps ready for the dispatches that follow: those that `order` says, or the dataset's own
    /// order. On a GPU the copy waits for the dispatches before it, and meanwhile the host gathers.
    fn place(&self, steps: Range<usize>, order: Option<&[u32]>) -> Result<()> {
        let rows = steps.start * self.step_rows..self.data.len().min(steps.end * self.step_rows);
        match order.map(|order| &order[rows.clone()]) {
            None if self.resident => Ok(()),
            Some(order) if self.resident => self.order.view(0, 1, order.len())?.write(bytemuck::cast_slice(order)),
            picked => {
                for (tensor, values) in [(&self.inputs, self.data.inputs()), (&self.targets, self.data.targets())] {
                    let cols = tensor.cols();
                    let room = tensor.view(0, rows.len(), cols)?;
                    match picked {
                        None => room.write(&values[rows.start * cols..rows.end * cols])?,
                        Some(order) => room.write(&gathered(values, cols, order))?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// Two matrices of as many rows, the second behind the first in one buffer, where the device takes one of that size: a
/// kernel then binds both as one.
fn side_by_side(device: &Device, rows: usize, cols: [usize; 2]) -> Result<[Tensor; 2]> {
    let [first, second] = cols.map(|cols| rows * cols);
    let start = first.next_multiple_of(ALIGNMENT);
    if 4 * (start + second) as u64 > device.capabilities().max_tensor_bytes {
        return Ok([Tensor::zeros(device, rows, cols[0])?, Tensor::zeros(device, rows, cols[1])?]);
    }
    let both = Tensor::zeros(device, 1, start + second)?;
    Ok([both.view(0, rows, cols[0])?, both.view(start, rows, cols[1])?])
}

/// The numbers from 0, as an order.
fn in_order(device: &Device, rows: usize) -> Result<Tensor> {
    let numbers: Vec<u32> = (0..rows as u32).collect();
    Tensor::indices(device, &numbers)
}

fn gathered(values: &[f32], cols: usize, order: &[u32]) -> Vec<f32> {
    let mut rows = Vec::with_capacity(order.len() * cols);
    order.iter().for_each(|row| rows.extend_from_slice(&values[*row as usize * cols..][..cols]));
    rows
}

/// Dispatches that go through a source: full steps, and a smaller one at the end.
pub(super) struct Pass<'a> {
    source: Source<'a>,
    full: Option<Recording>,
    rest: Option<Recording>,
    /// The rows of each step.
    pub(super) step_rows: Vec<usize>,
}

impl<'a> Pass<'a> {
    /// `record` makes the dispatches of a step, given its rows, of a source with this many steps in all.
    pub(super) fn new(
        source: Source<'a>,
        drop_last: bool,
        mut record: impl FnMut(&Source<'a>, usize) -> Result<Recording>,
    ) -> Result<Self> {
        let step_rows = source.steps(drop_last);
        let mut recorded = |rows: usize| step_rows.contains(&rows).then(|| record(&source, rows)).transpose();
        let full = recorded(source.step_rows)?;
        let rest = recorded(source.data.len() % source.step_rows)?;
        Ok(Self { source, full, rest, step_rows })
    }

    /// Queues all steps, on the rows as `order` has them or as the dataset has.
    pub(super) async fn run(&self, order: Option<&[u32]>, steps_per_submit: u32) -> Result<()> {
        let steps = self.step_rows.len();
        let full_steps = steps - usize::from(self.rest.is_some());
        for first in (0..steps).step_by(self.source.steps_at_once) {
            let end = steps.min(first + self.source.steps_at_once);
            self.source.place(first..end, order)?;
            if let Some(full) = &self.full {
                let end = end.min(full_steps) as u32;
                for first in (first as u32..end).step_by(steps_per_submit as usize) {
                    full.run_steps_async(first..end.min(first.saturating_add(steps_per_submit))).await?;
                }
            }
            match &self.rest {
                Some(rest) if end == steps => rest.run_steps_async(full_steps as u32..steps as u32).await?,
                _ => {}
            }
        }
        Ok(())
    }
}
