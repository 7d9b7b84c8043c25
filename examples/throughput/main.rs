//! How long a training step takes: ReLU hidden layers, a sigmoid output, mean squared error, SGD, the data resident.
//!
//! `cargo run --release --example throughput -- --sizes 2,25,25,25,2 --batch 32 --steps 2000 --device cpu`
//!
//! Step i trains on the rows (i * batch) mod (rows - batch + 1) and those after it, as the programs in
//! `benches/peers/` do. The clock starts after a warm-up and stops when the last loss has been read.
//!
//! `--predict` predicts `--batch` rows from host memory into host memory instead, again and again; with `--varied` 1 row, 2 rows,
//! and so on up to `--batch`, as a service does whose requests are of any length.
//!
//! `--by-batch` calls `Trainer::step`, `--evaluate` has `Trainer::fit` measure the loss after every epoch.
//!
//! `--members` trains many networks at once, and prints the time of a member's step.
//!
//! `--scaling` prints the time of a step against width, depth and batch instead, with the fraction of the device's peak
//! arithmetic: where a step stops being bound by dispatches.

mod scaling;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use training::{Network, Training};
use wgrad::nn::{Mse, Predictor};
use wgrad::{Device, Ensemble, Fit, Recording, Result, StepPath, Trainer};

/// Times training steps of a multi-layer perceptron.
#[derive(Parser)]
struct Options {
    /// Columns of the input, of each hidden layer and of the output
    #[arg(long, value_delimiter = ',', default_value = "2,25,25,25,2")]
    sizes: Vec<usize>,
    /// Mini-batch size
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Steps for each timing
    #[arg(long, default_value_t = 2000)]
    steps: u32,
    /// Timings
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name
    #[arg(long, default_value = "auto")]
    device: String,
    /// Train this many networks at once, each with a seed of its own, and print the time of a member's step; it includes
    /// shuffling and what else an epoch of 32 steps takes
    #[arg(long, conflicts_with_all = ["path", "dispatches", "each", "scaling"])]
    members: Option<usize>,
    /// Time predictions of `--batch` rows, from host memory into host memory, instead of training steps
    #[arg(long, conflicts_with_all = ["members", "path", "dispatches", "each", "scaling"])]
    predict: bool,
    /// With `--predict`: of 1 row, of 2, and so on up to `--batch`, in turn
    #[arg(long, requires = "predict")]
    varied: bool,
    /// Time epochs of `Trainer::fit`, of 32 steps each, and print what measuring the loss after each of them adds
    #[arg(long, conflicts_with_all = ["members", "predict", "dispatches", "each", "scaling"])]
    evaluate: bool,
    /// Time `Trainer::step`, which is handed each mini-batch from host memory
    #[arg(long, conflicts_with_all = ["members", "predict", "evaluate", "path", "dispatches", "each", "scaling"])]
    by_batch: bool,
    /// tanh in the hidden layers instead of ReLU
    #[arg(long, conflicts_with = "scaling")]
    tanh: bool,
    /// Adam instead of SGD
    #[arg(long, conflicts_with = "scaling")]
    adam: bool,
    /// How steps become dispatches: fused (one for many steps), layered, or unmerged (one for each call)
    #[arg(long, default_value = "layered", value_parser = path)]
    path: StepPath,
    /// Print each timing as a line of JSON
    #[arg(long)]
    json: bool,
    /// Also print the dispatches of a step
    #[arg(long)]
    dispatches: bool,
    /// Time each dispatch of a step by itself instead, repeated this many times
    #[arg(long, conflicts_with = "json")]
    each: bool,
    /// Time networks of many widths, depths and batches, and print a table
    #[arg(long, conflicts_with_all = ["sizes", "batch", "steps", "repeats", "json", "dispatches"])]
    scaling: bool,
    /// Draw the table of --scaling
    #[arg(long, value_name = "FILE", requires = "scaling")]
    plot: Option<PathBuf>,
    /// Skip points of --scaling that take longer than this many seconds per step
    #[arg(long, default_value_t = 2.0, requires = "scaling")]
    patience: f64,
}

/// Steps of an epoch.
const EPOCH: usize = 32;

