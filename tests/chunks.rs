//! Many rows on the CPU path, which takes them in chunks on several threads: the bits depend on shapes alone.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use std::process::Command;

use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{
    Backprop, BatchNorm1d, CrossEntropy, Embedding, LayerNorm, Linear, Loss, Module, Mse, Parameter, Parameters,
    Predictor, ReLU, Reduction, Residual, Sequential, SiLU, Sigmoid, Softmax, Tanh,
};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, Fit, Graph, StepPath::Fused, StepPath::Layered, Tensor, Trainer, Var};

use common::{cpu_and_gpus, small_integers};

fn hash(hash: u64, values: &[f32]) -> u64 {
    values.iter().fold(hash, |hash, x| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3))
}

/// Parameters, losses, measurements and predictions of several trainings, batches of which are whole chunks and odd.
fn bits() -> u64 {
    let device = Device::cpu();
    let mut all = 0xcbf2_9ce4_8422_2325;
    for batch in [512, 1300, 2500] {
        let data = disk(3000, 1, Labels::OneHot).unwrap();
        let model = Sequential::new().add(Linear::new(2, 32)).add(Tanh).add(Linear::new(32, 16)).add(ReLU);
        let model = model.add(Linear::new(16, 2)).add(Sigmoid);
        let mut trainer = Trainer::new(&device, model, Mse::new(), Adam::new(0.01), 3).unwrap();
        let history = trainer.fit(&data, Fit::new(3, batch).evaluate_every(1)).unwrap();
        all = hash(all, &history.step_losses);
        all = hash(all, &trainer.parameters().read().unwrap());
        all = hash(all, &trainer.predict(data.inputs(), 2).unwrap());
        let metrics = trainer.evaluate(&data).unwrap();
        all = hash(all, &[metrics.loss, metrics.accuracy.unwrap()]);
    }
    // Too many weights for sums of chunks; classes; an update that is shared, too.
    let x: Vec<f32> = (0..1500 * 20).map(|i| (i % 37) as f32 / 18.0 - 1.0).collect();
    let t: Vec<f32> = (0..1500).map(|i| (i % 5) as f32).collect();
    let data = Dataset::new(x, 20, t, 1).unwrap();
    let model = Sequential::new().add(Linear::new(20, 900)).add(ReLU).add(Linear::new(900, 130)).add(ReLU);
    let mut trainer =
        Trainer::new(&device, model.add(Linear::new(130, 5)), CrossEntropy::new(), Sgd::new(0.01), 3).unwrap();
    all = hash(all, &trainer.fit(&data, Fit::new(2, 1100)).unwrap().step_losses);
    hash(all, &trainer.parameters().read().unwrap())
}

#[test]
#[ignore = "runs in processes of the next one"]
fn print_bits() {
    println!("bits {:x}", bits());
}

#[test]
fn threads_change_no_bits() {
    let with = |threads: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.args(["--exact", "print_bits", "--ignored", "--nocapture"]);
        let output = command.env("WGRAD_THREADS", threads.to_string()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let bits = text.split_once("bits ").map(|(_, rest)| rest.lines().next().unwrap().trim().to_string());
        bits.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    };
    let one = with(1);
    for threads in 2..=4 {
        assert_eq!(with(threads), one, "{threads} threads");
    }
}

/// The first column is a category, the others are numbers.
struct Categories {
    embedding: Embedding,
    rest: Sequential,
}

impl Module for Categories {
    fn forward(&self, graph: &mut Graph, x: Var) -> wgrad::Result<Var> {
        let cols = graph.shape(x)?[1];
        let (category, numbers) = (graph.slice_cols(x, 0, 1)?, graph.slice_cols(x, 1, cols)?);
        let category = self.embedding.forward(graph, category)?;
        let both = graph.concat_cols(&[category, numbers])?;
        self.rest.forward(graph, both)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let named = |name: &str, module: &dyn Module| {
            let parameters = module.named_parameters().into_iter();
            parameters.map(|(inner, parameter)| (format!("{name}.{inner}"), parameter)).collect::<Vec<_>>()
        };
        [named("embedding", &self.embedding), named("rest", &self.rest)].concat()
    }
}

