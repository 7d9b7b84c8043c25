//! The loop over epochs, of one session or of several side by side.

use std::collections::VecDeque;

use super::average::Average;
use super::clock::Clock;
use super::diverged::Stopped;
use super::epoch::{Epoch, PendingTraces, epoch_order};
use super::evaluation::{Evaluation, PendingMetrics, chunk_rows};
use super::measure::Samples;
use super::pass::{Rows, Source, step_counts};
use super::snapshot::Snapshots;
use super::together::{Exchanging, Steps};
use super::{Fit, History, Session};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Claim;

/// Of a larger model no second epoch is queued before the first one's results are there: its epochs are long, and a second
/// snapshot of it would take memory.
const MAX_AHEAD: usize = 1 << 20;

/// An epoch whose results are on their way.
pub(super) struct PendingEpoch {
    pub(super) epoch: usize,
    pub(super) traces: PendingTraces,
    /// Steps and epochs of the optimizer after it.
    pub(super) at: (u64, usize),
    /// How much each mini-batch counts in a mean, if not as much as it has rows.
    pub(super) counts: Option<Vec<f64>>,
    /// The steps of all trainers, of several that train together.
    pub(super) exchanged: Option<Steps>,
    pub(super) train: Option<PendingMetrics>,
    pub(super) validation: Option<PendingMetrics>,
}

/// A session while it trains. However training ends (a return, an error, a panic in a callback, a future that is dropped),
/// parameters and optimizer are those of the last epoch in the history.
struct Running<'s, 'f> {
    session: &'s mut Session,
    fit: Fit<'f>,
    /// Its place among the sessions that began.
    number: usize,
    /// How much each sample counts in a mean, if not all count alike.
    counts: Option<Vec<f64>>,
    snapshots: Snapshots,
    /// Epochs and steps recorded before this call.
    already: [usize; 2],
    /// The last epoch to train.
    last: usize,
    /// Epochs queued so far, over all calls.
    queued: usize,
    /// Those whose results are on their way.
    pending: VecDeque<PendingEpoch>,
    stop: bool,
    /// Whether it came to its end.
    is_over: bool,
}

impl<'s, 'f> Running<'s, 'f> {
    async fn begin(session: &'s mut Session, fit: Fit<'f>, number: usize, rows: Rows<'_>) -> Result<Self> {
        let already = [session.history.epochs.len(), session.history.step_losses.len()];
        let goes_on = fit.until && fit.looks_for_best();
        session.best = session.best.take().filter(|best| goes_on && best.monitor == format!("{:?}", fit.monitored()));
        session.keep_beginning().await?;
        let slots = if session.parameters.count() <= MAX_AHEAD { 2 } else { 1 };
        let average = session.average.as_ref().map(|average| &average.values);
        Ok(Self {
            number,
            counts: rows.counts(&*session.loss),
            snapshots: Snapshots::new(&session.parameters, &session.optimizer, average, slots).await?,
            already,
            last: if fit.until { fit.epochs } else { already[0].saturating_add(fit.epochs) },
            queued: already[0],
            pending: VecDeque::new(),
            stop: session.is_patience_out(&fit),
            is_over: false,
            session,
            fit,
        })
    }

    fn is_done(&self) -> bool {
        self.queued >= self.last || self.stop
    }

    /// Prepares the next epoch, of this many steps; gives the order of the rows.
    async fn begin_epoch(&mut self, rows: Rows<'_>, steps: usize) -> Result<Vec<u32>> {
        let session = &mut *self.session;
        self.snapshots.save(&session.optimizer, self.queued).await?;
        self.queued += 1;
        session.begin_epoch(steps, self.fit.accumulate)?;
        Ok(epoch_order(rows, &self.fit, session.own_seed(), self.queued))
    }

    /// Whether the epoch that is queued is measured.
    fn measures(&self) -> bool {
        let every = self.fit.evaluate_every;
        self.fit.evaluates && (self.queued == self.last || (every > 0 && self.queued.is_multiple_of(every)))
    }

