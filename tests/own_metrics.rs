//! Metrics of one's own: `Fit::metric`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{Devices, on_every_device, small_integers};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Init, Linear, Mse};
use wgrad::optim::Sgd;
use wgrad::{Device, EarlyStopping, Ensemble, Error, ErrorKind, Fit, History, Monitor, Trainer, metrics};

on_every_device!(outputs_are_those_of_every_row_in_order, members_have_metrics_of_their_own);

/// The sum of the absolute errors: of whole numbers, exact. It sees the order of the rows.
fn error(outputs: &[f32], data: &Dataset) -> f64 {
    assert_eq!(outputs.len(), data.len());
    let rows = data.inputs().chunks(3).zip(outputs);
    rows.for_each(|(x, y)| assert_eq!(x.iter().sum::<f32>(), *y));
    (0..data.len()).map(|row| f64::from((outputs[row] - data.targets()[row]).abs()) * weight(data, row)).sum()
}

fn weight(data: &Dataset, row: usize) -> f64 {
    data.weights().map_or(1.0, |weights| f64::from(weights[row]))
}

fn data(rows: usize, seed: u64) -> Dataset {
    Dataset::new(small_integers(seed, 3 * rows, 4), 3, small_integers(seed + 1, rows, 4), 1).unwrap()
}

/// A model that adds its inputs up, and does not learn.
fn adder(device: &Device) -> Trainer {
    let model = Linear::new(3, 1).init(Init::Constant(1.0), Init::Constant(0.0));
    Trainer::new(device, model, Mse::new(), Sgd::new(0.0), 0).unwrap()
}

fn sums(data: &Dataset) -> Vec<f32> {
    data.inputs().chunks(3).map(|x| x.iter().sum()).collect()
}

fn outputs_are_those_of_every_row_in_order(devices: &Devices) {
    // An evaluation goes through 4,096 rows at a time: less, as many, more, several times as many and a rest.
    let (train, validation) = (data(103, 1), data(10_001, 7));
    let (exact, chunk) = (data(8192, 3), data(4096, 5));
    let weighted = train.clone().with_weights((0..103).map(|row| (row % 3) as f32).collect()).unwrap();
    let own = |outputs: &[f32], data: &Dataset| Ok(error(outputs, data));
    let expected = |data: &Dataset| Some(error(&sums(data), data));
    for (name, device) in devices {
        for (data, held_out) in [(&train, &validation), (&weighted, &weighted), (&exact, &chunk)] {
            for bytes in [u64::MAX, 0] {
                let fit = Fit::new(2, 20).validation(held_out).metric("error", own).resident_bytes(bytes);
                for record in adder(device).fit(data, fit).unwrap().epochs {
                    let metric = record.metric("error").unwrap();
                    assert_eq!((metric.train, metric.validation), (expected(data), expected(held_out)), "{name}");
                }
            }
        }
        // Some rows, in an order of their own.
        let (rows, others) = ([5, 3, 99, 3], [7, 0]);
        let fit = Fit::new(1, 2).rows(rows).validation_rows(others).metric("error", own);
        let history = adder(device).fit(&weighted, fit).unwrap();
        let metric = history.epochs[0].metric("error").unwrap();
        let of = |rows: &[u32]| {
            expected(&weighted.select(&rows.iter().map(|row| *row as usize).collect::<Vec<_>>()).unwrap())
        };
        assert_eq!((metric.train, metric.validation), (of(&rows), of(&others)), "{name}");
    }
}

fn members_have_metrics_of_their_own(devices: &Devices) {
    let (train, validation) = disk(60, 0, Labels::PlusMinusOne).unwrap().split(0.5, 0).unwrap();
    let trainer =
        |device: &Device, seed| Trainer::new(device, Linear::new(2, 1), Mse::new(), Sgd::new(0.1), seed).unwrap();
    let fit = |member: u64| {
        let fit = Fit::new(3, 10).validation(&validation);
        match member % 3 {
            0 => fit,
            1 => fit.metric("mae", metrics::mae),
            _ => fit.metric("rmse", metrics::rmse).metric("mae", metrics::mae),
        }
    };
    for (name, device) in devices {
        let members = if device.name() == "cpu" { 9 } else { 3 };
        let mut ensemble = Ensemble::new((0..members).map(|seed| Ok(trainer(device, seed)))).unwrap();
        let results = ensemble.fit(&train, |member| fit(member as u64)).unwrap();
        for (member, result) in (0..members).zip(results) {
            let alone = trainer(device, member).fit(&train, fit(member)).unwrap();
            let of = |history: &History| history.epochs.iter().map(|record| record.metrics.clone()).collect::<Vec<_>>();
            assert_eq!(of(&result.unwrap()), of(&alone), "{name}, member {member}");
            assert_eq!(alone.epochs[2].metrics.len() as u64, member % 3, "{name}");
        }
        let statistics = ensemble.statistics(Monitor::lowest("mae")).unwrap();
        assert_eq!(statistics.count as u64, members - members.div_ceil(3), "{name}");
        assert_eq!(ensemble.best(Monitor::highest("rmse")).map(|member| member % 3), Some(2), "{name}");
    }
}

