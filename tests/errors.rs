//! Bad input gets an `Error` of the right kind that names the operation, the numbers and the way out; nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{cpu_and_gpus, gpus, opened_anew, signed};
use wgrad::ErrorKind::{InvalidInput, NoDevice, NotFinite, OutOfMemory, Shape};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Backprop, Init, Linear, Module, Mse, Parameters, ReLU, Sequential};
use wgrad::ops::matmul::Epilogue;
use wgrad::ops::{self, Reduction};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Call, Device, DeviceKind, ErrorKind, Fit, Graph, Kernel, Recording, Result as Recorded, Tensor, Trainer};

/// Fails unless the result is an error of this kind whose message holds all these words.
#[track_caller]
fn assert_error<T>(result: Recorded<T>, kind: ErrorKind, words: &[&str]) {
    let Err(error) = result else { panic!("no error; {words:?} were expected") };
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for word in words {
        assert!(message.contains(word), "'{word}' is not in: {message}");
    }
}

fn tensor(device: &Device, rows: usize, cols: usize) -> Tensor {
    Tensor::new(device, rows, cols, &signed(1, rows * cols)).unwrap()
}

#[test]
fn matrices() {
    let device = Device::cpu();
    assert_error(Tensor::zeros(&device, 0, 3), Shape, &["0 x 3", "empty", "at least 1 x 1"]);
    assert_error(Tensor::zeros(&device, 3, 0), Shape, &["3 x 0", "empty"]);
    assert_error(Tensor::zeros(&device, usize::MAX, 2), Shape, &["more elements than can be counted"]);
    assert_error(Tensor::new(&device, 2, 3, &[1.0; 5]), Shape, &["5 values", "2 x 3", "takes 6"]);
    assert_error(tensor(&device, 2, 3).write(&[1.0; 7]), Shape, &["7 values", "2 x 3", "takes 6"]);
    let whole = tensor(&device, 2, 64);
    for (start, rows, cols) in [(1, 1, 64), (64, 2, 64), (128, 1, 1), (usize::MAX - 63, 1, 64), (0, 0, 1)] {
        assert!(whole.view(start, rows, cols).is_err(), "{rows} x {cols} from {start}");
    }
    assert_error(whole.view(64, 2, 64), Shape, &["2 x 64", "element 64", "128 elements"]);
    // More than the kernels can count.
    let too_many = Tensor::zeros(&device, (1 << 20) + 1, 1 << 11);
    assert_error(too_many, OutOfMemory, &["2147485696 elements", "smaller batches"]);
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn matrices_over_the_limit_of_an_adapter() {
    for gpu in gpus().iter().filter(|gpu| !gpu.checked_shaders) {
        // With WebGPU's default limits a binding has up to 128 MiB.
        let device = opened_anew(&gpu.device, |options| options.default_limits(true)).unwrap();
        let limit = device.capabilities().max_tensor_bytes as usize;
        assert!(limit <= 128 << 20, "{}", gpu.label);
        let mib = format!("the {} MiB a matrix may have", limit >> 20);
        let advice = [device.name(), mib.as_str(), "smaller batches", "Device::cpu()"];
        assert_error(Tensor::zeros(&device, 1, limit / 4 + 1), OutOfMemory, &advice);
        // A layer that does not fit, and a sample that does not; more samples than fit are no error.
        let layer = Linear::new(limit / 4, 1);
        assert_error(Parameters::new(&device, &layer, 0), OutOfMemory, &advice);
        let wide = Dataset::new(vec![0.0; limit / 4 + 1], limit / 4 + 1, vec![0.0], 1).unwrap();
        assert_error(trainer(&device, 0.1).fit(&wide, Fit::new(1, 1)), OutOfMemory, &advice);
        // The device is as good as before.
        assert_eq!(tensor(&device, 2, 3).read().unwrap(), signed(1, 6));
        // Beyond the limits of every adapter.
        assert_error(Tensor::zeros(&gpu.device, (1 << 20) + 1, 1 << 11), OutOfMemory, &[gpu.device.name()]);
    }
}

#[test]
fn devices() {
    let present = Device::list().iter().map(|info| info.name.clone()).collect::<Vec<_>>();
    let mut words: Vec<&str> = present.iter().map(String::as_str).collect();
    words.extend(["'voodoo2'", "present: "]);
    if cfg!(feature = "gpu") {
        assert_error(Device::named("voodoo2"), NoDevice, &words);
    } else {
        assert_error(Device::named("voodoo2"), NoDevice, &["'voodoo2'", "feature 'gpu'", "present: 0: cpu"]);
    }
    assert_eq!(Device::named("CPU").unwrap().name(), "cpu");
    assert_eq!(Device::list().last().unwrap().kind, DeviceKind::Cpu);
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn tensors_of_two_devices_do_not_mix() {
    for (name, device) in cpu_and_gpus() {
        let here = tensor(&device, 2, 3);
        let there = tensor(&Device::cpu(), 2, 3);
        let words = ["a tensor on cpu", device.name()];
        assert_error(Graph::new(&device).input(&there), InvalidInput, &words);
        let mut recording = Recording::new(&device);
        let mixed = ops::activation::forward(&mut recording, ReLU, &there, &here);
        assert_error(mixed, InvalidInput, &["activation.forward", "a tensor on cpu", "one Device"]);
        assert!(recording.is_empty(), "{name}");
        assert_error(recording.append(&Recording::new(&Device::cpu())), InvalidInput, &["another device"]);
    }
}

#[test]
fn operations() {
    let device = Device::cpu();
    let (a, b, row) = (tensor(&device, 2, 3), tensor(&device, 4, 5), tensor(&device, 1, 4));
    let mut recording = Recording::new(&device);
    let product = ops::matmul(&mut recording, &a, &b, &row, Default::default());
    assert_error(product, Shape, &["matmul", "2 x 3", "4 x 5", "columns must be the second's rows"]);
    let out = tensor(&device, 2, 2);
    let product = ops::matmul(&mut recording, &a, a.t(), &row, Default::default());
    assert_error(product, Shape, &["out is 1 x 4", "must be 2 x 2"]);
    let epilogue = Epilogue { bias: Some(&row), ..Default::default() };
    assert_error(ops::matmul(&mut recording, &a, a.t(), &out, epilogue), Shape, &["bias is 1 x 4", "must be 1 x 2"]);
    let twice = ops::activation::forward(&mut recording, ReLU, &a, &a);
    assert_error(twice, InvalidInput, &["bound twice", "separate tensor"]);
    let other = ops::activation::forward(&mut recording, ReLU, &a, &b);
    assert_error(other, Shape, &["x is 2 x 3", "out is 4 x 5", "the same shape"]);
    assert!(recording.is_empty());
}

/// Each setting of an epilogue that does not go with another one, alone.
#[test]
fn epilogues() {
    let device = Device::cpu();
    let (x, dy) = (tensor(&device, 2, 3), tensor(&device, 2, 4));
    let (out, keep, at) = (tensor(&device, 4, 3), tensor(&device, 4, 3), tensor(&device, 4, 3));
    let (sums, bias) = (tensor(&device, 1, 4), tensor(&device, 1, 3));
    let plain = Epilogue::default();
    let with_sums = Epilogue { row_sums: Some(&sums), ..plain };
    let mut recording = Recording::new(&device);
    let mut refused = |epilogue, words: &[&str]| {
        assert_error(ops::matmul(&mut recording, dy.t(), &x, &out, epilogue), InvalidInput, words);
    };
    let words = &["matmul", "row sums", "transposed first factor, alpha 1, beta 0 or 1 and no bias"];
    refused(Epilogue { alpha: 2.0, ..with_sums }, words);
    for beta in [0.5, 2.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(Epilogue { beta, ..with_sums }, words);
    }
    refused(Epilogue { bias: Some(&bias), ..with_sums }, words);
    let derivative = Epilogue { derivative: Some((ReLU, &at)), ..plain };
    let words = &["matmul", "a derivative goes with neither"];
    refused(Epilogue { bias: Some(&bias), ..derivative }, words);
    refused(Epilogue { keep: Some(&keep), ..derivative }, words);
    refused(Epilogue { activation: ReLU, ..derivative }, words);
    let words = &["matmul", "can't be an epilogue", "ops::activation"];
    let log = ops::Activation::Log;
    refused(Epilogue { activation: log, ..plain }, words);
    refused(Epilogue { derivative: Some((log, &at)), ..plain }, words);
    let straight = ops::matmul(&mut recording, &out, x.t(), &tensor(&device, 4, 2), with_sums);
    assert_error(straight, InvalidInput, &["row sums"]);
    assert!(recording.is_empty());
    for beta in [0.0, 1.0] {
        let accepted = Epilogue { beta, ..with_sums };
        ops::matmul(&mut recording, dy.t(), &x, &out, accepted).unwrap();
    }
}

/// An invocation's loops have so many rounds that a software driver goes through all of them.
#[test]
fn widths_beyond_a_kernels_loops() {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let zeros = |rows, cols| Tensor::zeros(&device, rows, cols).unwrap();
    let one = zeros(1, 1);
    let mut softmax = |cols| ops::softmax::forward(&mut recording, &zeros(1, cols), false, &zeros(1, cols));
    softmax(1_344_000).unwrap();
    assert_error(softmax(1_344_001), Shape, &["softmax", "1344001 columns", "at most 1344000"]);
    let mut loss = |classes| ops::cross_entropy::forward(&mut recording, [&zeros(1, classes), &zeros(1, 1)], 1.0, &one);
    loss(13_000).unwrap();
    assert_error(loss(13_001), Shape, &["cross_entropy", "13001 classes", "2 to 13000"]);
    assert_error(loss(1), Shape, &["1 classes", "2 to 13000"]);
    let mut correct = |cols| {
        let (prediction, target) = (zeros(1, cols), zeros(1, cols));
        ops::metrics::count_correct(&mut recording, &prediction, &target, None, [0.5, 0.5], &one)
    };
    correct(65_000).unwrap();
    assert_error(correct(65_001), Shape, &["accuracy", "65001 columns", "at most 65000"]);
}

#[test]
fn graphs_and_modules() {
    let device = Device::cpu();
    let model = Sequential::new().add(Linear::new(3, 4)).add(ReLU).add(Linear::new(5, 2));
    let unplaced = Linear::new(3, 4);
    let mut graph = Graph::new(&device);
    let x = graph.input(&tensor(&device, 7, 3)).unwrap();
    assert_error(unplaced.forward(&mut graph, x), InvalidInput, &["4 x 3", "Parameters::new"]);
    let parameters = Parameters::new(&device, &model, 0).unwrap();
    let y = model.forward(&mut graph, x);
    assert_error(y, Shape, &["module 2", "linear", "7 x 4", "takes 5 columns"]);
    let target = graph.input(&tensor(&device, 7, 4)).unwrap();
    assert_error(graph.mse(x, target, Reduction::Mean), Shape, &["loss", "7 x 3", "7 x 4"]);

    let stranger = Graph::new(&device).input(&tensor(&device, 7, 3)).unwrap();
    assert_error(graph.relu(stranger), InvalidInput, &["another graph"]);
    let loss = graph.mse(x, x, Reduction::Mean).unwrap();
    assert_error(Backprop::new(&mut graph, &parameters, loss, &[]), InvalidInput, &["no parameter that is trained"]);
    let mut graph = Graph::new(&device);
    let x = graph.input(&tensor(&device, 7, 3)).unwrap();
    assert_error(wgrad::gradients(&mut graph, x, &[x]), Shape, &["the loss is 7 x 3", "all losses"]);

    assert_error(Parameters::new(&device, &Linear::new(0, 2), 0), Shape, &["weight is 2 x 0"]);
    assert_error(Parameters::new(&device, &Linear::new(usize::MAX, 2), 0), Shape, &["weight", "a model has at most"]);
    assert_error(Parameters::new(&device, &ReLU, 0), InvalidInput, &["no parameters"]);
    for init in [Init::Uniform { bound: f32::NAN }, Init::Uniform { bound: -1.0 }, Init::Normal { std: -1.0 }] {
        let layer = Linear::new(2, 2).init(init, Init::Constant(0.0));
        assert_error(Parameters::new(&device, &layer, 0), InvalidInput, &["init"]);
    }
    for rate in [f32::NAN, f32::INFINITY, -0.1] {
        let optimizer = Optimizer::new(&parameters, Sgd::new(rate));
        assert_error(optimizer, InvalidInput, &["learning rate", &rate.to_string()]);
    }
}

#[test]
fn data() {
    let dataset = |inputs: &[f32], targets: &[f32]| Dataset::new(inputs.to_vec(), 2, targets.to_vec(), 1);
    assert_error(dataset(&[1.0; 8], &[1.0; 3]), Shape, &["4 rows of inputs", "3 rows of targets"]);
    assert_error(dataset(&[1.0; 7], &[1.0; 3]), Shape, &["7 values of inputs", "2 columns"]);
    assert_error(dataset(&[], &[]), Shape, &["0 values of inputs", "at least one row"]);
    assert_error(Dataset::new(vec![1.0; 4], 0, vec![1.0; 4], 1), Shape, &["0 columns"]);
    for (bad, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let words = [name, "row 1, column 0", "remove or replace"];
        assert_error(dataset(&[1.0, 2.0, bad, 3.0], &[1.0; 2]), InvalidInput, &words);
        assert_error(dataset(&[1.0; 4], &[1.0, bad]), InvalidInput, &["targets", name, "row 1, column 0"]);
    }
    assert_error(disk(0, 0, Labels::OneHot), InvalidInput, &["0 points", "at least 1"]);
    assert_error(disk(usize::MAX, 0, Labels::OneHot), InvalidInput, &["disk", "points"]);
}

fn trainer(device: &Device, rate: f32) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 8)).add(ReLU).add(Linear::new(8, 1));
    Trainer::new(device, model, Mse::new(), Sgd::new(rate), 0).unwrap()
}

