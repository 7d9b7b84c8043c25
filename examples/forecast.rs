//! A time series: forecasts the next week of a shop's daily sales from the four weeks before, and compares with the naive
//! forecast, which repeats the last week. The sales are made up: a trend, weekdays, a season, and noise that lasts for days.
//!
//! `cargo run --release --example forecast -- --plot forecast.svg`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use wgrad::data::{Dataset, Standardize};
use wgrad::nn::{Linear, Mae, ReLU, Sequential};
use wgrad::optim::Adam;
use wgrad::plot::{self, Curve};
use wgrad::{Device, EarlyStopping, Fit, Result, Trainer, metrics};

/// Days that a forecast looks back, and those that it is for.
const PAST: usize = 28;
const NEXT: usize = 7;

/// Forecasts a time series by a multi-layer perceptron.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Days of the series; the last quarter is for testing
    #[arg(long, default_value_t = 2000)]
    days: usize,
    /// Number of epochs at most
    #[arg(long, default_value_t = 100)]
    epochs: usize,
    /// Seed of the series, the initial weights and the order of the mini-batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the last weeks and their forecasts
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(skill) if skill > 0.1 => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("It did not learn: its error is not a tenth below the naive forecast's.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains with these options, and returns by which share the error is below the naive forecast's.
fn run(options: &Options) -> Result<f64> {
    options.plot.as_ref().map_or(Ok(()), plot::check_path)?;
    let device = options.device.as_deref().map_or_else(Device::auto, Device::named)?;
    println!("device: {}", device.describe());

    let sales = sales(options.days, options.seed);
    // In order of time: what is tested comes after all that was learned from.
    let (first, second) = (options.days * 5 / 8, options.days * 3 / 4);
    let windows = |days: &[f32]| Dataset::windows(days, PAST, NEXT);
    let (train, validation, test) =
        (windows(&sales[..first])?, windows(&sales[first..second])?, windows(&sales[second..])?);
    let (inputs, targets) = (Standardize::fit(&train), Standardize::fit_targets(&train));
    let scaled = |data: &Dataset| targets.apply_to_targets(&inputs.apply_to_inputs(data)?);

    let model = Sequential::new().add(Linear::new(PAST, 64)).add(ReLU).add(Linear::new(64, NEXT));
    let mut trainer = Trainer::new(&device, model, Mae::new(), Adam::new(0.001), options.seed)?;
    let validation = scaled(&validation)?;
    let fit = Fit::new(options.epochs, 32).validation(&validation).progress(true);
    trainer.fit(&scaled(&train)?, fit.early_stopping(EarlyStopping::new(10)))?;

    let forecast = |past: &[f32]| targets.invert(&trainer.predict(&inputs.apply(past)?, PAST)?);
    let naive: Vec<f32> = test.inputs().chunks(PAST).flat_map(|past| past[PAST - NEXT..].to_vec()).collect();
    let (ours, theirs) = (metrics::mae(&forecast(test.inputs())?, &test)?, metrics::mae(&naive, &test)?);
    let skill = 1.0 - ours / theirs;
    println!("trained for {} epochs", trainer.history().epochs.len());
    println!("mean error: {ours:.2} a day, the naive forecast's is {theirs:.2}: {:.0} % less", 100.0 * skill);
    if let Some(path) = &options.plot {
        draw(path, &sales, forecast, skill)?;
        println!("plot: {}", path.display());
    }
    Ok(skill)
}

/// Sales of each day.
fn sales(days: usize, seed: u64) -> Vec<f32> {
    const WEEKDAYS: [f32; 7] = [-12.0, -9.0, -4.0, 0.0, 8.0, 20.0, -3.0];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mood = 0.0;
    let day = |day| {
        mood = 0.8 * mood + 3.0 * rng.sample::<f32, _>(StandardNormal);
        let season = (std::f32::consts::TAU * day as f32 / 365.25).sin();
        // Weekends matter more in summer.
        100.0
            + 0.01 * day as f32
            + 25.0 * season
            + (1.0 + 0.4 * season) * WEEKDAYS[day % 7]
            + mood
            + rng.random_range(-2.0..2.0)
    };
    (0..days).map(day).collect()
}

/// The last eight weeks, and a forecast for each from the days before it.
fn draw(path: &Path, sales: &[f32], forecast: impl Fn(&[f32]) -> Result<Vec<f32>>, skill: f64) -> Result<()> {
    let first = sales.len() - 8 * NEXT;
    let curve = |label, values: &[f32]| {
        Curve::new(label, (first..).map(|day| day as f64).zip(values.iter().map(|v| f64::from(*v))))
    };
    let mut forecasts = Vec::new();
    for week in (first..sales.len()).step_by(NEXT) {
        forecasts.extend(forecast(&sales[week - PAST..week])?);
    }
    let curves = [curve("sales", &sales[first..]), curve("forecast of each week", &forecasts)];
    plot::curves(path, &format!("{:.0} % less error than the naive forecast", 100.0 * skill), ["day", "sales"], &curves)
}
