//! Trainers, sessions and ensembles: any fit of anything, and calls in any order.

use std::sync::Arc;

use pollster::block_on;
use wgrad::data::Dataset;
use wgrad::nn::{BatchNorm1d, CrossEntropy, Dropout, Linear, Loss, Module, Mse, Sequential};
use wgrad::ops::Activation;
use wgrad::optim::Algorithm;
use wgrad::{
    Control, Device, EarlyStopping, Ensemble, Error, ErrorKind, Fit, LrFind, Monitor, Session, StepGradient, StepPath,
    Trainer,
};

use crate::draw::Draw;
use crate::nn::{loss, model};
use crate::optim::algorithm;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[("trainers", trainers), ("sessions", sessions), ("ensembles", ensembles)];

/// A model of two columns, its loss and its algorithm: mostly what goes with [`data`].
fn parts(d: &mut Draw) -> (Arc<dyn Module>, Box<dyn Loss>, Box<dyn Algorithm>) {
    if d.chance(0.3) {
        let mut cols = 2;
        return (Arc::new(model(d, &mut cols, 1)), loss(d), algorithm(d));
    }
    let model = Sequential::new().add(Linear::new(2, 3)).add(Activation::Tanh);
    let model = if d.chance(0.3) { model.add(Dropout::new(0.5)) } else { model };
    let model = if d.chance(0.3) { model.add(BatchNorm1d::new(3)) } else { model };
    let loss: Box<dyn Loss> = if d.chance(0.5) { Box::new(Mse::new()) } else { Box::new(CrossEntropy::new()) };
    (Arc::new(model.add(Linear::new(3, 2))), loss, algorithm(d))
}

/// Of two columns of inputs and of outputs, mostly.
fn data(d: &mut Draw) -> Dataset {
    if d.chance(0.1)
        && let Some(data) = d.dataset()
    {
        return data;
    }
    let classes = d.chance(0.3);
    d.good_dataset(2, 2, classes)
}

fn fit<'a>(d: &mut Draw, validation: &'a Dataset) -> Fit<'a> {
    let (epochs, batch) = (d.below(4), if d.chance(0.2) { d.size() } else { 1 + d.below(4) });
    let mut fit = if d.chance(0.5) { Fit::new(epochs, batch) } else { Fit::until(epochs, batch) };
    for _ in 0..d.below(5) {
        let (flag, size) = (d.chance(0.5), d.size());
        fit = match d.below(24) {
            0 => fit.validation(validation),
            1 => fit.rows(d.sizes(9).into_iter().map(|row| row as u32)),
            2 => fit.validation_rows(d.sizes(9).into_iter().map(|row| row as u32)),
            3 => fit.drop_last(flag),
            4 => fit.accumulate(size),
            5 => fit.ema(d.real()),
            6 => fit.shuffle(flag),
            7 => fit.evaluate(flag),
            8 => fit.evaluate_train(flag),
            9 => fit.evaluate_every(size),
            10 => fit.resident_bytes(size as u64),
            11 => fit.steps_per_submit(size as u32),
            12 => fit.path(d.pick(&[StepPath::Auto, StepPath::Fused, StepPath::Layered])),
            13 => fit.on_epoch(|_| ()),
            14 => {
                let rate = d.real();
                let control = d.pick(&[Control::Continue, Control::Stop, Control::LearningRate(rate)]);
                fit.control(move |_| control)
            }
            15 => fit.early_stopping(EarlyStopping::new(size).min_delta(d.real())),
            16 => fit.monitor(d.pick(&[Monitor::TrainAccuracy, Monitor::ValidationLoss, Monitor::highest("own")])),
            17 => fit.checkpoint(path("checkpoint"), size),
            18 => fit.checkpoint_best(path("best")),
            19 => fit.progress(false),
            20 => fit.exchange(|_: &mut StepGradient<'_>| Ok(())),
            21 => {
                let (value, fails) = (d.real(), d.chance(0.1));
                fit.exchange(move |step: &mut StepGradient<'_>| {
                    step.values[0] = value;
                    if fails { Err(Error::new(ErrorKind::Io, "exchange", "none")) } else { Ok(()) }
                })
            }
            _ => {
                let value = d.share();
                fit.metric(d.text(), move |_, _| Ok(value))
            }
        };
    }
    fit
}