impl Options {
    fn network(&self) -> Network<'_> {
        Network { sizes: &self.sizes, tanh: self.tanh, adam: self.adam }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("wgrad=warn")).init();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let device = Device::named(&options.device)?;
    let about = device.describe();
    if options.scaling {
        return scaling::run(&device, options.path, options.patience, options.plot.as_deref());
    }
    if let Some(members) = options.members {
        return time_ensemble(&device, members, options);
    }
    if options.predict {
        return time_predictions(&device, options);
    }
    if options.evaluate {
        return time_evaluation(&device, options);
    }
    if options.by_batch {
        return time_batches(&device, options);
    }
    let network = options.network();
    let training = Training::new(&device, network, options.batch, options.steps, options.path)?;
    if options.dispatches {
        print!("{}", training.step);
    }
    if options.each {
        return time_each(&device, &training.step, options.steps);
    }
    training.run(options.steps.div_ceil(10).max(64).min(options.steps))?;
    for repeat in 0..options.repeats {
        let before = device.counters().dispatches;
        let start = Instant::now();
        let loss = training.run(options.steps)?;
        let seconds = start.elapsed().as_secs_f64() / f64::from(options.steps);
        let dispatches = (device.counters().dispatches - before) as f64 / f64::from(options.steps);
        let gflops = network.flops(options.batch) / seconds / 1e9;
        let samples_per_s = options.batch as f64 / seconds;
        let us_per_step = seconds * 1e6;
        if options.json {
            let figures = serde_json::json!({
                "backend": about.backend.to_string(),
                "driver": about.driver,
                "steps": options.steps,
                "us_per_step": rounded(us_per_step),
                "samples_per_s": rounded(samples_per_s),
                "gflops": rounded(gflops),
                "dispatches_per_step": rounded(dispatches),
                "path": format!("{:?}", options.path).to_lowercase(),
                "loss": loss,
            });
            print_json(&device, options, repeat, figures);
        } else {
            println!(
                "{us_per_step:.2} us a step of {dispatches:.4} dispatches, {samples_per_s:.0} samples/s, {gflops:.2} GFLOP/s, \
                 loss {loss:.6} on {about}"
            );
        }
    }
    Ok(())
}

/// A prediction; `steps` are how many.
fn time_predictions(device: &Device, options: &Options) -> Result<()> {
    let data = options.network().data(options.batch)?;
    let predictor = Predictor::new(device, options.network().model())?;
    predictor.predict(data.inputs(), data.input_cols())?;
    for repeat in 0..options.repeats {
        let (mut rows, mut predicted) = (options.batch, 0);
        let start = Instant::now();
        for _ in 0..options.steps {
            if options.varied {
                rows = rows % options.batch + 1;
            }
            predictor.predict(&data.inputs()[..rows * data.input_cols()], data.input_cols())?;
            predicted += rows;
        }
        let us = start.elapsed().as_secs_f64() * 1e6 / f64::from(options.steps);
        let rows = predicted as f64 / f64::from(options.steps);
        if options.json {
            let figures = serde_json::json!({ "varied": options.varied, "us_per_step": rounded(us) });
            print_json(device, options, repeat, figures);
        } else {
            println!("{us:.2} us a prediction of {rows:.0} rows on {}", device.describe());
        }
    }
    Ok(())
}

/// A member's step within an ensemble.
fn time_ensemble(device: &Device, members: usize, options: &Options) -> Result<()> {
    let (network, data) = (options.network(), options.network().data(EPOCH * options.batch)?);
    let trainer = |seed| Trainer::new(device, network.model(), Mse::new(), network.algorithm(), seed);
    let mut ensemble = Ensemble::new((0..members as u64).map(trainer))?;
    let epochs = (options.steps as usize).div_ceil(EPOCH);
    for repeat in 0..options.repeats + 1 {
        let results = ensemble.fit(&data, |_| Fit::new(epochs, options.batch).evaluate_every(0))?;
        // The first is a warm-up.
        if repeat == 0 {
            continue;
        }
        let mut seconds: f64 = 0.0;
        for result in results {
            seconds = seconds.max(result?.seconds);
        }
        let us = seconds * 1e6 / (epochs * EPOCH * members) as f64;
        if options.json {
            let figures = serde_json::json!({ "members": members, "us_per_step": rounded(us) });
            print_json(device, options, repeat - 1, figures);
        } else {
            println!("{us:.3} us a step, of each of {members} members on {}", device.describe());
        }
    }
    Ok(())
}

