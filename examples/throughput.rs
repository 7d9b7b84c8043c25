//! How long a training step takes: ReLU hidden layers, a sigmoid output, mean squared error, SGD, the data resident.
//!
//! `cargo run --release --example throughput -- --sizes 2,25,25,25,2 --batch 32 --steps 2000 --device cpu`
//!
//! Step i learns from the rows (i * batch) mod (rows - batch + 1) and those after it, as the programs in
//! `benches/peers/` do. The clock starts after a warm-up and stops when the last loss has been read.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use wgrad::nn::{Linear, Loss, Module, Mse, Parameters, ReLU, Sequential, Sigmoid};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Error, ErrorKind, Recording, Result, Tape, Tensor, ops};

/// Times training steps of a multi-layer perceptron.
#[derive(Parser)]
struct Options {
    /// Columns of the input, of each hidden layer and of the output
    #[arg(long, value_delimiter = ',', default_value = "2,25,25,25,2")]
    sizes: Vec<usize>,
    /// Rows for each step
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
    /// Run the step's launches as recorded, none merged
    #[arg(long)]
    unfused: bool,
    /// Print each timing as a line of JSON
    #[arg(long)]
    json: bool,
    /// Print the launches of a step, too
    #[arg(long)]
    launches: bool,
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
    let training = Training::new(&device, &options.sizes, options.batch, options.steps, !options.unfused)?;
    if options.launches {
        print!("{}", training.step);
    }
    training.run(options.steps.div_ceil(10).max(64).min(options.steps))?;
    for repeat in 0..options.repeats {
        let start = Instant::now();
        let loss = training.run(options.steps)?;
        let seconds = start.elapsed().as_secs_f64() / f64::from(options.steps);
        let gflops = flops(&options.sizes, options.batch) / seconds / 1e9;
        let samples_per_s = options.batch as f64 / seconds;
        let us_per_step = seconds * 1e6;
        let launches = training.step.len();
        if options.json {
            let line = serde_json::json!({
                "peer": format!("wgrad-{}", env!("CARGO_PKG_VERSION")),
                "device": about.name,
                "backend": about.backend,
                "driver": about.driver,
                "sizes": options.sizes,
                "batch": options.batch,
                "steps": options.steps,
                "repeat": repeat,
                "us_per_step": rounded(us_per_step),
                "samples_per_s": rounded(samples_per_s),
                "gflops": rounded(gflops),
                "dispatches_per_step": launches,
                "fused": !options.unfused,
                "loss": loss,
            });
            println!("{line}");
        } else {
            println!(
                "{us_per_step:.2} us a step of {launches} launches, {samples_per_s:.0} samples/s, {gflops:.2} GFLOP/s, \
                 loss {loss:.6} on {about}"
            );
        }
    }
    Ok(())
}

/// Multiplications and additions of a step's matrix products: forward, weight gradients, and input gradients except
/// the first layer's.
fn flops(sizes: &[usize], batch: usize) -> f64 {
    let products: usize = sizes.windows(2).map(|w| w[0] * w[1]).sum();
    let first: usize = sizes.iter().take(2).product();
    (2 * batch * (3 * products - first)) as f64
}

fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

/// A network in training, with the launches of a step.
struct Training {
    step: Recording,
    loss: Tensor,
}

impl Training {
    fn new(device: &Device, sizes: &[usize], batch: usize, steps: u32, fused: bool) -> Result<Self> {
        if sizes.len() < 2 || batch == 0 || steps == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "throughput",
                "give at least two sizes, a batch of at least 1 and at least 1 step",
            ));
        }
        let (inputs, outputs) = (sizes[0], sizes[sizes.len() - 1]);
        let rows = batch.max(1024);
        let mut random = random_numbers();
        let x: Vec<f32> = (0..rows * inputs).map(|_| random()).collect();
        let t: Vec<f32> = (0..rows * outputs).map(|_| random().round()).collect();
        let data = [Tensor::new(device, rows, inputs, &x)?, Tensor::new(device, rows, outputs, &t)?];
        // Row numbers, stored as bits.
        let first = |step: usize| (step * batch) % (rows - batch + 1);
        let order = (0..steps as usize).flat_map(|step| first(step)..first(step) + batch);
        let order: Vec<f32> = order.map(|row| f32::from_bits(row as u32)).collect();
        let order = Tensor::new(device, 1, order.len(), &order)?;
        let mini_batch = [Tensor::zeros(device, batch, inputs)?, Tensor::zeros(device, batch, outputs)?];

        let model = network(sizes);
        let parameters = Parameters::new(device, &model, 0)?;
        let mut optimizer = Optimizer::new(&parameters, Sgd::new(0.1))?;
        // Tells the device the learning rate; no gradient is there yet, so nothing is learnt.
        optimizer.step()?;

        let mut tape = Tape::new(device);
        let (x, t) = (tape.input(&mini_batch[0])?, tape.input(&mini_batch[1])?);
        let y = model.forward(&mut tape, x)?;
        let loss = Mse::new().forward(&mut tape, y, t)?;
        let loss_value = tape.tensor(loss)?;
        let graph = tape.backward_overwriting(loss)?;

        let mut step = Recording::new(device);
        ops::gather(&mut step, &order, [&data[0], &data[1]], [&mini_batch[0], &mini_batch[1]], batch)?;
        step.append(graph.forward_recording())?;
        step.append(graph.backward_recording())?;
        step.append(optimizer.update())?;
        let step = if fused { step.fused(&[&loss_value]) } else { step };
        Ok(Self { step, loss: loss_value })
    }

    /// Runs so many steps and returns the loss of the last.
    fn run(&self, steps: u32) -> Result<f32> {
        self.step.run_steps(0..steps)?;
        Ok(self.loss.read()?[0])
    }
}

fn network(sizes: &[usize]) -> Sequential {
    let mut model = Sequential::new();
    for (i, layer) in sizes.windows(2).enumerate() {
        model = model.add(Linear::new(layer[0], layer[1])).add(if i + 2 < sizes.len() { ReLU } else { Sigmoid });
    }
    model
}

/// Numbers from 0 to 1, as `benches/peers/burn` draws them.
fn random_numbers() -> impl FnMut() -> f32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32
    }
}
