//! Every member of an ensemble trains to the bits that it would have alone, whatever the others do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, assert_same_bits, on_every_device};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Dropout, GELU, Huber, LayerNorm, Linear, Mse, ReLU, Sequential, Sigmoid, Tanh,
};
use wgrad::optim::{Adam, RmsProp, Schedule, Sgd};
use wgrad::{Device, EarlyStopping, Ensemble, ErrorKind, Fit, History, Monitor, Result, Statistics, StepPath, Trainer};

on_every_device!(
    members_are_bit_equal_to_the_same_training_alone,
    members_differ_in_rates_decay_and_rows,
    a_member_that_diverges_leaves_alone,
    early_stopping_is_each_members_own,
    checkpoints_resume_to_the_bit,
    fused_members_share_dispatches,
    layered_members_share_submits,
);

/// 71 samples: the last mini-batch of 16 is smaller.
fn data() -> Dataset {
    disk(71, 0, Labels::OneHot).unwrap()
}

fn network(widths: &[usize]) -> Sequential {
    let last = widths.len() - 2;
    let layer = |model: Sequential, (i, pair): (usize, &[usize])| {
        let model = model.add(Linear::new(pair[0], pair[1]));
        match i {
            _ if i == last => model,
            0 => model.add(ReLU),
            _ => model.add(Tanh),
        }
    };
    widths.windows(2).enumerate().fold(Sequential::new(), layer)
}

type Build = fn(&Device, usize) -> Result<Trainer>;

/// All kinds of kernels, optimizers and losses.
const BUILDS: &[(&str, Build)] = &[
    ("mse, sgd", |device, seed| {
        let loss = Mse::new().decision(Decision::between(0.0, 1.0));
        Trainer::new(device, network(&[2, 25, 25, 25, 2]).add(Sigmoid), loss, Sgd::new(0.5), seed as u64)
    }),
    ("cross-entropy, nesterov", |device, seed| {
        let sgd = Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(1e-3);
        Trainer::new(device, network(&[2, 16, 2]), CrossEntropy::new(), sgd, seed as u64)
    }),
    ("logits, adam, clipped", |device, seed| {
        let adam = Adam::new(0.01).clip_norm(0.5).schedule(Schedule::exponential(0.9));
        Trainer::new(device, network(&[2, 7, 5, 2]), BceWithLogits::new(), adam, seed as u64)
    }),
    ("huber, rmsprop, gelu", |device, seed| {
        let model = Sequential::new().add(Linear::new(2, 9)).add(GELU).add(Linear::new(9, 2));
        Trainer::new(device, model, Huber::new(0.5), RmsProp::new(0.01).momentum(0.5).clip_value(0.1), seed as u64)
    }),
    ("dropout, layer norm, adamw", |device, seed| {
        let model = Sequential::new()
            .add(Linear::new(2, 12))
            .add(LayerNorm::new(12))
            .add(Sigmoid)
            .add(Dropout::new(0.3))
            .add(Linear::new(12, 2));
        Trainer::new(device, model, Mse::new(), Adam::new(0.01).decoupled_weight_decay(0.1), seed as u64)
    }),
];

fn fit<'a>(validation: &'a Dataset) -> Fit<'a> {
    Fit::new(3, 16).validation(validation)
}

#[track_caller]
fn assert_alike(name: &str, member: &Trainer, alone: &Trainer) {
    let values = |trainer: &Trainer| trainer.parameters().read().unwrap();
    assert_same_bits(name, &values(member), &values(alone));
    assert_histories(name, member.history(), alone.history());
}

#[track_caller]
fn assert_histories(name: &str, a: &History, b: &History) {
    assert_same_bits(name, &a.step_losses, &b.step_losses);
    assert_eq!(a.epochs.len(), b.epochs.len(), "{name}");
    for (a, b) in a.epochs.iter().zip(&b.epochs) {
        assert_eq!((a.loss, a.train, a.validation), (b.loss, b.train, b.validation), "{name}: epoch {}", a.epoch);
    }
}

fn members_are_bit_equal_to_the_same_training_alone(devices: &Devices) {
    let (data, validation) = (data(), disk(33, 5, Labels::OneHot).unwrap());
    for (name, device) in devices {
        let counts: &[usize] = if device.name() == "cpu" { &[1, 3, 8, 11] } else { &[3] };
        for (build_name, build) in BUILDS {
            let mut alone: Vec<_> = (0..11).map(|seed| build(device, seed).unwrap()).collect();
            alone.truncate(*counts.last().unwrap());
            alone.iter_mut().for_each(|trainer| drop(trainer.fit(&data, fit(&validation)).unwrap()));
            for count in counts {
                let mut ensemble = Ensemble::new((0..*count).map(|seed| build(device, seed))).unwrap();
                // In two calls, of which the second goes on.
                ensemble.fit(&data, |_| Fit::new(1, 16).validation(&validation)).unwrap();
                let results = ensemble.fit(&data, |_| Fit::new(2, 16).validation(&validation)).unwrap();
                assert!(results.iter().all(Result::is_ok), "{results:?}");
                for (seed, (member, alone)) in ensemble.members().iter().zip(&mut alone).enumerate() {
                    assert_alike(&format!("{name}, {build_name}, {seed} of {count}"), member, alone);
                }
            }
        }
    }
}

