//! Learns from any table: tells its columns apart, trains, scores the model on rows that it has not seen, and saves it.
//!
//! ```text
//! cargo run --release --example table -- examples/data/penguins.csv --label species --plot confusion.svg
//! cargo run --release --example table -- examples/data/penguins.csv --target body_mass_g
//! cargo run --release --example table -- --model model.safetensors --predict new.csv --output predicted.csv
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgrad::data::{Cells, Csv, Table};
use wgrad::nn::Activation;
use wgrad::plot::{self, Axes, Curve};
use wgrad::table::{Classifier, Folds, Importance, Regressor, Settings, Unknown};
use wgrad::{Device, Error, ErrorKind, History, Result};

/// Of fewer rows none are held out.
const FEWEST_ROWS: usize = 10;

/// Calls that errors recommend, and that are options.
const CALLS: [&str; 10] = [
    "delimiter(",
    "whitespace(",
    "decimal(",
    "thousands(",
    "comment(",
    "header(",
    "na_values(",
    " categories(",
    "ignore(",
    "drop_missing",
];

/// Fits a model to a table, or predicts with one that was saved.
#[derive(Parser)]
struct Options {
    /// The table to learn from: comma-separated values with a header
    table: Option<PathBuf>,
    /// The column of classes to predict
    #[arg(long, value_name = "COLUMN", conflicts_with = "target")]
    label: Option<String>,
    /// The column of numbers to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Leave out these columns
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    ignore: Vec<String>,
    /// These columns of numbers hold categories
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    categories: Vec<String>,
    /// The column of the rows' weights in training
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// Leave out rows without a value to predict
    #[arg(long)]
    drop_missing: bool,

    /// What separates values; tab for a tab
    #[arg(long, help_heading = "The file")]
    delimiter: Option<String>,
    /// Values are separated by blanks
    #[arg(long, help_heading = "The file")]
    whitespace: bool,
    /// The decimal mark
    #[arg(long, help_heading = "The file")]
    decimal: Option<char>,
    /// What separates thousands
    #[arg(long, help_heading = "The file")]
    thousands: Option<char>,
    /// What starts a comment
    #[arg(long, help_heading = "The file")]
    comment: Option<char>,
    /// More marks of missing values
    #[arg(long, value_name = "MARKS", value_delimiter = ',', help_heading = "The file")]
    na_values: Vec<String>,
    /// Whether the first line holds names; without, columns are called 0, 1...
    #[arg(long, value_name = "BOOL", help_heading = "The file")]
    header: Option<bool>,

