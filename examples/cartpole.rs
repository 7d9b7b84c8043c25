//! Reinforcement learning: a network learns to balance a pole on a cart by policy gradients (REINFORCE, Williams 1992). In
//! each round it plays sixteen episodes, and is then trained to do more of what was followed by more reward than usual. In the
//! last ten of 120 rounds, the pole stays up for 488 to 499 of 500 steps, whichever of five seeds it begins with.
//!
//! `cargo run --release --example cartpole -- --runs 5 --plot cartpole.svg`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use wgrad::nn::{Linear, Loss, Reduction, Sequential, Tanh};
use wgrad::optim::{Adam, Schedule};
use wgrad::plot::{self, Curve};
use wgrad::{Device, Graph, Result, Trainer, Var};

const CARTS: usize = 16;
/// Steps that the network is trained on after each round.
const ROWS: usize = 1024;
/// A step of 0.02 s is worth 1, and an episode has so many at most. Pushing at random keeps the pole up for about 22.
const LONGEST: usize = 500;
const DISCOUNT: f32 = 0.99;
/// CartPole-v1 counts as solved above 475.
const LEARNT: f64 = 300.0;

/// Trains networks to balance a pole.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Rounds of sixteen episodes
    #[arg(long, default_value_t = 120)]
    rounds: usize,
    /// Networks to train, from seeds that follow each other
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Seed of the first network
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the episodes' lengths
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Position, velocity, angle and angular velocity 0.02 s after a push to the left (0) or to the right (1), of masses of 1 and
/// 0.1 and a pole of 1 m (Barto, Sutton & Anderson 1983).
fn pushed([x, v, angle, w]: [f32; 4], action: usize) -> [f32; 4] {
    let (sin, cos) = angle.sin_cos();
    let push = (if action == 1 { 10.0 } else { -10.0 } + 0.05 * w * w * sin) / 1.1;
    let turn = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
    [x + 0.02 * v, v + 0.02 * (push - 0.05 * turn * cos / 1.1), angle + 0.02 * w, w + 0.02 * turn]
}

/// Minus the mean of `advantage log p(action)`; targets hold the action and its advantage.
struct PolicyGradient;

impl Loss for PolicyGradient {
    fn forward(&self, graph: &mut Graph, logits: Var, target: Var) -> Result<Var> {
        let (action, advantage) = (graph.slice_cols(target, 0, 1)?, graph.slice_cols(target, 1, 2)?);
        let (taken, log_p) = (graph.one_hot(action, 2)?, graph.log_softmax(logits)?);
        let log_p = graph.mul(taken, log_p)?;
        let log_p = graph.sum_cols(log_p)?;
        let gain = graph.mul(advantage, log_p)?;
        let gain = graph.mean(gain)?;
        graph.neg(gain)
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }
}

/// A step: the state, the action, when in its episode, and in which.
type Step = ([f32; 4], usize, usize, usize);

/// Plays an episode with each cart; returns their lengths, and all steps.
fn play(trainer: &Trainer, rng: &mut ChaCha8Rng) -> Result<([usize; CARTS], Vec<Step>)> {
    let mut carts: [[f32; 4]; CARTS] = std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-0.05..0.05)));
    let (mut lengths, mut steps) = ([0; CARTS], Vec::new());
    for time in 0..LONGEST {
        let logits = trainer.predict(carts.as_flattened(), 4)?;
        let before = lengths;
        for (cart, logits) in logits.chunks(2).enumerate().filter(|(cart, _)| before[*cart] == time) {
            let action = usize::from(rng.random::<f32>() < 1.0 / (1.0 + (logits[0] - logits[1]).exp()));
            steps.push((carts[cart], action, time, cart));
            carts[cart] = pushed(carts[cart], action);
            let [x, _, angle, _] = carts[cart];
            lengths[cart] += usize::from(x.abs() < 2.4 && angle.abs() < 12f32.to_radians());
        }
    }
    Ok((lengths, steps))
}

/// Trains a network; returns the mean length of episodes in each round.
fn train(device: &Device, rounds: usize, seed: u64) -> Result<Vec<(f64, f64)>> {
    let bar = ProgressBar::new(rounds as u64);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let model = Sequential::new().add(Linear::new(4, 32)).add(Tanh).add(Linear::new(32, 2));
    let adam = Adam::new(0.02).schedule(Schedule::cosine(rounds, 0.0).per_step());
    let mut trainer = Trainer::new(device, model, PolicyGradient, adam, seed)?;
    let mut curve = Vec::new();
    for round in 1..=rounds {
        let (lengths, steps) = play(&trainer, &mut rng)?;
        let some: Vec<_> = (0..ROWS).map(|_| steps[rng.random_range(0..steps.len())]).collect();
        let states: Vec<f32> = some.iter().flat_map(|(state, ..)| *state).collect();
        // What all later steps of the episode are worth, compared to the others'.
        let worth = |(_, _, time, cart): &Step| 1.0 - DISCOUNT.powi((lengths[*cart] - time) as i32);
        let mean = some.iter().map(worth).sum::<f32>() / ROWS as f32;
        let variance = some.iter().map(|step| (worth(step) - mean).powi(2)).sum::<f32>() / ROWS as f32;
        let advantage = |step| (worth(step) - mean) / (variance.sqrt() + 1e-6);
        let targets: Vec<f32> = some.iter().flat_map(|step| [step.1 as f32, advantage(step)]).collect();
        trainer.step(&states, &targets, ROWS)?;
        curve.push((round as f64, lengths.iter().sum::<usize>() as f64 / CARTS as f64));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(curve)
}

fn run(options: &Options) -> Result<f64> {
    options.plot.as_ref().map_or(Ok(()), plot::check_path)?;
    let device = Device::named(&options.device)?;
    println!("device: {}", device.describe());
    let (mut curves, mut total) = (Vec::new(), 0.0);
    for seed in options.seed..options.seed + options.runs {
        let curve = train(&device, options.rounds, seed)?;
        let first = curve.first().map_or(f64::NAN, |round| round.1);
        let last = curve.iter().rev().take(10).map(|round| round.1 / curve.len().min(10) as f64).sum::<f64>();
        println!("seed {seed}: the pole stays up for {first:.0} steps at first, for {last:.0} of {LONGEST} at last");
        total += last;
        curves.push(curve);
    }
    if let Some(path) = &options.plot {
        let curve = Curve::over_runs(format!("{} networks", options.runs), curves)?;
        plot::curves(path, "Balancing a pole", ["round", "steps until the pole falls"], &[curve])?;
    }
    Ok(total / options.runs as f64)
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(steps) if steps >= LEARNT => return ExitCode::SUCCESS,
        Ok(_) => eprintln!("It did not learn: the pole falls before {LEARNT} steps."),
        Err(error) => eprintln!("error: {error}"),
    }
    ExitCode::FAILURE
}
