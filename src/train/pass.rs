//! A pass over a dataset in steps of a fixed number of rows: an epoch's mini-batches, or an evaluation. The rows lie in
//! the device's memory, or come in chunks of whole steps where they do not fit; the dispatches are the same, and so are
//! the results, bit for bit.

use std::borrow::Cow;
use std::ops::Range;

use super::together::Exchanging;
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, MAX_ELEMENTS, Recording, RecordingSet, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Var};
use crate::nn::Loss;
use crate::ops::gather::Gather;

/// The most bytes of a chunk, unless a single step has more: much to compute on, and little compared with a GPU's
/// memory.
const CHUNK_BYTES: u64 = 64 << 20;

/// Rows to go through, `step_rows` in a step.
pub(super) struct Source<'a> {
    rows: Rows<'a>,
    /// The whole dataset, or room for a chunk of it. A row of targets ends with the sample's weight, if it has one.
    inputs: Tensor,
    targets: Tensor,
    /// Which row of these comes when. Streamed rows arrive in the order of their steps, so there it counts from 0, and
    /// wraps around with each chunk: steps keep their numbers.
    order: Tensor,
    resident: bool,
    step_rows: usize,
    steps_at_once: usize,
}

/// The rows of a dataset, or some of them, in an order.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a Dataset,
    /// Numbers of rows, which may repeat; all rows where there are none.
    pub(super) chosen: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    pub(super) fn all(data: &'a Dataset) -> Self {
        Self { data, chosen: None }
    }

    pub(super) fn len(&self) -> usize {
        self.chosen.map_or(self.data.len(), <[u32]>::len)
    }

    /// How much each of the dataset's samples counts in a mean of this loss; none where all count alike.
    pub(super) fn counts(&self, loss: &dyn Loss) -> Option<Vec<f64>> {
        let targets = self.data.targets().chunks_exact(self.data.target_cols()).enumerate();
        let count = |(row, target)| self.data.weight(row) * f64::from(loss.target_weight(target));
        let counts: Vec<f64> = targets.map(count).collect();
        counts.iter().any(|count| *count != 1.0).then_some(counts)
    }

    /// An error where none of them counts.
    pub(super) fn check_weights(&self) -> Result<()> {
        if self.data.weights().is_none() || self.total_weight() > 0.0 {
            return Ok(());
        }
        let detail =
            format!("the weights of all {} rows to train or to validate on are 0; give one a weight", self.len());
        Err(Error::input("fit", detail))
    }

    /// How much all of them count.
    pub(super) fn total_weight(&self) -> f64 {
        match self.chosen {
            None => self.data.total_weight(),
            Some(rows) => rows.iter().map(|row| self.data.weight(*row as usize)).sum(),
        }
    }

    /// Their numbers in the dataset.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.chosen.map_or_else(|| (0..self.data.len() as u32).collect(), <[u32]>::to_vec)
    }
}

/// The sums of these counts over the rows of each step, in an order.
pub(super) fn step_counts(counts: &[f64], order: &[u32], step_rows: &[usize]) -> Vec<f64> {
    let mut rest = order;
    let mut step = |rows: &usize| {
        let (step, others) = rest.split_at((*rows).min(rest.len()));
        rest = others;
        step.iter().map(|row| counts[*row as usize]).sum()
    };
    step_rows.iter().map(&mut step).collect()
}

/// A step's samples, as values of a graph.
pub(super) struct Batch {
    pub(super) x: Var,
    pub(super) t: Var,
    /// [n, 1], if the samples have weights.
    pub(super) weights: Option<Var>,
}

impl Batch {
    /// Of inputs, and of targets behind which weights may stand.
    pub(super) fn new(graph: &mut Graph, x: Var, targets: Var, weighted: bool) -> Result<Self> {
        if !weighted {
            return Ok(Self { x, t: targets, weights: None });
        }
        let [_, cols] = graph.shape(targets)?;
        let t = graph.slice_cols(targets, 0, cols - 1)?;
        Ok(Self { x, t, weights: Some(graph.slice_cols(targets, cols - 1, cols)?) })
    }

