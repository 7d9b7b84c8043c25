//! Ensembles whose members have data of their own.

use super::{Ensemble, Fit, History, Trainer};
use crate::data::Dataset;
use crate::error::{Error, Result};

impl Ensemble {
    /// Trains a member on each pair of data to train and to validate on, as [`Dataset::folds`] and
    /// [`Dataset::stratified_folds`] make them, all side by side. [`Ensemble::statistics`] of the result are the
    /// cross-validation's.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
    /// use wgrad::optim::Adam;
    /// use wgrad::{Device, Ensemble, Fit, Monitor, Trainer};
    ///
    /// let data = disk(200, 0, Labels::ZeroOne)?;
    /// let device = Device::cpu();
    /// let trainer = |_fold| {
    ///     let model = Sequential::new().add(Linear::new(2, 16)).add(ReLU).add(Linear::new(16, 1));
    ///     Trainer::new(&device, model, BceWithLogits::new(), Adam::new(0.01), 0)
    /// };
    /// let folds = Ensemble::cross_validate(data.stratified_folds(5, 0)?, trainer, |_fold| Fit::new(20, 20))?;
    /// let accuracy = folds.statistics(Monitor::ValidationAccuracy).unwrap();
    /// println!("{:.3} ± {:.3} over {} folds", accuracy.mean, accuracy.deviation, accuracy.count);
    /// # assert_eq!(accuracy.count, 5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Ensemble::new`] and [`Ensemble::fit`]. A fold that fails alone is in [`Ensemble::failure`].
    pub fn cross_validate<'f>(
        folds: impl IntoIterator<Item = (Dataset, Dataset)>,
        trainer: impl FnMut(usize) -> Result<Trainer>,
        mut fit: impl FnMut(usize) -> Fit<'f>,
    ) -> Result<Self> {
        let folds: Vec<_> = folds.into_iter().collect();
        let mut ensemble = Self::new((0..folds.len()).map(trainer))?;
        let data: Vec<_> = folds.iter().map(|(train, _)| train).collect();
        let fits = folds.iter().enumerate().map(|(fold, (_, validation))| fit(fold).validation(validation)).collect();
        let device = ensemble.device().clone();
        device.block_on("cross_validate", "Ensemble::fit_async", ensemble.train_each(&data, fits))?;
        Ok(ensemble)
    }

    /// [`Ensemble::fit`] with data for each member: other samples, or the same ones with other weights, as bagging and
    /// boosting have them. (Other rows of one dataset: [`Fit::rows`].)
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{BceWithLogits, Linear};
    /// use wgrad::optim::Sgd;
    /// use wgrad::{Device, Ensemble, Fit, Trainer};
    ///
    /// let data = disk(100, 0, Labels::ZeroOne)?;
    /// let halves = [0, 1].map(|half| (0..100).map(|row| if row % 2 == half { 2.0 } else { 0.5 }).collect());
    /// let [even, odd] = halves.map(|weights| data.clone().with_weights(weights));
    /// let device = Device::cpu();
    /// let mut ensemble = Ensemble::new(
    ///     [0, 1].map(|seed| Trainer::new(&device, Linear::new(2, 1), BceWithLogits::new(), Sgd::new(0.5), seed)),
    /// )?;
    /// let results = ensemble.fit_each(&[&even?, &odd?], |_member| Fit::new(5, 20))?;
    /// assert!(results.iter().all(Result::is_ok));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of datasets than of members; what [`Ensemble::fit`] refuses.
    pub fn fit_each<'f>(
        &mut self,
        data: &[&Dataset],
        fit: impl FnMut(usize) -> Fit<'f>,
    ) -> Result<Vec<Result<History>>> {
        let members = self.members().len();
        if data.len() != members {
            let detail = format!("{} datasets for {members} members; give one for each", data.len());
            return Err(Error::input("fit_each", detail));
        }
        let device = self.device().clone();
        let fits = (0..members).map(fit).collect();
        device.block_on("fit_each", "Ensemble::fit_async", self.train_each(data, fits))
    }
}
