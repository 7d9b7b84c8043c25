//! Trains a network to classify points as inside or outside a disk: 1000 points for training, 1000 others for testing,
//! on the GPU if there is one.
//!
//! `cargo run --release --example disk -- --plot disk.svg`, or ten networks at once with `--runs 10`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{Linear, Mse, ReLU, Sequential, Tanh};
use wgrad::optim::{Schedule, Sgd};
use wgrad::plot::{self, Axes, Curve};
use wgrad::{Device, Ensemble, EpochRecord, Error, ErrorKind, Fit, Metrics, Monitor, Result, Trainer};

/// A network that has learnt nothing is right about half of the points.
const LEARNT: f32 = 0.9;

/// Trains a multi-layer perceptron 2-25-25-25-2 on the disk problem.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Number of epochs
    #[arg(long, default_value_t = 300)]
    epochs: usize,
    /// Mini-batch size
    #[arg(long, default_value_t = 50)]
    batch_size: usize,
    /// Learning rate for the first half of the epochs; multiplied by 0.3 in the third quarter, by 0.1 in the last
    #[arg(long, default_value_t = 0.1)]
    lr: f32,
    /// Seed of the points, the initial weights and the order of the mini-batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train this many networks at once, from seeds that follow each other, and print mean and deviation
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Also print the results as a line of JSON
    #[arg(long, conflicts_with = "runs")]
    json: bool,
    /// Draw the points, the decision boundary and the loss curves
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("wgrad=warn"))
        .format_timestamp(None)
        .format_target(false)
        .init();
    match run(&Options::parse()) {
        Ok(accuracy) if accuracy >= LEARNT => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("It did not learn: the test accuracy is under {LEARNT}.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains with these options, and returns the test accuracy.
fn run(options: &Options) -> Result<f32> {
    if let Some(path) = &options.plot {
        plot::check_path(path)?;
    }
    let device = match &options.device {
        Some(name) => Device::named(name)?,
        None => Device::auto()?,
    };
    println!("device: {}", device.describe());

    let [seed, train_seed, test_seed] = [0, 1, 2].map(|i| options.seed.wrapping_mul(3).wrapping_add(i));
    let train = disk(1000, train_seed, Labels::PlusMinusOneHot)?;
    let test = disk(1000, test_seed, Labels::PlusMinusOneHot)?;
    if options.runs != 1 {
        return run_many(&device, options, &train, &test);
    }
    let mut trainer = trainer(&device, options, seed)?;
    fit(&mut trainer, options, &train, &test)?;

    let history = trainer.history();
    let steps = history.step_losses.len();
    let us_per_step = history.seconds * 1e6 / steps as f64;
    let (train_loss, train_accuracy) = measure(&trainer, &train)?;
    let (test_loss, test_accuracy) = measure(&trainer, &test)?;
    println!("train: loss {train_loss:.4}, accuracy {train_accuracy:.3}");
    println!("test:  loss {test_loss:.4}, accuracy {test_accuracy:.3}");
    println!("{steps} steps in {:.2} s, {us_per_step:.0} us a step, evaluation included", history.seconds);
    if let Some(path) = &options.plot {
        draw(path, &trainer, &test, test_accuracy)?;
        println!("plot: {}", path.display());
    }
    if options.json {
        let about = device.describe();
        let results = serde_json::json!({
            "device": about.name,
            "backend": about.backend.to_string(),
            "seed": options.seed,
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "train_seconds": history.seconds,
            "us_per_step": us_per_step,
            "train_accuracy": rounded(train_accuracy),
            "test_accuracy": rounded(test_accuracy),
            "final_loss": rounded(train_loss),
        });
        println!("{results}");
    }
    Ok(test_accuracy)
}

fn trainer(device: &Device, options: &Options, seed: u64) -> Result<Trainer> {
    let model = Sequential::new()
        .add(Linear::new(2, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 25))
        .add(ReLU)
        .add(Linear::new(25, 2))
        .add(Tanh);
    let epochs = options.epochs;
    let rates = Schedule::multi_step(&[(epochs - epochs / 2, 0.3), (epochs - epochs / 4, 0.1)]);
    // The larger output is the class.
    let loss = Mse::new().decision(Decision::Argmax);
    Trainer::new(device, model, loss, Sgd::new(options.lr).schedule(rates), seed)
}

/// Trains several networks on the same points, and returns their mean test accuracy.
fn run_many(device: &Device, options: &Options, train: &Dataset, test: &Dataset) -> Result<f32> {
    let seeds = (0..options.runs as u64).map(|run| options.seed.wrapping_mul(3).wrapping_add(run));
    let mut ensemble = Ensemble::new(seeds.map(|seed| trainer(device, options, seed)))?;
    let bar = bar(options);
    let show = |_: &EpochRecord| bar.inc(1);
    let results = ensemble.fit(train, |run| {
        let fit = Fit::new(options.epochs, options.batch_size).validation(test).evaluate_every(5);
        // All are in the same epoch.
        if run == 0 { fit.on_epoch(show) } else { fit }
    })?;
    bar.finish_and_clear();
    let histories = results.into_iter().collect::<Result<Vec<_>>>()?;
    let missing = || Error::new(ErrorKind::InvalidInput, "disk", "no accuracy was measured");
    let accuracy = ensemble.statistics(Monitor::ValidationAccuracy).ok_or_else(missing)?;
    let seconds = histories.iter().map(|history| history.seconds).fold(0.0, f64::max);
    println!(
        "test accuracy {:.4} ± {:.4} over {} runs, {:.4} to {:.4}",
        accuracy.mean, accuracy.deviation, accuracy.count, accuracy.least, accuracy.greatest
    );
    let steps: usize = histories.iter().map(|history| history.step_losses.len()).sum();
    println!("{steps} steps in {seconds:.2} s, {:.1} us a step, evaluation included", seconds * 1e6 / steps as f64);
    if let Some(path) = &options.plot {
        let title = format!("The disk problem on {}: {} runs, mean ± deviation", device.name(), options.runs);
        let losses = |of: fn(&EpochRecord) -> Option<Metrics>| {
            let points = move |epoch: &EpochRecord| Some((epoch.epoch as f64, f64::from(of(epoch)?.loss)));
            histories.iter().map(move |history| history.epochs.iter().filter_map(points).collect::<Vec<_>>())
        };
        let training = Curve::over_runs("training", losses(|epoch| epoch.train))?;
        let testing = Curve::over_runs("test", losses(|epoch| epoch.validation))?;
        plot::curves(path, &title, Axes::new("epoch", "loss").log_y(), &[training, testing])?;
        println!("plot: {}", path.display());
    }
    Ok(accuracy.mean as f32)
}

/// A progress bar, on a terminal; elsewhere indicatif draws nothing.
fn bar(options: &Options) -> ProgressBar {
    let bar = ProgressBar::new(options.epochs as u64);
    match ProgressStyle::with_template("{bar:20} {pos}/{len}{wide_msg} {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Loss and accuracy. Only a loss that has a decision measures an accuracy.
fn measure(trainer: &Trainer, data: &Dataset) -> Result<(f32, f32)> {
    let Metrics { loss, accuracy, .. } = trainer.evaluate(data)?;
    let accuracy = accuracy.ok_or_else(|| {
        let detail = "no accuracy was measured, as the loss has no decision; give it one: Mse::new().decision(...)";
        Error::new(ErrorKind::InvalidInput, "disk", detail)
    })?;
    Ok((loss, accuracy))
}

/// Six decimals, so that JSON shows no digits that an f32 does not have.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// Trains, with a progress bar.
fn fit(trainer: &mut Trainer, options: &Options, train: &Dataset, test: &Dataset) -> Result<()> {
    let bar = bar(options);
    let show = |record: &EpochRecord| {
        bar.inc(1);
        if let Some(accuracy) = record.validation.and_then(|measured| measured.accuracy) {
            bar.set_message(format!(", loss {:.4}, test accuracy {accuracy:.3}", record.loss));
        }
    };
    let fit = Fit::new(options.epochs, options.batch_size).validation(test).evaluate_every(5).on_epoch(show);
    trainer.fit(train, fit)?;
    bar.finish_and_clear();
    Ok(())
}

fn draw(path: &Path, trainer: &Trainer, test: &Dataset, accuracy: f32) -> Result<()> {
    let curves = trainer.history().loss_curves();
    let title = format!("The disk problem on {}: test accuracy {accuracy:.3}", trainer.device().name());
    plot::decision_boundary(
        path,
        &title,
        |points| trainer.predict(points, 2),
        Decision::Argmax,
        test,
        Axes::new("epoch", "loss").log_y(),
        &curves,
    )
}