    pub(super) fn loss(&self, graph: &mut Graph, loss: &dyn Loss, prediction: Var) -> Result<Var> {
        match self.weights {
            None => loss.forward(graph, prediction, self.t),
            Some(weights) => loss.weighted(graph, prediction, self.t, weights),
        }
    }
}

/// Columns of the targets on the device.
pub(super) fn device_target_cols(data: &Dataset) -> usize {
    data.target_cols() + usize::from(data.weights().is_some())
}

impl<'a> Source<'a> {
    /// Places the data on the device if it has at most `resident_bytes` and fits, else room for a chunk.
    pub(super) fn new(device: &Device, rows: Rows<'a>, step_rows: usize, resident_bytes: u64) -> Result<Self> {
        let data = rows.data;
        let samples = data.len().max(rows.len());
        if samples > MAX_ELEMENTS {
            return Err(Error::input("dataset", format!("{samples} samples; a pass takes up to {MAX_ELEMENTS}")));
        }
        let cols = [data.input_cols(), device_target_cols(data)];
        let row_bytes = 4 * (cols[0] + cols[1]) as u64;
        let room = |rows_at_once: usize, order: Tensor, steps_at_once: usize| -> Result<Self> {
            let [inputs, targets] = side_by_side(device, rows_at_once, cols)?;
            Ok(Self { rows, inputs, targets, order, resident: false, step_rows, steps_at_once })
        };
        let steps = rows.len().div_ceil(step_rows);
        if data.len() as u64 * row_bytes <= resident_bytes {
            match room(data.len(), Tensor::indices(device, &rows.numbers())?, steps) {
                Ok(source) => {
                    source.inputs.write(data.inputs())?;
                    source.targets.write(&device_targets(data, 0..data.len(), None))?;
                    return Ok(Self { resident: true, ..source });
                }
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    log::info!("{} samples are uploaded in chunks: {error}", data.len())
                }
                Err(error) => return Err(error),
            }
        }
        let bytes = CHUNK_BYTES.min(resident_bytes).min(device.capabilities().max_tensor_bytes);
        let steps_at_once = ((bytes / (row_bytes * step_rows as u64)) as usize).clamp(1, steps);
        let at_once = steps_at_once * step_rows;
        let in_order: Vec<u32> = (0..at_once as u32).collect();
        room(at_once, Tensor::indices(device, &in_order)?, steps_at_once)
    }

    /// Rows of the same dataset in steps of another size; shares what is on the device.
    pub(super) fn again(&self, rows: Rows<'a>, step_rows: usize, resident_bytes: u64) -> Result<Self> {
        let device = self.inputs.device();
        if !self.resident {
            return Self::new(device, rows, step_rows, resident_bytes);
        }
        Ok(Self {
            rows,
            inputs: self.inputs.clone(),
            targets: self.targets.clone(),
            order: Tensor::indices(device, &rows.numbers())?,
            resident: true,
            step_rows,
            steps_at_once: rows.len().div_ceil(step_rows),
        })
    }

    pub(super) fn device(&self) -> &Device {
        self.inputs.device()
    }

    pub(super) fn data(&self) -> &Dataset {
        self.rows.data
    }

    /// Rows of a full step.
    pub(super) fn step_rows(&self) -> usize {
        self.step_rows
    }

    pub(super) fn rows(&self) -> Rows<'a> {
        self.rows
    }

    /// The rows of each step; of so many that belong together, the last may be dropped if they are not complete.
    pub(super) fn steps(&self, together: usize, drop_last: bool) -> Vec<usize> {
        let (full, rest) = (self.rows.len() / self.step_rows, self.rows.len() % self.step_rows);
        if drop_last {
            return vec![self.step_rows; full / together * together];
        }
        let mut rows = vec![self.step_rows; full];
        rows.extend((rest > 0).then_some(rest));
        rows
    }

    /// A step's rows, as values of a graph.
    pub(super) fn gather(&self, graph: &mut Graph, rows: usize) -> Result<Batch> {
        let operands = [graph.input(&self.order)?, graph.input(&self.inputs)?, graph.input(&self.targets)?];
        let batch = graph.call(Gather { rows, stride: self.step_rows }, &operands)?;
        let &[x, targets] = &batch[..] else {
            return Err(Error::input("gather", "a batch of other than inputs and targets"));
        };
        Batch::new(graph, x, targets, self.data().weights().is_some())
    }

    /// Has the rows of these steps ready for the dispatches that follow: those that `order` says, or the source's own
    /// order. On a GPU the copy waits for the dispatches before it, and meanwhile the host gathers.
    fn place(&self, steps: Range<usize>, order: Option<&[u32]>) -> Result<()> {
        let rows = steps.start * self.step_rows..self.rows.len().min(steps.end * self.step_rows);
        match order.or(self.rows.chosen.filter(|_| !self.resident)).map(|order| &order[rows.clone()]) {
            None if self.resident => Ok(()),
            Some(order) if self.resident => self.order.view(0, 1, order.len())?.write(bytemuck::cast_slice(order)),
            picked => {
                let data = self.rows.data;
                let inputs = picked_rows(data.inputs(), data.input_cols(), rows.clone(), picked);
                self.inputs.view(0, rows.len(), self.inputs.cols())?.write(&inputs)?;
                let room = self.targets.view(0, rows.len(), self.targets.cols())?;
                room.write(&device_targets(data, rows, picked))
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

/// Rows of a matrix: those of an order, or else a range of them.
fn picked_rows<'v>(values: &'v [f32], cols: usize, range: Range<usize>, order: Option<&[u32]>) -> Cow<'v, [f32]> {
    let Some(order) = order else { return Cow::Borrowed(&values[range.start * cols..range.end * cols]) };
    let mut rows = Vec::with_capacity(order.len() * cols);
    order.iter().for_each(|row| rows.extend_from_slice(&values[*row as usize * cols..][..cols]));
    Cow::Owned(rows)
}

/// Rows of targets as the device has them, with the weights behind them.
pub(super) fn device_targets<'d>(data: &'d Dataset, range: Range<usize>, order: Option<&[u32]>) -> Cow<'d, [f32]> {
    let targets = picked_rows(data.targets(), data.target_cols(), range.clone(), order);
    let Some(weights) = data.weights() else { return targets };
    let weights = picked_rows(weights, 1, range, order);
    let rows = targets.chunks_exact(data.target_cols()).zip(&*weights);
    Cow::Owned(rows.flat_map(|(row, weight)| row.iter().chain([weight])).copied().collect())
}

