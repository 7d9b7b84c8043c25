//! The options of `Trainer::fit`.

use std::fmt;
#[cfg(feature = "safetensors")]
use std::path::PathBuf;

use super::metric::OwnMetric;
use super::{EarlyStopping, EpochRecord, Exchange, Monitor};
use crate::data::Dataset;
use crate::lower::StepPath;

type OnEpoch<'a> = Box<dyn FnMut(&EpochRecord) + Send + 'a>;
type Controller<'a> = Box<dyn FnMut(&EpochRecord) -> Control + Send + 'a>;

/// What [`Trainer::fit`](crate::Trainer::fit) does: epochs, batch size, evaluation, callbacks.
///
/// On a GPU an epoch's results come back while the next one runs. If something depends on them ([`Fit::control`],
/// [`Fit::early_stopping`], `Fit::checkpoint_best`), the next epoch waits, which costs time on small datasets.
///
/// Samples with weights ([`Dataset::with_weights`]) count so in the loss of each mini-batch, in that of the epoch and in all
/// measurements: a mean is the sum of weight * loss divided by the sum of the weights, as in PyTorch's
/// `CrossEntropyLoss(weight)` and scikit-learn's `sample_weight`. So a sample of weight 2 counts as two in its mini-batch, one of
/// weight 0 not at all, and weights that are all alike count as none (up to rounding). Mini-batches take steps of the same
/// length, whatever the sum of their weights is; with [`Reduction::Sum`](crate::nn::Reduction::Sum) it matters.
pub struct Fit<'a> {
    pub(super) epochs: usize,
    /// Whether `epochs` includes those that the trainer has already completed.
    pub(super) until: bool,
    pub(super) batch_size: usize,
    /// Mini-batches whose gradients make one step.
    pub(super) accumulate: usize,
    /// What remains of the average of the parameters in each step.
    pub(super) ema: Option<f32>,
    pub(super) validation: Option<&'a Dataset>,
    /// The rows of the training data to train on, and to validate on.
    pub(super) rows: Option<Vec<u32>>,
    pub(super) validation_rows: Option<Vec<u32>>,
    pub(super) drop_last: bool,
    pub(super) shuffle: bool,
    pub(super) evaluates: bool,
    pub(super) evaluates_train: bool,
    pub(super) evaluate_every: usize,
    pub(super) resident_bytes: u64,
    pub(super) steps_per_submit: u32,
    pub(super) path: StepPath,
    pub(super) on_epoch: Vec<OnEpoch<'a>>,
    pub(super) control: Option<Controller<'a>>,
    /// Given for what selects the best epoch.
    pub(super) monitor: Option<Monitor>,
    pub(super) metrics: Vec<OwnMetric<'a>>,
    pub(super) early_stopping: Option<EarlyStopping>,
    /// What gradients pass through.
    pub(super) exchange: Option<Box<dyn Exchange + 'a>>,
    #[cfg(feature = "safetensors")]
    pub(super) checkpoint: Option<(PathBuf, usize)>,
    #[cfg(feature = "safetensors")]
    pub(super) checkpoint_best: Option<PathBuf>,
    /// Epochs recorded in this call.
    pub(super) recorded: usize,
}

/// How training continues after an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Control {
    /// Unchanged.
    #[default]
    Continue,
    /// It stops: [`Trainer::fit`](crate::Trainer::fit) returns.
    Stop,
    /// With this learning rate: see [`Optimizer::set_learning_rate`](crate::optim::Optimizer::set_learning_rate).
    LearningRate(f32),
}

impl<'a> Fit<'a> {
    /// This many epochs of mini-batches of `batch_size` samples; the last one of an epoch may be smaller.
    pub fn new(epochs: usize, batch_size: usize) -> Self {
        Self {
            epochs,
            until: false,
            batch_size,
            accumulate: 1,
            ema: None,
            validation: None,
            rows: None,
            validation_rows: None,
            drop_last: false,
            shuffle: true,
            evaluates: true,
            evaluates_train: true,
            evaluate_every: 1,
            resident_bytes: u64::MAX,
            steps_per_submit: u32::MAX,
            path: StepPath::Auto,
            on_epoch: Vec::new(),
            control: None,
            monitor: None,
            metrics: Vec::new(),
            early_stopping: None,
            exchange: None,
            #[cfg(feature = "safetensors")]
            checkpoint: None,
            #[cfg(feature = "safetensors")]
            checkpoint_best: None,
            recorded: 0,
        }
    }

    /// Trains until this many epochs have completed in total: none, if they have already. For training that
    /// goes on where `Trainer::resume` left off; early stopping, too, then knows the epochs before.
    pub fn until(epochs: usize, batch_size: usize) -> Self {
        Self { until: true, ..Self::new(epochs, batch_size) }
    }

    /// Also evaluates the model on this data.
    pub fn validation(mut self, data: &'a Dataset) -> Self {
        self.validation = Some(data);
        self
    }

