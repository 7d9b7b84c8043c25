//! Solves a differential equation: a network u(t) whose loss contains its derivatives u' and u'', so that it converges
//! to the damped oscillator u'' + u' / 5 + 4 u = 0 with u(0) = 1 and u'(0) = 0 (a physics-informed network, Raissi et
//! al. 2019).
//!
//! `cargo run --release --example physics -- --plot physics.svg`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use wgrad::nn::{Backprop, Linear, Module, Parameters, Sequential, Tanh};
use wgrad::optim::{Adam, Optimizer, Schedule};
use wgrad::plot::{self, Curve};
use wgrad::{Device, Graph, Result, Tensor, Var, gradients};

/// Where the equation must hold, from t = 0 to 4.
const POINTS: usize = 40;
const END: f32 = 4.0;
const DAMPING: f32 = 0.2;
const STIFFNESS: f32 = 4.0;

/// Trains a network to solve a damped oscillator's equation.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name; or set WGRAD_DEVICE instead
    #[arg(long)]
    device: Option<String>,
    /// Optimizer steps
    #[arg(long, default_value_t = 6000)]
    steps: usize,
    /// Seed of the initial weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw the network's solution and the exact one
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match solve(&Options::parse()) {
        Ok(worst) if worst < 0.05 => ExitCode::SUCCESS,
        Ok(worst) => {
            eprintln!("The network did not find the solution: it is off by up to {worst:.3}.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// dy/dt. Each row depends on its own t alone, so the gradient of the sum holds the derivatives of all rows.
fn derivative(graph: &mut Graph, y: Var, t: Var) -> Result<Var> {
    let sum = graph.sum(y)?;
    let dy = gradients(graph, sum, &[t])?[0];
    Ok(dy.unwrap_or_else(|| graph.constant(0.0)))
}

fn mean_square(graph: &mut Graph, x: Var) -> Result<Var> {
    let square = graph.mul(x, x)?;
    graph.mean(square)
}

/// Trains, and returns the maximum error.
fn solve(options: &Options) -> Result<f32> {
    let device = options.device.as_deref().map_or_else(Device::auto, Device::named)?;
    println!("device: {}", device.describe());
    let model =
        Sequential::new().add(Linear::new(1, 32)).add(Tanh).add(Linear::new(32, 32)).add(Tanh).add(Linear::new(32, 1));
    let parameters = Parameters::new(&device, &model, options.seed)?;
    let mut optimizer =
        Optimizer::new(&parameters, Adam::new(1e-2).schedule(Schedule::cosine(options.steps, 1e-2).per_step()))?;

    let times: Vec<f32> = (0..POINTS).map(|i| END * i as f32 / (POINTS - 1) as f32).collect();
    let mut graph = Graph::new(&device);
    let t = graph.input(&Tensor::new(&device, POINTS, 1, &times)?)?;
    let start = graph.input(&Tensor::zeros(&device, 1, 1)?)?;
    let u = model.forward(&mut graph, t)?;
    let du = derivative(&mut graph, u, t)?;
    let ddu = derivative(&mut graph, du, t)?;
    let u0 = model.forward(&mut graph, start)?;
    let du0 = derivative(&mut graph, u0, start)?;

    let drag = graph.mul_scalar(du, DAMPING)?;
    let spring = graph.mul_scalar(u, STIFFNESS)?;
    let forces = graph.add(drag, spring)?;
    let residual = graph.add(ddu, forces)?;
    let offset = graph.add_scalar(u0, -1.0)?;
    let [equation, value, slope] = [residual, offset, du0].map(|term| mean_square(&mut graph, term));
    let boundary = graph.add(value?, slope?)?;
    let boundary = graph.mul_scalar(boundary, 20.0)?;
    let loss = graph.add(equation?, boundary)?;
    let pass = Backprop::new(&mut graph, &parameters, loss, &[u])?;

    for step in 0..options.steps {
        optimizer.zero_grad()?;
        pass.forward()?;
        pass.backward()?;
        optimizer.step()?;
        if (step + 1) % (options.steps / 5).max(1) == 0 {
            println!("step {}: loss {:.6}", step + 1, pass.read(loss)?[0]);
        }
    }
    let frequency = (STIFFNESS - DAMPING * DAMPING / 4.0).sqrt();
    let exact = |t: f32| {
        let angle = frequency * t;
        (-DAMPING / 2.0 * t).exp() * (angle.cos() + DAMPING / 2.0 / frequency * angle.sin())
    };
    let found = pass.read(u)?;
    let worst = times.iter().zip(&found).map(|(t, u)| (u - exact(*t)).abs()).fold(0.0, f32::max);
    println!("maximum error {worst:.4}");
    if let Some(path) = &options.plot {
        let curve = |label, values: Vec<f32>| {
            Curve::new(label, times.iter().zip(values).map(|(t, u)| (f64::from(*t), f64::from(u))))
        };
        let solution = curve("exact solution", times.iter().map(|t| exact(*t)).collect());
        plot::curves(path, "u'' + u' / 5 + 4 u = 0", ["t", "u"], &[solution, curve("network", found)])?;
    }
    Ok(worst)
}
