//! Predicts while another thread trains, as an application does: how long a prediction of one row takes, at rest and meanwhile.
//! Both use the same device and the same parameters.
//!
//! `cargo run --release --example live -- --hidden 256,256 --batch 64`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use wgrad::data::{Labels, disk};
use wgrad::nn::{BceWithLogits, Linear, Predictor, ReLU, Sequential};
use wgrad::optim::Sgd;
use wgrad::{Device, Fit, Result, Trainer};

/// Predicts single rows at rest and while the network trains, and prints how long that takes.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Widths of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "25,25")]
    hidden: Vec<usize>,
    /// Samples of a mini-batch
    #[arg(long, default_value_t = 50)]
    batch: usize,
    /// Mini-batches of an epoch
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Seconds of training
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Microseconds from one prediction to the next
    #[arg(long, default_value_t = 200)]
    pause: u64,
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

/// What predictions take until the flag says stop, in microseconds, in order.
fn latencies(predictor: &Predictor, pause: Duration, stop: impl Fn(usize) -> bool) -> Result<Vec<f64>> {
    let mut taken = Vec::new();
    while !stop(taken.len()) {
        let start = Instant::now();
        predictor.predict(&[0.1, 0.2], 2)?;
        taken.push(1e6 * start.elapsed().as_secs_f64());
        thread::sleep(pause);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

fn show(what: &str, taken: &[f64]) {
    let at = |share: f64| taken.get(((taken.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    let [median, most, worst] = [at(0.5), at(0.99), at(1.0)];
    println!("{what:>10}: median {median:.1} us, 99 % within {most:.1}, worst {worst:.1}, of {}", taken.len());
}

fn run(options: &Options) -> Result<()> {
    let device = Device::named(&options.device)?;
    println!("device: {}", device.describe());
    let data = disk(options.batch * options.steps, 0, Labels::ZeroOne)?;
    let (mut model, mut inputs) = (Sequential::new(), 2);
    for width in &options.hidden {
        model = model.add(Linear::new(inputs, *width)).add(ReLU);
        inputs = *width;
    }
    let mut trainer =
        Trainer::new(&device, model.add(Linear::new(inputs, 1)), BceWithLogits::new(), Sgd::new(0.01), 0)?;
    let (predictor, pause) = (trainer.predictor(), Duration::from_micros(options.pause));
    show("at rest", &latencies(&predictor, pause, |count| count == 1000)?);

    // One epoch, of as many steps as take that long.
    let start = Instant::now();
    trainer.fit(&data, Fit::new(1, options.batch).evaluate(false))?;
    let epochs = (options.seconds / start.elapsed().as_secs_f64()).ceil().max(1.0) as usize;
    let done = AtomicBool::new(false);
    let (taken, seconds) = thread::scope(|scope| -> Result<_> {
        let predicting =
            scope.spawn(|| latencies(&predictor, pause, |count| count > 0 && done.load(Ordering::Relaxed)));
        let start = Instant::now();
        let result = trainer.fit(&data, Fit::new(epochs, options.batch).evaluate(false));
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        result?;
        // A thread that panicked has said so.
        Ok((predicting.join().unwrap_or(Ok(Vec::new()))?, seconds))
    })?;
    show("training", &taken);
    println!(
        "a step takes {:.1} us, an epoch {:.1} ms",
        1e6 * seconds / (epochs * options.steps) as f64,
        1e3 * seconds / epochs as f64
    );
    Ok(())
}