#[test]
fn training() {
    let data = disk(10, 0, Labels::ZeroOne).unwrap();
    let mut trainer = trainer(&Device::cpu(), 0.1);
    let batch = ["a batch size of", "10 samples", "1 to 10"];
    assert_error(trainer.fit(&data, Fit::new(1, 0)), InvalidInput, &batch);
    assert_error(trainer.fit(&data, Fit::new(1, 11)), InvalidInput, &batch);
    assert_error(trainer.fit(&data, Fit::new(0, 5)), InvalidInput, &["0 epochs", "at least 1"]);
    let wide = Dataset::new(vec![1.0; 30], 3, vec![1.0; 10], 1).unwrap();
    assert_error(trainer.fit(&wide, Fit::new(1, 5)), Shape, &["linear", "x 3", "takes 2 columns"]);
    assert_error(trainer.evaluate(&wide), Shape, &["x 3", "takes 2 columns"]);
    assert_error(trainer.fit(&data, Fit::new(1, 5).validation(&wide)), Shape, &["takes 2 columns"]);
    let two_targets = disk(10, 0, Labels::OneHot).unwrap();
    assert_error(trainer.fit(&two_targets, Fit::new(1, 5)), Shape, &["loss", "x 1", "x 2"]);
    assert_error(trainer.predict(&[1.0; 3], 2), Shape, &["3 values", "2 columns"]);
    assert_error(trainer.predict(&[], 2), Shape, &["0 values"]);
    assert_error(trainer.predict(&[1.0, f32::NAN], 2), InvalidInput, &["NaN", "row 0, column 1"]);
    assert_error(trainer.predict(&[1.0; 6], 3), Shape, &["x 3", "takes 2 columns"]);
    assert!(trainer.history().epochs.is_empty());
    // And it still trains.
    trainer.fit(&data, Fit::new(1, 10)).unwrap();
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_loss_that_grows_without_bound_stops_the_training() {
    for (name, device) in cpu_and_gpus() {
        let data = disk(64, 0, Labels::ZeroOne).unwrap();
        let mut trainer = trainer(&device, 1e6);
        let result = trainer.fit(&data, Fit::new(50, 8));
        assert_error(result, NotFinite, &["epoch", "step", "smaller learning rate"]);
        assert!(trainer.history().epochs.len() < 50, "{name}");
    }
}

/// Kernels as a user may get them wrong.
const fn user_kernel<P>(wgsl: &'static str) -> Kernel {
    fn nothing(_: Call<'_>) {}
    Kernel::new("user.kernel", wgsl, "main", [1, 1, 1], nothing).params::<P>()
}

static BROKEN: Kernel = user_kernel::<u32>("no shader at all");
static OTHER_BINDINGS: Kernel = user_kernel::<u32>(
    "@group(0) @binding(7) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(1) fn main() { out[0] = 1.0; }",
);
static ONE: Kernel = user_kernel::<u32>(
    "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(1) fn main() { out[0] = 1.0; }",
);
static TWO: Kernel = user_kernel::<u32>(
    "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(1) fn main() { out[0] = 2.0; }",
);
/// Without parameters.
static THREE: Kernel = user_kernel::<()>(
    "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(1) fn main() { out[0] = 3.0; }",
);
static LARGE_PARAMS: Kernel = user_kernel::<[u32; 65]>("");

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn kernels_of_users() {
    for gpu in gpus() {
        let device = &gpu.device;
        let out = tensor(device, 1, 1);
        let run = |kernel: &'static Kernel| {
            let mut recording = Recording::new(device);
            recording.dispatch(kernel, [1, 1], 0u32, &[], &[&out], 1)?;
            recording.run()?;
            out.read()
        };
        assert_error(run(&BROKEN), ErrorKind::Kernel, &["user.kernel", "does not compile"]);
        assert_error(run(&OTHER_BINDINGS), ErrorKind::Kernel, &["user.kernel", "does not compile"]);
        // Two kernels of one name are two kernels, and the device has survived the faults of the others.
        assert_eq!(run(&ONE).unwrap(), [1.0], "{}", gpu.label);
        assert_eq!(run(&TWO).unwrap(), [2.0], "{}", gpu.label);
        let mut recording = Recording::new(device);
        assert_error(
            recording.dispatch(&ONE, [1, 1], [0u32; 2], &[], &[&out], 1),
            InvalidInput,
            &["8 bytes", "takes 4"],
        );
        let too_many = recording.dispatch(&ONE, [65_536, 1], 0u32, &[], &[&out], 1);
        assert_error(too_many, InvalidInput, &["65536 x 1 workgroups", "65535"]);
        let large = recording.dispatch(&LARGE_PARAMS, [1, 1], [0u32; 65], &[], &[&out], 1);
        assert_error(large, InvalidInput, &["260 bytes", "256"]);
        assert!(recording.dispatch(&ONE, [1, 1], 0u32, &[&out], &[], 1).is_err());
        // More dispatches than a uniform binding of 64 KiB has room for the parameters of.
        let mut recording = Recording::new(device);
        for _ in 0..300 {
            recording.dispatch(&THREE, [1, 1], (), &[], &[&out], 1).unwrap();
        }
        recording.run().unwrap();
        assert_eq!(out.read().unwrap(), [3.0], "{}", gpu.label);
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn more_classes_than_a_loop_may_have_rounds() {
    for (name, device) in cpu_and_gpus() {
        let (p, count) = (tensor(&device, 2, 70_001), tensor(&device, 1, 1));
        let mut recording = Recording::new(&device);
        let counted = ops::metrics::count_correct(&mut recording, &p, &p, None, [0.5; 2], &count);
        assert_error(counted, Shape, &["accuracy", "70001 columns", "65000"]);
        assert!(recording.is_empty(), "{name}");
    }
}
