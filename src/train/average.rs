//! The exponential moving average of the parameters.

use std::ops::Range;

use super::table::of_step;
use crate::device::{Recording, Tensor};
use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::nn::{Parameters, Stretch};
use crate::ops::copy::{AddTo, broadcast};

/// The average of what is trained, and what it takes to have it in the parameters' place for a while.
pub(super) struct Average {
    /// Laid out as the parameters' list.
    pub(super) values: Tensor,
    /// Whether a step has been averaged: the first one's parameters are taken as they are.
    pub(super) begun: bool,
    /// Whether it is a checkpoint's, whose parameters are not the average.
    pub(super) resumed: bool,
    show: Recording,
    hide: Recording,
}

/// What is averaged.
pub(super) fn trained(parameters: &Parameters) -> Vec<Stretch> {
    parameters.stretches(|parameter| !parameter.is_frozen() && !parameter.is_buffer(), |_| None)
}

impl Average {
    /// Of these parameters, not begun: `values` is what a checkpoint had.
    pub(super) fn new(parameters: &Parameters, resumed: Option<&[f32]>) -> Result<Self> {
        let device = parameters.device();
        let len = parameters.padded_len();
        let values = Tensor::zeros(device, 1, len)?;
        if let Some(resumed) = resumed {
            values.write(resumed)?;
        }
        let [mut show, mut hide] = [(); 2].map(|()| Recording::new(device));
        let held = Tensor::zeros(device, 1, len)?;
        for stretch in trained(parameters) {
            let live = stretch.values()?;
            let [held, average] = [&held, &values].map(|tensor| tensor.view(stretch.start, 1, stretch.len));
            let (held, average) = (held?, average?);
            broadcast(&mut show, &live, 1.0, &held, false)?;
            broadcast(&mut show, &average, 1.0, &live, false)?;
            broadcast(&mut hide, &held, 1.0, &live, false)?;
        }
        let is_resumed = resumed.is_some();
        Ok(Self { values, begun: is_resumed, resumed: is_resumed, show, hide })
    }

    /// Adds to a graph what averages these parameters after each step: `average += weight (parameter - average)`, with the
    /// step's weight from a table.
    pub(super) fn call(
        &self,
        graph: &mut Graph,
        updated: &[(Range<usize>, Var)],
        weights: &Tensor,
    ) -> Result<Vec<Var>> {
        let weight = of_step(graph, weights)?;
        let mut wanted = Vec::new();
        for (range, after) in updated {
            let before = graph.input(&self.values.view(range.start, 1, range.len())?)?;
            let change = graph.sub(*after, before)?;
            let change = graph.mul(change, weight)?;
            wanted.push(graph.call1(AddTo, &[before, change])?);
        }
        Ok(wanted)
    }

    /// The weights of so many steps, of which the first may be the first of all.
    pub(super) fn weights(decay: f32, steps: usize, begun: bool) -> Vec<f32> {
        let mut weights = vec![1.0 - decay; steps];
        if let Some(first) = weights.first_mut().filter(|_| !begun) {
            *first = 1.0;
        }
        weights
    }

    /// Compiles what it takes.
    pub(super) async fn prepare(&self) -> Result<()> {
        self.show.prepare().await?;
        self.hide.prepare().await
    }

    /// Puts the average in the parameters' place.
    pub(super) async fn show(&self) -> Result<()> {
        self.show.run_steps_async(0..1).await
    }

    /// [`Average::show`], at the end, where nothing may wait.
    pub(super) fn show_at_last(&self) -> Result<()> {
        self.show.run()
    }

    /// Puts the parameters back that were there before.
    pub(super) async fn hide(&self) -> Result<()> {
        self.hide.run_steps_async(0..1).await
    }
}
