//! Gradients that pass through the host: `Fit::exchange`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use common::{Devices, EPSILON, assert_close, assert_same_bits, assert_same_training, on_every_device, signed, values};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{BatchNorm1d, Dropout, Linear, Mse, ReLU, Sequential, Tanh};
use wgrad::ops::Reduction;
use wgrad::optim::{Adam, Algorithm, Schedule, Sgd};
use wgrad::{
    Control, Device, EarlyStopping, Error, ErrorKind, Exchange, Fit, History, Monitor, Result, StepGradient, StepPath,
    Trainer,
};

on_every_device!(a_gradient_that_is_left_as_it_is_changes_no_bit, two_trainers_are_one_with_the_double_batch,);

fn unchanged(_: &mut StepGradient<'_>) -> Result<()> {
    Ok(())
}

/// Numbers, and how much they count.
type Message = (Vec<f64>, f64);

/// Members of a group in threads of one process: each puts its message into its place, and reads those of all.
struct Member {
    rank: usize,
    places: Arc<Vec<Mutex<Message>>>,
    barrier: Arc<Barrier>,
    /// A planted fault: takes the mean of gradients whatever their rows are.
    forgets_counts: bool,
}

fn group(size: usize) -> Vec<Member> {
    let (places, barrier) = (Arc::new((0..size).map(|_| Mutex::default()).collect()), Arc::new(Barrier::new(size)));
    (0..size)
        .map(|rank| Member { rank, places: Arc::clone(&places), barrier: Arc::clone(&barrier), forgets_counts: false })
        .collect()
}

impl Member {
    /// What all have sent, in the order of their ranks.
    fn gather(&self, own: Vec<f64>, count: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        *self.places[self.rank].lock().unwrap() = (own, count);
        self.barrier.wait();
        let all = self.places.iter().map(|place| place.lock().unwrap().clone()).unzip();
        self.barrier.wait();
        all
    }
}

impl Exchange for Member {
    fn gradient(&mut self, step: &mut StepGradient<'_>) -> Result<()> {
        let own = step.values.iter().chain([&step.loss]).map(|value| f64::from(*value)).collect();
        let (all, mut counts) = self.gather(own, step.count);
        step.count = counts.iter().sum();
        if self.forgets_counts {
            counts.fill(1.0);
        }
        let all: Vec<Vec<f32>> = all.iter().map(|own| own.iter().map(|value| *value as f32).collect()).collect();
        let parts: Vec<&[f32]> = all.iter().map(|own| &own[..]).collect();
        let mut whole = vec![0.0; all[0].len()];
        step.reduction.combine_into(&parts, &counts, &mut whole);
        step.loss = whole.pop().unwrap();
        step.values.copy_from_slice(&whole);
        Ok(())
    }

    fn combine(&mut self, numbers: &mut [f64], count: f64, reduction: Reduction) -> Result<()> {
        let (all, counts) = self.gather(numbers.to_vec(), count);
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = reduction.combine(&all.iter().map(|own| own[i]).collect::<Vec<_>>(), &counts);
        }
        Ok(())
    }

    fn same(&mut self, facts: &[(&str, String)]) -> Result<()> {
        for (name, fact) in facts {
            let (all, _) = self.gather(fact.bytes().map(f64::from).collect(), 0.0);
            if all.iter().any(|other| *other != all[0]) {
                return Err(Error::new(ErrorKind::InvalidInput, "group", format!("{name} differs: {fact}")));
            }
        }
        Ok(())
    }

    fn steps(&mut self, own: usize) -> Result<usize> {
        let (all, _) = self.gather(vec![own as f64], 0.0);
        Ok(all.iter().map(|steps| steps[0] as usize).max().unwrap())
    }

    fn rank(&self) -> usize {
        self.rank
    }
}

/// Trains a trainer for each part, in threads.
fn together<'d>(
    parts: &'d [Dataset],
    make: impl Fn() -> Trainer + Sync,
    fit: impl Fn(usize) -> Fit<'d> + Sync,
) -> Vec<Result<(Trainer, History)>> {
    train_together(parts, make, fit, false)
}

