//! Training on samples with weights: PyTorch's and scikit-learn's numbers (`tests/oracle/trainer.json`), and what follows from
//! what a weight means.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{
    Devices, EPSILON, ROUNDING, assert_same_bits, assert_same_training, compare, list, number, numbers,
    on_every_device, oracle, small_integers, tanh_error, text, trainer_of, training_data, values,
};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{
    BceWithLogits, CrossEntropy, Huber, Init, Linear, Loss, Mae, Mse, Quantile, ReLU, Reduction, Sequential,
};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Ensemble, Fit, Graph, Metrics, Result, Session, StepPath, Trainer, Var};

on_every_device!(
    trainings_are_those_of_pytorch,
    a_weight_is_a_number_of_copies,
    chunks_count_as_their_weights,
    streamed_data_gives_the_same_bits,
    members_are_trained_as_if_alone,
    steps_on_weighted_batches_are_those_of_an_epoch,
);

fn trainings_are_those_of_pytorch(devices: &Devices) {
    let file = oracle("trainer.json");
    let mut faults = Vec::new();
    for (label, device) in devices {
        for case in list(&file["weighted"]) {
            let [train, validation] = training_data(&file, case);
            let name = format!("{} on {label}", text(&case["name"]));
            let mut trainer = trainer_of(device, &file, case);
            let fit = Fit::new(number(&file["epochs"]) as usize, number(&file["batch"]) as usize);
            let history = trainer.fit(&train, fit.shuffle(false).validation(&validation)).unwrap();

            // As of optimizers: four times what PyTorch's own f32 strays, more where tanh is less exact.
            let factor = 4.0 * (tanh_error(device) / ROUNDING).max(1.0);
            let strays = number(&case["float32_error"]);
            let mut check = |what: &str, actual: &[f32], expected: &[f64]| {
                let tolerance = |i: usize| factor * (strays + EPSILON * expected[i].abs());
                faults.extend(compare(&format!("{name}, {what}"), actual, expected, 0.0, tolerance).err());
            };
            let results = &case["results"];
            check("losses", &history.step_losses, &numbers(&results["losses"]));
            let epochs: Vec<f32> = history.epochs.iter().map(|epoch| epoch.loss).collect();
            check("epochs", &epochs, &numbers(&results["epochs"]));
            check("parameters", &values(&trainer), &numbers(&results["parameters"]));
            let last = history.epochs.last().unwrap();
            assert_eq!(trainer.evaluate(&validation).unwrap(), last.validation.unwrap(), "{name}");
            for (part, metrics) in [("train", last.train), ("validation", last.validation)] {
                let (Metrics { loss, accuracy, .. }, expected) = (metrics.unwrap(), &results[part]);
                check(part, &[loss], &[number(&expected["loss"])]);
                // A sum of at most 44 weights, in f32.
                let expected = expected.get("accuracy").map(number);
                let differs = accuracy.zip(expected).map(|(a, b)| (f64::from(a) - b).abs());
                assert!(accuracy.is_some() == expected.is_some() && differs.unwrap_or(0.0) <= 44.0 * EPSILON, "{name}");
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The number of dispatches that a summary tells is what the device counts, for every loss with weights, step by step.
#[test]
fn a_summary_counts_the_dispatches_of_weighted_steps() {
    const BATCH: usize = 4;
    let device = Device::cpu();
    let data = |steps: usize, cols: usize, classes: usize| {
        let rows = BATCH * steps;
        let targets = (0..rows * cols).map(|i| (i % classes) as f32).collect();
        let weights = (0..rows).map(|row| (row % 3) as f32 + 0.5).collect();
        Dataset::new(small_integers(1, 3 * rows, 4), 3, targets, cols).unwrap().with_weights(weights).unwrap()
    };
    fn check<L: Loss + Clone + 'static>(device: &Device, loss: L, outputs: usize, data: impl Fn(usize) -> Dataset) {
        let count = |steps: usize| {
            let model = Sequential::new().add(Linear::new(3, 5)).add(ReLU).add(Linear::new(5, outputs));
            let mut trainer = Trainer::new(device, model, loss.clone(), Sgd::new(0.01), 0).unwrap();
            let (data, fit) = (data(steps), Fit::new(1, BATCH).evaluate(false).path(StepPath::Layered));
            let summary = trainer.summary(&data, &fit).unwrap();
            let before = device.counters().dispatches;
            trainer.fit(&data, fit).unwrap();
            (device.counters().dispatches - before, summary)
        };
        let ((one, summary), (five, _)) = (count(1), count(5));
        let told = format!("training  layered, {} dispatches a step: chosen by Fit::path\n", (five - one) / 4);
        assert!(summary.ends_with(&told), "{summary}, not {told}");
    }
    check(&device, Mse::new(), 2, |steps| data(steps, 2, 2));
    check(&device, Mae::new(), 2, |steps| data(steps, 2, 2));
    check(&device, Huber::new(1.0), 2, |steps| data(steps, 2, 2));
    check(&device, Quantile::new(0.9), 2, |steps| data(steps, 2, 2));
    check(&device, BceWithLogits::new(), 1, |steps| data(steps, 1, 2));
    check(&device, CrossEntropy::new().label_smoothing(0.1), 3, |steps| data(steps, 1, 3));
}

/// Whole numbers, sums and a rate that is a power of 2, so that everything is exact.
fn a_weight_is_a_number_of_copies(devices: &Devices) {
    const ROWS: usize = 12;
    let data = Dataset::new(small_integers(1, 3 * ROWS, 4), 3, small_integers(2, ROWS, 4), 1).unwrap();
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32).collect();
    let copies: Vec<usize> = (0..ROWS).flat_map(|row| std::iter::repeat_n(row, row % 4)).collect();
    let (weighted, copied) = (data.clone().with_weights(weights).unwrap(), data.select(&copies).unwrap());
    for (name, device) in devices {
        let trained = |data: &Dataset| {
            let model = Linear::new(3, 1).init(Init::Constant(1.0), Init::Constant(0.0));
            let loss = Mse::new().reduction(Reduction::Sum).decision(Decision::between(-1.0, 1.0));
            let mut trainer = Trainer::new(device, model, loss, Sgd::new(1.0 / 1024.0), 0).unwrap();
            trainer.fit(data, Fit::new(1, data.len()).validation(data)).unwrap();
            trainer
        };
        assert_same_training(name, &trained(&weighted), &trained(&copied));
    }
}

/// An evaluation goes through 4,096 rows at a time, in each of which other classes and weights are frequent.
fn chunks_count_as_their_weights(devices: &Devices) {
    const ROWS: usize = 10_001;
    let class = |row: usize| if row < 4096 { 0 } else { row % 3 };
    let data = Dataset::new(vec![1.0; ROWS], 1, (0..ROWS).map(|row| class(row) as f32).collect(), 1).unwrap();
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 5) as f32 / 4.0 + f32::from(row >= 4096)).collect();
    let weighted = data.clone().with_weights(weights.clone()).unwrap();
    let class_weights = [0.5, 2.0, 0.25];
    // The same logits for all: 0, 1, 2.
    let logits = [0.0, 1.0, 2.0];
    let total: f64 = logits.map(f64::exp).iter().sum();
    let errors = logits.map(|logit| total.ln() - logit);
    let expected = |weight: &dyn Fn(usize) -> f64| {
        let counts = (0..ROWS).map(weight);
        counts.clone().zip(0..).map(|(count, row)| count * errors[class(row)]).sum::<f64>() / counts.sum::<f64>()
    };
    for (name, device) in devices {
        let evaluated = |loss: CrossEntropy, data: &Dataset| {
            let trainer = Trainer::new(device, Linear::new(1, 3), loss, Sgd::new(0.1), 0).unwrap();
            let [(_, weight), (_, bias)] = trainer.parameters().named().collect::<Vec<_>>()[..] else { panic!() };
            weight.value().unwrap().write(&[0.0; 3]).unwrap();
            bias.value().unwrap().write(&[0.0, 1.0, 2.0]).unwrap();
            trainer.evaluate(data).unwrap()
        };
        let check = |what: &str, metrics: Metrics, expected: f64| {
            // Sums of 4,096 products, in blocks.
            let tolerance = 256.0 * EPSILON * expected;
            assert!(
                (f64::from(metrics.loss) - expected).abs() <= tolerance,
                "{what} on {name}: {metrics:?}, {expected}"
            );
        };
        let by_class = |row: usize| f64::from(class_weights[class(row)]);
        let (own, both) = (|row: usize| f64::from(weights[row]), |row: usize| f64::from(weights[row]) * by_class(row));
        let loss = || CrossEntropy::new().class_weights(class_weights);
        check("classes", evaluated(loss(), &data), expected(&by_class));
        check("samples", evaluated(CrossEntropy::new(), &weighted), expected(&own));
        check("both", evaluated(loss(), &weighted), expected(&both));
        let labelled = |row: usize| f64::from(u8::from(class(row) != 1));
        check("ignored", evaluated(CrossEntropy::new().ignore_index(1), &data), expected(&labelled));
        let right = (0..ROWS).filter(|row| class(*row) == 2).map(own).sum::<f64>() / (0..ROWS).map(own).sum::<f64>();
        let accuracy = f64::from(evaluated(loss(), &weighted).accuracy.unwrap());
        assert!((accuracy - right).abs() <= 256.0 * EPSILON, "{name}: {accuracy}, not {right}");
    }
}

