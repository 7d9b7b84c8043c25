//! Data that goes through a device in chunks gives the same bits as data that stays there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::path::Path;

use common::{Devices, assert_same_training, on_every_device, opened_anew};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{Dropout, Init, Linear, Module, Mse, Parameter, Sequential, Tanh};
use wgrad::ops::Reduction;
use wgrad::optim::{Adam, Schedule, Sgd};
use wgrad::{Device, ErrorKind, Fit, Graph, Tensor, Trainer, Var};

on_every_device!(
    streamed_data_gives_the_bits_of_resident_data,
    a_training_goes_on_with_other_chunks,
    an_evaluation_in_chunks_is_exact,
    data_beyond_the_limit_of_a_device_trains,
);

const SAMPLES: usize = 103;
const BATCH: usize = 8;
/// Two inputs and a target.
const ROW_BYTES: u64 = 12;

/// 12 mini-batches of 8 and one of 7; validation data of two chunks of an evaluation.
fn data() -> (Dataset, Dataset) {
    (disk(SAMPLES, 0, Labels::PlusMinusOne).unwrap(), disk(5000, 1, Labels::PlusMinusOne).unwrap())
}

/// Mini-batches of a chunk, as bytes: one, two, some that do not divide the epoch, all full ones; no byte at all, less
/// than a mini-batch, all data but a byte.
const CHUNKS: [u64; 8] = [
    0,
    ROW_BYTES,
    ROW_BYTES * 8,
    ROW_BYTES * 16,
    ROW_BYTES * (8 * 5 + 7),
    ROW_BYTES * 8 * 7,
    ROW_BYTES * 8 * 12,
    ROW_BYTES * SAMPLES as u64 - 1,
];

/// With dropout, whose masks follow from the number of the step, as do a schedule and Adam's corrections.
fn trainer(device: &Device) -> Trainer {
    let model =
        Sequential::new().add(Linear::new(2, 9)).add(Tanh).add(Dropout::new(0.2)).add(Linear::new(9, 1)).add(Tanh);
    let schedule = Schedule::warmup(10, 0.1).and(Schedule::cosine(40, 0.01)).per_step();
    Trainer::new(
        device,
        model,
        Mse::new().decision(Decision::between(-1.0, 1.0)),
        Adam::new(0.01).schedule(schedule),
        7,
    )
    .unwrap()
}

fn streamed_data_gives_the_bits_of_resident_data(devices: &Devices) {
    let (train, validation) = data();
    for (name, device) in devices {
        // Its counters count nothing else.
        let device = &opened_anew(device, |options| options).unwrap();
        for drop_last in [false, true] {
            let fit = |bytes| {
                let fit = Fit::new(3, BATCH).validation(&validation).evaluate_every(2).drop_last(drop_last);
                fit.resident_bytes(bytes).steps_per_submit(4)
            };
            let count = |trainer: &mut Trainer, bytes| {
                let before = device.counters();
                trainer.fit(&train, fit(bytes)).unwrap();
                let after = device.counters();
                (after.dispatches - before.dispatches, after.reads - before.reads, after.uploads - before.uploads)
            };
            let mut resident = trainer(device);
            let (dispatches, reads, uploads) = count(&mut resident, u64::MAX);
            assert_eq!(resident.history().step_losses.len(), 3 * if drop_last { 12 } else { 13 });
            for bytes in CHUNKS {
                let name = format!("{name}, {bytes} bytes, drop_last {drop_last}");
                let mut streamed = trainer(device);
                let counted = count(&mut streamed, bytes);
                assert_same_training(&name, &streamed, &resident);
                assert_eq!((counted.0, counted.1), (dispatches, reads), "{name}: dispatches and reads");
                assert!(counted.2 > uploads, "{name}: {} values uploaded, resident {uploads}", counted.2);
            }
            // As many bytes as there are: the training data stays, the validation data does not.
            let mut mixed = trainer(device);
            count(&mut mixed, ROW_BYTES * SAMPLES as u64);
            assert_same_training(&format!("{name}, mixed"), &mixed, &resident);
        }
    }
}