fn train_together<'d>(
    parts: &'d [Dataset],
    make: impl Fn() -> Trainer + Sync,
    fit: impl Fn(usize) -> Fit<'d> + Sync,
    forgets_counts: bool,
) -> Vec<Result<(Trainer, History)>> {
    let train = |(rank, member): (usize, Member)| {
        let member = Member { forgets_counts, ..member };
        let mut trainer = make();
        let history = trainer.fit(&parts[rank], fit(rank).exchange(member))?;
        Ok((trainer, history))
    };
    thread::scope(|scope| {
        let members: Vec<_> = group(parts.len()).into_iter().enumerate().collect();
        let threads: Vec<_> = members.into_iter().map(|member| scope.spawn(|| train(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn model() -> Sequential {
    Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 25)).add(Tanh).add(Linear::new(25, 1))
}

fn loss() -> Mse {
    Mse::new().decision(Decision::between(-1.0, 1.0))
}

fn a_gradient_that_is_left_as_it_is_changes_no_bit(devices: &Devices) {
    let data = disk(90, 0, Labels::PlusMinusOne).unwrap();
    let weighted = data.clone().with_weights((0..90).map(|row| (row % 4) as f32 * 0.3).collect()).unwrap();
    for (label, device) in devices {
        let same = |name: &str,
                    data: &Dataset,
                    algorithm: &dyn Fn() -> Box<dyn Fn() -> Trainer>,
                    fit: &dyn Fn() -> Fit<'static>| {
            let make = algorithm();
            let (mut plain, mut exchanged) = (make(), make());
            let expected = plain.fit(data, fit().path(StepPath::Layered)).unwrap();
            let actual = exchanged.fit(data, fit().exchange(unchanged)).unwrap();
            assert_same_training(&format!("{name} on {label}"), &exchanged, &plain);
            assert_eq!(actual.epochs.len(), expected.epochs.len());
        };
        fn trainer<A: Algorithm + 'static>(
            device: &Device,
            algorithm: impl Fn() -> A + Clone + 'static,
        ) -> impl Fn() -> Box<dyn Fn() -> Trainer> {
            let device = device.clone();
            move || {
                let (device, algorithm) = (device.clone(), algorithm.clone());
                Box::new(move || Trainer::new(&device, model(), loss(), algorithm(), 3).unwrap())
            }
        }
        let momentum = || Sgd::new(0.1).momentum(0.9).schedule(Schedule::cosine(12, 0.1).per_step()).clip_norm(0.5);
        same("momentum, a schedule, clipping", &data, &trainer(device, momentum), &|| Fit::new(3, 20));
        let groups = || Adam::new(0.01).weight_decay(0.01).group(|name| name.ends_with("bias"), 0.02, 0.0);
        same("Adam with groups", &data, &trainer(device, groups), &|| Fit::new(3, 20));
        same("weights", &weighted, &trainer(device, || Adam::new(0.01)), &|| Fit::new(3, 20).ema(0.9));
        same("accumulated", &weighted, &trainer(device, || Sgd::new(0.1)), &|| Fit::new(3, 8).accumulate(3));
        same("streamed", &data, &trainer(device, || Sgd::new(0.1)), &|| Fit::new(2, 8).resident_bytes(200));
    }
}

/// Two trainers with batches of 16 are one with batches of 32. Of 53 rows, one has 27 and the other 26, so that in the last
/// step of batches of 13 one has a row and the other none.
fn two_trainers_are_one_with_the_double_batch(devices: &Devices) {
    const RATE: f32 = 0.1;
    for (label, device) in devices {
        for (rows, batch, epochs) in [(64, 16, 30), (53, 13, 20), (50, 16, 26)] {
            let name = format!("{rows} rows in batches of {batch} on {label}");
            let data = Dataset::new(signed(1, 3 * rows), 3, signed(2, rows), 1).unwrap();
            let weights = (0..rows).map(|row| 0.5 + (row % 3) as f32 * 0.25).collect();
            let data = if batch == 13 { data } else { data.with_weights(weights).unwrap() };
            let half = rows.div_ceil(2);
            let rows_of = |first: usize, end: usize| data.select(&(first..end).collect::<Vec<_>>()).unwrap();
            let parts = [rows_of(0, half), rows_of(half, rows)];
            let new = || Trainer::new(device, Linear::new(3, 1), Mse::new(), Sgd::new(RATE), 0).unwrap();
            let fit = |_| Fit::new(epochs, batch).shuffle(false);
            let trained: Vec<_> = together(&parts, new, fit).into_iter().map(Result::unwrap).collect();
            let ([first, second], histories) = ([&trained[0].0, &trained[1].0], [&trained[0].1, &trained[1].1]);
            assert_same_bits(&name, &values(first), &values(second));
            assert_eq!(histories[0].step_losses, histories[1].step_losses, "{name}");
            // One trainer with the rows of both, step by step.
            let (mut one, mut losses, mut largest) = (new(), Vec::new(), 0.0_f64);
            for _ in 0..epochs {
                for step in 0..half.div_ceil(batch) {
                    let part = |part: &Dataset| part.len().min(step * batch)..part.len().min((step + 1) * batch);
                    let both: Vec<usize> = part(&parts[0]).chain(part(&parts[1]).map(|row| half + row)).collect();
                    let union = data.select(&both).unwrap();
                    losses.push(match union.weights() {
                        Some(weights) => one.step_weighted(union.inputs(), union.targets(), weights).unwrap(),
                        None => one.step(union.inputs(), union.targets(), both.len()).unwrap(),
                    });
                    largest = largest.max(values(&one).iter().map(|w| f64::from(w.abs())).sum());
                }
            }
            let steps = losses.len();
            assert!(steps >= 50 && steps == histories[0].step_losses.len(), "{name}: {steps} steps");
            let parameters_bound = parameters_bound(steps, 2 * batch, f64::from(RATE), largest);
            let drift = distance(&values(first), &values(&one));
            assert!(drift <= parameters_bound, "{name}: {drift:e} apart, {parameters_bound:e} allowed");
            // Of both, twice as far as the parameters times the inputs, and the rounding of a sum.
            let error = 1.0 + largest;
            let bound = 2.0 * error * 2.0 * parameters_bound + (2 * batch + 9) as f64 * EPSILON * 2.0 * error * error;
            assert_close(&name, &histories[0].step_losses, &losses, 0.0, bound);
            if batch == 13 {
                let trained = train_together(&parts, new, fit, true);
                let drift = distance(&values(&trained[0].as_ref().unwrap().0), &values(&one));
                assert!(drift > parameters_bound, "{name}: the bound of {parameters_bound:e} does not see {drift:e}");
            }
        }
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// How far apart two trainings of y = w x + b, w and b four numbers, by the squared error can be that add up in other
/// orders.
///
/// All |x| and |t| are up to 1, so that the Hessian's largest eigenvalue is at most 2 * 4, and a step with a rate of up
/// to 1/4 never increases a difference: what remains is what each step rounds. With u = EPSILON / 2, n rows and errors up
/// to E = 1 + the largest sum of |w|: an error is rounded by up to 6 u E, the mean of 2 error x by up to 2 (n + 10) u E,
/// its weights and the exchange included; the update by u (E + 4 rate E). Four parameters double it as a distance, and
/// two trainings do again.
fn parameters_bound(steps: usize, rows: usize, rate: f64, largest: f64) -> f64 {
    let (error, u) = (1.0 + largest, EPSILON / 2.0);
    let step = rate * 2.0 * (rows + 10) as f64 * u * error + u * (error + 4.0 * rate * error);
    4.0 * steps as f64 * step
}

/// Losses, accuracies and metrics are those of all rows, and both stop in the same epoch, though a callback of the second
/// has other wishes.
#[test]
fn results_are_those_of_all_rows() {
    let (train, test) = (disk(120, 0, Labels::PlusMinusOne).unwrap(), disk(61, 1, Labels::PlusMinusOne).unwrap());
    let part = |data: &Dataset, rows: std::ops::Range<usize>| data.select(&rows.collect::<Vec<_>>()).unwrap();
    let parts = [part(&train, 0..70), part(&train, 70..120)];
    let tests = [part(&test, 0..11), part(&test, 11..61)];
    let new = || Trainer::new(&Device::cpu(), model(), loss(), Adam::new(0.02), 5).unwrap();
    let fit = |rank: usize| {
        Fit::new(50, 10)
            .validation(&tests[rank])
            .metric("share", |predictions, _| {
                Ok(predictions.iter().filter(|p| **p > 0.0).count() as f64 / predictions.len() as f64)
            })
            .early_stopping(EarlyStopping::new(2))
            .control(move |record| match record.epoch {
                3 if rank == 0 => Control::LearningRate(0.01),
                2 if rank == 1 => Control::Stop,
                _ => Control::Continue,
            })
    };
    let trained: Vec<_> = together(&parts, new, fit).into_iter().map(Result::unwrap).collect();
    let [(first, history), (second, other)] = <[_; 2]>::try_from(trained).ok().unwrap();
    assert_same_bits("parameters", &values(&first), &values(&second));
    assert!(history.epochs.len() > 2 && history.epochs.len() == other.epochs.len());
    let seconds_apart = |mut history: History| {
        history.epochs.iter_mut().for_each(|record| record.seconds = 0.0);
        history.epochs
    };
    let (epochs, others) = (seconds_apart(history.clone()), seconds_apart(other));
    assert_eq!(epochs, others);
    let mut first = first;
    assert_eq!(first.optimizer().learning_rate(), 0.01);
    // Early stopping has put the best epoch back: measured again, all rows at once.
    let best = history.best(Monitor::ValidationLoss).unwrap();
    for (data, measured) in [(&train, best.train.unwrap()), (&test, best.validation.unwrap())] {
        let whole = first.evaluate(data).unwrap();
        // Sums of up to 120 rows of an error up to 4.
        assert_close("loss", &[measured.loss], &[whole.loss], 0.0, 120.0 * EPSILON * 4.0);
        assert_close("accuracy", &[measured.accuracy.unwrap()], &[whole.accuracy.unwrap()], EPSILON, 0.0);
        let predictions = first.predict(data.inputs(), 2).unwrap();
        let share = predictions.iter().filter(|p| **p > 0.0).count() as f64 / predictions.len() as f64;
        let own = best.metric("share").unwrap();
        let own = if data.len() == 120 { own.train } else { own.validation }.unwrap();
        assert!((own - share).abs() < 1e-12, "{own} and {share}");
    }
}

/// Running statistics are those of each one's rows, averaged after each epoch; dropout and the order of rows differ.
#[test]
fn running_statistics_are_averaged_and_random_numbers_differ() {
    let data = disk(40, 0, Labels::PlusMinusOne).unwrap();
    let parts = [data.clone(), data.clone()];
    let new = || {
        let model = Sequential::new().add(Linear::new(2, 8)).add(BatchNorm1d::new(8)).add(ReLU);
        let model = model.add(Dropout::new(0.5)).add(Linear::new(8, 1));
        Trainer::new(&Device::cpu(), model, loss(), Adam::new(0.02), 5).unwrap()
    };
    let fit = |_| Fit::new(3, 10);
    let trained: Vec<_> = together(&parts, new, fit).into_iter().map(Result::unwrap).collect();
    assert_same_bits("all", &trained[0].0.parameters().read().unwrap(), &trained[1].0.parameters().read().unwrap());
    // With the same rows in the same order, and the same dropout, two would be one.
    let mut one = new();
    one.fit(&data, fit(0)).unwrap();
    assert!(distance(&values(&one), &values(&trained[0].0)) > 1e-3);
}

#[test]
fn what_is_not_the_same_is_an_error_and_so_is_what_the_exchange_says() {
    let data = disk(40, 0, Labels::PlusMinusOne).unwrap();
    let parts = [data.clone(), data.clone()];
    let seed = Mutex::new(0);
    let new = || {
        let mut seed = seed.lock().unwrap();
        *seed += 1;
        Trainer::new(&Device::cpu(), model(), loss(), Adam::new(0.02), *seed).unwrap()
    };
    for result in together(&parts, new, |_| Fit::new(3, 10)) {
        let error = result.err().unwrap().to_string();
        assert!(error.starts_with("group: the seed differs: "), "{error}");
    }
    let mut trainer = new();
    let before = values(&trainer);
    let mut calls = 0;
    let fit = Fit::new(3, 10).exchange(|_: &mut StepGradient<'_>| {
        calls += 1;
        if calls == 6 { Err(Error::new(ErrorKind::Io, "wire", "cut")) } else { Ok(()) }
    });
    let error = trainer.fit(&data, fit).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Io, "wire: cut".into()));
    // That was in the second epoch.
    assert_eq!((calls, trainer.history().epochs.len()), (6, 1));
    let mut one = Trainer::new(&Device::cpu(), model(), loss(), Adam::new(0.02), 3).unwrap();
    assert_same_bits("redrawn", &values(&one), &before);
    one.fit(&data, Fit::new(1, 10)).unwrap();
    assert_same_training("rolled back", &trainer, &one);

    // What is not finite stops the training, without a search for its place.
    let error = one.fit(
        &data,
        Fit::new(1, 10).exchange(|step: &mut StepGradient<'_>| {
            step.values[0] = f32::NAN;
            Ok(())
        }),
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFinite);
    assert_same_training("rolled back again", &trainer, &one);
    let error = trainer.fit(&data, Fit::new(1, 10).path(StepPath::Fused).exchange(unchanged)).unwrap_err();
    assert!(error.to_string().contains("the host has the gradients first"), "{error}");
}