    /// Trains on these rows of the training data alone, which may repeat: one part of a cross-validation, a bootstrap
    /// sample. An epoch goes through each entry once.
    ///
    /// ```
    /// use wgrad::Fit;
    ///
    /// // Trains on rows 0 to 79, validates on rows 80 to 99.
    /// let fit = Fit::new(10, 16).rows(0..80).validation_rows(80..100);
    /// ```
    pub fn rows(mut self, rows: impl IntoIterator<Item = u32>) -> Self {
        self.rows = Some(rows.into_iter().collect());
        self
    }

    /// Also evaluates the model on these rows of the training data: see [`Fit::rows`].
    pub fn validation_rows(mut self, rows: impl IntoIterator<Item = u32>) -> Self {
        self.validation_rows = Some(rows.into_iter().collect());
        self
    }

    /// Drops the last mini-batch of an epoch if it is smaller than the others.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// Adds up the gradients of this many mini-batches for each step of the optimizer: what a batch that many times as large
    /// does (up to rounding), with the memory of one mini-batch. (`accumulate_grad_batches` in Lightning.)
    ///
    /// Steps, losses of steps and schedules are then those of the large batches. The last of an epoch may be smaller, also by
    /// whole mini-batches; [`Fit::drop_last`] drops it. Only what looks at a whole batch knows of the mini-batches:
    /// [`BatchNorm1d`](crate::nn::BatchNorm1d), whose statistics are those of each, and what dropout drops. The parameters'
    /// gradients are zero afterwards.
    ///
    /// ```
    /// use wgrad::Fit;
    ///
    /// let fit = Fit::new(10, 32).accumulate(8); // steps on 256 samples, 32 at a time
    /// ```
    pub fn accumulate(mut self, mini_batches: usize) -> Self {
        self.accumulate = mini_batches;
        self
    }

