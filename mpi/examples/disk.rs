//! Trains one network on the rows of all ranks: points inside and outside a disk, of which each rank makes its own, or a
//! table that each rank reads a part of.
//!
//! ```sh
//! mpirun -n 2 target/release/examples/disk
//! mpirun -n 2 target/release/examples/disk table.csv target      # a column of 0 and 1; all others are inputs
//! ```
//!
//! Run again, it goes on from its checkpoint, on any number of ranks.

use std::path::Path;

use wgrad::data::{Csv, Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{BceWithLogits, Linear, ReLU, Sequential};
use wgrad::optim::Adam;
use wgrad::{Device, Fit, Result, Trainer};
use wgrad_mpi::World;

/// The rows of this rank, to train and to validate on.
fn rows(world: &World, table: &[String]) -> Result<(Dataset, Dataset)> {
    match table {
        [path, target, ..] => world.part(&Csv::values([target.clone()]).read(path)?)?.split(0.8, 0),
        _ => {
            let rank = world.rank() as u64;
            Ok((disk(1000, 2 * rank, Labels::ZeroOne)?, disk(250, 2 * rank + 1, Labels::ZeroOne)?))
        }
    }
}

fn main() -> Result<()> {
    let mut world = World::new()?;
    let table: Vec<String> = std::env::args().skip(1).collect();
    // The error of one rank is one of all.
    let rows = rows(&world, &table);
    let (train, validation) = world.agree(rows)?;
    let model = Sequential::new().add(Linear::new(train.input_cols(), 25)).add(ReLU).add(Linear::new(25, 1));
    let loss = BceWithLogits::new().decision(Decision::between(0.0, 1.0));
    let mut trainer = Trainer::new(&Device::cpu(), model, loss, Adam::new(0.01), 0)?;
    // Rank 0 writes it, and rank 0 alone has to have it.
    let checkpoint = Path::new("disk.safetensors");
    if world.has_checkpoint(checkpoint)? {
        world.resume(&mut trainer, checkpoint)?;
    }
    let is_first = world.rank() == 0;
    let done = trainer.history().epochs.len();
    let fit = Fit::until(done + 30, 32).validation(&validation).checkpoint(checkpoint, 10).progress(is_first);
    let history = world.fit(&mut trainer, &train, fit)?;
    if let Some(last) = history.epochs.last().filter(|_| is_first) {
        let measured = last.validation.unwrap_or_default();
        println!("{} ranks, epoch {}: loss {:.4}", world.size(), last.epoch, last.loss);
        println!("validation: loss {:.4}, accuracy {:.3}", measured.loss, measured.accuracy.unwrap_or_default());
        println!("{} steps in {:.2} s", history.step_losses.len(), history.seconds);
    }
    Ok(())
}
