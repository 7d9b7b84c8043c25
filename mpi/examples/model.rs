//! When more machines pay: times of a step from what this machine measures and what a network is assumed to do.
//!
//! ```sh
//! cargo run --release --example model
//! WGRAD_THREADS=1 cargo run --release --example model      # machines of one core, whatever else runs here
//! ```

use std::time::Instant;

use wgrad::data::Dataset;
use wgrad::nn::{Linear, Mse, ReLU, Sequential};
use wgrad::ops::Reduction;
use wgrad::optim::Adam;
use wgrad::{Device, Fit, Result, StepGradient, Trainer};

/// A network between machines.
struct Network {
    name: &'static str,
    /// Seconds of an empty message.
    latency: f64,
    /// Bytes a second.
    bandwidth: f64,
}

/// Assumed: MPI over TCP on 10 Gbit/s Ethernet; InfiniBand or RoCE at 100 Gbit/s.
const NETWORKS: [Network; 2] = [
    Network { name: "10 Gbit/s, 25 us", latency: 25e-6, bandwidth: 1.1e9 },
    Network { name: "100 Gbit/s, 2 us", latency: 2e-6, bandwidth: 11e9 },
];

const MACHINES: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// Networks with the batch of one machine.
const CASES: [(&str, &[usize], usize); 3] = [
    ("2-25-25-25-2", &[2, 25, 25, 25, 2], 128),
    ("784-512-512-10", &[784, 512, 512, 10], 128),
    ("784-512-512-10", &[784, 512, 512, 10], 1024),
];

/// Numbers that all ranks' gradients together may have to be sent whole: as in `wire.rs`.
const WHOLE: usize = 1 << 17;

/// What this machine does with a network: seconds of a step by the rows of its batch, and numbers of its gradient.
struct Measured {
    steps: Vec<(usize, f64)>,
    /// Of the way of a gradient through the host.
    host: f64,
    gradient: usize,
}

/// Seconds from some point on: those that the only thread was on a processor, where the system tells; else all.
fn now(start: Instant) -> f64 {
    let alone = std::env::var("WGRAD_THREADS").is_ok_and(|threads| threads == "1");
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok().filter(|_| alone);
    let spent = spent.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    spent.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds * 1e-9)
}

/// The shortest of some times: what else runs on a machine makes the others longer.
fn shortest(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

fn measure(sizes: &[usize], batch: usize) -> Result<Measured> {
    let start = Instant::now();
    let (inputs, outputs) = (sizes[0], sizes[sizes.len() - 1]);
    let number = |i: usize| ((i * 7919 + 13) % 2003) as f32 / 1001.5 - 1.0;
    let mut model = Sequential::new();
    for (i, pair) in sizes.windows(2).enumerate() {
        model = if i == 0 { model } else { model.add(ReLU) };
        model = model.add(Linear::new(pair[0], pair[1]));
    }
    let mut trainer = Trainer::new(&Device::cpu(), model, Mse::new(), Adam::new(1e-4), 0)?;
    let (mut steps, mut host, mut gradient) = (Vec::new(), 0.0, 0);
    let batches: Vec<usize> = [1, 2, 4, 8, 16, 32, 64].iter().map(|machines| batch / machines).collect();
    for rows in batches.into_iter().filter(|rows| *rows > 0) {
        let count = if inputs > 100 { (4096 / rows).clamp(4, 128) } else { 4000 };
        let samples = rows * count;
        let x = (0..samples * inputs).map(number).collect();
        let data = Dataset::new(x, inputs, (0..samples * outputs).map(number).collect(), outputs)?;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..6 {
            for (through_host, times) in times.iter_mut().enumerate() {
                let fit = Fit::new(1, rows).evaluate(false);
                let begin = now(start);
                match through_host {
                    0 => trainer.fit(&data, fit)?,
                    _ => trainer.fit(
                        &data,
                        fit.exchange(|step: &mut StepGradient<'_>| {
                            gradient = step.values.len();
                            Ok(())
                        }),
                    )?,
                };
                if round > 0 {
                    times.push((now(start) - begin) / count as f64);
                }
            }
        }
        let [plain, hooked] = times.map(shortest);
        if rows == batch {
            host = (hooked - plain).max(0.0);
        }
        steps.push((rows, plain));
    }
    Ok(Measured { steps, host, gradient })
}

/// Seconds to add up a number of a rank's gradient.
fn adding() -> f64 {
    let start = Instant::now();
    let (parts, mut whole) = (vec![vec![1.0_f32; 1 << 18]; 2], vec![0.0; 1 << 18]);
    let slices: Vec<&[f32]> = parts.iter().map(|part| &part[..]).collect();
    let times = (0..5).map(|_| {
        let begin = now(start);
        (0..100).for_each(|_| Reduction::Mean.combine_into(&slices, &[1.0, 2.0], &mut whole));
        (now(start) - begin) / f64::from(100 * (2 << 18))
    });
    shortest(times.collect())
}

impl Network {
    /// Seconds to exchange and add up gradients of so many numbers.
    fn exchange(&self, machines: usize, gradient: usize, adding: f64) -> f64 {
        let (n, rounds) = (machines as f64, (machines as f64).log2().ceil());
        let bytes = 4.0 * gradient as f64 / self.bandwidth;
        if machines * gradient <= WHOLE {
            rounds * self.latency + (n - 1.0) * bytes + n * gradient as f64 * adding
        } else {
            // The first message, the parts to those who add them up, and the sums to all.
            rounds * self.latency + 2.0 * (n - 1.0) * (self.latency + bytes / n) + gradient as f64 * adding
        }
    }
}

fn main() -> Result<()> {
    let adding = adding();
    println!("adding up: {:.2} ns a number", adding * 1e9);
    for (name, sizes, batch) in CASES {
        let measured = measure(sizes, batch)?;
        let step = |rows: usize| measured.steps.iter().find(|step| step.0 == rows).map(|step| step.1);
        let Some(alone) = step(batch) else { continue };
        println!(
            "\n{name}: a step of {batch} rows takes {:.0} us here, the gradient has {} numbers, its way through the host {:.0} us",
            alone * 1e6,
            measured.gradient,
            measured.host * 1e6
        );
        println!("times as many rows a second as one machine, by machines:");
        print!("{:>44}", "");
        MACHINES.iter().for_each(|machines| print!("{machines:>7}"));
        println!();
        for network in &NETWORKS {
            let line = |label: &str, gain: &dyn Fn(usize) -> Option<f64>| {
                print!("  {:<18}{label:>24}", network.name);
                for machines in MACHINES {
                    gain(machines).map_or_else(|| print!("{:>7}", ""), |gain| print!("{gain:>7.2}"));
                }
                println!();
            };
            let exchange = |machines: usize| measured.host + network.exchange(machines, measured.gradient, adding);
            line(&format!("{batch} rows on each"), &|machines| {
                Some(machines as f64 * alone / (alone + exchange(machines)))
            });
            line(&format!("{batch} rows in all"), &|machines| {
                Some(alone / (step(batch / machines)? + exchange(machines)))
            });
        }
    }
    Ok(())
}