/// Its state is finite whatever was done to it.
fn check_trainer(trainer: &Trainer) {
    let values = trainer.parameters().read().unwrap();
    assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
    let steps: usize = trainer.history().epochs.iter().map(|epoch| epoch.steps).sum();
    assert_eq!(trainer.history().step_losses.len(), steps);
}

fn trainers(d: &mut Draw) {
    let device = Device::cpu();
    let (module, loss, rule) = parts(d);
    let trainer = Trainer::new(&device, module, loss, rule, d.seed());
    let Some(mut trainer) = d.see(trainer) else { return };
    let (train, validation) = (data(d), data(d));
    for _ in 0..d.below(6) {
        let (rows, cols) = (d.small(), d.near(2));
        match d.below(12) {
            0..=2 => {
                let fit = fit(d, &validation);
                let history = trainer.fit(&train, fit);
                if let Some(history) = d.see(history) {
                    let _ = (history.to_csv(), history.to_json(), history.loss_curves().len());
                    let _ = history.best(Monitor::TrainLoss).map(|epoch| epoch.metric("own").cloned());
                }
                // Whatever happened, it is at the last recorded epoch.
                check_trainer(&trainer);
            }
            3 => {
                let (inputs, targets) = (d.reals(rows * cols), d.reals(rows));
                let loss = trainer.step(&inputs, &targets, d.near(rows));
                d.see(loss);
            }
            4 => {
                let (inputs, targets) = (d.reals(rows * cols), d.reals(rows));
                let len = d.near(rows);
                let loss = trainer.step_weighted(&inputs, &targets, &d.reals(len));
                d.see(loss);
            }
            5 => {
                let finder = LrFind::new(d.size()).steps(d.small() * 5);
                let finder = if d.chance(0.5) { finder.rates(d.real(), d.real()) } else { finder };
                let found = trainer.lr_find(&train, finder);
                if let Some(found) = d.see(found) {
                    let _ = (found.suggestion(), found.curve());
                }
            }
            6 => {
                let measured = [trainer.evaluate(&train), block_on(trainer.session().evaluate(&train))];
                for measured in measured {
                    d.see(measured);
                }
                let fit = fit(d, &validation);
                let summary = trainer.summary(&train, &fit);
                d.see(summary);
            }
            7 => {
                let predicted = trainer.predict(&d.reals(rows * cols), cols);
                d.see(predicted);
                let predicted = trainer.predictor().predict(&d.reals(rows * 2), 2);
                d.see(predicted);
            }
            8 => {
                let set = trainer.optimizer().set_learning_rate(d.real());
                d.see(set);
            }
            9 => {
                let path = path("trainer");
                let saved = trainer.save_checkpoint(&path);
                d.see(saved);
                let resumed = trainer.resume(&path);
                d.see(resumed);
            }
            10 => {
                let (module, loss, rule) = parts(d);
                let other = Trainer::new(trainer.device(), module, loss, rule, 1);
                if let Some(other) = d.see(other) {
                    let resumed = trainer.resume_from(&other);
                    d.see(resumed);
                }
            }
            _ => assert!(format!("{trainer:?}").contains("Trainer(")),
        }
    }
    let session = trainer.into_session();
    assert!(session.device() == &device);
    let _ = session.into_model().describe();
}

