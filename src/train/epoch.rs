//! An epoch of mini-batches, as dispatches.

use std::ops::Range;

use rand::seq::SliceRandom;

use super::average::Average;
use super::history::shares;
use super::pass::{Pass, Rows, Source, retain};
use super::path::record;
use super::table::of_step;
use super::{Fit, Session};
use crate::data::Dataset;
use crate::device::{ALIGNMENT, Device, PendingRead, Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::lower::lower;
use crate::nn::{Reduction, summary};
use crate::ops::copy::broadcast;
use crate::ops::reduce::{IntoHistory, sum};
use crate::random;

/// An epoch's dispatches, of one session or of several side by side.
pub(super) struct Epoch<'a> {
    /// Through the mini-batches, in an order that is reshuffled every epoch.
    pub(super) pass: Pass<'a>,
    /// What it leaves of each session.
    pub(super) traces: Vec<Traces>,
    /// For each session, too.
    tables: Vec<Tables>,
    /// Mini-batches of a step.
    pub(super) accumulate: usize,
    /// Steps of the optimizer.
    pub(super) steps: usize,
}

/// What an epoch leaves to be read: the loss of each mini-batch; behind them sums of the parameters, which are finite as long
/// as these are; and behind those what is kept of it for the case that the device is lost.
pub(super) struct Traces {
    all: Tensor,
    pub(super) losses: Tensor,
    /// Makes what is behind the losses.
    rest: Recording,
    /// Where each part begins.
    starts: [usize; 2],
}

/// What the host sets before an epoch, besides the learning rates: a number for each step, where there is something to do.
#[derive(Default)]
struct Tables {
    /// How much each mini-batch counts in the loss of its step, where several make one.
    shares: Option<Tensor>,
    /// How much the parameters after each step count in their average.
    averaging: Option<Tensor>,
}

impl Tables {
    fn new(device: &Device, mini_batches: usize, accumulate: usize, averaged: Option<usize>) -> Result<Self> {
        let table = |len: Option<usize>| len.map(|len| Tensor::zeros(device, len, 1)).transpose();
        let shares = Some(mini_batches).filter(|_| accumulate > 1);
        Ok(Self { shares: table(shares)?, averaging: table(averaged)? })
    }
}

impl Traces {
    fn new(session: &Session, steps: usize) -> Result<Self> {
        let (stretches, kept) = (session.parameters.all(), session.to_keep()?);
        let sums = steps.next_multiple_of(ALIGNMENT);
        let mut end = sums + stretches.len() * ALIGNMENT;
        let starts = [sums, end];
        let all = Tensor::zeros(&session.device, 1, end + kept.iter().map(Tensor::len).sum::<usize>())?;
        let mut rest = Recording::new(&session.device);
        for (number, stretch) in stretches.iter().enumerate() {
            sum(&mut rest, &stretch.values()?, 1.0, &all.view(sums + number * ALIGNMENT, 1, 1)?)?;
        }
        for tensor in &kept {
            broadcast(&mut rest, tensor, 1.0, &all.view(end, 1, tensor.len())?, false)?;
            end += tensor.len();
        }
        Ok(Self { losses: all.view(0, 1, steps)?, all, rest, starts })
    }

    /// Begins to read them, when the epoch's steps have been queued.
    pub(super) async fn read(&self) -> Result<PendingTraces> {
        self.rest.run_steps_async(0..1).await?;
        Ok(PendingTraces { all: self.all.read_async()?, steps: self.losses.len(), starts: self.starts })
    }
}

/// [`Traces`] on their way.
pub(super) struct PendingTraces {
    all: PendingRead,
    steps: usize,
    starts: [usize; 2],
}

impl PendingTraces {
    /// The losses, the sums, and what is kept.
    pub(super) async fn parts(self) -> Result<[Vec<f32>; 3]> {
        let mut losses = self.all.await?;
        let [sums, kept] = self.starts;
        let kept = losses.split_off(kept);
        let sums = losses.split_off(sums);
        losses.truncate(self.steps);
        Ok([losses, sums, kept])
    }
}