/// A row's prediction does not depend on how many others are predicted with it, nor on what was predicted before.
#[test]
fn a_row_is_predicted_alike_among_any_number() {
    for (name, device) in cpu_and_gpus() {
        let layers = Sequential::new().add(Linear::new(3, 33)).add(Tanh).add(Linear::new(33, 2));
        let all = Sequential::new().add(Linear::new(5, 20)).add(BatchNorm1d::new(20)).add(SiLU);
        let all = all.add(Residual::new(Sequential::new().add(LayerNorm::new(20)).add(Linear::new(20, 20))));
        let all = Categories { embedding: Embedding::new(7, 3), rest: all.add(Linear::new(20, 4)).add(Softmax) };
        // A sum so long that one row would be cut into parts, and many not.
        let long = Sequential::new().add(Linear::new(4200, 3));
        let models = [(3, 5000, layers), (3, 5000, Sequential::new().add(all)), (4200, 400, long)];
        let predictors = models.map(|(cols, most, model)| (cols, most, Predictor::new(&device, model).unwrap()));
        let other = if predictors[0].2.path(3).unwrap().starts_with("fused") { Layered } else { Fused };
        let again = (3, 5000, predictors[0].2.clone().with_path(other));
        for (cols, most, predictor) in predictors.into_iter().chain([again]) {
            let x: Vec<f32> = (0..cols * most).map(|i| ((i * i) % 101) as f32 / 50.0 - 1.0).collect();
            // Class numbers, for the model that has them.
            let x: Vec<f32> =
                x.iter().enumerate().map(|(i, x)| if i % cols == 0 { (i % 7) as f32 } else { *x }).collect();
            let all = predictor.predict(&x, cols).unwrap();
            assert!(all.iter().all(|y| y.is_finite()), "{name}");
            let width = all.len() / most;
            for rows in [1, 2, 5, 7, 255, 256, 257, 300, 511, 512, 513, 1025, 4095, 4097, 4999] {
                let rows = rows.min(most);
                let some = predictor.predict(&x[..cols * rows], cols).unwrap();
                assert!(some == all[..width * rows], "{name}, {cols} columns, {rows} rows");
                let last = predictor.predict(&x[cols * (most - rows)..], cols).unwrap();
                assert!(last == all[width * (most - rows)..], "{name}, {cols} columns, the last {rows} rows");
            }
        }
    }
}

/// Gradients of whole numbers, of which every sum is exact: of a large batch, in chunks, those of its parts added up.
#[test]
fn gradients_of_chunks_add_up_exactly() {
    let device = Device::cpu();
    let [inputs, hidden, outputs, rows] = [5, 20, 3, 1700];
    let (x, t) = (small_integers(1, rows * inputs, 3), small_integers(2, rows * outputs, 3));
    let model = Sequential::new().add(Linear::new(inputs, hidden)).add(ReLU).add(Linear::new(hidden, outputs));
    let parameters = Parameters::new(&device, &model, 0).unwrap();
    parameters.write(&small_integers(3, parameters.read().unwrap().len(), 2)).unwrap();
    let gradients = |from: usize, rows: usize| -> (f32, Vec<f32>) {
        let tensor = |values: &[f32], cols: usize| {
            Tensor::new(&device, rows, cols, &values[from * cols..(from + rows) * cols]).unwrap()
        };
        let mut graph = Graph::new(&device);
        let (input, target) = (graph.input(&tensor(&x, inputs)).unwrap(), graph.input(&tensor(&t, outputs)).unwrap());
        let y = model.forward(&mut graph, input).unwrap();
        let loss = Mse::new().reduction(Reduction::Sum).forward(&mut graph, y, target).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, loss, &[]).unwrap();
        let mut zero = wgrad::Recording::new(&device);
        parameters.record_zero_grad(&mut zero).unwrap();
        zero.run().unwrap();
        pass.forward().unwrap();
        pass.backward().unwrap();
        let gradients = parameters.named().flat_map(|(_, p)| p.gradient().unwrap().read().unwrap()).collect();
        (pass.read(loss).unwrap()[0], gradients)
    };
    let (loss, together) = gradients(0, rows);
    let (mut sum, mut apart) = (0.0, vec![0.0; together.len()]);
    for from in (0..rows).step_by(100) {
        let (loss, gradients) = gradients(from, 100);
        sum += loss;
        apart.iter_mut().zip(gradients).for_each(|(sum, gradient)| *sum += gradient);
    }
    assert!(together.iter().all(|gradient| gradient.abs() < 16_777_216.0) && loss < 16_777_216.0);
    assert_eq!((loss, together), (sum, apart));
}