/// On the CPU path, gradients of so many rows are summed in parts.
#[test]
fn large_mini_batches_are_summed_alike() {
    let (data, device) = (disk(600, 0, Labels::OneHot).unwrap(), Device::cpu());
    let build = |seed| Trainer::new(&device, network(&[2, 10, 2]), Mse::new(), Sgd::new(0.5), seed);
    let mut ensemble = Ensemble::new((0..8).map(build)).unwrap();
    ensemble.fit(&data, |_| Fit::new(3, 600)).unwrap();
    for (seed, member) in ensemble.members().iter().enumerate() {
        let mut alone = build(seed as u64).unwrap();
        alone.fit(&data, Fit::new(3, 600)).unwrap();
        assert_alike(&format!("member {seed}"), member, &alone);
    }
}

fn members_differ_in_rates_decay_and_rows(devices: &Devices) {
    let data = data();
    for (name, device) in devices {
        let build = |member: usize| {
            let x = 0.01 * (1 + member) as f32;
            let sgd =
                Sgd::new(0.1 + x).momentum(0.5 + x).nesterov(member.is_multiple_of(2)).weight_decay(x).clip_value(x);
            Trainer::new(device, network(&[2, 10, 2]), Mse::new(), sgd, member as u64)
        };
        // Bootstrap samples; for the last two members fewer rows.
        let rows =
            |member: usize| (0..if member < 5 { 71 } else { 40 }).map(move |i: u32| (i * i + 7 * member as u32) % 71);
        let fit = |member: usize| Fit::new(2, 16).rows(rows(member)).validation_rows(60..71);
        let mut ensemble = Ensemble::new((0..7).map(build)).unwrap();
        let results = ensemble.fit(&data, fit).unwrap();
        for (member, result) in results.iter().enumerate() {
            let mut alone = build(member).unwrap();
            let history = alone.fit(&data, fit(member)).unwrap();
            let name = format!("{name}, member {member}");
            assert_alike(&name, &ensemble.members()[member], &alone);
            assert_histories(&name, result.as_ref().unwrap(), &history);
            // The rows are those of a dataset that has them alone.
            let picked: Vec<usize> = rows(member).map(|row| row as usize).collect();
            let mut of_picked = build(member).unwrap();
            of_picked.fit(&data.select(&picked).unwrap(), Fit::new(2, 16)).unwrap();
            assert_same_bits(&name, &of_picked.history().step_losses, &history.step_losses);
        }
    }
}

fn a_member_that_diverges_leaves_alone(devices: &Devices) {
    let data = data();
    for (name, device) in devices {
        let build = |member: usize| {
            // In its third epoch.
            let factor = if member == 2 { 1e20 } else { 1.0 };
            let sgd = Sgd::new(0.1).schedule(Schedule::multi_step(&[(2, factor)]));
            Trainer::new(device, network(&[2, 10, 2]), Mse::new(), sgd, member as u64)
        };
        let mut ensemble = Ensemble::new((0..6).map(build)).unwrap();
        let results = ensemble.fit(&data, |_| Fit::new(4, 16)).unwrap();
        for (member, result) in results.iter().enumerate() {
            let mut alone = build(member).unwrap();
            let expected = alone.fit(&data, Fit::new(4, 16));
            assert_eq!(result.as_ref().err(), expected.as_ref().err(), "{name}, member {member}");
            assert_eq!(result.is_err(), member == 2, "{name}, member {member}: {result:?}");
            assert_alike(&format!("{name}, member {member}"), &ensemble.members()[member], &alone);
        }
        assert_eq!(ensemble.failure(2).map(wgrad::Error::kind), Some(ErrorKind::NotFinite), "{name}");
        assert_eq!(ensemble.statistics(Monitor::TrainLoss).unwrap().count, 5, "{name}");
    }
}

