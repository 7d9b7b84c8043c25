//! Fits a curve to noisy points: 400 samples of x sin x, and a network of one input and one output.
//!
//! `cargo run --release --example regression -- --plot regression.svg`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use wgrad::data::{Dataset, Standardize};
use wgrad::nn::{Linear, Mse, Sequential, Tanh};
use wgrad::optim::{Adam, Schedule};
use wgrad::plot::{self, Curve};
use wgrad::{Device, Fit, Result, Trainer, metrics};

/// R² of a constant at the mean is 0, of the function itself about 0.984: the rest is noise.
const LEARNT: f64 = 0.95;
/// The standard deviation of the noise.
const NOISE: f32 = 0.3;

/// Fits a multi-layer perceptron to a noisy function.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Number of epochs
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Seed of the points, the split, the initial weights and the order of the mini-batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the points, the function and the fit
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(r2) if r2 >= LEARNT => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("It did not learn: R² is under {LEARNT}.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn function(x: f32) -> f32 {
    x * x.sin()
}

/// Fits with these options, and returns R² on test points.
fn run(options: &Options) -> Result<f64> {
    if let Some(path) = &options.plot {
        plot::check_path(path)?;
    }
    let device = match &options.device {
        Some(name) => Device::named(name)?,
        None => Device::auto()?,
    };
    println!("device: {}", device.describe());

    let points = noisy_points(400, options.seed)?;
    let (train, test) = points.split(0.75, options.seed)?;
    let (inputs, targets) = (Standardize::fit(&train), Standardize::fit_targets(&train));
    let scaled = targets.apply_to_targets(&inputs.apply_to_inputs(&train)?)?;

    let model =
        Sequential::new().add(Linear::new(1, 32)).add(Tanh).add(Linear::new(32, 32)).add(Tanh).add(Linear::new(32, 1));
    let rule = Adam::new(0.01).schedule(Schedule::cosine(options.epochs, 0.0));
    let mut trainer = Trainer::new(&device, model, Mse::new(), rule, options.seed)?;
    trainer.fit(&scaled, Fit::new(options.epochs, 30).evaluate_every(0))?;

    // From a value of x to one of the function: scaled, predicted, scaled back.
    let fit = |x: &[f32]| targets.invert(&trainer.predict(&inputs.apply(x)?, 1)?);
    let predicted = fit(test.inputs())?;
    let r2 = metrics::r2(&predicted, &test)?;
    println!("test: R² {r2:.4}, RMSE {:.3} with noise of {NOISE}", metrics::rmse(&predicted, &test)?);
    if let Some(path) = &options.plot {
        draw(path, &points, fit, r2)?;
        println!("plot: {}", path.display());
    }
    Ok(r2)
}

/// `n` points of the function, x uniform in [-6, 6], y with normal noise.
fn noisy_points(n: usize, seed: u64) -> Result<Dataset> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let x: Vec<f32> = (0..n).map(|_| rng.random_range(-6.0..=6.0)).collect();
    let y = x.iter().map(|x| function(*x) + NOISE * rng.sample::<f32, _>(StandardNormal)).collect();
    Dataset::new(x, 1, y, 1)
}

fn draw(path: &Path, points: &Dataset, fit: impl Fn(&[f32]) -> Result<Vec<f32>>, r2: f64) -> Result<()> {
    let x: Vec<f32> = (0..=240).map(|i| -6.0 + i as f32 / 20.0).collect();
    let curve = |y: &[f32]| -> Vec<_> { x.iter().zip(y).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect() };
    let truth: Vec<f32> = x.iter().map(|x| function(*x)).collect();
    let samples = points.inputs().iter().zip(points.targets()).map(|(x, y)| (f64::from(*x), f64::from(*y)));
    let curves =
        [Curve::scatter("points", samples), Curve::new("function", curve(&truth)), Curve::new("fit", curve(&fit(&x)?))];
    plot::curves(path, &format!("A noisy function: R² {r2:.3}"), ["x", "y"], &curves)
}