/// Dispatches that go through sources, one for each member of an ensemble, all in the same steps: full ones, and a smaller
/// one at the end.
pub(super) struct Pass<'a> {
    sources: Vec<Source<'a>>,
    full: Option<RecordingSet>,
    rest: Option<RecordingSet>,
    /// What follows after every so many steps, and after the last.
    every: Option<(usize, RecordingSet)>,
    /// The rows of each step.
    pub(super) step_rows: Vec<usize>,
}

impl<'a> Pass<'a> {
    /// `record` makes the dispatches of a member's step, given its number, its source and the step's rows.
    pub(super) fn new(
        sources: Vec<Source<'a>>,
        step_rows: Vec<usize>,
        mut record: impl FnMut(usize, &Source<'a>, usize) -> Result<Recording>,
    ) -> Result<Self> {
        let Some(first) = sources.first() else {
            return Ok(Self { sources, full: None, rest: None, every: None, step_rows });
        };
        let mut recorded = |rows: usize| -> Result<Option<RecordingSet>> {
            if !step_rows.contains(&rows) {
                return Ok(None);
            }
            let members = sources.iter().enumerate();
            let recordings = members.map(|(member, source)| record(member, source, rows)).collect::<Result<_>>()?;
            Ok(Some(RecordingSet::new(recordings)?))
        };
        let full = recorded(first.step_rows)?;
        let rest = recorded(first.rows.len() % first.step_rows)?;
        Ok(Self { full, rest, every: None, step_rows, sources })
    }

    /// After every `steps` steps, and after the last, runs these, as steps of their own.
    pub(super) fn follow(&mut self, steps: usize, recordings: Vec<Recording>) -> Result<()> {
        self.every = Some((steps, RecordingSet::new(recordings)?));
        Ok(())
    }

    /// Members that go side by side in a full step.
    #[cfg(test)]
    pub(super) fn side_by_side(&self) -> usize {
        self.full.as_ref().map_or(0, RecordingSet::side_by_side)
    }

    fn steps_at_once(&self) -> usize {
        self.sources.first().map_or(1, |source| source.steps_at_once)
    }

    /// Where a member's rows come from, and its rows of this step ready there.
    pub(super) fn placed(&self, member: usize, step: usize, order: &[u32]) -> Result<&Source<'a>> {
        let missing = || Error::input("fit", "there is no such member");
        let source = self.sources.get(member).ok_or_else(missing)?;
        let first = step - step % self.steps_at_once();
        source.place(first..self.step_rows.len().min(first + self.steps_at_once()), Some(order))?;
        Ok(source)
    }