fn early_stopping_is_each_members_own(devices: &Devices) {
    let (data, validation) = (data(), disk(33, 5, Labels::OneHot).unwrap());
    for (name, device) in devices {
        let build = |member: usize| {
            // From slow to so fast that the best epoch comes early.
            let rate = [0.01, 1.0, 3.0, 6.0, 0.3][member];
            Trainer::new(device, network(&[2, 10, 2]), Mse::new(), Sgd::new(rate), member as u64)
        };
        let fit = || Fit::new(12, 16).validation(&validation).early_stopping(EarlyStopping::new(2));
        let mut ensemble = Ensemble::new((0..5).map(build)).unwrap();
        ensemble.fit(&data, |_| fit()).unwrap();
        let mut lengths = Vec::new();
        for (member, own) in ensemble.members().iter().enumerate() {
            let mut alone = build(member).unwrap();
            let _ = alone.fit(&data, fit());
            assert_alike(&format!("{name}, member {member}"), own, &alone);
            lengths.push(own.history().epochs.len());
        }
        lengths.sort_unstable();
        lengths.dedup();
        assert!(lengths.len() > 1, "{name}: all stopped after {lengths:?} epochs");
    }
}

fn checkpoints_resume_to_the_bit(devices: &Devices) {
    let data = data();
    for (i, (name, device)) in devices.iter().enumerate() {
        let folder = std::env::temp_dir().join(format!("wgrad-ensemble-{}-{i}", std::process::id()));
        let build = |member: usize| BUILDS[1].1(device, member);
        let mut whole = Ensemble::new((0..5).map(build)).unwrap();
        whole.fit(&data, |_| Fit::new(4, 16)).unwrap();
        let mut first = Ensemble::new((0..5).map(build)).unwrap();
        first.fit(&data, |_| Fit::new(2, 16)).unwrap();
        first.save_checkpoint(&folder).unwrap();
        let mut second = Ensemble::new((0..5).map(build)).unwrap();
        second.resume(&folder).unwrap();
        second.fit(&data, |_| Fit::until(4, 16)).unwrap();
        for (member, (second, whole)) in second.members().iter().zip(whole.members()).enumerate() {
            assert_alike(&format!("{name}, member {member}"), second, whole);
        }
        let mut more = Ensemble::new((0..6).map(build)).unwrap();
        assert_eq!(more.resume(&folder).unwrap_err().kind(), ErrorKind::Io);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_cross_validation_is_that_of_each_fold_alone() {
    let device = Device::cpu();
    let data = data();
    let trainer = |fold: usize| BUILDS[2].1(&device, fold);
    // 71 samples in 5 folds: one has 15.
    let ensemble = Ensemble::cross_validate(data.folds(5, 3).unwrap(), trainer, |_| Fit::new(2, 16)).unwrap();
    let mut accuracies = Vec::new();
    for (fold, (train, validation)) in data.folds(5, 3).unwrap().enumerate() {
        let mut alone = trainer(fold).unwrap();
        let history = alone.fit(&train, Fit::new(2, 16).validation(&validation)).unwrap();
        assert_alike(&format!("fold {fold}"), &ensemble.members()[fold], &alone);
        accuracies.push(f64::from(history.epochs[1].validation.unwrap().accuracy.unwrap()));
    }
    assert_eq!(ensemble.statistics(Monitor::ValidationAccuracy), Statistics::of(accuracies));
}

/// Where one dispatch trains a member, it trains all that are alike, each to the bits that it would have alone.
fn fused_members_share_dispatches(devices: &Devices) {
    const MEMBERS: usize = 5;
    let data = data();
    // Members share the data, or have folds of their own.
    let folds: Vec<_> = data.folds(MEMBERS, 3).unwrap().collect();
    let folds: Vec<_> = folds.into_iter().filter(|(train, _)| train.len() == 57).collect();
    assert_eq!(folds.len(), MEMBERS - 1);
    for (name, device) in devices {
        let build = |member: usize| BUILDS[1].1(device, member);
        let fit = || Fit::new(2, 16).path(StepPath::Fused).steps_per_submit(1).evaluate_every(0);
        let dispatches = |run: &mut dyn FnMut()| {
            let before = device.counters().dispatches;
            run();
            device.counters().dispatches - before
        };
        let mut alone: Vec<_> = (0..MEMBERS).map(|member| build(member).unwrap()).collect();
        let in_turn = dispatches(&mut || alone.iter_mut().for_each(|trainer| drop(trainer.fit(&data, fit()).unwrap())));
        let mut ensemble = Ensemble::new((0..MEMBERS).map(build)).unwrap();
        let together = dispatches(&mut || drop(ensemble.fit(&data, |_| fit()).unwrap()));
        // Five steps an epoch; what an epoch takes besides, each member takes.
        assert_eq!(in_turn - together, 2 * 5 * (MEMBERS as u64 - 1), "{name}");
        for (member, (own, alone)) in ensemble.members().iter().zip(&alone).enumerate() {
            assert_alike(&format!("{name}, member {member}"), own, alone);
        }
        let fit = || Fit::new(2, 16).path(StepPath::Fused);
        let ensemble = Ensemble::cross_validate(folds.clone(), build, |_| fit()).unwrap();
        for (fold, (train, validation)) in folds.iter().enumerate() {
            let mut alone = build(fold).unwrap();
            alone.fit(train, fit().validation(validation)).unwrap();
            assert_alike(&format!("{name}, fold {fold}"), &ensemble.members()[fold], &alone);
        }
    }
}

/// Where members are trained layer by layer, on a GPU, a step of all is in one submit.
fn layered_members_share_submits(devices: &Devices) {
    const MEMBERS: usize = 4;
    let data = data();
    for (name, device) in devices.iter().filter(|(_, device)| device.name() != "cpu") {
        let build = |member: usize| BUILDS[member % 2].1(device, member);
        let fit = || Fit::new(2, 16).path(StepPath::Layered).evaluate_every(0);
        let submits = |run: &mut dyn FnMut()| {
            let before = device.counters().submits;
            run();
            device.counters().submits - before
        };
        let mut alone: Vec<_> = (0..MEMBERS).map(|member| build(member).unwrap()).collect();
        let in_turn = submits(&mut || alone.iter_mut().for_each(|trainer| drop(trainer.fit(&data, fit()).unwrap())));
        let mut ensemble = Ensemble::new((0..MEMBERS).map(build)).unwrap();
        let together = submits(&mut || drop(ensemble.fit(&data, |_| fit()).unwrap()));
        // In each epoch one for four steps, and one for the smaller mini-batch.
        assert!(in_turn - together >= 2 * 2 * (MEMBERS as u64 - 1), "{name}: {in_turn}, {together}");
        for (member, (own, alone)) in ensemble.members().iter().zip(&alone).enumerate() {
            assert_alike(&format!("{name}, member {member}"), own, alone);
        }
    }
}

#[test]
fn predictions_are_averaged_and_voted() {
    let device = Device::cpu();
    let data = data();
    let mut ensemble = Ensemble::new((0..3).map(|seed| BUILDS[1].1(&device, seed))).unwrap();
    ensemble.fit(&data, |_| Fit::new(2, 16)).unwrap();
    let x = &data.inputs()[..20];
    let each: Vec<_> = ensemble.members().iter().map(|member| member.predict(x, 2).unwrap()).collect();
    let prediction = ensemble.predict(x, 2).unwrap();
    let votes = ensemble.vote(x, 2).unwrap();
    for at in 0..20 {
        let of: Vec<f64> = each.iter().map(|output| f64::from(output[at])).collect();
        let mean = of.iter().sum::<f64>() / 3.0;
        let deviation = (of.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        assert_eq!((prediction.mean[at], prediction.deviation[at]), (mean as f32, deviation as f32));
    }
    for (row, (class, share)) in votes.into_iter().enumerate() {
        let ones = each.iter().filter(|output| output[2 * row + 1] > output[2 * row]).count();
        let expected = if ones >= 2 { (1, ones) } else { (0, 3 - ones) };
        assert_eq!((class, share), (expected.0, expected.1 as f32 / 3.0), "row {row}");
    }
    let best = ensemble.best(Monitor::TrainLoss).unwrap();
    let loss = |member: &Trainer| member.history().epochs.last().unwrap().train.unwrap().loss;
    assert!(ensemble.members().iter().all(|member| loss(&ensemble.members()[best]) <= loss(member)));
    let statistics = ensemble.statistics(Monitor::TrainLoss).unwrap();
    assert_eq!(Some(statistics), Statistics::of(ensemble.members().iter().map(|member| f64::from(loss(member)))));
}

#[test]
fn what_is_no_ensemble_is_refused() {
    let device = Device::cpu();
    let message = |result: Result<Ensemble>| result.unwrap_err().to_string();
    assert!(message(Ensemble::new([])).contains("at least one"));
    let layer = Linear::new(2, 2);
    let shared = || Trainer::new(&device, layer.clone(), Mse::new(), Sgd::new(0.1), 0);
    let error = message(Ensemble::new([shared(), shared()]));
    assert!(error.contains("members 0 and 1 share the parameter weight"), "{error}");
    let error = message(Ensemble::new([BUILDS[0].1(&device, 0), BUILDS[0].1(&Device::cpu(), 1)]));
    assert!(error.contains("one Device"), "{error}");

    let data = data();
    let mut ensemble = Ensemble::new([BUILDS[0].1(&device, 0)]).unwrap();
    for (fit, words) in [
        (Fit::new(1, 16).rows([]), "no rows"),
        (Fit::new(1, 16).rows(50..80), "row 71 of a dataset of 71"),
        (Fit::new(1, 16).rows(0..10), "batch size of 16 for 10"),
        (Fit::new(1, 16).validation(&data).validation_rows(0..10), "give one of both"),
        (Fit::new(1, 16).early_stopping(EarlyStopping::new(1)), "validation"),
    ] {
        let mut fit = Some(fit);
        let error = ensemble.fit(&data, |_| fit.take().unwrap()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(ensemble.members()[0].history().epochs.is_empty());
}
