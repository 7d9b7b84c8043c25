//! Training that goes on from a checkpoint is the training that was not interrupted, bit for bit.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use common::{Devices, assert_close, assert_same_bits, assert_same_training, on_every_device};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{Dropout, Linear, Mse, Predictor, Sequential, Tanh};
use wgrad::ops::optim::{Stretch, Update};
use wgrad::optim::{Adam, Algorithm, RmsProp, Schedule, Settings, Sgd};
use wgrad::{Control, Device, EarlyStopping, ErrorKind, Fit, Monitor, Recording, Result, Trainer};

on_every_device!(
    a_resumed_training_is_the_uninterrupted_one,
    a_trainer_goes_on_where_another_is,
    early_stopping_goes_on_where_it_was,
    the_best_epoch_is_saved,
);

/// A file of this test's own; each test has other names.
fn path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("checkpoint-{name}.safetensors"));
    let _ = fs::remove_file(&path);
    path
}

fn data() -> (Dataset, Dataset) {
    (disk(60, 0, Labels::PlusMinusOne).unwrap(), disk(40, 1, Labels::PlusMinusOne).unwrap())
}

/// With dropout, whose masks follow from seed and step.
fn trainer(device: &Device, rule: impl Algorithm + 'static, seed: u64) -> Trainer {
    let model =
        Sequential::new().add(Linear::new(2, 9)).add(Tanh).add(Dropout::new(0.2)).add(Linear::new(9, 1)).add(Tanh);
    Trainer::new(device, model, Mse::new().decision(Decision::between(-1.0, 1.0)), rule, seed).unwrap()
}

/// What makes trainers, all of one kind.
type Make = Box<dyn Fn(&Device, u64) -> Trainer>;

/// Rules with none, one and two numbers for a parameter, and schedules by epoch and by step.
fn makers() -> Vec<(&'static str, Make)> {
    let by_step = || Schedule::warmup(30, 0.1).and(Schedule::cosine(90, 0.01)).per_step();
    vec![
        ("sgd", Box::new(|device, seed| trainer(device, Sgd::new(0.1).schedule(Schedule::step(3, 0.5)), seed))),
        (
            "momentum",
            Box::new(move |device, seed| trainer(device, Sgd::new(0.1).momentum(0.9).schedule(by_step()), seed)),
        ),
        ("adam", Box::new(move |device, seed| trainer(device, Adam::new(0.01).schedule(by_step()), seed))),
        ("rmsprop", Box::new(|device, seed| trainer(device, RmsProp::new(0.01).momentum(0.5), seed))),
    ]
}

fn a_resumed_training_is_the_uninterrupted_one(devices: &Devices) {
    let (train, validation) = data();
    let fit = |epochs| {
        let slower =
            |r: &wgrad::EpochRecord| if r.epoch == 3 { Control::LearningRate(0.02) } else { Control::Continue };
        Fit::until(epochs, 7).validation(&validation).evaluate_every(2).control(slower)
    };
    for (i, (device_name, device)) in devices.iter().enumerate() {
        for (rule, make) in makers() {
            let name = format!("{device_name}, {rule}");
            let path = path(&format!("resumed-{rule}-{}-{i}", device.describe().backend));
            let mut whole = make(device, 11);
            whole.fit(&train, fit(10)).unwrap();

            // Four and six: epoch 4 is one that is measured, as it would not be if it were taken for the last of all.
            let mut first = make(device, 11);
            first.fit(&train, fit(4)).unwrap();
            first.save_checkpoint(&path).unwrap();
            // Another seed and steps of its own: all of that goes.
            let mut second = make(device, 12);
            second.fit(&train, Fit::new(1, 60)).unwrap();
            second.resume(&path).unwrap();
            assert_same_training(&format!("{name}, after reading"), &second, &first);
            assert_eq!(second.optimizer().steps(), 4 * 9);
            assert_eq!(second.history(), first.history());
            let tail = second.fit(&train, fit(10)).unwrap();
            assert_eq!(tail.epochs.len(), 6);
            assert_same_training(&name, &second, &whole);
            assert!(second.history().seconds > first.history().seconds);
        }
    }
}