fn weights(rows: usize, seed: usize) -> Vec<f32> {
    (0..rows).map(|row| ((row + seed) % 7) as f32 / 4.0).collect()
}

fn data(rows: usize, seed: usize) -> Dataset {
    disk(rows, seed as u64, Labels::OneHot).unwrap().with_weights(weights(rows, seed)).unwrap()
}

fn trainer(device: &Device, seed: u64) -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 9)).add(ReLU).add(Linear::new(9, 2));
    Trainer::new(device, model, Mse::new().decision(Decision::Argmax), Adam::new(0.01), seed).unwrap()
}

fn streamed_data_gives_the_same_bits(devices: &Devices) {
    let (train, validation) = (data(103, 0), data(5000, 1));
    for (name, device) in devices {
        let trained = |bytes| {
            let mut trainer = trainer(device, 7);
            trainer.fit(&train, Fit::new(3, 8).validation(&validation).resident_bytes(bytes)).unwrap();
            trainer
        };
        let resident = trained(u64::MAX);
        // No row, one and several mini-batches of rows of 2 inputs, 2 targets and a weight.
        for bytes in [0, 20 * 8, 20 * 8 * 5] {
            assert_same_training(&format!("{name}, {bytes} bytes"), &trained(bytes), &resident);
        }
    }
}