/// A step within `Trainer::fit`, with nothing measured and with the loss after every epoch, in turn.
fn time_evaluation(device: &Device, options: &Options) -> Result<()> {
    let (network, data) = (options.network(), options.network().data(EPOCH * options.batch)?);
    let epochs = (options.steps as usize).div_ceil(EPOCH);
    let mut trainer = Trainer::new(device, network.model(), Mse::new(), network.algorithm(), 0)?;
    let mut step = |evaluates| -> Result<f64> {
        let fit = Fit::new(epochs, options.batch).evaluate(evaluates).path(options.path);
        Ok(trainer.fit(&data, fit)?.seconds * 1e6 / (epochs * EPOCH) as f64)
    };
    step(true)?;
    for repeat in 0..options.repeats {
        let (without, with) = (step(false)?, step(true)?);
        if options.json {
            let figures = serde_json::json!({
                "us_per_step": rounded(without),
                "us_per_evaluated_step": rounded(with),
            });
            print_json(device, options, repeat, figures);
        } else {
            let more = 100.0 * (with / without - 1.0);
            println!("{without:.2} us a step, {with:.2} with the loss after every epoch: {more:.1} % more");
        }
    }
    Ok(())
}

/// A step on a mini-batch that has just arrived.
fn time_batches(device: &Device, options: &Options) -> Result<()> {
    let (network, data) = (options.network(), options.network().data(EPOCH * options.batch)?);
    let mut trainer = Trainer::new(device, network.model(), Mse::new(), network.algorithm(), 0)?;
    let inputs = data.inputs().chunks(options.batch * data.input_cols());
    let batches: Vec<_> = inputs.zip(data.targets().chunks(options.batch * data.target_cols())).collect();
    trainer.step(batches[0].0, batches[0].1, options.batch)?;
    for repeat in 0..options.repeats {
        let start = Instant::now();
        for (inputs, targets) in batches.iter().cycle().take(options.steps as usize) {
            trainer.step(inputs, targets, options.batch)?;
        }
        let us = start.elapsed().as_secs_f64() * 1e6 / f64::from(options.steps);
        if options.json {
            print_json(device, options, repeat, serde_json::json!({ "us_per_step": rounded(us) }));
        } else {
            println!("{us:.2} us a step by Trainer::step on {}", device.describe());
        }
    }
    Ok(())
}

/// The best of five timings of each dispatch.
fn time_each(device: &Device, step: &Recording, repeats: u32) -> Result<()> {
    let mut sum = 0.0;
    for (dispatch, text) in step.split().iter().zip(step.to_string().lines()) {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            dispatch.run_steps(0..repeats)?;
            device.wait()?;
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(repeats));
        }
        sum += best;
        println!("{best:10.2} us  {text}");
    }
    println!("{sum:10.2} us in total");
    Ok(())
}

/// A line of JSON: what was timed, and these figures.
fn print_json(device: &Device, options: &Options, repeat: usize, figures: serde_json::Value) {
    let mut line = serde_json::json!({
        "peer": format!("wgrad-{}", env!("CARGO_PKG_VERSION")),
        "device": device.name(),
        "sizes": options.sizes,
        "batch": options.batch,
        "repeat": repeat,
    });
    if let (Some(line), serde_json::Value::Object(figures)) = (line.as_object_mut(), figures) {
        line.extend(figures);
    }
    println!("{line}");
}

fn path(name: &str) -> std::result::Result<StepPath, String> {
    match name {
        "fused" => Ok(StepPath::Fused),
        "layered" => Ok(StepPath::Layered),
        "unmerged" => Ok(StepPath::Unmerged),
        other => Err(format!("'{other}' is none of fused, layered, unmerged")),
    }
}

fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
