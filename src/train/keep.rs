//! The state of a training on the host: for checkpoints, and to go on from when the device is lost.

use super::average::Average;
use super::session::Session;
use super::state::{State, live};
use crate::device::Tensor;
use crate::error::{Error, ErrorKind, Result};

/// Models of up to so many parameters are read along with each epoch's losses: 12 MB with Adam, which no epoch notices.
/// A larger one would take as much memory again.
const MAX_KEPT: usize = 1 << 20;

impl Session {
    /// What is read along with each epoch's losses, so that the epoch is safe when the device is lost: nothing where it can't
    /// be.
    pub(super) fn to_keep(&self) -> Result<Vec<Tensor>> {
        if !self.device.can_be_lost() || self.parameters.count() > MAX_KEPT {
            return Ok(Vec::new());
        }
        live(&self.parameters, &self.optimizer, self.average.as_ref().map(|average| &average.values))
    }

    /// Keeps what was read, after so many steps and epochs of the optimizer.
    pub(super) fn keep(&mut self, numbers: &[f32], at: (u64, usize)) {
        self.kept = (!numbers.is_empty()).then(|| State::new(numbers, &self.parameters, &self.optimizer, at));
    }

    /// Keeps what is there now, before anything is trained.
    pub(super) async fn keep_beginning(&mut self) -> Result<()> {
        self.kept = match self.to_keep()?.is_empty() {
            true => None,
            false => Some(self.read_state().await?),
        };
        Ok(())
    }

    async fn read_state(&self) -> Result<State> {
        let average = self.average.as_ref().map(|average| &average.values);
        let mut numbers = Vec::new();
        for tensor in live(&self.parameters, &self.optimizer, average)? {
            numbers.extend(tensor.read_async()?.await?);
        }
        Ok(State::new(&numbers, &self.parameters, &self.optimizer, (self.optimizer.steps(), self.optimizer.epoch())))
    }

    /// The state that is on the device; if that is lost, what was kept of the last recorded epoch.
    pub(super) async fn state(&self) -> Result<State> {
        match self.read_state().await {
            Err(error) if error.kind() == ErrorKind::DeviceLost => self.kept.clone().ok_or(error),
            result => result,
        }
    }

    /// Goes on from a state of such parameters and such an algorithm.
    pub(super) fn set_state(&mut self, state: &State) -> Result<()> {
        let average = state.average.as_ref().map(|values| Average::new(&self.parameters, Some(values))).transpose()?;
        self.optimizer.go_to(state.steps, state.epoch);
        for (own, values) in self.optimizer.state().iter().zip(&state.optimizer) {
            own.write(values)?;
        }
        self.parameters.write(&state.parameters)?;
        self.average = average;
        self.kept = Some(state.clone()).filter(|_| self.device.can_be_lost());
        Ok(())
    }

    /// See [`Trainer::resume_from`](crate::Trainer::resume_from).
    ///
    /// # Errors
    /// See [`Trainer::resume_from`](crate::Trainer::resume_from).
    pub async fn resume_from(&mut self, other: &Self) -> Result<()> {
        self.parameters.check_same("resume_from", &other.parameters)?;
        let [own, theirs] = [&*self, other].map(|session| session.optimizer.algorithm_name());
        if own != theirs {
            let detail = format!("a trainer with {theirs} into one with {own}; create one with {theirs}");
            return Err(Error::input("resume_from", detail));
        }
        let state = other.state().await?;
        if state.optimizer.len() != self.optimizer.state().len() {
            let [own, theirs] = [self.optimizer.state().len(), state.optimizer.len()];
            let detail = format!("an algorithm that keeps {theirs} numbers for a parameter into one that keeps {own}");
            return Err(Error::input("resume_from", detail));
        }
        self.optimizer.set_learning_rate(other.optimizer.base_rate())?;
        self.set_state(&state)?;
        (self.seed, self.history, self.best) = (other.seed, other.history.clone(), other.best.clone());
        Ok(())
    }
}