    /// Takes in the results of all epochs but the last one, which the device may still work on, or of that, too.
    async fn take_in(
        &mut self,
        rows: Rows<'_>,
        step_rows: &[f64],
        samples: &[Samples<'_>; 2],
        clock: &Clock,
    ) -> Result<()> {
        let epoch = self.queued;
        let runs_ahead = self.session.parameters.count() <= MAX_AHEAD;
        let ahead = usize::from(runs_ahead && epoch < self.last && !self.fit.waits_for(epoch));
        while self.pending.len() > ahead {
            let Some(oldest) = self.pending.pop_front() else { break };
            let Self { session, snapshots, fit, .. } = self;
            self.stop = match session.take_in(oldest, step_rows, samples, clock, fit).await {
                Ok(stop) => stop,
                Err(Stopped::Diverged(diverged)) => {
                    return Err(diverged.explained(session, snapshots, fit, rows).await);
                }
                Err(Stopped::Failed(error)) => return Err(error),
            };
        }
        #[cfg(feature = "safetensors")]
        if let Some((path, every)) = self.fit.checkpoint.as_ref().filter(|_| self.session.rank == 0)
            && (epoch == self.last || self.stop || (*every > 0 && epoch.is_multiple_of(*every)))
        {
            self.session.save_checkpoint(path).await?;
        }
        Ok(())
    }

    /// What the parameters after each of the epoch's steps count in their average, if there is one.
    fn averaging(&self, steps: usize) -> Vec<f32> {
        let (Some(decay), Some(average)) = (self.fit.ema, &self.session.average) else { return Vec::new() };
        Average::weights(decay, steps, average.begun || self.queued > self.already[0] + 1)
    }

    /// The steps of an epoch, each by the gradients of all trainers.
    async fn run_exchanged(&mut self, plan: &Epoch<'_>, orders: &[Vec<u32>], counts: &[f64]) -> Result<Option<Steps>> {
        let (Some(exchange), Some(traces)) = (&mut self.fit.exchange, plan.traces.first()) else { return Ok(None) };
        let mut exchanging = Exchanging::new(&mut **exchange, self.session, &traces.losses, counts, plan.accumulate)?;
        plan.pass.run(Some(orders), counts.len(), u32::MAX, Some(&mut exchanging)).await?;
        for step in counts.len().div_ceil(plan.accumulate)..plan.steps {
            plan.pass.follow_up(step, Some(&mut exchanging)).await?;
        }
        let steps = exchanging.steps;
        self.session.end_exchange(&mut **exchange, self.queued).await?;
        Ok(Some(steps))
    }

    fn end(&mut self, clock: &Clock) -> Result<History> {
        self.is_over = true;
        let Session { parameters, average, best, kept, .. } = &mut *self.session;
        if let Some(average) = average {
            average.show_at_last()?;
            kept.iter_mut().for_each(|kept| kept.show_average(parameters));
        }
        if let (Some(best), Some(_)) = (best, &self.fit.early_stopping) {
            parameters.write(&best.values)?;
            kept.iter_mut().for_each(|kept| kept.parameters.clone_from(&best.values));
        }
        let [epochs, steps] = self.already;
        Ok(self.session.history.since(epochs, steps, clock.seconds()))
    }
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        let recorded = self.session.history.epochs.len();
        if self.queued != recorded
            && let Err(error) = self.snapshots.restore(&mut self.session.optimizer, recorded)
        {
            log::error!("the parameters after epoch {recorded} could not be put back: {error}");
        }
        if let (false, Some(average)) = (self.is_over, &self.session.average)
            && let Err(error) = average.show_at_last()
        {
            log::error!("the average of the parameters could not be put in their place: {error}");
        }
    }
}

