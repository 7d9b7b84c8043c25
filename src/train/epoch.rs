//! An epoch of mini-batches, as dispatches.

use super::pass::{Pass, Source};
use super::{Fit, Session};
use crate::device::Tensor;
use crate::error::Result;
use crate::graph::{Graph, Rule};
use crate::lower::{Lowered, Lowering};
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
        let pass = Pass::new(source, fit.drop_last, |source, rows| {
            Ok(self.lower_step(source, rows, &losses, rules)?.into_recording())
        })?;
        Ok(Epoch { pass, losses })
    }

    /// One step on a mini-batch of `rows` samples: gather, forward, loss into the history, backward, update.
    fn lower_step(&self, source: &Source<'_>, rows: usize, losses: &Tensor, rules: &[Rule]) -> Result<Lowered> {
        let mut graph = Graph::new(&self.device).seed(crate::random::fold(self.seed)).with_clock(&self.clock)?;
        let [x, t] = source.gather(&mut graph, rows)?;
        let y = self.model.forward(&mut graph, x)?;
        let loss = self.loss.forward(&mut graph, y, t)?;
        let losses = graph.input(losses)?;
        let mut wanted = vec![graph.call1(IntoHistory, &[losses, loss])?];
        wanted.extend(self.optimizer.train(&mut graph, loss)?);
        Lowering::default().rules(rules).lower(&graph, &wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Labels, disk};
    use crate::device::Device;
    use crate::nn::{Linear, Mse, ReLU, Sequential, Sigmoid};
    use crate::optim::Sgd;

    /// A step's values take about half as much memory when what is merged away takes none.
    #[test]
    fn a_merged_step_takes_half_the_memory() {
        let device = Device::cpu();
        let data = disk(64, 0, Labels::OneHot).unwrap();
        let sizes = [[2, 25], [25, 25], [25, 25]];
        let hidden =
            |model: Sequential, [inputs, outputs]: [usize; 2]| model.add(Linear::new(inputs, outputs)).add(ReLU);
        let model = sizes.into_iter().fold(Sequential::new(), hidden).add(Linear::new(25, 2)).add(Sigmoid);
        let session = Session::new(&device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
        let source = Source::new(&device, &data, 32, u64::MAX).unwrap();
        let losses = Tensor::zeros(&device, 1, 2).unwrap();
        let step = |rules: &[Rule]| session.lower_step(&source, 32, &losses, rules).unwrap();
        let (plain, merged) = (step(&[]), step(RULES));
        assert_eq!([plain.recording().len(), merged.recording().len()], [28, 14], "{plain:?}{merged:?}");
        // Inputs and targets; four layers with and without activation, as values and as gradients; the loss. All gradients
        // of parameters lie where the optimizer has them.
        assert_eq!(plain.allocated(), 32 * (2 + 2) + 4 * 32 * (3 * 25 + 2) + 1);
        // Inputs and targets; four layers as values and as gradients.
        assert_eq!(merged.allocated(), 32 * (2 + 2) + 2 * 32 * (3 * 25 + 2));
    }
}
