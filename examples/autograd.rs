//! Gradients for free: a module of one's own, a Siamese network with a loss of one's own, and an operation of one's own.
//!
//! `cargo run --release --example autograd`

use std::process::ExitCode;

use wgrad::data::{Dataset, Labels, disk};
use wgrad::nn::{Init, Linear, Loss, Module, Mse, Parameter, Parameters, ReLU, Reduction, Sequential, prefixed};
use wgrad::ops::{matmul, matmul::Epilogue};
use wgrad::optim::{Adam, Optimizer};
use wgrad::{Device, Fit, Result, Tape, Tensor, Trainer, Var};

/// A guess is right for half of the points, and for half of the pairs.
const LEARNT: f32 = 0.8;

/// Two branches side by side, one smooth and one with edges, and a layer that joins them.
struct Branches {
    smooth: Linear,
    edged: Linear,
    join: Linear,
}

impl Module for Branches {
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let smooth = self.smooth.forward(tape, x)?;
        let edged = self.edged.forward(tape, x)?;
        let active = [tape.tanh(smooth)?, tape.relu(edged)?];
        let both = tape.concat_cols(&active)?;
        self.join.forward(tape, both)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        [("smooth", &self.smooth), ("edged", &self.edged), ("join", &self.join)]
            .into_iter()
            .flat_map(|(name, layer)| prefixed(name, layer))
            .collect()
    }
}

/// Trains the branches on the disk problem.
fn two_branches(device: &Device) -> Result<bool> {
    let model = Branches { smooth: Linear::new(2, 25), edged: Linear::new(2, 25), join: Linear::new(50, 1) };
    let [train, test] = [disk(1000, 1, Labels::PlusMinusOne)?, disk(1000, 2, Labels::PlusMinusOne)?];
    let mut trainer = Trainer::new(device, model, Mse::new(), Adam::new(0.01), 0)?;
    trainer.fit(&train, Fit::new(50, 50).evaluate_every(0))?;
    let accuracy = trainer.evaluate(&test)?.accuracy;
    println!("two branches: {accuracy:.3} of the points are told to be in the disk or not");
    Ok(accuracy > LEARNT)
}

/// A Siamese network: one tower maps both points of a row x1 y1 x2 y2; the output is the squared distance of the
/// results. Both uses share the tower's weights, whose gradients add up.
struct Siamese {
    tower: Sequential,
}

impl Module for Siamese {
    fn forward(&self, tape: &mut Tape, pair: Var) -> Result<Var> {
        let (first, second) = (tape.slice_cols(pair, 0, 2)?, tape.slice_cols(pair, 2, 4)?);
        let (first, second) = (self.tower.forward(tape, first)?, self.tower.forward(tape, second)?);
        let apart = tape.sub(first, second)?;
        let squares = tape.pow(apart, 2.0)?;
        tape.sum_cols(squares)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("tower", &self.tower)
    }
}

/// A contrastive loss (Hadsell et al. 2006) of the squared distance d: `(1 - t) d + t max(0, 1 - d)²` draws points of
/// one class (t = 0) together, and drives those of two (t = 1) apart until d is 1.
struct Contrastive;

impl Loss for Contrastive {
    fn forward(&self, tape: &mut Tape, d: Var, t: Var) -> Result<Var> {
        let negated = tape.neg(d)?;
        let margin = tape.add_scalar(negated, 1.0)?;
        let missing = tape.relu(margin)?;
        let squared = tape.pow(missing, 2.0)?;
        let change = tape.sub(squared, d)?;
        let chosen = tape.mul(t, change)?;
        let errors = tape.add(d, chosen)?;
        tape.mean(errors)
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }
}

/// Pairs of points, with target 1 where one is in the disk and the other is not.
fn pairs(n: usize, seed: u64) -> Result<Dataset> {
    let [a, b] = [disk(n, seed, Labels::ZeroOne)?, disk(n, seed + 1, Labels::ZeroOne)?];
    let inputs = a.inputs().chunks(2).zip(b.inputs().chunks(2)).flat_map(|(a, b)| [a[0], a[1], b[0], b[1]]).collect();
    let targets = a.targets().iter().zip(b.targets()).map(|(a, b)| (a - b).abs()).collect();
    Dataset::new(inputs, 4, targets, 1)
}