/// Trains sessions on one device side by side, whose epochs have the same steps and the same evaluations. Each gives the
/// history that it would alone, or the error that stopped it; the others go on.
pub(super) async fn train(
    mut sessions: Vec<&mut Session>,
    data: &[&Dataset],
    mut fits: Vec<Fit<'_>>,
) -> Result<Vec<Result<History>>> {
    let clock = Clock::start();
    let chosen: Vec<_> = fits.iter().map(|fit| [fit.rows.clone(), fit.validation_rows.clone()]).collect();
    let Some(first) = fits.first() else { return Ok(Vec::new()) };
    for ((session, data), fit) in sessions.iter_mut().zip(data).zip(&fits) {
        fit.check(data, session.loss.decision())?;
        for data in std::iter::once(*data).chain(fit.validation) {
            session.loss.check_targets(data, session.output_cols(data)?)?;
        }
    }
    let claim = |session: &&mut Session| Claim::new("fit", session.parameters.named());
    let _claims = sessions.iter().map(claim).collect::<Result<Vec<_>>>()?;
    let rows: Vec<_> =
        data.iter().zip(&chosen).map(|(data, [rows, _])| Rows { data, chosen: rows.as_deref() }).collect();
    let mut held_out = Some(Vec::new());
    for ((fit, data), [_, chosen]) in fits.iter().zip(data).zip(&chosen) {
        let rows = match (fit.validation, chosen) {
            (Some(data), _) => Some(Rows::all(data)),
            (None, Some(rows)) => Some(Rows { data, chosen: Some(rows) }),
            (None, None) => None,
        };
        held_out = held_out.zip(rows).map(|(mut all, rows)| {
            all.push(rows);
            all
        });
    }
    let has_metrics: Vec<bool> = fits.iter().map(|fit| !fit.metrics.is_empty()).collect();
    let mut samples: Vec<[Samples<'_>; 2]> = Vec::new();
    for (member, wanted) in has_metrics.iter().enumerate() {
        let own = [rows.get(member), held_out.as_ref().and_then(|rows| rows.get(member))]
            .map(|rows| rows.filter(|_| *wanted));
        let [train, validation] = own.map(|rows| rows.map(Rows::samples).transpose());
        samples.push([train?, validation?]);
    }
    let (device, resident) = (sessions[0].device.clone(), first.resident_bytes);
    let sources = sources(&device, &rows, first.batch_size, resident, &[])?;
    let measured = self::sources(&device, &rows, chunk_rows(&device, data[0]), resident, &sources)?;
    let held_out =
        held_out.map(|rows| self::sources(&device, &rows, chunk_rows(&device, rows[0].data), resident, &sources));
    let held_out = held_out.transpose()?;
    let mut steps = sources[0].steps(first.accumulate, first.drop_last).len().div_ceil(first.accumulate);
    for ((session, fit), data) in sessions.iter_mut().zip(&mut fits).zip(data) {
        session.rank = fit.exchange.as_ref().map_or(0, |exchange| exchange.rank());
        if fit.exchange.is_some() {
            steps = session.begin_exchange(fit, data, steps).await?;
        }
        // They know the rates' old place.
        session.steps.clear();
        session.optimizer.reserve(rows[0].len().div_ceil(fit.batch_size * fit.accumulate).max(steps))?;
    }
    // No future may hold on to `fits` or what trains with them, whose callbacks no two threads may share.
    let averages: Vec<bool> = fits.iter().map(|fit| fit.ema.is_some()).collect();
    for (session, wanted) in sessions.iter_mut().zip(averages) {
        session.begin_average(wanted).await?;
    }
    // Not the same borrow: see above.
    let Some(first) = fits.first() else { return Ok(Vec::new()) };
    let (mut plan, mut evaluation, mut validation) = {
        let sessions: Vec<&Session> = sessions.iter().map(|session| &**session).collect();
        (
            Epoch::new(&sessions, sources, first, steps)?,
            Evaluation::new(&sessions, measured, &has_metrics)?,
            held_out.map(|sources| Evaluation::new(&sessions, sources, &has_metrics)).transpose()?,
        )
    };
    let (steps_per_submit, evaluates_train) = (first.steps_per_submit, first.evaluates_train);
    let step_rows: Vec<f64> = plan.pass.step_rows.iter().map(|rows| *rows as f64).collect();
    let mut results: Vec<Option<Result<History>>> = fits.iter().map(|_| None).collect();
    let mut running = Vec::new();
    for (number, (session, fit)) in sessions.into_iter().zip(fits).enumerate() {
        running.push(Running::begin(session, fit, number, rows[number]).await?);
    }
    loop {
        // Who is done, or has failed, leaves.
        let mut keep = Vec::new();
        for member in &mut running {
            if member.is_done() && results[member.number].is_none() {
                results[member.number] = Some(member.end(&clock));
            }
            keep.push(results[member.number].is_none());
        }
        if keep.contains(&false) {
            running.retain(|member| results[member.number].is_none());
            if running.is_empty() {
                break;
            }
            plan.retain(&keep)?;
            evaluation.retain(&keep)?;
            validation.as_mut().map_or(Ok(()), |validation| validation.retain(&keep))?;
        }
        let mut orders = Vec::new();
        for member in &mut running {
            orders.push(member.begin_epoch(rows[member.number], plan.steps).await?);
        }
        let mut counts = Vec::new();
        for (number, (member, order)) in running.iter().zip(&orders).enumerate() {
            let own = member.counts.as_ref().map(|counts| step_counts(counts, order, &plan.pass.step_rows));
            let reduction = member.session.loss.reduction();
            plan.set(number, reduction, own.as_deref().unwrap_or(&step_rows), &member.averaging(plan.steps))?;
            counts.push(own);
        }
        let exchanged = match running.iter_mut().find(|member| member.fit.exchange.is_some()) {
            None => plan.pass.run(Some(&orders), step_rows.len(), steps_per_submit, None).await.map(|()| None)?,
            // It is the only one.
            Some(member) => {
                let counts = counts[0].as_deref().unwrap_or(&step_rows);
                member.run_exchanged(&plan, &orders, counts).await?
            }
        };
        let mut all_traces = Vec::new();
        for traces in &plan.traces {
            all_traces.push(traces.read().await?);
        }
        let measures = running.iter().any(Running::measures);
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        if measures {
            let averages: Vec<_> = running.iter().filter_map(|member| member.session.average.as_ref()).collect();
            for average in &averages {
                average.show().await?;
            }
            if evaluates_train {
                train = evaluation.start().await?;
            }
            if let Some(validation) = &validation {
                held_out = validation.start().await?;
            }
            for average in &averages {
                average.hide().await?;
            }
        }
        let (mut train, mut held_out) = (train.into_iter(), held_out.into_iter());
        let mut exchanged = exchanged.into_iter();
        for ((member, traces), counts) in running.iter_mut().zip(all_traces).zip(counts) {
            let (train, validation) = (train.next(), held_out.next());
            let (epoch, measures) = (member.queued, member.measures());
            let at = (member.session.optimizer.steps(), member.session.optimizer.epoch());
            let [train, validation] = [train, validation].map(|pending| pending.filter(|_| measures));
            let exchanged = exchanged.next();
            member.pending.push_back(PendingEpoch { epoch, traces, at, counts, exchanged, train, validation });
        }
        for member in &mut running {
            if let Err(error) = member.take_in(rows[member.number], &step_rows, &samples[member.number], &clock).await {
                results[member.number] = Some(Err(error));
            }
        }
    }
    let unfinished = || Err(Error::input("fit", "training ended before its last epoch"));
    Ok(results.into_iter().map(|result| result.unwrap_or_else(unfinished)).collect())
}

/// A source for each member. A dataset that fits on the device is there once, with those that are `there`.
fn sources<'a>(
    device: &Device,
    rows: &[Rows<'a>],
    step_rows: usize,
    resident_bytes: u64,
    there: &[Source<'a>],
) -> Result<Vec<Source<'a>>> {
    let mut sources: Vec<Source<'a>> = Vec::new();
    for rows in rows {
        let same = sources.iter().chain(there).find(|source| std::ptr::eq(source.data(), rows.data));
        sources.push(match same {
            Some(same) => same.again(*rows, step_rows, resident_bytes)?,
            None => Source::new(device, *rows, step_rows, resident_bytes)?,
        });
    }
    Ok(sources)
}

impl Session {
    /// Prepares for steps that are averaged, or are not.
    async fn begin_average(&mut self, wanted: bool) -> Result<()> {
        // What is frozen may be another part of the parameters than before, so that the copies are recorded anew.
        let before = self.average.take().filter(|_| wanted);
        if !wanted {
            return Ok(());
        }
        let resumed = match &before {
            Some(average) if average.resumed => Some(average.values.read_async()?.await?),
            _ => None,
        };
        let mut average = Average::new(&self.parameters, resumed.as_deref())?;
        if resumed.is_none() {
            // Where it ended before, or other values that the caller has put there since.
            average.values.write(&self.parameters.read_async().await?)?;
            average.begun = before.is_some_and(|before| before.begun);
        }
        average.prepare().await?;
        average.resumed = false;
        self.average = Some(average);
        Ok(())
    }

    /// Trains, and returns the records of these epochs: see [`Trainer::fit`](crate::Trainer::fit).
    ///
    /// # Errors
    /// See [`Trainer::fit`](crate::Trainer::fit).
    pub async fn fit(&mut self, data: &Dataset, fit: Fit<'_>) -> Result<History> {
        let results = train(vec![self], &[data], vec![fit]).await?;
        results.into_iter().next().unwrap_or_else(|| Err(Error::input("fit", "nothing was trained")))
    }
}