impl<'a> Epoch<'a> {
    /// Of so many steps, which may be more than the sources have rows for: see [`Exchange::steps`](super::Exchange::steps).
    pub(super) fn new(sessions: &[&Session], sources: Vec<Source<'a>>, fit: &Fit<'_>, steps: usize) -> Result<Self> {
        let accumulate = fit.accumulate;
        let step_rows = sources.first().map(|source| source.steps(accumulate, fit.drop_last)).unwrap_or_default();
        let len = step_rows.len();
        let traces = sessions.iter().map(|session| Traces::new(session, len)).collect::<Result<Vec<_>>>()?;
        let averaged = |session: &Session| session.average.is_some().then_some(steps);
        let tables = |session: &&Session| Tables::new(&session.device, len, accumulate, averaged(session));
        let tables = sessions.iter().map(tables).collect::<Result<Vec<_>>>()?;
        let mut updates = Vec::new();
        let mut pass = Pass::new(sources, step_rows, |member, source, rows| {
            let session = sessions[member];
            let (average, tables) = (session.average.as_ref(), &tables[member]);
            let (mut recording, update, how) =
                session.recorded(source, rows, &traces[member].losses, (tables, average), fit)?;
            recording.let_others_in_until_written(&session.parameters.values()?);
            log::debug!("mini-batches of {rows}: {how}");
            if updates.len() == member {
                updates.extend(update);
            }
            Ok(recording)
        })?;
        if !updates.is_empty() {
            pass.follow(accumulate, updates)?;
        }
        Ok(Self { pass, traces, tables, accumulate, steps })
    }

    /// Sets the numbers of the coming epoch's steps for a session, of whose mini-batches each counts so much in a mean.
    pub(super) fn set(&self, member: usize, reduction: Reduction, counts: &[f64], averaging: &[f32]) -> Result<()> {
        let tables = &self.tables[member];
        if let Some(table) = &tables.shares {
            table.write(&shares(reduction, counts, self.accumulate))?;
        }
        tables.averaging.as_ref().map_or(Ok(()), |table| table.write(averaging))
    }

    pub(super) fn retain(&mut self, keep: &[bool]) -> Result<()> {
        retain(&mut self.traces, keep);
        retain(&mut self.tables, keep);
        self.pass.retain(keep)
    }
}

/// The order in which an epoch goes through the rows.
pub(super) fn epoch_order(rows: Rows<'_>, fit: &Fit<'_>, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order = rows.numbers();
    if fit.shuffle {
        order.shuffle(&mut random::epoch_order(seed, epoch));
    }
    order
}

impl Session {
    /// The seed of what is random in its epochs.
    pub(super) fn own_seed(&self) -> u64 {
        random::of_rank(self.seed, self.rank)
    }

    /// Tells the device and the optimizer that an epoch of this many steps follows, each of so many mini-batches.
    pub(super) fn begin_epoch(&mut self, steps: usize, accumulate: usize) -> Result<()> {
        // Each mini-batch draws its own random numbers.
        let mini_batches = self.optimizer.steps().wrapping_mul(accumulate as u64);
        self.clock.write(&[f32::from_bits(mini_batches as u32)])?;
        if accumulate > 1 {
            self.optimizer.zero_grad()?;
        }
        self.optimizer.begin_epoch(steps)
    }

    /// How [`Session::fit`] would run its steps on this data, and why: a line of text.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Fit, Session, StepPath};
    ///
    /// let data = disk(100, 0, Labels::PlusMinusOne)?;
    /// let session = Session::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// let path = session.path(&data, &Fit::new(5, 10))?;
    /// assert_eq!(path, "layered, 5 dispatches a step: the CPU path is faster layer by layer");
    /// assert!(session.path(&data, &Fit::new(5, 10).path(StepPath::Fused))?.starts_with("fused, one dispatch"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Data of another shape than the model's; with [`StepPath::Fused`](crate::StepPath::Fused) a training that can't be run
    /// that way.
    pub fn path(&self, train: &Dataset, fit: &Fit<'_>) -> Result<String> {
        fit.check(train, self.loss.decision())?;
        // Room for a single mini-batch will do.
        let source = Source::new(&self.device, Rows::all(train), fit.batch_size, 0)?;
        let len = source.steps(fit.accumulate, fit.drop_last).len();
        let losses = Tensor::zeros(&self.device, 1, len)?;
        let tables = Tables::new(&self.device, len, fit.accumulate, fit.ema.map(|_| len.div_ceil(fit.accumulate)))?;
        let average = fit.ema.map(|_| Average::new(&self.parameters, None)).transpose()?;
        Ok(self.recorded(&source, fit.batch_size, &losses, (&tables, average.as_ref()), fit)?.2)
    }

    /// See [`Trainer::summary`](crate::Trainer::summary).
    ///
    /// # Errors
    /// See [`Session::path`].
    pub fn summary(&self, train: &Dataset, fit: &Fit<'_>) -> Result<String> {
        let path = self.path(train, fit)?;
        Ok(format!("{}training  {path}\n", summary(&*self.model, train.input_cols())?))
    }

