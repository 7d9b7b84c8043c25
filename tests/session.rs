//! However `fit` ends, what is left is the state after the last recorded epoch, and training goes on from there as if
//! nothing had happened. Any executor can drive it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{Devices, assert_same_bits, on_every_device};
use pollster::block_on;
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Dropout, Linear, Mse, Predictor, Sequential, Tanh};
use wgrad::optim::{Adam, Schedule, Sgd};
use wgrad::{Control, Device, EpochRecord, ErrorKind, Fit, History, Result, Session, Trainer};

on_every_device!(
    every_way_out_leaves_the_last_recorded_epoch,
    a_dropped_future_leaves_the_last_recorded_epoch,
    any_executor_gives_the_same_bits
);

const EPOCHS: usize = 8;
const STEPS: usize = 6;

fn data() -> Dataset {
    disk(40, 0, Labels::PlusMinusOne).unwrap()
}

/// A training whose every step depends on the step's number, on those before it, and on a factor that a test may change.
struct Training {
    session: Session,
    factor: Arc<AtomicU64>,
}

impl Training {
    fn new(device: &Device) -> Self {
        let factor = Arc::new(AtomicU64::new(1f64.to_bits()));
        let changed = factor.clone();
        let custom = Schedule::custom(move |_| f64::from_bits(changed.load(Ordering::Relaxed)));
        let schedule = Schedule::warmup(20, 0.1).and(Schedule::exponential(0.99)).and(custom).per_step();
        let model = Sequential::new().add(Linear::new(2, 9)).add(Tanh).add(Dropout::new(0.2)).add(Linear::new(9, 1));
        let adam = Adam::new(0.02).schedule(schedule);
        Self { session: Session::new(device, model, Mse::new(), adam, 3).unwrap(), factor }
    }

    fn fit(&mut self, fit: Fit<'_>) -> Result<History> {
        block_on(self.session.fit(&data(), fit))
    }

    fn steps(&mut self) -> u64 {
        self.session.optimizer().steps()
    }
}

#[track_caller]
fn assert_same(name: &str, one: &mut Training, other: &mut Training) {
    assert_eq!(one.steps(), other.steps(), "{name}: steps");
    assert_eq!(one.session.optimizer().learning_rate(), other.session.optimizer().learning_rate(), "{name}: rate");
    let values = |training: &Training| training.session.parameters().read().unwrap();
    assert_same_bits(&format!("{name}: parameters"), &values(one), &values(other));
    let epochs = |training: &Training| {
        let epochs = training.session.history().epochs.iter();
        epochs.map(|r| (r.epoch, r.steps, r.loss, r.train, r.validation)).collect::<Vec<_>>()
    };
    assert_eq!(epochs(one), epochs(other), "{name}");
    let losses = |training: &Training| training.session.history().step_losses.clone();
    assert_eq!(losses(one), losses(other), "{name}: losses");
}

/// A file of this test's own.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("session-{}.safetensors", name.replace([' ', ',', '/'], "-")))
}

