//! The time of a step against width, depth and batch.

use std::path::Path;
use std::time::Instant;

use wgrad::ops::{matmul, matmul::Epilogue};
use wgrad::plot::{self, Curve};
use wgrad::{Device, ErrorKind, Recording, Result, StepPath, Tensor};

use crate::training::{Network, Training};

/// What is held while something else grows.
const WIDTH: usize = 128;
const DEPTH: usize = 3;
const BATCH: usize = 128;

/// Times each point for about this many seconds, after a warm-up.
const SECONDS: f64 = 0.3;

/// `depth` layers of `width` columns each.
fn sizes(width: usize, depth: usize) -> Vec<usize> {
    vec![width; depth + 1]
}

pub(crate) fn run(device: &Device, path: StepPath, patience: f64, figure: Option<&Path>) -> Result<()> {
    if let Some(path) = figure {
        plot::check_path(path)?;
    }
    let peak = peak(device)?;
    println!("{}", device.describe());
    println!("The best matrix product runs at {peak:.1} GFLOP/s.\n");
    println!("| layers | width | batch | dispatches | us a step | GFLOP/s | share of the best |");
    println!("|-------:|------:|------:|---------:|----------:|--------:|------------------:|");
    let powers = |from: u32, to: u32| (from..=to).step_by(2).map(|power| 1usize << power);
    type Sweep = (&'static str, fn([usize; 3]) -> usize, Vec<[usize; 3]>);
    let sweeps: [Sweep; 3] = [
        ("width 16 ... 4096", |[_, width, _]| width, powers(4, 12).map(|width| [DEPTH, width, BATCH]).collect()),
        ("layers 1 ... 32", |[depth, ..]| depth, [1, 2, 4, 8, 16, 32].map(|depth| [depth, WIDTH, BATCH]).to_vec()),
        ("batch 1 ... 65,536", |[.., batch]| batch, powers(0, 16).map(|batch| [DEPTH, WIDTH, batch]).collect()),
    ];
    let mut curves = Vec::new();
    for (name, varied, points) in sweeps {
        let mut curve = Vec::new();
        for [depth, width, batch] in points {
            let (seconds, dispatches) = match time(device, &sizes(width, depth), batch, path, patience) {
                Ok(Some(timing)) => timing,
                Ok(None) => {
                    println!("| {depth} | {width} | {batch} | | over {:.0} | | |", patience * 1e6);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    println!("| {depth} | {width} | {batch} | | does not fit | | |");
                    break;
                }
                Err(error) => return Err(error),
            };
            let gflops = Network::of(&sizes(width, depth)).flops(batch) / seconds / 1e9;
            let (us, share) = (seconds * 1e6, gflops / peak * 100.0);
            println!("| {depth} | {width} | {batch} | {dispatches} | {us:.1} | {gflops:.2} | {share:.1} % |");
            curve.push(((varied([depth, width, batch]) as f64).log2(), us.log10()));
        }
        curves.push(Curve::new(name, curve));
    }
    if let Some(path) = figure {
        plot::curves(path, "Time of a training step", ["log2 of the size", "log10 of us a step"], &curves)?;
    }
    Ok(())
}

/// GFLOP/s of the largest square products that take less than a tenth of a second.
fn peak(device: &Device) -> Result<f64> {
    let mut best: f64 = 0.0;
    for n in [256, 512, 1024, 2048, 4096] {
        let [a, b, c] = [Tensor::zeros(device, n, n)?, Tensor::zeros(device, n, n)?, Tensor::zeros(device, n, n)?];
        let mut recording = Recording::new(device);
        matmul(&mut recording, &a, &b, &c, Epilogue::default())?;
        let seconds = best_of(|| {
            recording.run()?;
            device.wait()
        })?;
        best = best.max(2.0 * (n as f64).powi(3) / seconds / 1e9);
        if seconds > 0.1 {
            break;
        }
    }
    Ok(best)
}

fn best_of(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        f()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Seconds and dispatches of a step; `None` if it takes longer than `patience`.
fn time(device: &Device, sizes: &[usize], batch: usize, path: StepPath, patience: f64) -> Result<Option<(f64, usize)>> {
    let training = Training::new(device, Network::of(sizes), batch, 1, path)?;
    training.run(1)?;
    let start = Instant::now();
    training.run(1)?;
    let one = start.elapsed().as_secs_f64();
    if one > patience {
        return Ok(None);
    }
    let steps = (SECONDS / one).clamp(1.0, 2000.0) as u32;
    let training = Training::new(device, Network::of(sizes), batch, steps, path)?;
    training.run(steps.min(10))?;
    let start = Instant::now();
    training.run(steps)?;
    Ok(Some((start.elapsed().as_secs_f64() / f64::from(steps), training.step.len())))
}
