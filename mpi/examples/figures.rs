//! What a step costs on these ranks, and what its parts do: times of messages, and of steps with and without an exchange.
//!
//! ```sh
//! cargo build --release --example figures
//! mpirun -n 2 --bind-to core target/release/examples/figures
//! ```
//!
//! All ranks are busy with each: "plain" is a step of ranks that train by themselves at the same time.

use std::time::Instant;

use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use wgrad::data::Dataset;
use wgrad::nn::{Linear, Mse, ReLU, Sequential};
use wgrad::optim::Adam;
use wgrad::{Device, Fit, Result, StepGradient, Trainer};
use wgrad_mpi::World;

/// A network, its batch on each rank, and the steps of an epoch.
struct Case {
    name: &'static str,
    sizes: &'static [usize],
    batch: usize,
    steps: usize,
}

const CASES: [Case; 2] = [
    Case { name: "2-25-25-25-2, batch 100", sizes: &[2, 25, 25, 25, 2], batch: 100, steps: 400 },
    Case { name: "784-512-512-10, batch 128", sizes: &[784, 512, 512, 10], batch: 128, steps: 12 },
];

/// Each figure is the shortest of so many.
const ROUNDS: usize = 15;

/// The shortest of some times: what else runs on a machine makes the others longer.
fn shortest(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

/// Seconds of a step: plain, with a gradient that passes through the host, and exchanged.
fn steps(world: &mut World, case: &Case) -> Result<[f64; 3]> {
    let (inputs, outputs, rows) = (case.sizes[0], case.sizes[case.sizes.len() - 1], case.batch * case.steps);
    let number = |i: usize| ((i * 7919 + 13) % 2003) as f32 / 1001.5 - 1.0;
    let x = (0..rows * inputs).map(number).collect();
    let data = Dataset::new(x, inputs, (0..rows * outputs).map(number).collect(), outputs)?;
    let new = || {
        let mut model = Sequential::new();
        for pair in case.sizes.windows(2) {
            model = if pair[0] == inputs { model } else { model.add(ReLU) };
            model = model.add(Linear::new(pair[0], pair[1]));
        }
        Trainer::new(&Device::cpu(), model, Mse::new(), Adam::new(1e-3), 0)
    };
    let (mut plain, mut hooked, mut exchanged) = (new()?, new()?, new()?);
    let fit = || Fit::new(1, case.batch).evaluate(false);
    let mut times = [(); 3].map(|()| Vec::new());
    // The first round warms up.
    for round in 0..=ROUNDS {
        for (number, times) in times.iter_mut().enumerate() {
            world.agree(Ok(()))?;
            let start = Instant::now();
            match number {
                0 => plain.fit(&data, fit())?,
                1 => hooked.fit(&data, fit().exchange(|_: &mut StepGradient<'_>| Ok(())))?,
                _ => world.fit(&mut exchanged, &data, fit())?,
            };
            let step = start.elapsed().as_secs_f64() / case.steps as f64;
            if round > 0 {
                times.push(step);
            }
        }
    }
    Ok(times.map(shortest))
}

/// Seconds of a message of so many bytes from rank 0 to rank 1.
fn message(bytes: usize) -> f64 {
    let world = SimpleCommunicator::world();
    let (rank, mut buffer) = (world.rank(), vec![0_u8; bytes]);
    let rounds = if bytes < 1 << 16 { 2000 } else { 20 };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..rounds {
            match rank {
                0 => {
                    world.process_at_rank(1).send(&buffer[..]);
                    world.process_at_rank(1).receive_into(&mut buffer[..]);
                }
                1 => {
                    world.process_at_rank(0).receive_into(&mut buffer[..]);
                    world.process_at_rank(0).send(&buffer[..]);
                }
                _ => {}
            }
        }
        times.push(start.elapsed().as_secs_f64() / f64::from(2 * rounds));
    }
    shortest(times)
}

fn main() -> Result<()> {
    let mut world = World::new()?;
    let is_first = world.rank() == 0;
    if world.size() > 1 {
        let (small, large) = (message(8), message(4 << 20));
        if is_first {
            let bandwidth = f64::from(4 << 20) / large / 1e9;
            println!("a message of 8 bytes: {:.2} us; of 4 MiB: {bandwidth:.2} GB/s", small * 1e6);
        }
    }
    for case in &CASES {
        let [plain, hooked, exchanged] = steps(&mut world, case)?.map(|seconds| seconds * 1e6);
        if is_first {
            let rows = |step: f64, ranks: usize| (ranks * case.batch) as f64 / step;
            println!("{}, {} ranks, us a step:", case.name, world.size());
            println!("  plain {plain:.1}, gradient through the host {hooked:.1}, exchanged {exchanged:.1}");
            println!("  rows a us: plain {:.2}, exchanged {:.2}", rows(plain, 1), rows(exchanged, world.size()));
        }
    }
    Ok(())
}