/// The state is that after as many epochs as the history has, a checkpoint has the same, and both go on to where
/// an uninterrupted training gets.
fn check(name: &str, device: &Device, mut training: Training) {
    training.factor.store(1f64.to_bits(), Ordering::Relaxed);
    let epochs = training.session.history().epochs.len();
    assert_eq!(training.steps(), (epochs * STEPS) as u64, "{name}");
    assert_eq!(training.session.history().step_losses.len(), epochs * STEPS, "{name}");
    let mut short = Training::new(device);
    short.fit(Fit::until(epochs, 7)).unwrap();
    assert_same(name, &mut training, &mut short);

    let path = path(name);
    block_on(training.session.save_checkpoint(&path)).unwrap();
    let mut resumed = Training::new(device);
    block_on(resumed.session.resume(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_same(&format!("{name}, resumed"), &mut resumed, &mut short);

    let mut whole = Training::new(device);
    whole.fit(Fit::new(EPOCHS, 7)).unwrap();
    for training in [&mut training, &mut resumed] {
        training.fit(Fit::until(EPOCHS, 7)).unwrap();
        assert_same(&format!("{name}, to the end"), training, &mut whole);
    }
}

fn every_way_out_leaves_the_last_recorded_epoch(devices: &Devices) {
    for (label, device) in devices {
        // With control an epoch waits for the one before; without, it runs while the host takes that one in.
        for waits in [false, true] {
            let mode = |fit: Fit<'static>| if waits { fit.control(|_| Control::Continue) } else { fit };
            let name = |way: &str| format!("{way}, {}, {label}", if waits { "waiting" } else { "ahead" });
            let new = || Training::new(device);

            let mut training = new();
            training.fit(mode(Fit::new(4, 7))).unwrap();
            check(&name("return"), device, training);

            let mut training = new();
            training.fit(mode(Fit::new(2, 7))).unwrap();
            let wide = Dataset::new(vec![1.0; 30], 3, vec![1.0; 10], 1).unwrap();
            let refused = block_on(training.session.fit(&wide, mode(Fit::new(2, 5)))).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Shape);
            training.fit(Fit::new(2, 7).validation(&wide)).unwrap_err();
            assert_eq!(training.session.history().epochs.len(), 2);
            check(&name("data that does not fit"), device, training);

            // From the third record on, rates that drive the loss to infinity, or that are none.
            for (way, factor, kind) in
                [("not finite", 1e36, ErrorKind::NotFinite), ("no rate", f64::NAN, ErrorKind::InvalidInput)]
            {
                let mut training = new();
                let change = training.factor.clone();
                let change = move |record: &EpochRecord| {
                    if record.epoch == 3 {
                        change.store(factor.to_bits(), Ordering::Relaxed);
                    }
                };
                let error = training.fit(mode(Fit::new(EPOCHS, 7).on_epoch(change))).unwrap_err();
                assert_eq!(error.kind(), kind, "{}: {error}", name(way));
                let epochs = training.session.history().epochs.len();
                assert!((3..=4).contains(&epochs), "{}: {epochs} epochs", name(way));
                check(&name(way), device, training);
            }

            let mut training = new();
            let panics = |record: &EpochRecord| assert!(record.epoch < 4, "as intended");
            let fit = mode(Fit::new(EPOCHS, 7).on_epoch(panics));
            catch_unwind(AssertUnwindSafe(|| training.fit(fit))).unwrap_err();
            assert_eq!(training.session.history().epochs.len(), 4, "{}", name("panic"));
            check(&name("panic"), device, training);

            let mut training = new();
            let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-folder/checkpoint.safetensors");
            let error = training.fit(mode(Fit::new(EPOCHS, 7).checkpoint(&nowhere, 3))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            check(&name("a file that can't be written"), device, training);
        }

        let mut training = Training::new(device);
        let stop = |record: &EpochRecord| if record.epoch == 5 { Control::Stop } else { Control::Continue };
        training.fit(Fit::new(EPOCHS, 7).control(stop)).unwrap();
        assert_eq!(training.session.history().epochs.len(), 5);
        check(&format!("stop, {label}"), device, training);

        let mut training = Training::new(device);
        let panics = |record: &EpochRecord| match record.epoch {
            4 => panic!("as intended"),
            _ => Control::Continue,
        };
        catch_unwind(AssertUnwindSafe(|| training.fit(Fit::new(EPOCHS, 7).control(panics)))).unwrap_err();
        check(&format!("panic in control, {label}"), device, training);
    }
}

/// Dropped at the first poll that waits after a number of epochs and polls. (The CPU path never waits: there the future
/// is done by then, or was never polled.)
fn a_dropped_future_leaves_the_last_recorded_epoch(devices: &Devices) {
    for (label, device) in devices {
        for waits in [false, true] {
            for (after, polls) in [(0, 0), (0, 1), (0, 3), (1, 0), (3, 0), (3, 1), (3, 2), (3, 5), (4, 17)] {
                let mut training = Training::new(device);
                let seen = AtomicUsize::new(0);
                let data = data();
                let count = |record: &EpochRecord| seen.store(record.epoch, Ordering::Relaxed);
                let fit = Fit::new(EPOCHS - 1, 7).validation(&data).on_epoch(count);
                let fit = if waits { fit.control(|_| Control::Continue) } else { fit };
                {
                    let mut future = pin!(training.session.fit(&data, fit));
                    let mut context = Context::from_waker(Waker::noop());
                    let mut left = polls;
                    while seen.load(Ordering::Relaxed) < after || left > 0 {
                        if seen.load(Ordering::Relaxed) >= after {
                            left -= 1;
                        }
                        if future.as_mut().poll(&mut context).is_ready() {
                            break;
                        }
                    }
                }
                let mode = if waits { "waiting" } else { "ahead" };
                let name = format!("dropped after {after} and {polls}, {mode}, {label}");
                let epochs = training.session.history().epochs.len();
                assert!(epochs >= after, "{name}: {epochs} epochs");
                check_dropped(&name, device, training);
            }
        }
    }
}

/// [`check`], of a training that measured validation data, too.
fn check_dropped(name: &str, device: &Device, mut training: Training) {
    let data = data();
    let fit = |training: &mut Training, epochs| {
        block_on(training.session.fit(&data, Fit::until(epochs, 7).validation(&data))).unwrap();
    };
    let mut whole = Training::new(device);
    fit(&mut whole, training.session.history().epochs.len());
    assert_same(name, &mut training, &mut whole);
    let path = path(name);
    block_on(training.session.save_checkpoint(&path)).unwrap();
    let mut resumed = Training::new(device);
    block_on(resumed.session.resume(&path)).unwrap();
    std::fs::remove_file(&path).unwrap();
    for training in [&mut whole, &mut training, &mut resumed] {
        fit(training, EPOCHS);
    }
    assert_same(&format!("{name}, to the end"), &mut training, &mut whole);
    assert_same(&format!("{name}, resumed to the end"), &mut resumed, &mut whole);
}

#[test]
fn fit_and_its_future_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Session>();
    is_shared::<Trainer>();
    is_shared::<Predictor>();
    let data = data();
    let mut training = Training::new(&Device::cpu());
    let fit = Fit::new(1, 10).validation(&data).on_epoch(|_| ()).control(|_| Control::Continue).progress(true);
    is_send(&fit);
    let future = training.session.fit(&data, fit);
    is_send(&future);
    let evaluated = Training::new(&Device::cpu());
    is_send(&evaluated.session.evaluate(&data));
    is_send(&evaluated.session.predict(&[0.0, 0.0], 2));
    // It runs where it was sent to.
    std::thread::scope(|scope| scope.spawn(|| block_on(future)).join()).unwrap().unwrap();
    assert_eq!(training.session.history().epochs.len(), 1);
}

/// Wakes a thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn any_executor_gives_the_same_bits(devices: &Devices) {
    for (label, device) in devices {
        let data = data();
        let mut expected = Training::new(device);
        expected.fit(Fit::new(EPOCHS, 7)).unwrap();

        // Sleeps until it is woken, as an event loop does.
        let mut slept = Training::new(device);
        {
            let mut future = pin!(slept.session.fit(&data, Fit::new(EPOCHS, 7)));
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                std::thread::park_timeout(std::time::Duration::from_secs(60));
            }
        }
        assert_same(&format!("woken, {label}"), &mut slept, &mut expected);

        // Each poll on another thread, as a thread pool does.
        let mut moved = Training::new(device);
        {
            let mut future = Box::pin(moved.session.fit(&data, Fit::new(EPOCHS, 7)));
            loop {
                let poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                match std::thread::scope(|scope| scope.spawn(poll).join()).unwrap() {
                    Poll::Ready(history) => break drop(history.unwrap()),
                    Poll::Pending => std::thread::yield_now(),
                }
            }
        }
        assert_same(&format!("moved, {label}"), &mut moved, &mut expected);
    }
}

#[test]
fn the_largest_number_of_epochs_does_not_overflow() {
    let data = data();
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 1), Mse::new(), Sgd::new(0.1), 0).unwrap();
    for last in [2, 4] {
        let stop = move |record: &EpochRecord| if record.epoch == last { Control::Stop } else { Control::Continue };
        let fit = Fit::new(usize::MAX, 40).evaluate_every(usize::MAX).progress(true).control(stop);
        assert_eq!(trainer.fit(&data, fit).unwrap().epochs.len(), 2);
    }
    let stop = |record: &EpochRecord| if record.epoch == 5 { Control::Stop } else { Control::Continue };
    trainer.fit(&data, Fit::until(usize::MAX, 40).progress(true).control(stop)).unwrap();
    assert_eq!(trainer.history().epochs.len(), 5);
}