#[test]
fn the_best_epoch_is_that_of_the_metric() {
    let data = data(20, 1);
    // What it gives follows from how often it was called: on the training data, then on the validation data.
    let scores = [0.1, 0.5, 0.3, 0.5, 0.2, 0.9];
    let fit = |monitor: Monitor| {
        let mut calls = 0;
        let fit = Fit::new(6, 10).validation(&data).monitor(monitor).early_stopping(EarlyStopping::new(3));
        fit.metric("score", move |_, _| {
            calls += 1;
            Ok(if calls % 2 == 0 { scores[calls / 2 - 1] } else { -scores[calls / 2] })
        })
    };
    let trained = |monitor| adder(&Device::cpu()).fit(&data, fit(monitor)).unwrap();
    let highest = Monitor::highest("score");
    let history = trained(highest);
    // The second is the best; three more are not better.
    assert_eq!((history.epochs.len(), history.best(highest).unwrap().epoch), (5, 2));
    assert_eq!(history.best(highest.on_training_data()).unwrap().epoch, 1);
    assert_eq!(history.best(Monitor::lowest("score")).unwrap().epoch, 1);
    assert_eq!(trained(Monitor::lowest("score")).epochs.len(), 4);
    assert_eq!(trained(Monitor::lowest("score").on_training_data()).epochs.len(), 5);
    assert!(history.best(Monitor::highest("other")).is_none());
}

#[test]
fn a_history_has_the_metrics_in_all_its_forms() {
    let data = data(20, 1);
    let mut trainer = adder(&Device::cpu());
    trainer.fit(&data, Fit::new(1, 10)).unwrap();
    let fit = Fit::new(4, 10).evaluate_every(2);
    let fit = fit.metric("z.b", |_, _| Ok(0.1)).metric("a", |_, _| Ok(f64::NAN)).metric("m", |_, _| Ok(f64::INFINITY));
    trainer.fit(&data, fit).unwrap();
    let csv = trainer.history().to_csv();
    let header = csv.lines().next().unwrap();
    assert!(
        header.ends_with(",seconds,train_z.b,validation_z.b,train_a,validation_a,train_m,validation_m"),
        "{header}"
    );
    assert!(csv.lines().nth(1).unwrap().ends_with(",,,,,,"), "{csv}");
    assert!(csv.lines().nth(2).unwrap().ends_with(",0.1,,,,inf,"), "{csv}");
    assert!(trainer.history().to_json().contains("\"train_z.b\": 0.1, \"validation_z.b\": null, \"train_a\": null"));
    let path = std::env::temp_dir().join(format!("wgrad-own-metrics-{}.safetensors", std::process::id()));
    trainer.save_checkpoint(&path).unwrap();
    let mut resumed = adder(&Device::cpu());
    resumed.resume(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let metrics = |trainer: &Trainer| -> Vec<_> {
        let all = trainer.history().epochs.iter().flat_map(|record| record.metrics.clone());
        all.filter(|metric| metric.train.is_some()).collect()
    };
    assert_eq!(metrics(&resumed), metrics(&trainer));
    // The second, the fourth and the last; NaN is no metric.
    assert_eq!(metrics(&resumed).len(), 6);
}

#[test]
fn metrics_that_mean_nothing_are_refused() {
    let data = data(20, 1);
    let zero = |_: &[f32], _: &Dataset| Ok(0.0);
    let error = |fit: Fit<'_>| adder(&Device::cpu()).fit(&data, fit).unwrap_err().to_string();
    let named = |name: &str| error(Fit::new(1, 10).metric(name, zero));
    assert_eq!(named("loss"), "fit: the metric 'loss', which the history has already; choose another name");
    assert!(named("accuracy").contains("choose another name"));
    assert!(named("").contains("give a name"));
    assert!(named("a,b").contains("without commas"));
    let twice = error(Fit::new(1, 10).metric("a", zero).metric("a", zero));
    assert_eq!(twice, "fit: the metric 'a' twice; choose another name for one of both");
    assert!(error(Fit::new(1, 10).metric("a", zero).evaluate(false)).contains("evaluate(false) makes none"));
    let monitored =
        |monitor| error(Fit::new(1, 10).metric("a", zero).monitor(monitor).early_stopping(EarlyStopping::new(1)));
    assert!(monitored(Monitor::highest("b")).contains("no such metric; give it with Fit::metric"));
    assert!(monitored(Monitor::highest("a")).contains("no validation data"));
    // A monitor that nothing looks at.
    let idle = error(Fit::new(1, 10).monitor(Monitor::TrainLoss));
    assert!(idle.contains("for which nothing looks; add Fit::early_stopping"), "{idle}");
    // Training ends with the epoch before.
    let mut trainer = adder(&Device::cpu());
    let mut calls = 0;
    let fit = Fit::new(5, 10).metric("a", move |_, _| {
        calls += 1;
        if calls < 3 { Ok(1.0) } else { Err(Error::new(ErrorKind::InvalidInput, "mine", "no more")) }
    });
    let failed = trainer.fit(&data, fit).unwrap_err().to_string();
    assert_eq!(failed, "fit: the metric 'a' failed: mine: no more");
    assert_eq!(trainer.history().epochs.len(), 2);
}