/// With averages and a best epoch, too, which are not the parameters of the last step.
fn a_trainer_goes_on_where_another_is(devices: &Devices) {
    let (train, validation) = data();
    let plain = |epochs| Fit::until(epochs, 7).validation(&validation);
    let stopping = EarlyStopping::new(3);
    for (device_name, device) in devices {
        for (rule, make) in makers() {
            for kind in 0..3 {
                let fit = |epochs| match kind {
                    0 => plain(epochs),
                    1 => plain(epochs).ema(0.9),
                    _ => plain(epochs).early_stopping(stopping),
                };
                let name = format!("{device_name}, {rule}, {kind}");
                let mut first = make(device, 11);
                first.fit(&train, fit(4)).unwrap();
                let mut second = make(device, 12);
                second.resume_from(&first).unwrap();
                assert_same_training(&format!("{name}, at once"), &second, &first);
                first.fit(&train, fit(10)).unwrap();
                second.fit(&train, fit(10)).unwrap();
                assert_same_training(&name, &second, &first);
                assert_eq!(second.optimizer().steps(), first.optimizer().steps(), "{name}");
            }
        }
    }
}

#[test]
fn no_trainer_goes_on_where_one_of_another_kind_is() {
    let (train, _) = data();
    let cpu = Device::cpu();
    let mut trained = trainer(&cpu, Adam::new(0.01), 1);
    trained.fit(&train, Fit::new(1, 30)).unwrap();
    let mut sgd = trainer(&cpu, Sgd::new(0.1), 1);
    let before = sgd.parameters().read().unwrap();
    let error = sgd.resume_from(&trained).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("a trainer with Adam into one with Sgd"), "{error}");
    assert_same_bits("refused", &sgd.parameters().read().unwrap(), &before);
    let mut other = Trainer::new(&cpu, Linear::new(2, 1), Mse::new(), Adam::new(0.01), 0).unwrap();
    let error = other.resume_from(&trained).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().starts_with("resume_from: "), "{error}");
    assert!(other.history().epochs.is_empty() && sgd.history().epochs.is_empty());
}

fn early_stopping_goes_on_where_it_was(devices: &Devices) {
    let (train, validation) = data();
    for (i, (name, device)) in devices.iter().enumerate() {
        let path = path(&format!("stopping-{}-{i}", device.describe().backend));
        let new = || trainer(device, Sgd::new(0.5), 3);
        let fit = |epochs| {
            let fit = Fit::until(epochs, 7).validation(&validation).early_stopping(EarlyStopping::new(6));
            fit.monitor(Monitor::ValidationAccuracy)
        };
        let mut whole = new();
        let epochs = whole.fit(&train, fit(200)).unwrap().epochs.len();
        assert!((5..200).contains(&epochs), "{name}: {epochs} epochs leave nothing to test");
        // One process an epoch.
        let mut parts = 0;
        loop {
            let mut part = new();
            if path.exists() {
                part.resume(&path).unwrap();
            }
            let done = part.history().epochs.len();
            // Stops after one epoch, as if it were killed behind its checkpoint.
            let killed = |_: &wgrad::EpochRecord| Control::Stop;
            if part.fit(&train, fit(200).checkpoint(&path, 1).control(killed)).unwrap().epochs.is_empty() {
                assert_eq!(done, epochs, "{name}");
                assert_same_training(name, &part, &whole);
                break;
            }
            parts += 1;
            assert!(parts <= epochs, "{name}: goes on beyond {epochs} epochs");
        }
    }
}