    /// Goes on with those members alone that are to be kept.
    pub(super) fn retain(&mut self, keep: &[bool]) -> Result<()> {
        retain(&mut self.sources, keep);
        let kept = |set: RecordingSet| {
            let mut recordings = set.into_recordings();
            retain(&mut recordings, keep);
            RecordingSet::new(recordings)
        };
        self.full = self.full.take().map(kept).transpose()?;
        self.rest = self.rest.take().map(kept).transpose()?;
        if let Some((steps, set)) = self.every.take() {
            self.every = Some((steps, kept(set)?));
        }
        Ok(())
    }

    /// Queues the first `steps` steps, on the rows as each member's `order` has them or as its source has. Before what follows
    /// them, `exchange` has its turn, if there is one.
    pub(super) async fn run(
        &self,
        orders: Option<&[Vec<u32>]>,
        steps: usize,
        steps_per_submit: u32,
        mut exchange: Option<&mut Exchanging<'_>>,
    ) -> Result<()> {
        let full_steps = self.step_rows.len() - usize::from(self.rest.is_some());
        let steps_at_once = self.steps_at_once();
        for first in (0..steps).step_by(steps_at_once) {
            let end = steps.min(first + steps_at_once);
            for (member, source) in self.sources.iter().enumerate() {
                source.place(first..end, orders.map(|orders| &orders[member][..]))?;
            }
            let mut at = first;
            while at < end {
                // As far as the steps are alike, and nothing follows.
                let stop = match &self.every {
                    Some((every, _)) => end.min((at / every + 1) * every),
                    None => end,
                };
                let (set, stop) = if at < full_steps { (&self.full, stop.min(full_steps)) } else { (&self.rest, stop) };
                let stop = stop.min(at.saturating_add(steps_per_submit as usize));
                if let Some(set) = set {
                    set.run_steps(at as u32..stop as u32).await?;
                }
                at = stop;
                if let Some((every, _)) =
                    self.every.as_ref().filter(|(every, _)| at.is_multiple_of(*every) || at == self.step_rows.len())
                {
                    self.follow_up((at - 1) / every, exchange.as_deref_mut()).await?;
                }
            }
        }
        Ok(())
    }

    /// Queues what follows, for the first time, second time...
    pub(super) async fn follow_up(&self, time: usize, exchange: Option<&mut Exchanging<'_>>) -> Result<()> {
        let Some((_, set)) = &self.every else { return Ok(()) };
        if let Some(exchange) = exchange {
            exchange.step(time).await?;
        }
        set.run_steps(time as u32..time as u32 + 1).await
    }
}

/// Keeps those items alone that are to be kept.
pub(super) fn retain<T>(items: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    items.retain(|_| keep.next().copied().unwrap_or(false));
}
