//! Predicts with a network that was trained in PyTorch: loads its safetensors file, and compares with PyTorch's own
//! outputs.
//!
//! `cargo run --release --example interop -- --save copy.safetensors` also writes the network back to a file, which
//! PyTorch loads with `model.load_state_dict(safetensors.torch.load_file("copy.safetensors"))`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;
use wgrad::nn::{Dropout, GELU, LayerNorm, LeakyReLU, Linear, Predictor, Sequential, Softmax};
use wgrad::{Device, Error, ErrorKind, Result};

/// How far a probability may be from PyTorch's: both round to f32 in sums of up to 16 products.
const TOLERANCE: f32 = 1e-5;

/// Predicts with a network from PyTorch.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// The network's parameters; tests/oracle/interop.py wrote them and the outputs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/interop.safetensors"))]
    model: PathBuf,
    /// PyTorch's inputs and outputs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/interop.json"))]
    expected: PathBuf,
    /// Write the network to a file
    #[arg(long, value_name = "FILE.safetensors")]
    save: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(difference) if difference <= TOLERANCE => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("The outputs differ from PyTorch's.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Predicts, and returns the largest difference from PyTorch's outputs.
fn run(options: &Options) -> Result<f32> {
    let device = match &options.device {
        Some(name) => Device::named(name)?,
        None => Device::auto()?,
    };
    println!("device: {}", device.describe());

    // A file of PyTorch's holds parameters; what the network is, the program says. (In wgrad's own files both are, and
    // `Sequential::load(path)` is enough.)
    let model = Sequential::new()
        .add(Linear::new(4, 16))
        .add(LayerNorm::new(16))
        .add(GELU)
        .add(Dropout::new(0.1))
        .add(Linear::new(16, 8))
        .add(LeakyReLU { slope: 0.01 })
        .add(Linear::new(8, 3))
        .add(Softmax);
    let network = Predictor::new(&device, model)?;
    network.parameters().load(&options.model)?;

    let (inputs, expected) = expected(options)?;
    let outputs = network.predict(&inputs, 4)?;
    for (x, y) in inputs.chunks(4).zip(outputs.chunks(3)) {
        println!("{x:6.2?} -> {y:.4?}");
    }
    let differences = outputs.iter().zip(&expected).map(|(ours, theirs)| (ours - theirs).abs());
    let largest = differences.fold(0.0, f32::max);
    println!("{} outputs; the largest difference from PyTorch's is {largest:.1e}", outputs.len());
    if let Some(path) = &options.save {
        network.parameters().save(path)?;
        println!("saved to {}", path.display());
    }
    Ok(if outputs.len() == expected.len() { largest } else { f32::INFINITY })
}

/// The inputs and PyTorch's outputs.
fn expected(options: &Options) -> Result<(Vec<f32>, Vec<f32>)> {
    let path = options.expected.display();
    let text = std::fs::read_to_string(&options.expected)
        .map_err(|error| Error::new(ErrorKind::Io, "expected", format!("{path}: {error}")))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "expected", format!("{path}: {error}")))?;
    let numbers = |name: &str| {
        let values = json[name].as_array().into_iter().flatten();
        values.filter_map(Value::as_f64).map(|value| value as f32).collect()
    };
    Ok((numbers("inputs"), numbers("outputs")))
}