    /// The dispatches of a mini-batch of `rows` samples; those of a step that follow several, if they do; and how they came
    /// about.
    fn recorded(
        &self,
        source: &Source<'_>,
        rows: usize,
        losses: &Tensor,
        (tables, average): (&Tables, Option<&Average>),
        fit: &Fit<'_>,
    ) -> Result<(Recording, Option<Recording>, String)> {
        let (mut graph, loss, mut wanted) = self.step_graph(source, rows, losses, true)?;
        let averaged = |graph: &mut Graph, updated: Vec<(Range<usize>, Var)>| -> Result<Vec<Var>> {
            let averages = match (average, &tables.averaging) {
                (Some(average), Some(weights)) => average.call(graph, &updated, weights)?,
                _ => Vec::new(),
            };
            Ok(updated.into_iter().map(|(_, updated)| updated).chain(averages).collect())
        };
        let (sums, trained) = if let Some(shares) = &tables.shares {
            let share = of_step(&mut graph, shares)?;
            let part = graph.mul(loss, share)?;
            self.optimizer.accumulate(&mut graph, part)?
        } else if fit.exchange.is_some() {
            self.optimizer.backward(&mut graph, loss)?
        } else {
            let updated = self.optimizer.train(&mut graph, loss)?;
            wanted.extend(averaged(&mut graph, updated)?);
            let unfit = average.map(|_| "the parameters are averaged".to_string());
            let unweighted = if source.data().weights().is_some() && self.loss.weighs_errors() {
                let (mut graph, loss, mut wanted) = self.step_graph(source, rows, losses, false)?;
                wanted.extend(self.optimizer.train(&mut graph, loss)?.into_iter().map(|(_, updated)| updated));
                Some((graph, wanted, self.loss.reduction()))
            } else {
                None
            };
            let (recording, how) = record(fit.path, &(graph, wanted), unweighted, unfit)?;
            return Ok((recording, None, how));
        };
        wanted.extend(sums);
        let mut update = Graph::new(&self.device);
        let updated = self.optimizer.update_by_sums(&mut update, &trained)?;
        let updated = averaged(&mut update, updated)?;
        let mut update = lower(&update, &updated)?.into_recording();
        if tables.shares.is_some() {
            self.parameters.record_zero_grad(&mut update)?;
        }
        let unfit = match fit.accumulate {
            1 => "the host has the gradients first".to_string(),
            mini_batches => format!("that of a mini-batch, of which {mini_batches} make one"),
        };
        let unfit = format!("{unfit}; then {} for the update", update.len());
        let (recording, how) = record(fit.path, &(graph, wanted), None, Some(unfit))?;
        Ok((recording, Some(update), how))
    }

