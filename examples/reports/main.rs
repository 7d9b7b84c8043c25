//! Reproduces the experiments of five reports on small frameworks, all on the disk problem, and compares the test
//! accuracy with theirs and PyTorch's: `docs/REPORTS.md` has the results.
//!
//! `cargo run --release --example reports -- all --device cpu --plots reports`

mod experiments;

use std::fmt;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use wgrad::data::Dataset;
use wgrad::plot::{self, Curve};
use wgrad::{Device, Error, ErrorKind, Fit, Metrics, Result, Trainer};

use experiments::{EXPERIMENTS, Experiment, PYTORCH_RUNS};

/// How often the model is evaluated for the curves.
const MEASUREMENTS: usize = 50;

/// Trains the experiments of five reports, and prints a table of their test accuracies in percent.
#[derive(Parser)]
struct Options {
    /// all, worch, pytorch-like, without-autograd, hotgrad, five-activations, or an experiment as the table names it
    #[arg(default_value = "all")]
    experiment: String,
    /// Runs of each experiment
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Run i draws its points, initial weights and mini-batch order from this plus i
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Draw each experiment's curves and the plane as its first run predicts it, as SVG
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Print a line of JSON for each experiment instead of the table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("wgrad=warn"))
        .format_timestamp(None)
        .format_target(false)
        .init();
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("An experiment learned where PyTorch's doesn't, or did not learn where PyTorch's does.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains with these options; returns whether exactly those networks learned that learn in PyTorch.
fn run(options: &Options) -> Result<bool> {
    let wanted = &options.experiment;
    let chosen: Vec<_> = EXPERIMENTS.iter().filter(|e| wanted == "all" || e.name.starts_with(wanted)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = EXPERIMENTS.iter().map(|e| e.name).collect();
        let detail = format!("no experiment '{wanted}'; give all, or the beginning of one of {}", names.join(", "));
        return Err(Error::new(ErrorKind::InvalidInput, "reports", detail));
    }
    if let Some(folder) = &options.plots {
        std::fs::create_dir_all(folder).map_err(|error| {
            let detail = format!("{} can't be made: {error}; give another folder", folder.display());
            Error::new(ErrorKind::Io, "plots", detail)
        })?;
    }
    let device = match &options.device {
        Some(name) => Device::named(name)?,
        None => Device::auto()?,
    };
    if !options.json {
        println!("device: {}\nruns: {}, from seed {}\n", device.describe(), options.runs, options.seed);
        println!("| experiment | reported | PyTorch | wgrad | difference | wgrad, training set | s a run | steps/s |");
        println!("|---|---|---|---|---|---|---|---|");
    }
    let mut as_pytorch = true;
    for experiment in chosen {
        let runs = train_all(experiment, options, &device)?;
        let summary = Summary::of(experiment, &runs);
        if options.json {
            println!("{}", summary.json(&runs, &device, options.seed));
        } else {
            println!("{}", summary.row());
        }
        if let Some(folder) = &options.plots {
            draw(experiment, &runs, &summary, folder)?;
        }
        as_pytorch &= (summary.test.mean > 75.0) == experiment.learns();
    }
    Ok(as_pytorch)
}

/// The results of a training run.
struct Run {
    number: u64,
    trainer: Trainer,
    test: Dataset,
    /// Epoch, and measurements on the training and the test set.
    measured: Vec<(usize, [Metrics; 2])>,
    seconds: f64,
}

impl Run {
    /// The accuracies at the end in percent, on the training and the test set.
    fn accuracies(&self) -> [f64; 2] {
        self.measured.last().map_or([f64::NAN; 2], |(_, measured)| measured.map(|m| percent(m.accuracy)))
    }
}

fn percent(accuracy: Option<f32>) -> f64 {
    100.0 * accuracy.map_or(f64::NAN, f64::from)
}

/// Trains once for each seed. The CPU path does so on all cores, each run on a separate device.
fn train_all(experiment: &Experiment, options: &Options, device: &Device) -> Result<Vec<Run>> {
    let is_cpu = device.describe().kind == wgrad::DeviceKind::Cpu;
    let workers = if is_cpu { thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    // On a terminal; elsewhere nothing is drawn.
    let bar = ProgressBar::new(options.runs * experiment.epochs as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {percent} % ({eta} left)") {
        bar.set_style(style);
        bar.set_message(experiment.name);
    }
    let next = AtomicU64::new(0);
    let work = || -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= options.runs {
                return Ok(runs);
            }
            let device = if is_cpu { Device::cpu() } else { device.clone() };
            runs.push(train(experiment, &device, options.seed.wrapping_add(i), &bar)?);
        }
    };
    let parts = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(runs) => runs,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect::<Result<Vec<_>>>()
    })?;
    bar.finish_and_clear();
    let mut runs: Vec<_> = parts.into_iter().flatten().collect();
    runs.sort_by_key(|run| run.number);
    Ok(runs)
}

