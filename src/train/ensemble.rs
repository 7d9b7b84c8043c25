//! Many networks at once.

use std::collections::HashMap;
use std::fmt;
#[cfg(feature = "safetensors")]
use std::path::{Path, PathBuf};

use super::run::train;
use super::{Fit, History, Monitor, Session, Trainer};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};

/// Trainers that run side by side: several seeds, a sweep over learning rates, the folds of a cross-validation.
///
/// Every member has a model, an optimizer, a seed and a history of its own, and trains to the same bits as it would alone; one
/// that diverges or stops early leaves the others as they are. On the CPU, small members of equal shape go eight at a time, one
/// in each lane of the processor's vectors, and all share the cores. On a GPU, members of equal shape that take the fused path
/// ([`StepPath`](crate::StepPath)) share dispatches, a workgroup each; others share submits.
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
/// use wgrad::optim::Sgd;
/// use wgrad::{Device, Ensemble, Fit, Monitor, Trainer};
///
/// let data = disk(200, 0, Labels::ZeroOne)?;
/// let device = Device::cpu();
/// let mut ensemble = Ensemble::new((0..10).map(|seed| {
///     let model = Sequential::new().add(Linear::new(2, 8)).add(ReLU).add(Linear::new(8, 1));
///     Trainer::new(&device, model, BceWithLogits::new(), Sgd::new(0.5), seed)
/// }))?;
/// let results = ensemble.fit(&data, |_member| Fit::new(20, 20))?;
/// assert!(results.iter().all(Result::is_ok));
/// let accuracy = ensemble.statistics(Monitor::TrainAccuracy).unwrap();
/// println!("accuracy {:.3} ± {:.3} over {} members", accuracy.mean, accuracy.deviation, accuracy.count);
/// let prediction = ensemble.predict(&[0.1, 0.2], 2)?;
/// println!("logit {} ± {}", prediction.mean[0], prediction.deviation[0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Ensemble {
    members: Vec<Trainer>,
    failures: Vec<Option<Error>>,
}

/// The averaged prediction of an ensemble.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EnsemblePrediction {
    /// The mean over the members of each output, row by row.
    pub mean: Vec<f32>,
    /// Their standard deviation (of the sample, with n - 1; 0 of a single member).
    pub deviation: Vec<f32>,
}

/// A metric over the members of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The members that have it.
    pub count: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation (of the sample, with n - 1; 0 of a single member).
    pub deviation: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub greatest: f64,
}

/// Members that run side by side.
#[derive(Default)]
struct Group<'m, 'd, 'f> {
    numbers: Vec<usize>,
    sessions: Vec<&'m mut Session>,
    data: Vec<&'d Dataset>,
    fits: Vec<Fit<'f>>,
}

impl Statistics {
    /// Of these numbers; none without any.
    ///
    /// ```
    /// let statistics = wgrad::Statistics::of([1.0, 2.0, 3.0]).unwrap();
    /// assert_eq!((statistics.mean, statistics.deviation), (2.0, 1.0));
    /// ```
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        let least = values.iter().copied().reduce(f64::min)?;
        let greatest = values.iter().copied().reduce(f64::max)?;
        Some(Self { count, mean, deviation, least, greatest })
    }
}

impl Ensemble {
    /// An ensemble of these trainers.
    ///
    /// # Errors
    /// No trainers, or the error of the first that could not be made; trainers on different devices, or two that share
    /// parameters.
    pub fn new(members: impl IntoIterator<Item = Result<Trainer>>) -> Result<Self> {
        let members = members.into_iter().collect::<Result<Vec<_>>>()?;
        let Some(first) = members.first() else {
            return Err(Error::input("ensemble", "no members; give at least one trainer"));
        };
        let mut owners = HashMap::new();
        for (number, member) in members.iter().enumerate() {
            if member.device() != first.device() {
                let (own, other) = (member.device().name(), first.device().name());
                let detail = format!("member {number} is on {own}, member 0 on {other}; make all on one Device");
                return Err(Error::input("ensemble", detail));
            }
            for (name, parameter) in member.parameters().named() {
                let owner = *owners.entry(parameter.id()).or_insert(number);
                if owner != number {
                    let detail = format!("members {owner} and {number} share the parameter {name}");
                    return Err(Error::input("ensemble", detail + "; make new layers for each member"));
                }
            }
        }
        let failures = members.iter().map(|_| None).collect();
        Ok(Self { members, failures })
    }

