//! Where numbers that are not finite came from: the epoch is run again from the state before it, up to the step in which
//! they appear, and that step call by call.

use std::collections::HashMap;

use super::epoch::{Epoch, epoch_order};
use super::pass::{Rows, Source, step_counts};
use super::snapshot::Snapshots;
use super::{Fit, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Node, Var};
use crate::lower::Lowering;
use crate::nn::Parameters;

/// An epoch that left the finite numbers.
pub(super) struct Diverged {
    pub(super) epoch: usize,
    /// The mini-batch, from 0, whose loss was the first that is not finite, and the loss; if there is none, all, after
    /// which parameters were not.
    pub(super) step: usize,
    pub(super) loss: Option<f32>,
}

/// Why an epoch's results are no results.
pub(super) enum Stopped {
    Diverged(Diverged),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Diverged {
    /// The error, with the place if that is found.
    pub(super) async fn explained(
        self,
        session: &mut Session,
        snapshots: &mut Snapshots,
        // Mutable, as its callbacks may be sent to another thread but not shared.
        fit: &mut Fit<'_>,
        rows: Rows<'_>,
    ) -> Error {
        // Other trainers take no part in it.
        let alone = fit.exchange.is_none();
        let place = match alone.then(|| Replay::new(session, snapshots, fit, rows, self.epoch)) {
            None => Ok(None),
            Some(Ok(mut replay)) => replay.place(self.step).await,
            Some(Err(error)) => Err(error),
        };
        let place = place.unwrap_or_else(|error| {
            log::debug!("where the loss became infinite or NaN was not found: {error}");
            None
        });
        let Self { epoch, step, loss } = self;
        // Of the optimizer, whose steps several mini-batches may make.
        let number = |mini_batch: usize| mini_batch / fit.accumulate + 1;
        let what = match (loss, place) {
            (_, Some(Place::Update { step, parameter })) => format!(
                "the update of epoch {epoch}, step {} made parameters infinite or NaN, of {parameter} the first",
                number(step)
            ),
            (Some(loss), Some(Place::Call(call))) => {
                format!(
                    "the loss became {loss} in epoch {epoch}, step {}: the first such number is in {call}",
                    number(step)
                )
            }
            (Some(loss), None) => format!("the loss became {loss} in epoch {epoch}, step {}", number(step)),
            (None, _) => format!("parameters became infinite or NaN in epoch {epoch}"),
        };
        Error::new(ErrorKind::NotFinite, "fit", what + "; try a smaller learning rate")
    }
}

enum Place {
    /// In a step with finite parameters, this call's output.
    Call(String),
    /// In the update at the end of a step.
    Update { step: usize, parameter: String },
}

struct Replay<'r, 'd> {
    session: &'r mut Session,
    snapshots: &'r mut Snapshots,
    plan: Epoch<'d>,
    order: [Vec<u32>; 1],
    epoch: usize,
}

impl<'r, 'd> Replay<'r, 'd> {
    fn new(
        session: &'r mut Session,
        snapshots: &'r mut Snapshots,
        fit: &Fit<'_>,
        rows: Rows<'d>,
        epoch: usize,
    ) -> Result<Self> {
        let source = Source::new(&session.device, rows, fit.batch_size, fit.resident_bytes)?;
        let steps = source.steps(fit.accumulate, fit.drop_last).len().div_ceil(fit.accumulate);
        let plan = Epoch::new(&[&*session], vec![source], fit, steps)?;
        let order = [epoch_order(rows, fit, session.own_seed(), epoch)];
        let step_rows = &plan.pass.step_rows;
        let counts = match rows.counts(&*session.loss) {
            Some(counts) => step_counts(&counts, &order[0], step_rows),
            None => step_rows.iter().map(|rows| *rows as f64).collect(),
        };
        // What becomes of an average does not matter here.
        let averaging = vec![1.0; if session.average.is_some() { plan.steps } else { 0 }];
        plan.set(0, session.loss.reduction(), &counts, &averaging)?;
        Ok(Self { session, snapshots, plan, order, epoch })
    }