fn members_are_trained_as_if_alone(devices: &Devices) {
    let validation = data(40, 3);
    for (name, device) in devices {
        let members = if device.name() == "cpu" { 9 } else { 3 };
        // The last one's samples all count alike: it goes alone.
        let data: Vec<_> =
            (0..members).map(|seed| data(60, seed)).chain([disk(60, 1, Labels::OneHot).unwrap()]).collect();
        let fit = || Fit::new(3, 16).validation(&validation);
        let mut ensemble = Ensemble::new((0..=members as u64).map(|seed| Ok(trainer(device, seed)))).unwrap();
        ensemble.fit_each(&data.iter().collect::<Vec<_>>(), |_| fit()).unwrap();
        for (seed, data) in data.iter().enumerate() {
            let mut alone = trainer(device, seed as u64);
            alone.fit(data, fit()).unwrap();
            assert_same_training(&format!("{name}, member {seed}"), &ensemble.members()[seed], &alone);
        }
    }
}

fn steps_on_weighted_batches_are_those_of_an_epoch(devices: &Devices) {
    let data = data(53, 0);
    for (name, device) in devices {
        let mut by_fit = trainer(device, 3);
        let expected =
            by_fit.fit(&data, Fit::new(2, 10).shuffle(false).evaluate(false).path(StepPath::Layered)).unwrap();
        let mut by_steps = trainer(device, 3);
        let mut losses = Vec::new();
        for _ in 0..2 {
            let batches =
                data.inputs().chunks(20).zip(data.targets().chunks(20)).zip(data.weights().unwrap().chunks(10));
            losses.extend(batches.map(|((x, t), weights)| by_steps.step_weighted(x, t, weights).unwrap()));
        }
        assert_same_bits(name, &losses, &expected.step_losses);
        assert_same_bits(name, &by_steps.parameters().read().unwrap(), &by_fit.parameters().read().unwrap());
        // A step without weights is another one.
        by_steps.step(&data.inputs()[..20], &data.targets()[..20], 10).unwrap();
    }
}