    /// The file to save the model in, or to predict with
    #[arg(long, default_value = "model.safetensors")]
    model: PathBuf,
    /// Predict for this table with a model that was saved
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["table", "label", "target"])]
    predict: Option<PathBuf>,
    /// The file for the predictions; by default the standard output
    #[arg(long, value_name = "FILE", requires = "predict")]
    output: Option<PathBuf>,
    /// Take unknown categories for rare ones
    #[arg(long, requires = "predict")]
    allow_unknown: bool,
    /// Draw the confusion matrix, or what is predicted against what is right
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Draw the losses by epoch
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
    /// Print the results as a last line of JSON
    #[arg(long)]
    json: bool,
    /// Only cross-validate, in so many parts
    #[arg(long, value_name = "K", conflicts_with_all = ["plot", "curves"])]
    folds: Option<usize>,
    /// Rows with one value in this column are in one part of the cross-validation
    #[arg(long, value_name = "COLUMN", requires = "folds")]
    groups: Option<String>,

    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Seed of the parts, the initial weights and the order of the mini-batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Widths of the hidden layers
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', help_heading = "Training, with good defaults")]
    hidden: Option<Vec<usize>>,
    /// tanh instead of ReLU
    #[arg(long, help_heading = "Training, with good defaults")]
    tanh: bool,
    /// How many networks are averaged
    #[arg(long, help_heading = "Training, with good defaults")]
    members: Option<usize>,
    /// Number of epochs
    #[arg(long, help_heading = "Training, with good defaults")]
    epochs: Option<usize>,
    /// Rows in a mini-batch
    #[arg(long, help_heading = "Training, with good defaults")]
    batch_size: Option<usize>,
    /// Learning rate
    #[arg(long, help_heading = "Training, with good defaults")]
    learning_rate: Option<f32>,
    /// Weight decay
    #[arg(long, help_heading = "Training, with good defaults")]
    weight_decay: Option<f32>,
    /// Share of the hidden values that a step drops
    #[arg(long, help_heading = "Training, with good defaults")]
    dropout: Option<f32>,
    /// Share of the rows that select the best epoch
    #[arg(long, help_heading = "Training, with good defaults")]
    validation_fraction: Option<f64>,
    /// Stop after so many epochs without improvement
    #[arg(long, help_heading = "Training, with good defaults")]
    patience: Option<usize>,
    /// All classes count alike
    #[arg(long, requires = "label", help_heading = "Training, with good defaults")]
    balanced: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.to_string();
            eprintln!("error: {error}");
            if error.contains("unknown_categories(") {
                eprintln!("Here, --allow-unknown does that.");
            } else if CALLS.iter().any(|call| error.contains(call)) {
                eprintln!("What it says to call is an option here: delimiter(';') is --delimiter ';'. See --help.");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    for path in [&options.plot, &options.curves].into_iter().flatten() {
        plot::check_path(path)?;
    }
    let device = match &options.device {
        Some(name) => Device::named(name)?,
        None => Device::auto()?,
    };
    if let Some(path) = &options.predict {
        return predict(options, &device, &read(options, path)?);
    }
    let usage = |detail: &str| Error::new(ErrorKind::InvalidInput, "table", detail);
    let path = options.table.as_ref().ok_or_else(|| usage("give a table to learn from, or --predict a table"))?;
    let mut table = read(options, path)?;
    if let (true, Some(column)) = (options.drop_missing, options.label.as_ref().or(options.target.as_ref())) {
        let all = table.len();
        table = table.drop_missing(column.as_str())?;
        println!("{} rows without {column} are left out\n", all - table.len());
    }
    let names = table.names().join(", ");
    match (&options.label, &options.target) {
        (Some(label), _) => classify(options, &device, &table, &settings(options, label)),
        (_, Some(target)) => regress(options, &device, &table, &settings(options, target)),
        _ => Err(usage(&format!("what is to be predicted? Give --label (a class) or --target (a number) of {names}"))),
    }
}

/// Reads a table as the options say that it is written.
fn read(options: &Options, path: &PathBuf) -> Result<Table> {
    let mut csv = Csv::any().na_values(options.na_values.iter().cloned());
    if let Some(delimiter) = &options.delimiter {
        let delimiter = if matches!(&**delimiter, "tab" | "\\t") { "\t" } else { delimiter };
        csv = csv.delimiter(delimiter.chars().next().unwrap_or(','));
    }
    if options.whitespace {
        csv = csv.whitespace();
    }
    csv = options.decimal.into_iter().fold(csv, Csv::decimal);
    csv = options.thousands.into_iter().fold(csv, Csv::thousands);
    csv = options.comment.into_iter().fold(csv, Csv::comment);
    csv = options.header.into_iter().fold(csv, Csv::header);
    csv.table(path)
}

fn settings(options: &Options, target: &str) -> Settings {
    let mut settings = Settings::new(target)
        .ignore(options.ignore.iter().cloned())
        .categories(options.categories.iter().cloned())
        .balanced(options.balanced)
        .seed(options.seed)
        .progress(options.folds.is_none());
    settings = options.weights.iter().cloned().fold(settings, Settings::weights);
    if options.tanh {
        settings = settings.activation(Activation::Tanh);
    }
    settings = options.hidden.iter().cloned().fold(settings, Settings::hidden_layer_sizes);
    settings = options.members.into_iter().fold(settings, Settings::members);
    settings = options.epochs.into_iter().fold(settings, Settings::epochs);
    settings = options.batch_size.into_iter().fold(settings, Settings::batch_size);
    settings = options.learning_rate.into_iter().fold(settings, Settings::learning_rate);
    settings = options.weight_decay.into_iter().fold(settings, Settings::weight_decay);
    settings = options.dropout.into_iter().fold(settings, Settings::dropout);
    settings = options.validation_fraction.into_iter().fold(settings, Settings::validation_fraction);
    options.patience.into_iter().fold(settings, Settings::patience)
}