/// Learns to tell whether two points are of one class, from pairs alone.
fn siamese(device: &Device) -> Result<bool> {
    // With PyTorch's smaller weights all distances are small at first, and the loss is flat.
    let first = Linear::new(2, 25).init(Init::HeNormal, Init::Normal { std: 0.5 });
    let tower = Sequential::new().add(first).add(ReLU).add(Linear::new(25, 25)).add(ReLU).add(Linear::new(25, 2));
    let mut trainer = Trainer::new(device, Siamese { tower }, Contrastive, Adam::new(0.003), 0)?;
    trainer.fit(&pairs(2000, 1)?, Fit::new(60, 50).evaluate_every(0))?;
    let accuracy = trainer.evaluate(&pairs(1000, 3)?)?.accuracy;
    println!("Siamese network: {accuracy:.3} of the pairs are told to be of one class or of two");
    Ok(accuracy > LEARNT)
}

/// An operation of one's own, made of the launches of others: the products of all pairs of rows, G = X Xᵀ.
/// Its gradient is dX = (dG + dGᵀ) X.
fn gram(tape: &mut Tape, x: Var) -> Result<Var> {
    let rows = tape.tensor(x)?;
    let out = tape.zeros(rows.rows(), rows.rows())?;
    matmul(tape.recording(), &rows, rows.t(), &out, Epilogue::default())?;
    tape.push(out, &[x], move |backward_pass, dg| {
        let Some(dx) = backward_pass.sink(x)? else { return Ok(()) };
        let recording = backward_pass.recording();
        matmul(recording, dg, &rows, &dx.tensor, Epilogue::accumulate(dx.accumulate))?;
        matmul(recording, dg.t(), &rows, &dx.tensor, Epilogue::accumulate(true))
    })
}

/// A parameter by itself is a module, too: the positions of some points, whatever the input.
struct Positions(Parameter);

impl Module for Positions {
    fn forward(&self, tape: &mut Tape, _: Var) -> Result<Var> {
        tape.parameter(&self.0)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        vec![("positions".into(), self.0.clone())]
    }
}

/// Finds the corners of a square, up to a rotation, from the products of their positions: classical scaling, by a loop
/// written by hand.
fn scaling(device: &Device) -> Result<bool> {
    #[rustfmt::skip]
    let products = [
         2.0,  0.0, -2.0,  0.0,
         0.0,  2.0,  0.0, -2.0,
        -2.0,  0.0,  2.0,  0.0,
         0.0, -2.0,  0.0,  2.0,
    ];
    let positions = Positions(Parameter::new(4, 2, Init::Normal { std: 0.5 }));
    let parameters = Parameters::new(device, &positions, 0)?;
    let mut tape = Tape::new(device);
    let target = tape.input(&Tensor::new(device, 4, 4, &products)?)?;
    let x = positions.forward(&mut tape, target)?;
    let g = gram(&mut tape, x)?;
    let loss = tape.mse(g, target, Reduction::Mean)?;
    let error = tape.tensor(loss)?;
    let graph = tape.backward(loss)?;
    let mut optimizer = Optimizer::new(&parameters, Adam::new(0.05))?;
    for _ in 0..300 {
        optimizer.zero_grad()?;
        graph.forward()?;
        graph.backward()?;
        optimizer.step()?;
    }
    let error = error.read()?[0];
    println!("products of rows: the four corners were found, with a mean squared error of {error:.1e}:");
    for corner in positions.0.value()?.read()?.chunks(2) {
        println!("  ({:5.2}, {:5.2})", corner[0], corner[1]);
    }
    Ok(error < 1e-3)
}

fn run() -> Result<bool> {
    let device = Device::auto()?;
    println!("device: {}", device.describe());
    let learnt = [two_branches(&device)?, siamese(&device)?, scaling(&device)?];
    Ok(learnt.iter().all(|learnt| *learnt))
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("wgrad=warn")).init();
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("One of them did not learn.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
