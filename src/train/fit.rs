//! What a call of `Trainer::fit` does.

use std::fmt;

use super::EpochRecord;
use crate::data::Dataset;

type OnEpoch<'a> = Box<dyn FnMut(&EpochRecord) + 'a>;

/// What [`Trainer::fit`](crate::Trainer::fit) does: how many epochs, in batches of what size, measured on what.
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) batch_size: usize,
    pub(super) validation: Option<&'a Dataset>,
    pub(super) drop_last: bool,
    pub(super) evaluate_every: usize,
    pub(super) steps_per_submit: u32,
    pub(super) fused: bool,
    pub(super) on_epoch: Option<OnEpoch<'a>>,
}

impl<'a> Fit<'a> {
    /// This many epochs of mini-batches of `batch_size` samples; the last one of an epoch may be smaller.
    pub fn new(epochs: usize, batch_size: usize) -> Self {
        Self {
            epochs,
            batch_size,
            validation: None,
            drop_last: false,
            evaluate_every: 1,
            steps_per_submit: u32::MAX,
            fused: true,
            on_epoch: None,
        }
    }

    /// Measures the model on this data, too.
    pub fn validation(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Leaves out the last mini-batch of an epoch when it is smaller than the others.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// Measures the model after every `n`-th epoch and the last (after each, unless told otherwise); with 0 after the
    /// last only. A measurement is a forward pass over the training and the validation data.
    pub fn evaluate_every(mut self, n: usize) -> Self {
        self.evaluate_every = n;
        self
    }

    /// At most this many steps in one submit to the GPU. The results are the same bits whatever it is; the default
    /// is as many as run within about 50 ms.
    pub fn steps_per_submit(mut self, n: u32) -> Self {
        self.steps_per_submit = n.max(1);
        self
    }

    /// Whether launches that can be merged are (they are unless told otherwise): see [`Recording::fused`](crate::Recording::fused).
    pub fn fused(mut self, fused: bool) -> Self {
        self.fused = fused;
        self
    }

    /// Calls `f` with each epoch's record as it comes in, which on a GPU is while the next epoch runs.
    pub fn on_epoch(mut self, f: impl FnMut(&EpochRecord) + 'a) -> Self {
        self.on_epoch = Some(Box::new(f));
        self
    }
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fit({} epochs, batches of {})", self.epochs, self.batch_size)
    }
}
