//! Loss curves of a history.

use super::{EpochRecord, History, Metrics};
use crate::plot::Curve;

impl History {
    /// The losses by epoch, for [`plot::curves`](crate::plot::curves): on the training data as measured after each
    /// epoch, or if some epochs were not measured, over their mini-batches, so that the curve begins at the first; and on
    /// the validation data, if there are any, with the best epoch marked. Values that are not finite are omitted.
    ///
    /// ```
    /// use wgrad::data::{Labels, disk};
    /// use wgrad::nn::{Linear, Mse};
    /// use wgrad::optim::Sgd;
    /// use wgrad::plot::{Axes, curves};
    /// use wgrad::{Device, Fit, Trainer};
    ///
    /// # let path = std::env::temp_dir().join("wgrad-doc-losses.svg");
    /// let (train, test) = (disk(100, 0, Labels::PlusMinusOne)?, disk(100, 1, Labels::PlusMinusOne)?);
    /// let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0)?;
    /// trainer.fit(&train, Fit::new(10, 20).validation(&test))?;
    /// let losses = trainer.history().loss_curves();
    /// curves(&path, "Disk", Axes::new("epoch", "loss").log_y(), &losses)?;
    /// # assert!(std::fs::read_to_string(&path).unwrap().contains("validation, best in epoch"));
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn loss_curves(&self) -> Vec<Curve> {
        let points = |loss: &dyn Fn(&EpochRecord) -> Option<f32>| -> Vec<(f64, f64)> {
            let points = self.epochs.iter().filter_map(|record| Some((record.epoch as f64, f64::from(loss(record)?))));
            points.filter(|(_, loss)| loss.is_finite()).collect()
        };
        let of = |metrics: Option<Metrics>| metrics.map(|metrics| metrics.loss);
        let all_measured = self.epochs.iter().all(|record| record.train.is_some());
        let training = points(&|record| if all_measured { of(record.train) } else { Some(record.loss) });
        let validation = points(&|record| of(record.validation));
        let best = validation.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(epoch, _)| *epoch);
        let training = (!training.is_empty()).then(|| Curve::new("training", training));
        let validation =
            best.map(|epoch| Curve::new(format!("validation, best in epoch {epoch}"), validation).mark(epoch));
        training.into_iter().chain(validation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochRecord, History, Metrics};
    use crate::plot::Curve;

    #[test]
    fn losses_are_those_that_were_measured_with_the_best_marked() {
        let metrics = |loss| Some(Metrics { loss, ..Metrics::default() });
        let epoch = |epoch, loss, train, validation| EpochRecord {
            epoch,
            steps: 1,
            loss,
            train,
            validation,
            metrics: Vec::new(),
            seconds: 0.0,
        };
        let history = |epochs| History { epochs, ..History::default() };
        assert_eq!(history(vec![]).loss_curves(), []);
        let unmeasured = history(vec![epoch(1, 3.0, None, None), epoch(2, f32::INFINITY, None, None)]);
        assert_eq!(unmeasured.loss_curves(), [Curve::new("training", [(1.0, 3.0)])]);
        let measured = history(vec![
            epoch(1, 4.0, metrics(3.0), metrics(2.0)),
            epoch(2, 3.0, None, None),
            epoch(3, 2.0, metrics(1.0), metrics(0.5)),
            epoch(4, 1.0, metrics(0.5), metrics(0.75)),
            epoch(5, 1.0, metrics(f32::NAN), metrics(f32::NAN)),
        ]);
        // From the first epoch on, although not all were measured.
        let training = Curve::new("training", [(1.0, 4.0), (2.0, 3.0), (3.0, 2.0), (4.0, 1.0), (5.0, 1.0)]);
        let validation = Curve::new("validation, best in epoch 3", [(1.0, 2.0), (3.0, 0.5), (4.0, 0.75)]).mark(3.0);
        assert_eq!(measured.loss_curves(), [training, validation]);
        let always = history(vec![epoch(1, 4.0, metrics(3.0), None), epoch(2, 3.0, metrics(2.0), None)]);
        assert_eq!(always.loss_curves(), [Curve::new("training", [(1.0, 3.0), (2.0, 2.0)])]);
    }
}
