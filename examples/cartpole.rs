//! Reinforcement learning: a network learns to balance a pole on a cart by policy gradients (REINFORCE, Williams 1992). In
//! each round it plays sixteen episodes, and is then trained to do more of what was followed by more reward than usual.
//!
//! `cargo run --release --example cartpole -- --runs 5 --plot cartpole.svg`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use wgrad::nn::{Linear, Loss, Reduction, Sequential, Tanh};
use wgrad::optim::Adam;
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

/// Position, velocity, angle and angular velocity (Barto, Sutton & Anderson 1983).
type State = [f32; 4];

/// The state 0.02 s after a push to the left (0) or to the right (1), of masses of 1 and 0.1 and a pole of 1 m.
fn pushed([x, v, angle, w]: State, action: usize) -> State {
    let (sin, cos) = angle.sin_cos();
    let push = (if action == 1 { 10.0 } else { -10.0 } + 0.05 * w * w * sin) / 1.1;
    let turn = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1));
    [x + 0.02 * v, v + 0.02 * (push - 0.05 * turn * cos / 1.1), angle + 0.02 * w, w + 0.02 * turn]
}

fn fell([x, _, angle, _]: State) -> bool {
    x.abs() > 2.4 || angle.abs() > 12f32.to_radians()
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

/// Plays an episode with each cart; returns their lengths, and states, actions, times and carts of all steps.
fn play(trainer: &Trainer, rng: &mut ChaCha8Rng) -> Result<([usize; CARTS], Vec<(State, usize, usize, usize)>)> {
    let mut carts: [State; CARTS] = std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-0.05..0.05)));
    let (mut lengths, mut steps) = ([0; CARTS], Vec::new());
    for time in 0..LONGEST {
        let logits = trainer.predict(carts.as_flattened(), 4)?;
        for (cart, logits) in logits.chunks(2).enumerate() {
            if lengths[cart] < time {
                continue;
            }
            let action = usize::from(rng.random::<f32>() < 1.0 / (1.0 + (logits[0] - logits[1]).exp()));
            steps.push((carts[cart], action, time, cart));
            carts[cart] = pushed(carts[cart], action);
            lengths[cart] += usize::from(!fell(carts[cart]));
        }
    }
    Ok((lengths, steps))
}

/// Trains a network; returns the mean length of episodes in each round.
fn train(device: &Device, rounds: usize, seed: u64) -> Result<Vec<(f64, f64)>> {
    let style = ProgressStyle::with_template("{bar:30} round {pos}/{len}, {msg} ({eta} left)");
    let bar = ProgressBar::new(rounds as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let model = Sequential::new().add(Linear::new(4, 32)).add(Tanh).add(Linear::new(32, 2));
    let mut trainer = Trainer::new(device, model, PolicyGradient, Adam::new(0.02), seed)?;
    let mut curve = Vec::new();
    for round in 1..=rounds {
        let (lengths, steps) = play(&trainer, &mut rng)?;
        let some: Vec<_> = (0..ROWS).map(|_| steps[rng.random_range(0..steps.len())]).collect();
        let states: Vec<f32> = some.iter().flat_map(|(state, ..)| *state).collect();
        // What all later steps of the episode are worth, compared to the others'.
        let worth = |(_, _, time, cart): &(_, _, usize, usize)| 1.0 - DISCOUNT.powi((lengths[*cart] - time) as i32);
        let mean = some.iter().map(worth).sum::<f32>() / ROWS as f32;
        let variance = some.iter().map(|step| (worth(step) - mean).powi(2)).sum::<f32>() / ROWS as f32;
        let advantage = |step| (worth(step) - mean) / (variance.sqrt() + 1e-6);
        let targets: Vec<f32> = some.iter().flat_map(|step| [step.1 as f32, advantage(step)]).collect();
        trainer.step(&states, &targets, ROWS)?;
        curve.push((round as f64, lengths.iter().sum::<usize>() as f64 / CARTS as f64));
        bar.set_message(format!("{:.0} steps", curve[round - 1].1));
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
        let mean = |part: &[(f64, f64)]| part.iter().map(|round| round.1).sum::<f64>() / part.len().max(1) as f64;
        let tenth = curve.len().div_ceil(10);
        let (first, last) = (mean(&curve[..tenth]), mean(&curve[curve.len() - tenth..]));
        println!("seed {seed}: the pole stays up for {first:.0} steps at first, for {last:.0} of {LONGEST} at last");
        total += last;
        curves.push(curve);
    }
    if let Some(path) = &options.plot {
        let curve = Curve::over_runs(format!("{} networks", options.runs), curves)?;
        plot::curves(path, "Balancing a pole", ["round", "steps until the pole falls"], &[curve])?;
        println!("plot: {}", path.display());
    }
    Ok(total / options.runs as f64)
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(steps) if steps >= LEARNT => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("It did not learn: the pole falls before {LEARNT} steps.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
