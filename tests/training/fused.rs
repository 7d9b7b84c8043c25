//! Many steps in one dispatch: the same training as layer by layer, and the same bits however many steps a dispatch runs.

use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Dropout, Huber, LayerNorm, Linear, Loss, Mse, ReLU, Reduction, Sequential, SiLU,
    Sigmoid, Softmax, Tanh,
};
use wgrad::ops::Activation;
use wgrad::optim::{Adam, Algorithm, RmsProp, Schedule, Sgd};
use wgrad::{Device, DeviceKind, Fit, Session, StepPath, Trainer};

use crate::agreement::disk_network;
use crate::common::{assert_same_training, compare, cpu_and_gpus, signed};
use crate::steps::{TANH, sums};

/// 150 rows in mini-batches of 32: five steps an epoch, the last one smaller.
const ROWS: usize = 150;
const BATCH: usize = 32;
const EPOCHS: usize = 10;

fn points() -> Dataset {
    disk(ROWS, 0, Labels::PlusMinusOneHot).unwrap()
}

fn classes() -> Dataset {
    disk(ROWS, 0, Labels::ZeroOne).unwrap()
}

/// Weights from 0 to 2.
fn weighted(data: &Dataset) -> Dataset {
    data.clone().with_weights((0..ROWS).map(|row| (row % 5) as f32 / 2.0).collect()).unwrap()
}

fn hidden(function: Activation, outputs: usize) -> Sequential {
    Sequential::new()
        .add(Linear::new(2, 25))
        .add(function)
        .add(Linear::new(25, 14))
        .add(function)
        .add(Linear::new(14, outputs))
}

type Make = Box<dyn Fn(&Device) -> Trainer>;

fn make<L: Loss + Clone + 'static, A: Algorithm + Clone + 'static>(model: fn() -> Sequential, loss: L, by: A) -> Make {
    Box::new(move |device| Trainer::new(device, model(), loss.clone(), by.clone(), 5).unwrap())
}

/// Trainings that the fused path takes: losses, optimizers, activations.
fn trainings() -> Vec<(&'static str, Make, Dataset)> {
    let sgd = Sgd::new(0.1);
    let nesterov = Sgd::new(0.05).momentum(0.8).nesterov(true).weight_decay(1e-3).schedule(Schedule::step(3, 0.5));
    let adam = Adam::new(0.01).decoupled_weight_decay(0.01).schedule(Schedule::warmup(20, 0.1).per_step());
    vec![
        ("disk, SGD", make(disk_network, Mse::new(), sgd.clone()), points()),
        ("disk, Nesterov", make(disk_network, Mse::new(), nesterov), points()),
        ("tanh, Adam", make(|| hidden(Tanh, 2), CrossEntropy::new(), adam.clone()), classes()),
        ("ReLU, Adam", make(|| hidden(ReLU, 1), BceWithLogits::new(), adam), classes()),
        ("SiLU, RMSProp", make(|| hidden(SiLU, 2), Huber::new(0.5), RmsProp::new(0.002).momentum(0.5)), points()),
        ("sigmoid, clipped", make(|| hidden(Sigmoid, 2), Mse::new(), sgd.clip_value(0.01)), points()),
        ("weighted mean", make(disk_network, Mse::new(), Sgd::new(0.1)), weighted(&points())),
        (
            "weighted sum",
            make(|| hidden(Tanh, 2), Mse::new().reduction(Reduction::OutputMean), Sgd::new(0.003)),
            weighted(&points()),
        ),
        ("weighted classes", make(|| hidden(Tanh, 2), CrossEntropy::new(), Sgd::new(0.3)), weighted(&classes())),
        ("one layer", make(|| Sequential::new().add(Linear::new(2, 2)), Mse::new(), Sgd::new(0.1)), points()),
    ]
}

fn losses(trainer: &mut Trainer, data: &Dataset, path: StepPath) -> Vec<f32> {
    trainer.fit(data, Fit::new(EPOCHS, BATCH).evaluate_every(0).path(path)).unwrap().step_losses
}

