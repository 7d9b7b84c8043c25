use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wgrad::data::{Labels, disk};
use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
use wgrad::optim::Sgd;
use wgrad::{Call, Device, Fit, Kernel, Recording, Tensor, Trainer};

/// Takes a tenth of a millisecond.
static SLOW: Kernel = Kernel::new("user.slow", "", "main", [1, 1, 1], |call: Call<'_>| {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(100) {
        std::hint::spin_loop();
    }
    let [out, ..] = call.outputs;
    out[0] += 1.0;
});

static DOUBLE: Kernel = Kernel::new("user.double", "", "main", [1, 1, 1], |call: Call<'_>| {
    let [out, ..] = call.outputs;
    out[0] = 2.0 * call.inputs[0][0];
})
.inputs(1);

#[test]
fn a_long_run_of_one_thread_lets_others_in_between_its_steps() {
    const STEPS: u32 = 20_000;
    let device = Device::cpu();
    let slow = Tensor::zeros(&device, 1, 1).unwrap();
    let mut training = Recording::new(&device);
    training.dispatch(&SLOW, [1, 1], (), &[], &[&slow], 1).unwrap();
    let (x, y) = (Tensor::zeros(&device, 1, 1).unwrap(), Tensor::zeros(&device, 1, 1).unwrap());
    let mut prediction = Recording::new(&device);
    prediction.dispatch(&DOUBLE, [1, 1], (), &[&x], &[&y], 1).unwrap();
    let trains = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            training.run_steps(0..STEPS).unwrap();
            trains.store(false, Ordering::Relaxed);
        });
        while slow.read().unwrap() == [0.0] {}
        // Two seconds of training at least, and 3 x 100 turns, each of which waits for a step or two.
        let mut times: Vec<_> = (0..100)
            .map(|i| {
                let start = Instant::now();
                x.write(&[i as f32]).unwrap();
                prediction.run().unwrap();
                assert_eq!(y.read().unwrap(), [2.0 * i as f32]);
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("a write, a run, a read: median {:?}, worst {:?}", times[50], times[99]);
        assert!(trains.load(Ordering::Relaxed), "a hundred predictions took as long as all of the training");
    });
    assert_eq!(slow.read().unwrap(), [STEPS as f32]);
}

/// A step at a time, an epoch takes seconds; a prediction waits for a step.
#[test]
fn predictions_come_while_an_epoch_runs() {
    const STEPS: usize = 200_000;
    let data = disk(STEPS, 0, Labels::ZeroOne).unwrap();
    let model = Sequential::new().add(Linear::new(2, 32)).add(ReLU).add(Linear::new(32, 1));
    let mut trainer = Trainer::new(&Device::cpu(), model, BceWithLogits::new(), Sgd::new(0.01), 0).unwrap();
    let predictor = trainer.predictor();
    let before = predictor.predict(&[0.1, 0.2], 2).unwrap();
    let trains = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            trainer.fit(&data, Fit::new(1, 1).evaluate(false)).unwrap();
            trains.store(false, Ordering::Relaxed);
        });
        while predictor.predict(&[0.1, 0.2], 2).unwrap() == before {}
        for _ in 0..50 {
            assert!(predictor.predict(&[0.1, 0.2], 2).unwrap()[0].is_finite());
        }
        assert!(trains.load(Ordering::Relaxed), "fifty predictions took as long as the epoch");
    });
}