fn folds(options: &Options, k: usize) -> Folds {
    let folds = Folds::new(k).seed(options.seed);
    options.groups.iter().fold(folds, |folds, column| folds.grouped(column.as_str()))
}

/// Fits to all rows of a table that is too small for more.
fn fit_only(options: &Options, table: &Table, start: Instant, fit: impl Fn() -> Result<String>) -> Result<()> {
    println!("{}", fit()?);
    println!("{} rows are too few to hold some out, so there is no score; give at least {FEWEST_ROWS}", table.len());
    println!("model: {}", options.model.display());
    print_json(options, &[("score", f64::NAN), ("baseline", f64::NAN)], table, start);
    Ok(())
}

fn classify(options: &Options, device: &Device, table: &Table, settings: &Settings) -> Result<()> {
    let start = Instant::now();
    if let Some(k) = options.folds {
        let scores = Classifier::cross_validate(device, table, settings, folds(options, k))?;
        println!("accuracy {scores} over {k} parts, {:.2} s", start.elapsed().as_secs_f64());
        print_json(options, &[("score", scores.mean), ("standard_error", scores.standard_error)], table, start);
        return Ok(());
    }
    if table.len() < FEWEST_ROWS {
        return fit_only(options, table, start, || {
            let model = Classifier::fit(device, table, settings)?;
            model.save(&options.model).map(|()| model.summary())
        });
    }
    let label = options.label.as_deref().unwrap_or_default();
    let (train, test) = table.split_stratified(label, 0.8, options.seed)?;
    let model = Classifier::fit(device, &train, settings)?;
    println!("{}", model.summary());
    let score = model.score(&test)?;
    let matrix = model.confusion_matrix(&test)?;
    // How often the most frequent class is right.
    let largest = (0..matrix.classes()).map(|c| (0..matrix.classes()).map(|p| matrix.count(c, p)).sum::<usize>()).max();
    let baseline = largest.unwrap_or(0) as f64 / test.len() as f64;
    println!("{matrix}");
    print_importance(&model.permutation_importance(&test, 5, options.seed)?);
    println!("accuracy on {} rows held out: {score:.3} (the most frequent class: {baseline:.3})", test.len());
    if let Some(path) = &options.plot {
        plot::confusion_matrix(path, &format!("{label}: rows held out"), &matrix)?;
    }
    model.save(&options.model)?;
    finish(options, model.histories())?;
    print_json(options, &[("score", score), ("baseline", baseline)], table, start);
    Ok(())
}