fn the_best_epoch_is_saved(devices: &Devices) {
    let (train, validation) = data();
    for (i, (name, device)) in devices.iter().enumerate() {
        let [every, best] = ["every", "best"].map(|which| path(&format!("{which}-{}-{i}", device.describe().backend)));
        let mut trainer = trainer(device, Sgd::new(1.5), 4);
        let fit = Fit::new(7, 7).validation(&validation).checkpoint(&every, 3).checkpoint_best(&best);
        let seen = Mutex::new(Vec::new());
        let in_file = |path: &Path| -> Result<usize> {
            let mut reader = self::trainer(&Device::cpu(), Sgd::new(1.5), 0);
            reader.resume(path)?;
            Ok(reader.history().epochs.len())
        };
        let look = |record: &wgrad::EpochRecord| {
            seen.lock().unwrap().push(in_file(&every).unwrap_or(0));
            assert_eq!(record.epoch, seen.lock().unwrap().len());
            Control::Continue
        };
        trainer.fit(&train, fit.control(look)).unwrap();
        // After epochs 3 and 6, and after the last.
        assert_eq!(seen.into_inner().unwrap(), [0, 0, 0, 3, 3, 3, 6], "{name}");
        assert_eq!(in_file(&every).unwrap(), 7, "{name}");

        let losses = trainer.history().epochs.iter().map(|r| (r.epoch, r.validation.unwrap().loss));
        let (epoch, loss) = losses.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(in_file(&best).unwrap(), epoch, "{name}");
        let mut at_best = self::trainer(device, Sgd::new(1.5), 9);
        at_best.resume(&best).unwrap();
        assert_eq!(at_best.evaluate(&validation).unwrap().loss, loss, "{name}");
        // A checkpoint is also a model.
        let predictor = Predictor::new(device, Sequential::load(&best).unwrap()).unwrap();
        let inputs = validation.inputs();
        assert_same_bits(name, &predictor.predict(inputs, 2).unwrap(), &at_best.predict(inputs, 2).unwrap());
    }
}