    /// A mini-batch of `rows` samples, with their weights if they have some and `weighted` says so: gather, forward, loss into
    /// the history. With the loss, and what is wanted besides its gradients.
    pub(super) fn step_graph(
        &self,
        source: &Source<'_>,
        rows: usize,
        losses: &Tensor,
        weighted: bool,
    ) -> Result<(Graph, Var, Vec<Var>)> {
        let mut graph = Graph::new(&self.device).seed(random::fold(self.own_seed())).with_clock(&self.clock)?;
        let mut batch = source.gather(&mut graph, rows)?;
        batch.weights = batch.weights.filter(|_| weighted);
        let y = self.model.forward(&mut graph, batch.x)?;
        let loss = batch.loss(&mut graph, &*self.loss, y)?;
        let losses = graph.input(losses)?;
        let wanted = vec![graph.call1(IntoHistory, &[losses, loss])?];
        Ok((graph, loss, wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Labels, disk};
    use crate::graph::Rule;
    use crate::lower::Lowering;
    use crate::nn::{Linear, Mse, ReLU, Sequential, Sigmoid};
    use crate::ops::RULES;
    use crate::optim::Sgd;

    /// A mini-batch; four layers; the loss into the history, with its gradient through the last activation; then for each
    /// layer the gradients of weight and bias, and that of what it reads, through the activation before; the update.
    const STEP: &str = "
        gather.rows [2, 1] (b0[1 x 64], b1[64 x 2], b1+128[64 x 2]) -> b2[32 x 2], b3[32 x 2]
        matmul.small [16, 1] (b2[32 x 2], b4[25 x 2], b4+64[1 x 25]) -> b5[32 x 25]
        matmul.small [16, 1] (b5[32 x 25], b4+128[25 x 25], b4+768[1 x 25]) -> b6[32 x 25]
        matmul.small [16, 1] (b6[32 x 25], b4+832[25 x 25], b4+1472[1 x 25]) -> b7[32 x 25]
        matmul.small [4, 1] (b7[32 x 25], b4+1536[2 x 25], b4+1600[1 x 2]) -> b8[32 x 2]
        loss.both [1, 1] (b8[32 x 2], b3[32 x 2], b9[1 x 1]) -> b10[1 x 2], b11[32 x 2]
        matmul.small [5, 1] (b11[32 x 2], b7[32 x 25]) -> b12+1536[1 x 66]
        matmul.small [16, 1] (b11[32 x 2], b4+1536[2 x 25], b7[32 x 25]) -> b13[32 x 25]
        matmul.small [17, 1] (b13[32 x 25], b6[32 x 25]) -> b12+832[1 x 665]
        matmul.small [16, 1] (b13[32 x 25], b4+832[25 x 25], b6[32 x 25]) -> b14[32 x 25]
        matmul.small [17, 1] (b14[32 x 25], b5[32 x 25]) -> b12+128[1 x 665]
        matmul.small [16, 1] (b14[32 x 25], b4+128[25 x 25], b5[32 x 25]) -> b15[32 x 25]
        matmul.small [5, 1] (b15[32 x 25], b2[32 x 2]) -> b12[1 x 89]
        optim.sgd [26, 1] (b12[1 x 1664], b16[1 x 4]) -> b4[1 x 1664]
    ";

    /// A step's values take about half as much memory when what is merged away takes none.
    #[test]
    fn a_merged_step_is_half_as_long_and_takes_half_the_memory() {
        let device = Device::cpu();
        let data = disk(64, 0, Labels::OneHot).unwrap();
        let sizes = [[2, 25], [25, 25], [25, 25]];
        let hidden =
            |model: Sequential, [inputs, outputs]: [usize; 2]| model.add(Linear::new(inputs, outputs)).add(ReLU);
        let model = sizes.into_iter().fold(Sequential::new(), hidden).add(Linear::new(25, 2)).add(Sigmoid);
        let session = Session::new(&device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
        let source = Source::new(&device, Rows::all(&data), 32, u64::MAX).unwrap();
        let losses = Tensor::zeros(&device, 1, 2).unwrap();
        let (mut graph, loss, mut wanted) = session.step_graph(&source, 32, &losses, true).unwrap();
        let updated = session.optimizer.train(&mut graph, loss).unwrap();
        wanted.extend(updated.into_iter().map(|(_, updated)| updated));
        let step = |rules: &[Rule]| Lowering::default().rules(rules).lower(&graph, &wanted).unwrap();
        let (plain, merged) = (step(&[]), step(RULES));
        assert_eq!([plain.recording().len(), merged.recording().len()], [28, 14], "{plain:?}{merged:?}");
        let lines = |text: &str| text.trim().lines().map(|line| line.trim().to_string()).collect::<Vec<_>>();
        assert_eq!(lines(&merged.recording().to_string()), lines(STEP), "{}", merged.recording());
        // Inputs and targets; four layers with and without activation, as values and as gradients; the loss. All gradients
        // of parameters lie where the optimizer has them.
        assert_eq!(plain.allocated(), 32 * (2 + 2) + 4 * 32 * (3 * 25 + 2) + 1);
        // Inputs and targets; four layers as values and as gradients.
        assert_eq!(merged.allocated(), 32 * (2 + 2) + 2 * 32 * (3 * 25 + 2));
    }

    /// Eight of nine small members go side by side; the ninth alone. Larger ones go one after the other, and so do those
    /// of another activation.
    #[test]
    fn small_members_of_equal_shape_go_side_by_side() {
        let device = Device::cpu();
        let data = disk(64, 0, Labels::OneHot).unwrap();
        let side_by_side = |models: Vec<Sequential>| {
            let sessions: Vec<_> = models
                .into_iter()
                .enumerate()
                .map(|(seed, model)| Session::new(&device, model, Mse::new(), Sgd::new(0.1), seed as u64).unwrap())
                .collect();
            let mut sources: Vec<Source<'_>> = Vec::new();
            for _ in &sessions {
                sources.push(match sources.first() {
                    None => Source::new(&device, Rows::all(&data), 32, u64::MAX).unwrap(),
                    Some(first) => first.again(Rows::all(&data), 32, u64::MAX).unwrap(),
                });
            }
            let sessions: Vec<_> = sessions.iter().collect();
            Epoch::new(&sessions, sources, &Fit::new(1, 32), 2).unwrap().pass.side_by_side()
        };
        let model = |width: usize| Sequential::new().add(Linear::new(2, width)).add(ReLU).add(Linear::new(width, 2));
        assert_eq!(side_by_side((0..9).map(|_| model(25)).collect()), 8);
        assert_eq!(side_by_side((0..3).map(|_| model(25)).collect()), 0);
        assert_eq!(side_by_side((0..9).map(|_| model(2000)).collect()), 0);
        let other = || Sequential::new().add(Linear::new(2, 25)).add(Sigmoid).add(Linear::new(25, 2));
        assert_eq!(side_by_side((0..12).map(|i| if i < 5 { model(25) } else { other() }).collect()), 12);
        assert_eq!(side_by_side((0..9).map(|i| if i < 3 { model(25) } else { other() }).collect()), 6);
    }
}
