//! Sweeps the learning rate and the weight decay of the disk problem's network: all combinations train at once, as one
//! ensemble, and a heat map shows their test accuracies.
//!
//! `cargo run --release --example sweep -- --plot sweep.svg`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wgrad::data::{Labels, disk};
use wgrad::nn::{CrossEntropy, Linear, ReLU, Sequential};
use wgrad::optim::Sgd;
use wgrad::{Device, Ensemble, Fit, Monitor, Result, Trainer, plot};

/// Trains a network of 2-25-25-2 for every learning rate with every weight decay, all at once.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number of epochs
    #[arg(long, default_value_t = 50)]
    epochs: usize,
    /// Learning rates
    #[arg(long, value_delimiter = ',', default_value = "0.003,0.01,0.03,0.1,0.3,1")]
    rates: Vec<f32>,
    /// Weight decays
    #[arg(long, value_delimiter = ',', default_value = "0,0.0001,0.001,0.01,0.1")]
    decays: Vec<f32>,
    /// Draw the heat map
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if let Some(path) = &options.plot {
        plot::check_path(path)?;
    }
    let device = Device::named(&options.device)?;
    println!("device: {}", device.describe());
    let (train, test) = (disk(1000, 1, Labels::OneHot)?, disk(1000, 2, Labels::OneHot)?);
    let settings = options.rates.iter().flat_map(|rate| options.decays.iter().map(move |decay| (*rate, *decay)));
    let trainer = |(rate, decay)| {
        let layers = Sequential::new().add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 25)).add(ReLU);
        let sgd = Sgd::new(rate).momentum(0.9).weight_decay(decay);
        Trainer::new(&device, layers.add(Linear::new(25, 2)), CrossEntropy::new(), sgd, 0)
    };
    let mut ensemble = Ensemble::new(settings.clone().map(trainer))?;
    // A bar for the first member shows how far all are.
    let fit = |member| Fit::new(options.epochs, 50).validation(&test).evaluate_every(0).progress(member == 0);
    let results = ensemble.fit(&train, fit)?;

    println!("rate, decay: test accuracy");
    let mut accuracies = Vec::new();
    for ((rate, decay), result) in settings.zip(&results) {
        let history = result.as_ref().ok();
        let last = history.and_then(|history| history.epochs.last()?.validation?.accuracy);
        match (result, last) {
            (Err(error), _) => println!("{rate}, {decay}: {error}"),
            (Ok(_), last) => println!("{rate}, {decay}: {:.3}", last.unwrap_or(f32::NAN)),
        }
        accuracies.push(last.map_or(f64::NAN, f64::from));
    }
    if let Some(best) = ensemble.best(Monitor::ValidationAccuracy) {
        let (rate, decay) = (options.rates[best / options.decays.len()], options.decays[best % options.decays.len()]);
        println!("best: rate {rate}, decay {decay}, test accuracy {:.3}", accuracies[best]);
    }
    if let Some(path) = &options.plot {
        let title = format!("Test accuracy after {} epochs", options.epochs);
        plot::heat_map(path, &title, ("rate", &options.rates), ("weight decay", &options.decays), &accuracies)?;
        println!("plot: {}", path.display());
    }
    Ok(())
}