#[test]
fn weights_that_count_nothing_are_refused() {
    let device = Device::cpu();
    let data = disk(20, 0, Labels::OneHot).unwrap();
    let half = data.clone().with_weights((0..20).map(|row| f32::from(u8::from(row < 10))).collect()).unwrap();
    let mut trainer = trainer(&device, 0);
    let mut error = |data: &Dataset, fit: Fit<'_>| trainer.fit(data, fit).unwrap_err().to_string();
    let expected = "fit: the weights of all 10 rows to train or to validate on are 0; give one a weight";
    assert_eq!(error(&half, Fit::new(1, 5).rows(10..20)), expected);
    assert_eq!(error(&half, Fit::new(1, 5).validation_rows(10..20)), expected);
    let nothing = half.select(&(10..20).collect::<Vec<_>>()).unwrap();
    assert_eq!(error(&data, Fit::new(1, 5).validation(&nothing)), expected);
    let detail = "evaluate: the weights of all samples are 0, so that there is nothing to measure";
    assert_eq!(trainer.evaluate(&nothing).unwrap_err().to_string(), detail);
    assert!(
        trainer.step_weighted(&[1.0, 1.0], &[1.0, 0.0], &[0.0]).unwrap_err().to_string().contains("all weights are 0")
    );
    assert!(trainer.step_weighted(&[1.0, 1.0], &[1.0, 0.0], &[-1.0]).is_err());
    // A mini-batch of nothing but weights of 0 is none of it: it leaves the parameters alone.
    let history = trainer.fit(&half, Fit::new(1, 10).shuffle(false)).unwrap();
    assert_eq!(history.step_losses[1], 0.0);
    assert_eq!(history.epochs[0].loss, history.step_losses[0]);
}

#[test]
fn a_loss_without_weights_says_so() {
    struct Plain;
    impl Loss for Plain {
        fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
            graph.mse(prediction, target, Reduction::Mean)
        }
        fn reduction(&self) -> Reduction {
            Reduction::Mean
        }
    }
    let mut trainer = Trainer::new(&Device::cpu(), Linear::new(2, 2), Plain, Sgd::new(0.1), 0).unwrap();
    let error = trainer.fit(&data(20, 0), Fit::new(1, 5)).unwrap_err().to_string();
    assert_eq!(error, "weighted loss: this loss takes no weights of samples; implement Loss::weighted for it");
    assert!(trainer.evaluate(&data(20, 0)).is_err());
}

#[test]
fn the_path_names_the_weights() {
    let session = Session::new(&Device::cpu(), Linear::new(2, 2), Mse::new(), Sgd::new(0.1), 0).unwrap();
    let forced = |session: &Session| session.path(&data(20, 0), &Fit::new(1, 5).path(StepPath::Fused));
    assert!(forced(&session).unwrap().starts_with("fused"));
    // Of a loss that does not say what its weights do, that is unknown.
    struct Other;
    impl Loss for Other {
        fn forward(&self, graph: &mut Graph, prediction: Var, target: Var) -> Result<Var> {
            Mse::new().forward(graph, prediction, target)
        }
        fn weighted(&self, graph: &mut Graph, prediction: Var, target: Var, weights: Var) -> Result<Var> {
            Mse::new().weighted(graph, prediction, target, weights)
        }
        fn reduction(&self) -> Reduction {
            Reduction::Mean
        }
    }
    let session = Session::new(&Device::cpu(), Linear::new(2, 2), Other, Sgd::new(0.1), 0).unwrap();
    let error = forced(&session).unwrap_err().to_string();
    assert!(error.contains("samples with weights"), "{error}");
    // Classes with weights of their own, too.
    let loss = CrossEntropy::new().class_weights([1.0, 2.0]);
    let session = Session::new(&Device::cpu(), Linear::new(2, 2), loss, Sgd::new(0.1), 0).unwrap();
    assert!(forced(&session).is_err());
}
