//! An epoch of mini-batches, as dispatches.

use super::pass::{Pass, Source};
use super::{Fit, Session};
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Rule};
use crate::lower::Lowering;
use crate::ops::RULES;
use crate::ops::reduce::IntoHistory;

/// An epoch's dispatches.
pub(super) struct Epoch<'a> {
    /// Through the mini-batches, in an order that is shuffled anew each epoch.
    pub(super) pass: Pass<'a>,
    /// The loss of each step.
    pub(super) losses: Tensor,
}

impl Session {
    pub(super) fn record_epoch<'a>(&self, source: Source<'a>, fit: &Fit<'_>) -> Result<Epoch<'a>> {
        let losses = Tensor::zeros(&self.device, 1, source.steps(fit.drop_last).len())?;
        let rules = if fit.fused { RULES } else { &[] };
        let pass = Pass::new(source, fit.drop_last, |source, rows| self.record_step(source, rows, &losses, rules))?;
        Ok(Epoch { pass, losses })
    }

    /// One step on a mini-batch of `rows` samples: gather, forward, loss into the history, backward, update.
    fn record_step(&self, source: &Source<'_>, rows: usize, losses: &Tensor, rules: &[Rule]) -> Result<Recording> {
        let mut graph = Graph::new(&self.device).seed(crate::random::fold(self.seed)).with_clock(&self.clock)?;
        let [x, t] = source.gather(&mut graph, rows)?;
        let y = self.model.forward(&mut graph, x)?;
        let loss = self.loss.forward(&mut graph, y, t)?;
        let losses = graph.input(losses)?;
        let mut wanted = vec![graph.call1(IntoHistory, &[losses, loss])?];
        wanted.extend(self.optimizer.train(&mut graph, loss)?);
        Ok(Lowering::default().rules(rules).lower(&graph, &wanted)?.into_recording())
    }
}