    /// Goes to the state after this many steps of the epoch.
    async fn go_to(&mut self, steps: usize) -> Result<()> {
        let session = &mut *self.session;
        self.snapshots.restore(&mut session.optimizer, self.epoch - 1)?;
        session.begin_epoch(self.plan.steps, self.plan.accumulate)?;
        self.plan.pass.run(Some(&self.order), steps, u32::MAX, None).await
    }

    /// The first parameter that is not finite after this many steps.
    async fn faulty_parameter(&mut self, steps: usize) -> Result<Option<String>> {
        self.go_to(steps).await?;
        faulty_parameter(&self.session.parameters).await
    }

    /// What happened first, in the steps up to this one, or in its forward pass.
    async fn place(&mut self, step: usize) -> Result<Option<Place>> {
        let Some(mut parameter) = self.faulty_parameter(step).await? else {
            return self.faulty_call(step).await.map(|call| call.map(Place::Call));
        };
        // Once there, they stay.
        let (mut good, mut bad) = (0, step);
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            match self.faulty_parameter(middle).await? {
                Some(found) => (bad, parameter) = (middle, found),
                None => good = middle,
            }
        }
        Ok(Some(Place::Update { step: good, parameter }))
    }

    /// The first call in this step whose output is not finite.
    async fn faulty_call(&mut self, step: usize) -> Result<Option<String>> {
        self.go_to(step).await?;
        let pass = &self.plan.pass;
        let Some(rows) = pass.step_rows.get(step) else { return Ok(None) };
        let source = pass.placed(0, step, &self.order[0])?;
        let (mut graph, _, wanted) = self.session.step_graph(source, *rows, &self.plan.traces[0].losses, true)?;
        faulty_call(&mut graph, &wanted, step as u32, &self.session.parameters).await
    }
}

/// The first of these parameters that is not finite.
pub(super) async fn faulty_parameter(parameters: &Parameters) -> Result<Option<String>> {
    for (name, parameter) in parameters.named() {
        if parameter.value()?.read_async()?.await?.iter().any(|value| !value.is_finite()) {
            return Ok(Some(name.to_string()));
        }
    }
    Ok(None)
}

/// The first call of a graph whose output is not finite: runs it call by call, as this step.
pub(super) async fn faulty_call(
    graph: &mut Graph,
    wanted: &[Var],
    step: u32,
    parameters: &Parameters,
) -> Result<Option<String>> {
    let lowered = Lowering::default().rules(&[]).lower(graph, wanted)?;
    lowered.recording().run_steps_async(step..step + 1).await?;
    let mut names = HashMap::new();
    for (name, parameter) in parameters.named() {
        names.insert(parameter.var(graph)?, name);
    }
    let mut last = None;
    for node in graph.nodes() {
        let own = described(node, &names);
        for output in &node.outputs {
            let Some(tensor) = lowered.tensor(*output) else { continue };
            let values = tensor.read_async()?.await?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let after = match (&own, last) {
                    (Some(_), _) | (None, None) => String::new(),
                    (None, Some(last)) => format!(", after {last}"),
                };
                return Ok(Some(place_in(graph, node, *output, at, own.unwrap_or_default() + &after)?));
            }
        }
        last = own.map(|own| own.trim().to_string()).or(last);
    }
    Ok(None)
}

/// The parameters that a call reads.
fn described(node: &Node, names: &HashMap<Var, &str>) -> Option<String> {
    let own: Vec<&str> = node.inputs.iter().filter_map(|input| names.get(input).copied()).collect();
    (!own.is_empty()).then(|| format!(" ({})", own.join(", ")))
}

fn place_in(graph: &Graph, node: &Node, output: Var, at: usize, about: String) -> Result<String> {
    let [_, cols] = graph.shape(output)?;
    let operation = format!("{:?}", node.op);
    let operation = operation.split([' ', '(', '{']).next().unwrap_or_default();
    Ok(format!("the output of {operation}{about}, row {}, column {}", at / cols, at % cols))
}
