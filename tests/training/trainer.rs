//! What `Trainer` promises, with a model that adds its inputs up and whole numbers, so that every figure is exact.

use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{BceWithLogits, Init, Linear, Mse, Reduction};
use wgrad::optim::Sgd;
use wgrad::{Device, Fit, Trainer};

use crate::agreement::disk_network;
use crate::common::{cpu_and_gpus, small_integers};

const SAMPLES: usize = 10;

fn data(samples: usize) -> Dataset {
    Dataset::new(small_integers(1, 3 * samples, 4), 3, small_integers(2, samples, 4), 1).unwrap()
}

/// Prediction minus target, squared, of every sample.
fn squares(data: &Dataset) -> Vec<f32> {
    let predictions = data.inputs().chunks_exact(3).map(|x| x.iter().sum::<f32>());
    predictions.zip(data.targets()).map(|(y, t)| (y - t) * (y - t)).collect()
}

/// A model that does not learn.
fn trainer(device: &Device, reduction: Reduction) -> Trainer {
    let model = Linear::new(3, 1).init(Init::Constant(1.0), Init::Constant(0.0));
    Trainer::new(
        device,
        model,
        Mse::new().reduction(reduction).decision(Decision::between(-1.0, 1.0)),
        Sgd::new(0.0),
        1,
    )
    .unwrap()
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_sample_is_used_once_an_epoch_in_a_new_order() {
    let data = data(SAMPLES);
    let total: f32 = squares(&data).iter().sum();
    for (name, device) in cpu_and_gpus() {
        let mut trainer = trainer(&device, Reduction::Sum);
        let history = trainer.fit(&data, Fit::new(4, 3)).unwrap();
        assert_eq!(history.step_losses.len(), 4 * 4, "{name}");
        for (epoch, losses) in history.epochs.iter().zip(history.step_losses.chunks(4)) {
            assert_eq!(losses.iter().sum::<f32>(), total, "{name}");
            assert_eq!((epoch.loss, epoch.train.unwrap().loss), (total, total), "{name}");
        }
        assert_ne!(history.step_losses[..4], history.step_losses[4..8], "{name}: two epochs in one order");

        let history = trainer.fit(&data, Fit::new(2, 3).drop_last(true)).unwrap();
        assert_eq!(history.step_losses.len(), 2 * 3, "{name}");
        let squares = squares(&data);
        let dropped = total - history.step_losses[..3].iter().sum::<f32>();
        assert!(squares.contains(&dropped), "{name}: {dropped} is no sample's error");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn the_mean_of_an_epoch_weighs_its_short_batch() {
    let data = data(SAMPLES);
    let mean = squares(&data).iter().sum::<f32>() / SAMPLES as f32;
    for (name, device) in cpu_and_gpus() {
        let mut trainer = trainer(&device, Reduction::Mean);
        let history = trainer.fit(&data, Fit::new(1, 4)).unwrap();
        // Means of 4, 4 and 2 samples, weighed in f64.
        let loss = history.epochs[0].loss;
        assert!((loss - mean).abs() <= 2.0 * f32::EPSILON * mean, "{name}: {loss} instead of {mean}");
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn evaluation_and_prediction_go_through_large_data_in_chunks() {
    // One chunk of 4,096 rows exactly, and chunks with a rest.
    for samples in [1, 4096, 10_001] {
        let data = data(samples);
        let squares = squares(&data);
        let expected: Vec<f32> = data.inputs().chunks_exact(3).map(|x| x.iter().sum()).collect();
        let side = |value: &f32| *value > 0.0;
        let right = expected.iter().zip(data.targets()).filter(|(y, t)| side(y) == side(t)).count();
        for (name, device) in cpu_and_gpus() {
            let trainer = trainer(&device, Reduction::Sum);
            assert_eq!(trainer.predict(data.inputs(), 3).unwrap(), expected, "{name}");
            let metrics = trainer.evaluate(&data).unwrap();
            assert_eq!(metrics.loss, squares.iter().sum::<f32>(), "{name}");
            assert_eq!(metrics.accuracy, Some((right as f64 / samples as f64) as f32), "{name}");
        }
    }
}

#[test]
fn history_goes_on_and_callbacks_see_every_epoch() {
    let data = data(SAMPLES);
    let mut trainer = trainer(&Device::cpu(), Reduction::Sum);
    let mut seen = Vec::new();
    trainer.fit(&data, Fit::new(3, 5).on_epoch(|record| seen.push(record.epoch))).unwrap();
    let second = trainer.fit(&data, Fit::new(2, 5).on_epoch(|record| seen.push(record.epoch))).unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(second.epochs.iter().map(|record| record.epoch).collect::<Vec<_>>(), [4, 5]);
    assert_eq!((trainer.history().epochs.len(), trainer.history().step_losses.len()), (5, 10));
}

#[test]
fn epochs_are_measured_as_often_as_asked() {
    let data = data(SAMPLES);
    let measured = |every| {
        let mut trainer = trainer(&Device::cpu(), Reduction::Sum);
        let history = trainer.fit(&data, Fit::new(5, 5).validation(&data).evaluate_every(every)).unwrap();
        for record in &history.epochs {
            assert_eq!(record.train, record.validation);
        }
        history.epochs.iter().filter(|r| r.train.is_some()).map(|r| r.epoch).collect::<Vec<_>>()
    };
    assert_eq!(measured(1), [1, 2, 3, 4, 5]);
    assert_eq!(measured(2), [2, 4, 5]);
    assert_eq!(measured(0), [5]);
}

/// The network, the settings and the seeds of `examples/disk.rs`.
#[test]
fn the_disk_is_learnt_with_nearly_every_seed() {
    let accuracy = |seed: u64| {
        let labels = Labels::PlusMinusOneHot;
        let (train, test) = (disk(1000, 3 * seed + 1, labels).unwrap(), disk(1000, 3 * seed + 2, labels).unwrap());
        let mut trainer = Trainer::new(
            &Device::cpu(),
            disk_network(),
            Mse::new().decision(Decision::Argmax),
            Sgd::new(0.1),
            3 * seed,
        )
        .unwrap();
        for (epochs, rate) in [(100, 0.1), (50, 0.03), (50, 0.01)] {
            trainer.optimizer().set_learning_rate(rate).unwrap();
            trainer.fit(&train, Fit::new(epochs, 50).validation(&test).evaluate_every(0)).unwrap();
        }
        trainer.evaluate(&test).unwrap().accuracy.unwrap()
    };
    let accuracies: Vec<f32> = (0..5).map(accuracy).collect();
    println!("test accuracies {accuracies:?}");
    assert!(accuracies[0] >= 0.97, "{accuracies:?}");
    assert!(accuracies.iter().filter(|a| **a >= 0.97).count() >= 4, "{accuracies:?}");
}

#[test]
fn logits_are_compared_with_zero() {
    // Logits of 0.25 and -0.25 separate the classes, though both lie below the targets' middle.
    let model = Linear::new(1, 1).init(Init::Constant(0.25), Init::Constant(0.0));
    let data = Dataset::new(vec![1.0, -1.0, 1.0], 1, vec![1.0, 0.0, 1.0], 1).unwrap();
    let trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Sgd::new(0.1), 0).unwrap();
    assert_eq!(trainer.evaluate(&data).unwrap().accuracy, Some(1.0));
}

/// More than an accuracy can compare; a regression has none.
#[test]
fn regressions_may_have_more_outputs_than_a_class_has_numbers() {
    let data = Dataset::new(vec![1.0, 2.0], 1, vec![0.5; 2 * 65_001], 65_001).unwrap();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(1, 65_001), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let history = trainer.fit(&data, Fit::new(2, 2).validation(&data)).unwrap();
    assert!(history.epochs[1].loss < history.epochs[0].loss);
    assert_eq!(history.epochs[1].train.unwrap().accuracy, None);
}