fn train(experiment: &Experiment, device: &Device, number: u64, bar: &ProgressBar) -> Result<Run> {
    // Three seeds, so that points and weights are not drawn from the same random numbers.
    let [seed, train_seed, test_seed] = [0, 1, 2].map(|i| number.wrapping_mul(3).wrapping_add(i));
    let [train, test] = experiment.data([train_seed, test_seed])?;
    let mut trainer = experiment.trainer(device, seed)?;
    let fit = Fit::new(experiment.epochs, experiment.batch_size)
        .validation(&test)
        .evaluate_every(experiment.epochs / MEASUREMENTS)
        .on_epoch(|_| bar.inc(1));
    let history = trainer.fit(&train, fit)?;
    let measured =
        history.epochs.iter().filter_map(|record| Some((record.epoch, [record.train?, record.validation?]))).collect();
    Ok(Run { number, trainer, test, measured, seconds: history.seconds })
}

/// A mean, and the standard deviation of the sample (none of a single number).
struct Spread {
    mean: f64,
    std: Option<f64>,
}

impl Spread {
    fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let n = values.len() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
        Self { mean, std: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.mean)?;
        self.std.map_or(Ok(()), |std| write!(f, " ± {std:.2}"))
    }
}

/// A row of the table.
struct Summary<'a> {
    experiment: &'a Experiment,
    train: Spread,
    test: Spread,
    /// How far the test accuracy is from PyTorch's, in standard errors (SE) of the difference of the means.
    standard_errors: Option<f64>,
    seconds: f64,
    steps_per_second: f64,
}

impl<'a> Summary<'a> {
    fn of(experiment: &'a Experiment, runs: &[Run]) -> Self {
        let [train, test] = [0, 1].map(|set| Spread::of(runs.iter().map(|run| run.accuracies()[set])));
        let seconds = runs.iter().map(|run| run.seconds).sum::<f64>() / runs.len() as f64;
        let (mean, std) = experiment.pytorch;
        let pytorch_variance = std.powi(2) / PYTORCH_RUNS as f64;
        // Fewer runs say too little about their own deviation.
        let own = test.std.filter(|_| runs.len() >= 5);
        let standard_errors =
            own.map(|own| (test.mean - mean) / (own.powi(2) / runs.len() as f64 + pytorch_variance).sqrt());
        Self {
            experiment,
            train,
            test,
            standard_errors,
            seconds,
            steps_per_second: experiment.steps() as f64 / seconds,
        }
    }

    fn row(&self) -> String {
        let Experiment { name, reported, pytorch: (mean, std), .. } = self.experiment;
        let Self { train, test, seconds, steps_per_second, .. } = self;
        let difference = test.mean - mean;
        let errors = self.standard_errors.map_or(String::new(), |errors| format!(" ({errors:+.1} SE)"));
        format!(
            "| {name} | {reported} | {mean:.2} ± {std:.2} | {test} | {difference:+.2}{errors} | {train} | \
             {seconds:.1} | {steps_per_second:.0} |"
        )
    }

    fn json(&self, runs: &[Run], device: &Device, seed: u64) -> serde_json::Value {
        let about = device.describe();
        let Experiment { name, reported, pytorch: (pytorch_mean, pytorch_std), .. } = self.experiment;
        serde_json::json!({
            "experiment": name,
            "device": about.name,
            "backend": about.backend.to_string(),
            "seed": seed,
            "runs": runs.len(),
            "epochs": self.experiment.epochs,
            "steps": self.experiment.steps(),
            "reported": reported,
            "pytorch_test_accuracy": pytorch_mean,
            "pytorch_test_std": pytorch_std,
            "pytorch_runs": PYTORCH_RUNS,
            "test_accuracy": rounded(self.test.mean),
            "test_std": self.test.std.map(rounded),
            "standard_errors_from_pytorch": self.standard_errors.map(rounded),
            "train_accuracy": rounded(self.train.mean),
            "train_std": self.train.std.map(rounded),
            "test_accuracies": runs.iter().map(|run| rounded(run.accuracies()[1])).collect::<Vec<_>>(),
            "train_seconds": rounded(self.seconds),
            "steps_per_second": rounded(self.steps_per_second),
        })
    }
}

/// Four decimals: JSON shows no digits that the numbers do not have.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn draw(experiment: &Experiment, runs: &[Run], summary: &Summary<'_>, folder: &Path) -> Result<()> {
    let curve = |label: &str, set: usize, of: &dyn Fn(Metrics, &Dataset) -> f64| {
        let points = |run: &Run| -> Vec<_> {
            run.measured.iter().map(|(epoch, metrics)| (*epoch as f64, of(metrics[set], &run.test))).collect()
        };
        Curve::over_runs(label, runs.iter().map(points))
    };
    let both = |of: &dyn Fn(Metrics, &Dataset) -> f64| -> Result<Vec<Curve>> {
        Ok(vec![curve("training set", 0, of)?, curve("test set", 1, of)?])
    };
    let loss = both(&|metrics, data| experiment.mean_squared_error(metrics.loss, data))?;
    let title = format!("{}: mean ± std of {} runs", experiment.name, runs.len());
    plot::curves(folder.join(format!("{}-loss.svg", experiment.name)), &title, ["epoch", "mean squared error"], &loss)?;

    let accuracy = both(&|metrics, _| percent(metrics.accuracy))?;
    let path = folder.join(format!("{}.svg", experiment.name));
    let title = format!("{}: test accuracy {} %", experiment.title(), summary.test);
    let Some(Run { trainer, test, .. }) = runs.first() else { return Ok(()) };
    let (predict, decision) = (|xy: &[f32]| trainer.predict(xy, 2), experiment.decision());
    plot::decision_boundary(path, &title, predict, decision, test, ["epoch", "accuracy, %"], &accuracy)
}