#[test]
fn what_is_no_checkpoint_of_this_training_changes_nothing() {
    let (train, _) = data();
    let cpu = Device::cpu();
    let [model, sgd, adam, damaged] = ["model", "sgd", "adam", "damaged"].map(path);
    let mut writer = trainer(&cpu, Sgd::new(0.1), 1);
    writer.fit(&train, Fit::new(2, 30)).unwrap();
    writer.parameters().save(&model).unwrap();
    writer.save_checkpoint(&sgd).unwrap();
    trainer(&cpu, Adam::new(0.1), 1).save_checkpoint(&adam).unwrap();

    let mut reader = trainer(&cpu, Sgd::new(0.1), 1);
    reader.fit(&train, Fit::new(1, 30)).unwrap();
    let mut other_model = Trainer::new(&cpu, Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let message = other_model.resume(&sgd).unwrap_err().to_string();
    assert!(message.contains("missing: weight, bias; unexpected: 0.bias, 0.weight"), "{message}");
    let before = trainer(&cpu, Sgd::new(0.1), 1).fit(&train, Fit::new(1, 30)).unwrap().step_losses;
    for (file, part) in [(&model, "no checkpoint"), (&adam, "it was trained with Adam; this trainer has Sgd")] {
        let error = reader.resume(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
    let whole = fs::read(&sgd).unwrap();
    for len in (0..whole.len()).step_by(13) {
        fs::write(&damaged, &whole[..len]).unwrap();
        assert_eq!(reader.resume(&damaged).unwrap_err().kind(), ErrorKind::Io, "{len}");
    }
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut scratch = trainer(&cpu, Sgd::new(0.1), 1);
    for i in 0..header {
        let mut bytes = whole.clone();
        bytes[i] ^= 0x01;
        fs::write(&damaged, &bytes).unwrap();
        // An error, or another seed, rate or count: whatever it is, no panic, and training can be tried.
        if scratch.resume(&damaged).is_ok() {
            let _ = scratch.fit(&train, Fit::new(1, 60));
        }
    }
    assert_eq!(reader.history().step_losses, before);
    let mut untouched = trainer(&cpu, Sgd::new(0.1), 1);
    untouched.fit(&train, Fit::new(1, 30)).unwrap();
    assert_same_training("after refusals", &reader, &untouched);
    reader.resume(&sgd).unwrap();
    assert_same_training("after the right file", &reader, &writer);
}

/// A custom algorithm, which keeps as much as Adam.
struct Own<T>(T);

impl<T: Algorithm> Algorithm for Own<T> {
    fn settings(&self) -> &Settings {
        self.0.settings()
    }

    fn states(&self) -> usize {
        self.0.states()
    }

    fn update(&self) -> Update {
        self.0.update()
    }

    fn record(&self, recording: &mut Recording, update: Update, on: Stretch<'_>) -> Result<()> {
        self.0.record(recording, update, on)
    }
}

#[test]
fn a_checkpoint_is_of_one_rule() {
    let cpu = Device::cpu();
    let (train, _) = data();
    let adam = path("rule");
    let mut writer = trainer(&cpu, Adam::new(0.01), 1);
    writer.fit(&train, Fit::new(2, 30)).unwrap();
    writer.save_checkpoint(&adam).unwrap();

    // Each keeps two numbers for a parameter.
    let refused = |mut reader: Trainer, name: &str| {
        let error = reader.resume(&adam).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let wanted = format!("it was trained with Adam; this trainer has {name}");
        assert!(error.to_string().contains(&wanted), "{error}");
        assert!(reader.history().epochs.is_empty());
    };
    refused(trainer(&cpu, RmsProp::new(0.01), 1), "RmsProp");
    refused(trainer(&cpu, Own(Adam::new(0.01)), 1), "Own");
    let own = path("own-rule");
    trainer(&cpu, Own(Adam::new(0.01)), 1).save_checkpoint(&own).unwrap();
    trainer(&cpu, Own(Adam::new(0.01)), 1).resume(&own).unwrap();

    // A file from before the rule had its place in it.
    edit(&adam, |header| {
        let texts = header["__metadata__"].as_object_mut().unwrap();
        let key = texts.keys().find(|key| key.ends_with("optimizer.rule")).unwrap().clone();
        assert_eq!(texts.remove(&key).unwrap(), "Adam");
    });
    let mut reader = trainer(&cpu, Adam::new(0.01), 1);
    reader.resume(&adam).unwrap();
    assert_same_training("an old file", &reader, &writer);
    let message = trainer(&cpu, Sgd::new(0.1), 1).resume(&adam).unwrap_err().to_string();
    assert!(message.contains("keeps 2 numbers"), "{message}");
}

/// Changes the header of a file.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let bytes = fs::read(path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut json = serde_json::from_slice(&bytes[8..header]).unwrap();
    change(&mut json);
    let mut text = serde_json::to_vec(&json).unwrap();
    text.resize(text.len().next_multiple_of(8), b' ');
    fs::write(path, [&(text.len() as u64).to_le_bytes()[..], &text, &bytes[header..]].concat()).unwrap();
}

/// `tests/oracle/version-1.safetensors` was written by the first version of the crate after 3 epochs on 40 points, and what
/// follows is what that version made of the next 2: the same, but for the rounding of sums.
#[test]
fn a_checkpoint_of_the_first_version_is_resumed() {
    let data = disk(40, 7, Labels::PlusMinusOne).unwrap();
    let model = Sequential::new().add(Linear::new(2, 5)).add(Tanh).add(Linear::new(5, 1));
    let loss = Mse::new().decision(Decision::between(-1.0, 1.0));
    let mut trainer = Trainer::new(&Device::cpu(), model, loss, Adam::new(0.01), 0).unwrap();
    trainer.resume(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/version-1.safetensors")).unwrap();
    let epochs = &trainer.history().epochs;
    assert_eq!((epochs.len(), epochs[2].train.unwrap().accuracy), (3, Some(0.675)));
    trainer.fit(&data, Fit::until(5, 16)).unwrap();
    let losses = &trainer.history().step_losses[9..];
    let written = [0.8872068, 1.0469283, 1.0036718, 0.9995255, 0.976657, 0.9086833];
    assert_close("losses", losses, &written, 1e-5, 0.0);
    let predictions = trainer.predict(&[0.1, 0.2, 0.8, 0.9], 2).unwrap();
    assert_close("predictions", &predictions, &[0.07615839, -0.020115584], 1e-5, 1e-6);
}