/// How far a loss moves for each unit by which all parameters are moved relatively: the largest of four random movements on
/// the CPU, times four, as the worst direction is not among them.
fn sensitivity(make: &Make, data: &Dataset) -> f64 {
    const MOVE: f32 = 1e-3;
    let expected = losses(&mut make(&Device::cpu()), data, StepPath::Layered);
    let mut largest: f64 = 0.0;
    for seed in 0..4 {
        let mut trainer = make(&Device::cpu());
        let values = trainer.parameters().read().unwrap();
        let signs = signed(seed, values.len());
        let moved: Vec<_> = values.iter().zip(signs).map(|(v, sign)| v * (1.0 + MOVE.copysign(sign))).collect();
        trainer.parameters().write(&moved).unwrap();
        let moved = losses(&mut trainer, data, StepPath::Layered);
        largest = moved.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs() / MOVE)).fold(largest, f64::max);
    }
    4.0 * largest
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn fused_steps_follow_layered_ones_for_fifty_steps() {
    for (name, make, data) in trainings() {
        // Each of the two rounds its sums of up to 64 terms, and its functions; the errors of all steps add up.
        let rounding = 2.0 * (sums(2 * BATCH) + TANH);
        let sensitivity = sensitivity(&make, &data);
        let tolerance = |step: usize| (step + 1) as f64 * sensitivity * rounding;
        for (label, device) in cpu_and_gpus() {
            let expected = losses(&mut make(&device), &data, StepPath::Layered);
            let fused = losses(&mut make(&device), &data, StepPath::Fused);
            let learnt = f64::from(expected[0] - expected[expected.len() - 1]);
            let off = fused.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let last = tolerance(expected.len() - 1);
            println!("{name} on {label}: within {off:e}, {last:e} allowed at the end, {learnt} learnt");
            assert!(last < learnt.abs() / 2.0, "{name}: a tolerance of {last} for a loss that falls by {learnt}");
            compare(&format!("{name} on {label}"), &fused, &expected, 0.0, tolerance).unwrap();
        }
    }
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn steps_in_a_dispatch_change_no_bit() {
    for (name, make, data) in trainings().into_iter().take(3) {
        for (label, device) in cpu_and_gpus() {
            let train = |fit: fn(Fit<'_>) -> Fit<'_>| {
                let mut trainer = make(&device);
                trainer.fit(&data, fit(Fit::new(3, BATCH).path(StepPath::Fused))).unwrap();
                trainer
            };
            let all = train(|fit| fit);
            assert_same_training(&format!("{name} on {label}, again"), &train(|fit| fit), &all);
            for (steps, fit) in
                [(1, (|fit| fit.steps_per_submit(1)) as fn(Fit<'_>) -> Fit<'_>), (3, |fit| fit.steps_per_submit(3))]
            {
                assert_same_training(&format!("{name} on {label}, {steps} in a dispatch"), &train(fit), &all);
            }
            let streamed = train(|fit| fit.resident_bytes(0));
            assert_same_training(&format!("{name} on {label}, streamed"), &streamed, &all);
        }
    }
}

/// Software drivers silently leave all loops of a dispatch after 65,535 rounds.
#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn an_epoch_takes_as_many_dispatches_as_drivers_ask_for() {
    let data = disk(4000, 0, Labels::PlusMinusOneHot).unwrap();
    for (label, device) in cpu_and_gpus() {
        let train = |steps: u32| {
            let mut trainer = Trainer::new(&device, hidden(ReLU, 2), Mse::new(), Sgd::new(0.05), 1).unwrap();
            let before = device.counters().dispatches;
            let fit = Fit::new(1, 4).path(StepPath::Fused).steps_per_submit(steps).evaluate_every(0);
            let history = trainer.fit(&data, fit).unwrap();
            assert_eq!(history.step_losses.len(), 1000, "{label}");
            assert!(history.step_losses.iter().all(|loss| *loss > 0.0), "{label}: steps that were not run");
            (trainer, device.counters().dispatches - before)
        };
        let ((all, few), (one, many)) = (train(u32::MAX), train(5));
        // Evaluation and copies take some, too.
        assert!((5..50).contains(&few), "{label}: {few} dispatches for 1000 steps");
        assert!(many >= 200, "{label}: {many} dispatches for 1000 steps, 5 in each");
        assert_same_training(&label, &one, &all);
    }
}

#[test]
fn what_the_fused_path_takes_is_a_matter_of_operations() {
    let device = Device::cpu();
    let forced = |trainer: Trainer, data: &Dataset| {
        let session = trainer.into_session();
        session.path(data, &Fit::new(1, BATCH).path(StepPath::Fused)).map_err(|error| error.to_string())
    };
    for (name, make, data) in trainings() {
        let path = forced(make(&device), &data).unwrap();
        assert!(path.starts_with("fused, one dispatch for up to "), "{name}: {path}");
    }
    let sgd = || Sgd::new(0.1);
    let network = |algorithm| Trainer::new(&device, disk_network(), Mse::new(), algorithm, 0).unwrap();
    let model = |model: Sequential| Trainer::new(&device, model, Mse::new(), sgd(), 0).unwrap();
    let frozen = disk_network();
    let shared = Linear::new(25, 25);
    let nine = (0..8).fold(Sequential::new().add(Linear::new(2, 2)), |model, _| model.add(Linear::new(2, 2)));
    let four = [ReLU, Tanh, Sigmoid, SiLU].into_iter();
    let four = four.fold(Sequential::new(), |model, function| model.add(Linear::new(2, 2)).add(function));
    let separate = {
        let first = Linear::new(2, 25);
        wgrad::nn::Parameters::new(&device, &first, 0).unwrap();
        Sequential::new().add(first).add(ReLU).add(Linear::new(25, 2))
    };
    let refused = [
        ("norm", network(sgd().clip_norm(1.0)), "clipped by norm"),
        ("groups", network(sgd().group(|name| name.ends_with("bias"), 0.2, 0.0)), "parameters in groups"),
        ("dropout", model(Sequential::new().add(Dropout::new(0.5)).add(Linear::new(2, 2))), "Dropout"),
        ("normalization", model(hidden(ReLU, 2).add(LayerNorm::new(2))), "between its layers"),
        ("softmax", model(hidden(ReLU, 2).add(Softmax)), "Softmax"),
        ("no layer", model(Sequential::new().add(Linear::new(2, 2)).add(ReLU).add(ReLU)), "Apply"),
        (
            "shared",
            model(Sequential::new().add(Linear::new(2, 25)).add(shared.clone()).add(shared).add(Linear::new(25, 2))),
            "",
        ),
        ("nine layers", model(nine), "9 layers"),
        ("four functions", model(four), "4 different activations"),
        ("an exponential", model(hidden(ReLU, 2).add(Activation::Exp)), "Exp at the end of a layer"),
        ("placed apart", model(separate), ""),
    ];
    for (name, trainer, why) in refused {
        let error = forced(trainer, &points()).unwrap_err();
        assert!(error.contains(why) && error.contains("mlp"), "{name}: {error}");
    }
    let trainer = model(frozen);
    trainer.parameters().named().next().unwrap().1.set_frozen(true);
    let error = forced(trainer, &points()).unwrap_err();
    assert!(error.contains("mlp"), "frozen: {error}");
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn the_path_is_chosen_by_shapes_and_capabilities() {
    for (label, device) in cpu_and_gpus() {
        let path = |model: Sequential, fit: Fit<'_>| {
            let session = Session::new(&device, model, Mse::new(), Sgd::new(0.1), 0).unwrap();
            session.path(&points(), &fit).unwrap()
        };
        let small = path(disk_network(), Fit::new(1, BATCH));
        let is_cpu = device.describe().kind == DeviceKind::Cpu;
        assert_eq!(small.starts_with("fused"), !is_cpu, "{label}: {small}");
        let wide = || {
            Sequential::new()
                .add(Linear::new(2, 1000))
                .add(ReLU)
                .add(Linear::new(1000, 1000))
                .add(ReLU)
                .add(Linear::new(1000, 2))
        };
        let wide = path(wide(), Fit::new(1, BATCH));
        assert!(wide.starts_with("layered"), "{label}: {wide}");
        let chosen = path(disk_network(), Fit::new(1, BATCH).path(StepPath::Layered));
        assert_eq!(chosen, "layered, 14 dispatches a step: chosen by Fit::path", "{label}");
        let unmerged = path(disk_network(), Fit::new(1, BATCH).path(StepPath::Unmerged));
        assert!(unmerged.starts_with("layered, 28 dispatches"), "{label}: {unmerged}");
        // What can't be fused is trained layer by layer.
        let dropped = path(disk_network().add(Dropout::new(0.1)), Fit::new(1, BATCH));
        assert!(dropped.starts_with("layered") && dropped.contains("Dropout"), "{label}: {dropped}");
    }
}
