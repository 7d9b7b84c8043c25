//! Watching a training: callbacks, early stopping, histories as text.

mod common;

use std::sync::Mutex;

use common::{Devices, assert_same_bits, on_every_device};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{Linear, Mse, Sequential, Tanh};
use wgrad::optim::Sgd;
use wgrad::{Control, Device, EarlyStopping, EpochRecord, ErrorKind, Fit, Monitor, Trainer};

on_every_device!(
    a_stop_comes_before_the_next_epoch,
    a_rate_holds_from_the_next_epoch_on,
    early_stopping_waits_and_puts_the_best_parameters_back
);

fn data() -> (Dataset, Dataset) {
    (disk(60, 0, Labels::PlusMinusOne).unwrap(), disk(40, 1, Labels::PlusMinusOne).unwrap())
}

fn trainer(device: &Device, rate: f32) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 6)).add(Tanh).add(Linear::new(6, 1)).add(Tanh);
    Trainer::new(device, model, Mse::new().decision(Decision::between(-1.0, 1.0)), Sgd::new(rate), 3).unwrap()
}

fn values(trainer: &Trainer) -> Vec<f32> {
    trainer.parameters().read().unwrap()
}

fn a_stop_comes_before_the_next_epoch(devices: &Devices) {
    let (train, _) = data();
    for (name, device) in devices {
        let mut stopped = trainer(device, 0.1);
        let stop_at_4 = |r: &EpochRecord| if r.epoch == 4 { Control::Stop } else { Control::Continue };
        assert_eq!(stopped.fit(&train, Fit::new(10, 7).control(stop_at_4)).unwrap().epochs.len(), 4, "{name}");
        let mut short = trainer(device, 0.1);
        short.fit(&train, Fit::new(4, 7)).unwrap();
        assert_same_bits(name, &values(&stopped), &values(&short));
    }
}

