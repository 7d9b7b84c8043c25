//! Losses, accuracies and decisions are those of all ranks.

use wgrad::data::{Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{BatchNorm1d, BceWithLogits, Linear, ReLU, Sequential};
use wgrad::optim::Adam;
use wgrad::{Control, Device, EarlyStopping, Fit, Monitor, Trainer};

use crate::launch::on_ranks;

fn trainer() -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 16)).add(BatchNorm1d::new(16)).add(ReLU).add(Linear::new(16, 1));
    let loss = BceWithLogits::new().decision(Decision::between(0.0, 1.0));
    Trainer::new(&Device::cpu(), model, loss, Adam::new(0.02), 1).unwrap()
}

/// Each rank measures its part; together they have measured all, which a rank then does alone.
#[test]
fn measurements_are_those_of_all_rows() {
    on_ranks(&[2, 3], "results::measurements_are_those_of_all_rows", |world, _| {
        let (train, test) = (disk(200, 0, Labels::ZeroOne).unwrap(), disk(101, 1, Labels::ZeroOne).unwrap());
        let (own_train, own_test) = (world.part(&train).unwrap(), world.part(&test).unwrap());
        let mut trainer = trainer();
        let rank = world.rank();
        let fit = Fit::new(60, 10)
            .validation(&own_test)
            .metric("positive", |outputs, _| {
                Ok(outputs.iter().filter(|y| **y > 0.0).count() as f64 / outputs.len() as f64)
            })
            .early_stopping(EarlyStopping::new(3))
            .monitor(Monitor::ValidationAccuracy)
            // The others would stop at once.
            .control(move |_| if rank == 0 { Control::Continue } else { Control::Stop });
        let history = world.fit(&mut trainer, &own_train, fit).unwrap();
        assert!(history.epochs.len() > 3, "{} epochs", history.epochs.len());
        let best = history.best(Monitor::ValidationAccuracy).unwrap();
        for (name, data, measured) in [("train", &train, best.train), ("test", &test, best.validation)] {
            let (measured, whole) = (measured.unwrap(), trainer.evaluate(data).unwrap());
            // Up to 200 losses below 4 in another order.
            let apart = f64::from((measured.loss - whole.loss).abs());
            assert!(apart <= 200.0 * f64::from(f32::EPSILON) * 4.0, "{name}: loss {measured:?}, {whole:?}");
            let apart = (measured.accuracy.unwrap() - whole.accuracy.unwrap()).abs();
            assert!(apart <= f32::EPSILON, "{name}: accuracy {measured:?}, {whole:?}");
            let outputs = trainer.predict(data.inputs(), 2).unwrap();
            let positive = outputs.iter().filter(|y| **y > 0.0).count() as f64 / outputs.len() as f64;
            let own = best.metric("positive").unwrap();
            let own = if name == "train" { own.train } else { own.validation }.unwrap();
            assert!((own - positive).abs() < 1e-12, "{name}: {own}, {positive}");
        }
        // What is the same on all ranks is what the next call begins with, which would say so.
        let values = trainer.parameters().read().unwrap();
        assert!(values.iter().all(|value| value.is_finite()));
        world.fit(&mut trainer, &own_train, Fit::new(1, 10)).unwrap();
        String::new()
    });
}

/// Running statistics are the mean of the ranks': here of one epoch of one batch, whose statistics are known.
#[test]
fn running_statistics_are_the_mean() {
    on_ranks(&[2], "results::running_statistics_are_the_mean", |world, _| {
        let data = disk(80, 0, Labels::ZeroOne).unwrap();
        let (norm, loss) = (BatchNorm1d::new(2), BceWithLogits::new());
        let model = Sequential::new().add(norm).add(Linear::new(2, 1));
        let mut trainer = Trainer::new(&Device::cpu(), model, loss, Adam::new(0.01), 0).unwrap();
        world.fit(&mut trainer, &world.part(&data).unwrap(), Fit::new(1, 40)).unwrap();
        let mean: Vec<f64> = (0..2)
            .map(|col| data.inputs().iter().skip(col).step_by(2).map(|x| f64::from(*x)).sum::<f64>() / 80.0)
            .collect();
        let named = trainer.parameters().named().find(|(name, _)| name.ends_with("running_mean")).unwrap();
        let running = named.1.value().unwrap().read().unwrap();
        for (running, mean) in running.iter().zip(mean) {
            // It begins at 0 and goes a tenth of the way; sums of 40 coordinates below 2.
            assert!((f64::from(*running) - 0.1 * mean).abs() < 45.0 * f64::from(f32::EPSILON), "{running}, {mean}");
        }
        String::new()
    });
}