fn a_training_goes_on_with_other_chunks(devices: &Devices) {
    let (train, validation) = data();
    for (i, (name, device)) in devices.iter().enumerate() {
        let file = format!("streaming-{}-{i}.safetensors", device.describe().backend);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        let fit = |epochs, bytes| Fit::until(epochs, BATCH).validation(&validation).resident_bytes(bytes);
        let mut whole = trainer(device);
        whole.fit(&train, fit(5, u64::MAX)).unwrap();
        let mut first = trainer(device);
        first.fit(&train, fit(2, ROW_BYTES * 24).checkpoint(&path, 1)).unwrap();
        let mut second = trainer(device);
        second.resume(&path).unwrap();
        second.fit(&train, fit(3, u64::MAX)).unwrap();
        second.fit(&train, fit(5, ROW_BYTES * 40)).unwrap();
        assert_same_training(name, &second, &whole);
    }
}

/// A model that adds its inputs up, and whole numbers: no sum is rounded.
fn adder(device: &Device, cols: usize) -> Trainer {
    let model = Linear::new(cols, 1).init(Init::Constant(1.0), Init::Constant(0.0));
    let loss = Mse::new().reduction(Reduction::Sum);
    Trainer::new(device, model, loss, Sgd::new(0.0), 0).unwrap()
}

fn an_evaluation_in_chunks_is_exact(devices: &Devices) {
    // Three chunks of an evaluation; each row's sum is its number modulo 7, each target 3.
    const ROWS: usize = 2 * 4096 + 5;
    let inputs = (0..ROWS).flat_map(|row| [(row % 7) as f32, 0.0]).collect();
    let data = Dataset::new(inputs, 2, vec![3.0; ROWS], 1).unwrap();
    let expected: usize = (0..ROWS).map(|row| (row % 7).abs_diff(3).pow(2)).sum();
    for (name, device) in devices {
        for bytes in [0, ROW_BYTES * 2 * 4096, u64::MAX] {
            let mut trainer = adder(device, 2);
            let history = trainer.fit(&data, Fit::new(1, 1000).resident_bytes(bytes)).unwrap();
            assert_eq!(history.epochs[0].train.unwrap().loss, expected as f32, "{name}, {bytes} bytes");
            assert_eq!(history.epochs[0].loss, expected as f32, "{name}, {bytes} bytes");
        }
    }
}

/// Looks at the last column alone, so that wide rows cost no arithmetic.
struct Last {
    cols: usize,
    layer: Linear,
}

impl Module for Last {
    fn forward(&self, graph: &mut Graph, x: Var) -> wgrad::Result<Var> {
        let last = graph.slice_cols(x, self.cols - 1, self.cols)?;
        self.layer.forward(graph, last)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        self.layer.named_parameters()
    }
}

fn data_beyond_the_limit_of_a_device_trains(devices: &Devices) {
    // Over 128 MiB, WebGPU's default, in rows of which the 4096 of an evaluation's chunks are too much for a matrix.
    const COLS: usize = 8200;
    const ROWS: usize = 4300;
    let mut inputs = vec![0.0; ROWS * COLS];
    inputs.chunks_exact_mut(COLS).enumerate().for_each(|(r, row)| row[COLS - 1] = (r % 5) as f32);
    let data = Dataset::new(inputs, COLS, vec![2.0; ROWS], 1).unwrap();
    let expected: usize = (0..ROWS).map(|row| (row % 5).abs_diff(2).pow(2)).sum();
    for (name, device) in devices {
        let device = opened_anew(device, |options| options.default_limits(true)).unwrap();
        match Tensor::zeros(&device, ROWS, COLS) {
            Ok(_) => assert_eq!(name, "cpu"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{name}: {error}"),
        }
        let layer = Linear::new(1, 1).init(Init::Constant(1.0), Init::Constant(0.0));
        let loss = Mse::new().reduction(Reduction::Sum);
        let mut trainer = Trainer::new(&device, Last { cols: COLS, layer }, loss, Sgd::new(0.0), 0).unwrap();
        let history = trainer.fit(&data, Fit::new(1, 1024)).unwrap();
        assert_eq!(history.epochs[0].loss, expected as f32, "{name}");
        assert_eq!(trainer.evaluate(&data).unwrap().loss, expected as f32, "{name}");
        assert_eq!(history.epochs[0].train, Some(trainer.evaluate(&data).unwrap()), "{name}");
    }
}