fn sessions(d: &mut Draw) {
    let (module, loss, rule) = parts(d);
    let session = Session::new(&Device::cpu(), module, loss, rule, d.seed());
    let Some(mut session) = d.see(session) else { return };
    let (train, validation) = (data(d), data(d));
    for _ in 0..2 {
        let fit = fit(d, &validation);
        let path = session.path(&train, &fit);
        d.see(path);
        let summary = session.summary(&train, &fit);
        d.see(summary);
        let history = block_on(session.fit(&train, fit));
        d.see(history);
    }
    let rows = d.small();
    let (inputs, targets) = (d.reals(rows * 2), d.reals(rows));
    let losses =
        [block_on(session.step(&inputs, &targets, rows)), block_on(session.step_weighted(&inputs, &targets, &targets))];
    for loss in losses {
        d.see(loss);
    }
    let found = block_on(session.lr_find(&train, LrFind::new(2).steps(5)));
    d.see(found);
    let measured = block_on(session.evaluate(&train));
    d.see(measured);
    let predicted = [block_on(session.predict(&inputs, 2)), session.predictor().predict(&inputs, 2)];
    for predicted in predicted {
        d.see(predicted);
    }
    let file = path("session");
    let saved = block_on(session.save_checkpoint(&file));
    d.see(saved);
    let resumed = block_on(session.resume(&file));
    d.see(resumed);
    let bytes = block_on(session.checkpoint_bytes());
    if let Some(mut bytes) = d.see(bytes) {
        if d.chance(0.5) {
            let at = d.below(bytes.len());
            bytes[at] ^= 1;
        }
        let resumed = block_on(session.resume_from_bytes(&bytes));
        d.see(resumed);
    }
    let (module, loss, rule) = parts(d);
    if let Ok(mut other) = Session::new(session.device(), module, loss, rule, 2) {
        let resumed = block_on(other.resume_from(&session));
        d.see(resumed);
    }
    let _ = (session.parameters().count(), session.optimizer().steps(), session.history().epochs.len());
    let _ = session.into_model();
}

fn ensembles(d: &mut Draw) {
    let device = Device::cpu();
    let mut members = Vec::new();
    for seed in 0..d.below(4) {
        let (module, loss, rule) = parts(d);
        let elsewhere = Device::cpu();
        let device = if d.chance(0.05) { &elsewhere } else { &device };
        members.push(Trainer::new(device, module, loss, rule, seed as u64));
    }
    members.retain(|member| member.is_ok() || d.chance(0.1));
    let ensemble = Ensemble::new(members);
    let Some(mut ensemble) = d.see(ensemble) else { return };
    let count = ensemble.members().len();
    let (train, validation) = (data(d), data(d));
    let fits: Vec<Fit<'_>> = (0..count).map(|_| fit(d, &validation)).collect();
    let mut fits = fits.into_iter();
    let results = match d.below(3) {
        0 => ensemble.fit(&train, |_| fits.next().unwrap()),
        1 => block_on(ensemble.fit_async(&train, |_| fits.next().unwrap())),
        _ => {
            let each: Vec<&Dataset> = (0..d.near(count)).map(|_| &train).collect();
            ensemble.fit_each(&each, |_| fits.next().unwrap_or_else(|| Fit::new(1, 1)))
        }
    };
    d.see(results);
    let member = d.size();
    let _ = (ensemble.failure(member), ensemble.statistics(Monitor::TrainLoss), ensemble.best(Monitor::TrainLoss));
    let cols = d.near(2);
    let inputs = d.reals(2 * cols);
    let predicted = ensemble.predict(&inputs, cols);
    d.see(predicted);
    let votes = ensemble.vote(&inputs, cols);
    d.see(votes);
    let folder = path("ensemble");
    let saved = ensemble.save_checkpoint(&folder);
    d.see(saved);
    let resumed = ensemble.resume(&folder);
    d.see(resumed);
    let _ = ensemble.device().name();
    ensemble.members_mut().iter().for_each(check_trainer);
    let folds: Vec<(Dataset, Dataset)> = (0..d.below(3)).map(|_| (train.clone(), validation.clone())).collect();
    let crossed = Ensemble::cross_validate(
        folds,
        |fold| {
            let (module, loss, rule) = parts(d);
            Trainer::new(&device, module, loss, rule, fold as u64)
        },
        |_| Fit::new(1, 2),
    );
    d.see(crossed);
    assert_eq!(ensemble.into_members().len(), count);
}
