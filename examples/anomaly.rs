//! Finds broken sensors without having seen one: an autoencoder learns what a machine's sixteen sensors are like together, by
//! way of two numbers, and what it can't rebuild is an anomaly. The encoder alone then draws the machine's states in a plane.
//! The data are made up: two hidden quantities, speed and load, which each sensor depends on in its own way.
//!
//! `cargo run --release --example anomaly -- --plot anomaly.svg`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use wgrad::data::{Dataset, Standardize};
use wgrad::nn::{Linear, Mse, Predictor, Sequential, Tanh};
use wgrad::optim::{Adam, Schedule};
use wgrad::plot::{self, Curve};
use wgrad::{Device, Fit, Result, Trainer, metrics};

const SENSORS: usize = 16;
/// ROC-AUC: 0.5 is guessing, 1 tells all broken sensors from sound ones.
const LEARNT: f64 = 0.9;

/// Trains an autoencoder on sound machines, and finds broken sensors with it.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Number of epochs
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Seed of the data, the initial weights and the order of the mini-batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the states of the test machines in the plane of the encoder
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(auc) if auc >= LEARNT => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("It did not learn: the ROC-AUC is under {LEARNT}.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains with these options, and returns the ROC-AUC on test machines.
fn run(options: &Options) -> Result<f64> {
    options.plot.as_ref().map_or(Ok(()), plot::check_path)?;
    let device = options.device.as_deref().map_or_else(Device::auto, Device::named)?;
    println!("device: {}", device.describe());

    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let sensors: Vec<[f32; 4]> = (0..SENSORS).map(|_| std::array::from_fn(|_| rng.random_range(-2.0..2.0))).collect();
    let (sound, test) = (machines(&sensors, 2000, 0.0, &mut rng)?, machines(&sensors, 1000, 0.2, &mut rng)?);
    let scale = Standardize::fit(&sound);
    let (sound, test) = (scale.apply_to_inputs(&sound)?, scale.apply_to_inputs(&test)?);

    // Clones of layers share their parameters: what the autoencoder learns, the encoder alone knows.
    let layers = [Linear::new(SENSORS, 32), Linear::new(32, 2)];
    let encoder = || Sequential::new().add(layers[0].clone()).add(Tanh).add(layers[1].clone());
    let model = encoder().add(Linear::new(2, 32)).add(Tanh).add(Linear::new(32, SENSORS));
    let adam = Adam::new(0.01).schedule(Schedule::cosine(options.epochs, 0.0));
    let mut trainer = Trainer::new(&device, model, Mse::new(), adam, options.seed)?;
    let rebuild = Dataset::new(sound.inputs().to_vec(), SENSORS, sound.inputs().to_vec(), SENSORS)?;
    trainer.fit(&rebuild, Fit::new(options.epochs, 50).evaluate_every(0).progress(true))?;

    let errors = |inputs: &[f32]| -> Result<Vec<f32>> {
        let rebuilt = trainer.predict(inputs, SENSORS)?;
        let pairs = inputs.chunks(SENSORS).zip(rebuilt.chunks(SENSORS));
        Ok(pairs.map(|(x, y)| x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum()).collect())
    };
    let scores = errors(test.inputs())?;
    let auc = metrics::roc_auc(&scores, &test)?;
    println!("ROC-AUC {auc:.3}");
    // An alarm that 1 of 100 sound machines sets off.
    let mut usual = errors(sound.inputs())?;
    usual.sort_by(f32::total_cmp);
    let threshold = usual[usual.len() * 99 / 100];
    let alarms = |broken: f32| {
        let own = || scores.iter().zip(test.targets()).filter(move |(_, target)| **target == broken);
        (own().filter(|(score, _)| **score > threshold).count(), own().count())
    };
    let ((found, broken), (false_alarms, sound)) = (alarms(1.0), alarms(0.0));
    println!(
        "{found} of {broken} broken machines are found; {false_alarms} of {sound} sound ones set off the alarm, too"
    );

    if let Some(path) = &options.plot {
        let states = Predictor::new(&device, encoder())?.predict(test.inputs(), SENSORS)?;
        let points = |label, is_own: &dyn Fn(usize) -> bool| {
            let own = states.chunks(2).enumerate().filter(|(i, _)| is_own(*i));
            Curve::scatter(label, own.map(|(_, state)| (f64::from(state[0]), f64::from(state[1]))))
        };
        let is_broken = |i: usize| test.targets()[i] == 1.0;
        let curves = [
            points("sound", &|i| !is_broken(i)),
            points("broken and found", &|i| is_broken(i) && scores[i] > threshold),
            points("broken and missed", &|i| is_broken(i) && scores[i] <= threshold),
        ];
        let title = format!("Machines as the encoder sees them: ROC-AUC {auc:.3}");
        plot::curves(path, &title, ["first number", "second number"], &curves)?;
        println!("plot: {}", path.display());
    }
    Ok(auc)
}

/// The sensors of `n` machines, of which a share has three that show another machine's state; those have the target 1.
fn machines(sensors: &[[f32; 4]], n: usize, broken: f32, rng: &mut ChaCha8Rng) -> Result<Dataset> {
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let [speed, load, other_speed, other_load]: [f32; 4] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
        let is_broken = rng.random::<f32>() < broken;
        let first = if is_broken { rng.random_range(0..SENSORS - 2) } else { SENSORS };
        for (i, [a, b, c, d]) in sensors.iter().enumerate() {
            let (x, y) = if (first..first + 3).contains(&i) { (other_speed, other_load) } else { (speed, load) };
            inputs.push((a * x + b * y + c).tanh() + d * x * y + 0.05 * rng.sample::<f32, _>(StandardNormal));
        }
        targets.push(f32::from(u8::from(is_broken)));
    }
    Dataset::new(inputs, SENSORS, targets, 1)
}