fn regress(options: &Options, device: &Device, table: &Table, settings: &Settings) -> Result<()> {
    let start = Instant::now();
    if let Some(k) = options.folds {
        let scores = Regressor::cross_validate(device, table, settings, folds(options, k))?;
        println!("R² {scores} over {k} parts, {:.2} s", start.elapsed().as_secs_f64());
        print_json(options, &[("score", scores.mean), ("standard_error", scores.standard_error)], table, start);
        return Ok(());
    }
    if table.len() < FEWEST_ROWS {
        return fit_only(options, table, start, || {
            let model = Regressor::fit(device, table, settings)?;
            model.save(&options.model).map(|()| model.summary())
        });
    }
    let (train, test) = table.split(0.8, options.seed)?;
    let model = Regressor::fit(device, &train, settings)?;
    println!("{}", model.summary());
    let (score, residuals, predicted) = (model.score(&test)?, model.residuals(&test)?, model.predict(&test)?);
    let right: Vec<f64> = predicted.iter().zip(&residuals).map(|(p, r)| p + r).collect();
    // R² of the mean of what was learnt from.
    let trained = model.residuals(&train)?.iter().zip(model.predict(&train)?).map(|(r, p)| r + p).sum::<f64>();
    let (constant, mean) = (trained / train.len() as f64, right.iter().sum::<f64>() / right.len() as f64);
    let squares = |from: f64| right.iter().map(|value| (value - from).powi(2)).sum::<f64>();
    let baseline = 1.0 - squares(constant) / squares(mean);
    print_importance(&model.permutation_importance(&test, 5, options.seed)?);
    let error = (residuals.iter().map(|r| r * r).sum::<f64>() / residuals.len() as f64).sqrt();
    println!("R² on {} rows held out: {score:.3} (their mean: {baseline:.3}), RMSE {error:.4}", test.len());
    if let Some(path) = &options.plot {
        let name = options.target.as_deref().unwrap_or_default();
        let (low, high) = right.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let points = Curve::scatter("rows held out", right.iter().copied().zip(predicted));
        let line = Curve::new("exact", [(low, low), (high, high)]);
        plot::curves(path, &format!("{name}: R² {score:.3}"), [name, "predicted"], &[points, line])?;
    }
    model.save(&options.model)?;
    finish(options, model.histories())?;
    print_json(options, &[("score", score), ("baseline", baseline)], table, start);
    Ok(())
}

fn print_importance(importance: &[Importance]) {
    println!("score lost where a column is shuffled:");
    for column in importance.iter().take(10) {
        println!("  {:.3} ± {:.3}  {}", column.mean, column.deviation, column.column);
    }
}

/// Draws the losses of the first network, and says where everything is.
fn finish(options: &Options, histories: &[History]) -> Result<()> {
    if let (Some(path), Some(history)) = (&options.curves, histories.first()) {
        plot::curves(path, "Loss of the first network", Axes::new("epoch", "loss").log_y(), &history.loss_curves())?;
    }
    println!("model: {}", options.model.display());
    for (what, path) in [("plot", &options.plot), ("curves", &options.curves)] {
        path.iter().for_each(|path| println!("{what}: {}", path.display()));
    }
    Ok(())
}

fn print_json(options: &Options, scores: &[(&str, f64)], table: &Table, start: Instant) {
    if options.json {
        let mut line = serde_json::Map::new();
        scores.iter().for_each(|(name, score)| drop(line.insert(name.to_string(), (*score).into())));
        line.insert("rows".into(), table.len().into());
        line.insert("seconds".into(), start.elapsed().as_secs_f64().into());
        println!("{}", serde_json::Value::Object(line));
    }
}

/// Writes the table with a column of predictions, and for a classifier with one of the class's probability.
fn predict(options: &Options, device: &Device, table: &Table) -> Result<()> {
    let unknown = if options.allow_unknown { Unknown::Rare } else { Unknown::Refuse };
    let predicted = match Classifier::load(device, &options.model) {
        Ok(model) => {
            let model = model.unknown_categories(unknown);
            let classes: Vec<String> = model.predict(table)?.into_iter().map(String::from).collect();
            let probabilities = model.predict_proba(table)?;
            let largest = |row: &[f32]| f64::from(row.iter().copied().fold(0.0, f32::max));
            let largest: Vec<f64> = probabilities.chunks(model.classes().len()).map(largest).collect();
            add(add(table.clone(), "prediction", classes)?, "probability", largest)?
        }
        Err(error) => match Regressor::load(device, &options.model) {
            Ok(model) => add(table.clone(), "prediction", model.unknown_categories(unknown).predict(table)?)?,
            // What the first error says is that of a damaged file, too.
            Err(other) if other.to_string().contains("Classifier::load") => return Err(error),
            Err(other) => return Err(other),
        },
    };
    match &options.output {
        Some(path) => predicted.save(path),
        None => {
            print!("{}", predicted.to_csv());
            Ok(())
        }
    }
}

/// With one more column, whose name has underscores behind it where it is taken.
fn add(table: Table, name: &str, cells: impl Into<Cells>) -> Result<Table> {
    let mut name = name.to_string();
    while table.names().contains(&name) {
        name.push('_');
    }
    table.with_column(name, cells)
}