    /// Trains all members, each as its [`Fit`] says, and returns a history for each, or the error that stopped it, such as
    /// a loss that is NaN: then it has the parameters of its last epoch before that.
    ///
    /// Members whose fits have the same batch size, number of rows, validation data and other options that decide what an
    /// epoch is run side by side; the others one such group after the other.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Ensemble, ErrorKind, Fit, Trainer};
    ///
    /// let data = disk(100, 0, Labels::ZeroOne)?;
    /// let device = Device::cpu();
    /// let rates = [0.01, 0.1, 1e30];
    /// let mut ensemble =
    ///     Ensemble::new(rates.map(|rate| Trainer::new(&device, Linear::new(2, 1), Mse::new(), Sgd::new(rate), 0)))?;
    /// let results = ensemble.fit(&data, |_| Fit::new(3, 10))?;
    /// assert!(results[0].is_ok() && results[1].is_ok());
    /// assert_eq!(results[2].as_ref().unwrap_err().kind(), ErrorKind::NotFinite);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Options or data that a member can't train with; a lost device: every member then has the parameters of its last
    /// recorded epoch.
    pub fn fit<'f>(&mut self, data: &Dataset, fit: impl FnMut(usize) -> Fit<'f>) -> Result<Vec<Result<History>>> {
        let device = self.device().clone();
        device.block_on("fit", "Ensemble::fit_async", self.fit_async(data, fit))
    }

    /// [`Ensemble::fit`] without blocking.
    ///
    /// # Errors
    /// See [`Ensemble::fit`].
    pub async fn fit_async<'f>(
        &mut self,
        data: &Dataset,
        fit: impl FnMut(usize) -> Fit<'f>,
    ) -> Result<Vec<Result<History>>> {
        let fits = (0..self.members.len()).map(fit).collect();
        self.train_each(&vec![data; self.members.len()], fits).await
    }

    /// Trains each member on its data, as its options say.
    pub(super) async fn train_each(&mut self, data: &[&Dataset], fits: Vec<Fit<'_>>) -> Result<Vec<Result<History>>> {
        let mut groups: Vec<Group<'_, '_, '_>> = Vec::new();
        for (number, ((member, data), fit)) in self.members.iter_mut().zip(data).zip(fits).enumerate() {
            fit.check(data, member.0.loss.decision())?;
            let shape = |data: &Dataset| (data.shape(), data.weights().is_some());
            let beside =
                |group: &Group<'_, '_, '_>| shape(group.data[0]) == shape(data) && group.fits[0].runs_beside(&fit);
            let at = groups.iter().position(beside).unwrap_or(groups.len());
            if at == groups.len() {
                groups.push(Group::default());
            }
            let group = &mut groups[at];
            group.numbers.push(number);
            group.sessions.push(&mut member.0);
            group.data.push(data);
            group.fits.push(fit);
        }
        let mut results = Vec::new();
        for group in groups {
            results.extend(group.numbers.into_iter().zip(train(group.sessions, &group.data, group.fits).await?));
        }
        results.sort_by_key(|(number, _)| *number);
        let results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
        self.failures = results.iter().map(|result| result.as_ref().err().cloned()).collect();
        Ok(results)
    }

    /// The device of all members.
    pub fn device(&self) -> &Device {
        // `new` takes no empty ensemble.
        self.members[0].device()
    }

    /// The members: their parameters, histories, predictors.
    pub fn members(&self) -> &[Trainer] {
        &self.members
    }

    /// The members, to change their learning rates, say.
    pub fn members_mut(&mut self) -> &mut [Trainer] {
        &mut self.members
    }

    /// The members, as trainers of their own.
    pub fn into_members(self) -> Vec<Trainer> {
        self.members
    }

    /// What stopped a member in the last call of [`Ensemble::fit`], if something did. Such a member counts neither in
    /// predictions nor in statistics.
    pub fn failure(&self, member: usize) -> Option<&Error> {
        self.failures.get(member)?.as_ref()
    }

    /// Those that did not fail, with their numbers.
    fn sound(&self) -> impl Iterator<Item = (usize, &Trainer)> {
        self.members.iter().enumerate().filter(|(number, _)| self.failures[*number].is_none())
    }

    /// A metric of each member's last epoch in which it was measured.
    fn measured(&self, monitor: Monitor) -> impl Iterator<Item = (usize, f64)> {
        self.sound().filter_map(move |(number, member)| {
            let value = member.history().epochs.iter().rev().find_map(|record| monitor.of(record))?;
            Some((number, f64::from(value)))
        })
    }

    /// A metric over the members, each with its last epoch in which it was measured; none if no member was.
    pub fn statistics(&self, monitor: Monitor) -> Option<Statistics> {
        Statistics::of(self.measured(monitor).map(|(_, value)| value))
    }

    /// The number of the member with the best metric in its last measured epoch: the smallest loss or the largest
    /// accuracy; of equals, the first.
    pub fn best(&self, monitor: Monitor) -> Option<usize> {
        let better = |a: (usize, f64), b: (usize, f64)| if monitor.prefers(b.1, a.1) { b } else { a };
        self.measured(monitor).filter(|(_, value)| !value.is_nan()).reduce(better).map(|(number, _)| number)
    }

    /// Each member's outputs for these inputs [n, i].
    fn outputs(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<Vec<f32>>> {
        let outputs: Vec<_> =
            self.sound().map(|(_, member)| member.predict(inputs, input_cols)).collect::<Result<_>>()?;
        if outputs.is_empty() {
            let why = self.failures.iter().flatten().next().map(ToString::to_string).unwrap_or_default();
            return Err(Error::new(
                ErrorKind::NotFinite,
                "predict",
                format!("every member has failed; the first: {why}"),
            ));
        }
        Ok(outputs)
    }

    /// The mean of the members' outputs for these inputs [n, i], and how far they are apart.
    ///
    /// # Errors
    /// Inputs that are not whole rows, not finite, or of another width than the models'; an ensemble whose members have
    /// all failed, or have outputs of different widths; a lost device.
    pub fn predict(&self, inputs: &[f32], input_cols: usize) -> Result<EnsemblePrediction> {
        let outputs = self.outputs(inputs, input_cols)?;
        if let Some(other) = outputs.iter().find(|output| output.len() != outputs[0].len()) {
            let rows = inputs.len() / input_cols.max(1);
            let detail = format!("members with {} and {} outputs", outputs[0].len() / rows, other.len() / rows);
            return Err(Error::shape("predict", detail + "; only equal ones can be averaged"));
        }
        let of = |at: usize| Statistics::of(outputs.iter().map(|output| f64::from(output[at])));
        let (mean, deviation) =
            (0..outputs[0].len()).filter_map(of).map(|of| (of.mean as f32, of.deviation as f32)).unzip();
        Ok(EnsemblePrediction { mean, deviation })
    }

    /// The class of each row by majority of the members, as their losses' [`Decision`](crate::metrics::Decision) reads
    /// outputs (of equally many votes, the smallest class), and the share of the members that chose it.
    ///
    /// ```
    /// use wgrad::nn::{CrossEntropy, Linear};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Ensemble, Trainer};
    ///
    /// let device = Device::cpu();
    /// let ensemble = Ensemble::new(
    ///     (0..5).map(|seed| Trainer::new(&device, Linear::new(2, 3), CrossEntropy::new(), Sgd::new(0.1), seed)),
    /// )?;
    /// let votes = ensemble.vote(&[0.1, 0.2, 0.3, 0.4], 2)?;
    /// assert!(votes.iter().all(|(class, share)| *class < 3 && *share > 0.0 && *share <= 1.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Ensemble::predict`]; a decision that does not give one class per row.
    pub fn vote(&self, inputs: &[f32], input_cols: usize) -> Result<Vec<(usize, f32)>> {
        let outputs = self.outputs(inputs, input_cols)?;
        let rows = inputs.len() / input_cols;
        let choices = self
            .sound()
            .zip(&outputs)
            .map(|((_, member), output)| member.0.loss.decision().classes(output, output.len() / rows));
        let choices = choices.collect::<Result<Vec<_>>>()?;
        let row = |row: usize| {
            let mut votes = vec![0u32; choices.iter().map(|classes| classes[row] + 1).max().unwrap_or(0)];
            choices.iter().for_each(|classes| votes[classes[row]] += 1);
            let winner = (0..votes.len()).fold(0, |best, class| if votes[class] > votes[best] { class } else { best });
            (winner, votes[winner] as f32 / choices.len() as f32)
        };
        Ok((0..rows).map(row).collect())
    }

    /// Writes a checkpoint for each member into a folder, which is made if it is not there: `member-0.safetensors`, ...
    ///
    /// # Errors
    /// A folder or file that can't be written; a lost device.
    #[cfg(feature = "safetensors")]
    pub fn save_checkpoint(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::new(ErrorKind::Io, "save_checkpoint", format!("{} can't be made: {error}", folder.display()))
        })?;
        for (number, member) in self.members.iter().enumerate() {
            member.save_checkpoint(checkpoint_path(folder, number))?;
        }
        Ok(())
    }

    /// Goes on from checkpoints that [`Ensemble::save_checkpoint`] wrote, of as many members: continued, they give the
    /// same bits as if they had never stopped.
    ///
    /// # Errors
    /// A file that is not there, is damaged, or is of another model or algorithm.
    #[cfg(feature = "safetensors")]
    pub fn resume(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        for (number, member) in self.members.iter_mut().enumerate() {
            member.resume(checkpoint_path(folder.as_ref(), number))?;
        }
        Ok(())
    }
}

/// Where an ensemble's checkpoint has a member.
#[cfg(feature = "safetensors")]
fn checkpoint_path(folder: &Path, member: usize) -> PathBuf {
    folder.join(format!("member-{member}.safetensors"))
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ensemble({} members on {})", self.members.len(), self.device().name())
    }
}