    /// Averages the parameters: after each step `average = decay * average + (1 - decay) * parameters`, beginning with those
    /// after the first step. PyTorch's `AveragedModel` with `get_ema_multi_avg_fn(decay)`, and Keras's `use_ema`.
    ///
    /// All measurements are those of the average, so that it selects the best epoch and stops training; and when `fit`
    /// returns, the parameters are the average (or, with early stopping, that of the best epoch): for
    /// [`Trainer::predictor`](crate::Trainer::predictor), [`Trainer::evaluate`](crate::Trainer::evaluate), and to save. Another
    /// `fit` goes on from there. [`Trainer::step`](crate::Trainer::step) averages nothing. A checkpoint that is written
    /// meanwhile has both, to resume to the bit; read as a model's file, it gives the parameters that are trained.
    /// Frozen parameters and buffers (running statistics) are not averaged.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
    /// use wgrad::optim::Adam;
    /// use wgrad::{Device, Fit, Trainer};
    ///
    /// let data = disk(200, 0, Labels::ZeroOne)?;
    /// let model = Sequential::new().add(Linear::new(2, 16)).add(ReLU).add(Linear::new(16, 1));
    /// let mut trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Adam::new(0.01), 0)?;
    /// let history = trainer.fit(&data, Fit::new(20, 20).ema(0.98))?;
    /// assert_eq!(trainer.evaluate(&data)?, history.epochs[19].train.unwrap());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn ema(mut self, decay: f32) -> Self {
        self.ema = Some(decay);
        self
    }

    /// Whether the samples are shuffled before each epoch (on by default); otherwise they come in the order of the dataset,
    /// or of [`Fit::rows`].
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Whether the model is evaluated at all (on by default). Without, the history has the losses of the mini-batches
    /// alone, and epochs take as long as their steps.
    ///
    /// ```
    /// use wgrad::Fit;
    ///
    /// let fit = Fit::new(100, 32).evaluate(false);
    /// ```
    pub fn evaluate(mut self, evaluate: bool) -> Self {
        self.evaluates = evaluate;
        self
    }

    /// Whether an evaluation includes the training data (on by default). Without, it takes as long as a forward pass over
    /// the validation data alone.
    pub fn evaluate_train(mut self, evaluate: bool) -> Self {
        self.evaluates_train = evaluate;
        self
    }

    /// Evaluates the model after every `n`-th epoch of the history and the last (by default after each); with 0 after
    /// the last only. An evaluation is a forward pass over the training and the validation data.
    pub fn evaluate_every(mut self, n: usize) -> Self {
        self.evaluate_every = n;
        self
    }

    /// Keeps a dataset on the device if it has at most `bytes` (4 for each value of its inputs, targets and weights) and fits;
    /// the default is to keep all that fits. Other data is uploaded in every epoch, in the epoch's order, and again
    /// for a measurement: in chunks of whole mini-batches, of `bytes` or 64 MiB, whichever is less, but at least one
    /// mini-batch (in a measurement, 4096 samples). The results are the same bits either way.
    ///
    /// Set it where the data would fit, but leave too little memory for the rest, or for other programs. Training and
    /// validation data count by themselves.
    ///
    /// ```
    /// use wgrad::Fit;
    ///
    /// let fit = Fit::new(10, 256).resident_bytes(1 << 30);
    /// ```
    pub fn resident_bytes(mut self, bytes: u64) -> Self {
        self.resident_bytes = bytes;
        self
    }

    /// At most this many steps in one submit to the GPU. The results are the same bits whatever it is; the default
    /// is as many as run within about 50 ms.
    pub fn steps_per_submit(mut self, n: u32) -> Self {
        self.steps_per_submit = n.max(1);
        self
    }

    /// How the steps become dispatches: [`StepPath::Auto`] unless set.
    pub fn path(mut self, path: StepPath) -> Self {
        self.path = path;
        self
    }

    /// Calls `f` with each epoch's record as it comes in, which may be while the next epoch runs. Called again, it
    /// adds another `f`.
    pub fn on_epoch(mut self, f: impl FnMut(&EpochRecord) + Send + 'a) -> Self {
        self.on_epoch.push(Box::new(f));
        self
    }

    /// Calls `f` after each epoch, before the next one begins, to decide how training continues.
    ///
    /// ```
    /// use wgrad::{Control, Fit};
    ///
    /// let fit = Fit::new(1000, 32).control(|record| match record.epoch {
    ///     _ if record.loss < 0.01 => Control::Stop,
    ///     500 => Control::LearningRate(0.03),
    ///     _ => Control::Continue,
    /// });
    /// ```
    pub fn control(mut self, f: impl FnMut(&EpochRecord) -> Control + Send + 'a) -> Self {
        self.control = Some(Box::new(f));
        self
    }

    /// Stops when the monitored metric no longer improves, and restores the parameters of the best epoch.
    pub fn early_stopping(mut self, stopping: EarlyStopping) -> Self {
        self.early_stopping = Some(stopping);
        self
    }

    /// The metric that selects the best epoch, for [`Fit::early_stopping`] and `Fit::checkpoint_best`: by default the loss on
    /// the validation data.
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Writes a checkpoint after every `n`-th epoch of the history (with 0, none of them) and after the last, from
    /// which [`Trainer::resume`](crate::Trainer::resume) continues. It replaces the previous one atomically: if
    /// interrupted, the file is either the old or the new one.
    #[cfg(feature = "safetensors")]
    pub fn checkpoint(mut self, path: impl Into<PathBuf>, n: usize) -> Self {
        self.checkpoint = Some((path.into(), n));
        self
    }

    /// Writes a checkpoint after each epoch that is the best so far: see [`Fit::monitor`].
    #[cfg(feature = "safetensors")]
    pub fn checkpoint_best(mut self, path: impl Into<PathBuf>) -> Self {
        self.checkpoint_best = Some(path.into());
        self
    }

    /// Shows a progress bar on the terminal: epochs, the loss, accuracy (or loss) and metrics of one's own on the validation
    /// data if there is any, steps per second, time left. Where the standard error stream is no terminal, nothing is shown.
    #[cfg(feature = "progress")]
    pub fn progress(self, show: bool) -> Self {
        if !show {
            return self;
        }
        let mut progress = super::progress::Progress::new(self.epochs, self.until);
        self.on_epoch(move |record| progress.show(record))
    }

    /// Whether another member of an ensemble with these options has the same steps and evaluations in an epoch.
    pub(super) fn runs_beside(&self, other: &Self) -> bool {
        let shape = |fit: &Self| {
            let lens = [&fit.rows, &fit.validation_rows].map(|rows| rows.as_ref().map(Vec::len));
            let validation = fit.validation.map(|data| (data.shape(), data.weights().is_some()));
            let evaluates = (fit.evaluates, fit.evaluates_train, fit.evaluate_every);
            let options = (fit.drop_last, fit.resident_bytes, fit.steps_per_submit, fit.path);
            (fit.batch_size, fit.accumulate, lens, validation, evaluates, options)
        };
        shape(self) == shape(other) && self.exchange.is_none() && other.exchange.is_none()
    }

    /// The metric that selects the best epoch.
    pub(super) fn monitored(&self) -> Monitor {
        self.monitor.unwrap_or_default()
    }

    /// Whether it matters which epoch is the best.
    pub(super) fn looks_for_best(&self) -> bool {
        #[cfg(feature = "safetensors")]
        let saves = self.checkpoint_best.is_some();
        #[cfg(not(feature = "safetensors"))]
        let saves = false;
        saves || self.early_stopping.is_some()
    }

    /// Whether the next epoch must wait for this one's results.
    pub(super) fn waits_for(&self, epoch: usize) -> bool {
        #[cfg(feature = "safetensors")]
        let saves = self.checkpoint.as_ref().is_some_and(|(_, n)| *n > 0 && epoch.is_multiple_of(*n));
        #[cfg(not(feature = "safetensors"))]
        let saves = epoch == 0;
        saves || self.control.is_some() || self.looks_for_best() || self.exchange.is_some()
    }
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fit({} epochs, batches of {})", self.epochs, self.batch_size)
    }
}