fn a_rate_holds_from_the_next_epoch_on(devices: &Devices) {
    let (train, _) = data();
    for (name, device) in devices {
        let mut one = trainer(device, 0.1);
        let slower = |r: &EpochRecord| if r.epoch == 2 { Control::LearningRate(0.01) } else { Control::Continue };
        one.fit(&train, Fit::new(5, 7).control(slower)).unwrap();
        let mut two = trainer(device, 0.1);
        two.fit(&train, Fit::new(2, 7)).unwrap();
        two.optimizer().set_learning_rate(0.01).unwrap();
        two.fit(&train, Fit::new(3, 7)).unwrap();
        assert_same_bits(name, &values(&one), &values(&two));
    }
    let nonsense =
        trainer(&Device::cpu(), 0.1).fit(&train, Fit::new(5, 7).control(|_| Control::LearningRate(f32::NAN)));
    assert_eq!(nonsense.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn every_callback_sees_every_epoch() {
    let (train, _) = data();
    let seen = Mutex::new(Vec::new());
    let see = |who: u8| {
        let seen = &seen;
        move |record: &EpochRecord| seen.lock().unwrap().push((who, record.epoch))
    };
    let fit = Fit::new(2, 20).on_epoch(see(1)).on_epoch(see(2)).progress(true);
    trainer(&Device::cpu(), 0.1).fit(&train, fit).unwrap();
    assert_eq!(seen.into_inner().unwrap(), [(1, 1), (2, 1), (1, 2), (2, 2)]);
}

/// Epochs of a training whose rate is so large that it is soon past its best.
fn measured(trainer: &mut Trainer, fit: Fit<'_>) -> Vec<(usize, f32)> {
    let history = trainer.fit(&data().0, fit).unwrap();
    history.epochs.iter().filter_map(|r| Some((r.epoch, r.validation?.loss))).collect()
}

fn early_stopping_waits_and_puts_the_best_parameters_back(devices: &Devices) {
    let (train, validation) = data();
    for (name, device) in devices {
        let all = measured(&mut trainer(device, 0.7), Fit::new(60, 7).validation(&validation));
        // What the rule says, worked out from a training that was not stopped.
        let patience = 5;
        let (mut best, mut last) = (all[0], 60);
        for (epoch, loss) in &all {
            if *loss < best.1 {
                best = (*epoch, *loss);
            } else if epoch - best.0 >= patience {
                last = *epoch;
                break;
            }
        }
        assert!(last < 60 && best.0 > 1, "{name}: nothing to stop: best {best:?}");

        let mut stopped = trainer(device, 0.7);
        let fit = Fit::new(60, 7).validation(&validation).early_stopping(EarlyStopping::new(patience));
        assert_eq!(measured(&mut stopped, fit), all[..last], "{name}");
        assert_eq!(stopped.evaluate(&validation).unwrap().loss, best.1, "{name}");
        let mut short = trainer(device, 0.7);
        short.fit(&train, Fit::new(best.0, 7)).unwrap();
        assert_same_bits(name, &values(&stopped), &values(&short));

        // A call that goes on knows that patience is out; a new one starts counting from 0.
        let until = Fit::until(60, 7).validation(&validation).early_stopping(EarlyStopping::new(patience));
        assert_eq!(measured(&mut stopped, until), [], "{name}");
        assert_same_bits(name, &values(&stopped), &values(&short));
        let new = Fit::new(2, 7).validation(&validation).early_stopping(EarlyStopping::new(patience));
        assert_eq!(measured(&mut stopped, new).len(), 2, "{name}");
    }
}

#[test]
fn early_stopping_knows_its_monitor_and_the_smallest_gain() {
    let (train, validation) = data();
    let stopped = |fit: Fit<'_>| trainer(&Device::cpu(), 0.01).fit(&train, fit).unwrap().epochs.len();
    // No epoch gains this much on the first.
    let hopeless = EarlyStopping::new(3).min_delta(10.0);
    for monitor in [Monitor::TrainLoss, Monitor::TrainAccuracy, Monitor::ValidationLoss, Monitor::ValidationAccuracy] {
        let fit = |every| {
            Fit::new(50, 10).validation(&validation).early_stopping(hopeless).monitor(monitor).evaluate_every(every)
        };
        assert_eq!(stopped(fit(1)), 4, "{monitor:?}");
        // Epochs 5, 10, 15 and 20 were measured.
        assert_eq!(stopped(fit(5)), 20, "{monitor:?}");
    }
    let alone = Fit::new(3, 10).validation(&validation).evaluate_train(false);
    let history = trainer(&Device::cpu(), 0.01).fit(&train, alone).unwrap();
    assert!(history.epochs.iter().all(|epoch| epoch.train.is_none() && epoch.validation.is_some()));
    // A loss that falls in each epoch stops nothing.
    assert_eq!(stopped(Fit::new(12, 60).early_stopping(EarlyStopping::new(1)).monitor(Monitor::TrainLoss)), 12);

    let error = trainer(&Device::cpu(), 0.1).fit(&train, Fit::new(3, 10).early_stopping(hopeless)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("Fit::validation"), "{error}");
    // The last epoch alone is measured, or no improvement is one.
    for (fit, words) in [
        (Fit::new(3, 10).validation(&validation).evaluate_every(0).early_stopping(hopeless), "evaluate_every"),
        (
            Fit::new(3, 10).evaluate_train(false).early_stopping(hopeless).monitor(Monitor::TrainLoss),
            "evaluate_train(false)",
        ),
        (
            Fit::new(3, 10).validation(&validation).early_stopping(EarlyStopping::new(1).min_delta(f32::NAN)),
            "min_delta of NaN",
        ),
        (Fit::new(3, 10).validation(&validation).early_stopping(EarlyStopping::new(1).min_delta(-1.0)), "of -1"),
    ] {
        let error = trainer(&Device::cpu(), 0.1).fit(&train, fit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn until_trains_what_is_missing() {
    let (train, _) = data();
    let mut one = trainer(&Device::cpu(), 0.1);
    let epochs = [3, 3, 8, 5].map(|n| one.fit(&train, Fit::until(n, 7)).unwrap().epochs.len());
    assert_eq!(epochs, [3, 0, 5, 0]);
    let mut other = trainer(&Device::cpu(), 0.1);
    other.fit(&train, Fit::new(8, 7)).unwrap();
    assert_same_bits("in parts and in one", &values(&one), &values(&other));
    assert_same_bits("losses", &one.history().step_losses, &other.history().step_losses);
    assert_eq!(other.fit(&train, Fit::new(0, 7)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn histories_are_csv_and_json() {
    let (train, validation) = data();
    let mut trainer = trainer(&Device::cpu(), 0.1);
    trainer.fit(&train, Fit::new(3, 25).validation(&validation).evaluate_every(2)).unwrap();
    let history = trainer.history();

    let csv = history.to_csv();
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = rows.next().unwrap();
    let json: serde_json::Value = serde_json::from_str(&history.to_json()).unwrap();
    assert_eq!(json["epochs"].as_array().unwrap().len(), 3);
    for ((record, row), object) in history.epochs.iter().zip(rows.by_ref()).zip(json["epochs"].as_array().unwrap()) {
        let (train, validation) = (record.train, record.validation);
        let expected = [
            ("epoch", Some(record.epoch as f64)),
            ("steps", Some(3.0)),
            ("loss", Some(f64::from(record.loss))),
            ("train_loss", train.map(|m| f64::from(m.loss))),
            ("train_accuracy", train.and_then(|m| m.accuracy).map(f64::from)),
            ("validation_loss", validation.map(|m| f64::from(m.loss))),
            ("validation_accuracy", validation.and_then(|m| m.accuracy).map(f64::from)),
            ("seconds", Some(record.seconds)),
        ];
        assert_eq!((names.len(), row.len(), object.as_object().unwrap().len()), (8, 8, 8));
        for (i, (name, value)) in expected.into_iter().enumerate() {
            assert_eq!(names[i], name);
            // Text gives the f32 back that it was made of; JSON's reader may be off by a bit of an f64.
            let close = |text: Option<f64>| match (text, value) {
                (Some(text), Some(value)) => text as f32 == value as f32,
                (text, value) => text.is_none() && value.is_none(),
            };
            assert!(close(row[i].parse().ok()), "{name}: {} for {value:?}", row[i]);
            assert!(close(object[name].as_f64()), "{name}: {} for {value:?}", object[name]);
        }
    }
    assert!(rows.next().is_none());
    assert!(history.epochs[0].train.is_none() && history.epochs[1].train.is_some());
    let losses: Vec<f32> =
        json["step_losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap() as f32).collect();
    assert_eq!(losses, history.step_losses);
}
