//! Every stream of random numbers, and who draws from it. Both generators give the same numbers on every system.
//!
//! ChaCha8 with the user's seed draws on the host: stream 0 the parameters' initial values, stream n from 1 on the order of
//! the samples in epoch n. On the device, dropout hashes its key, the number of the step and the element's place.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

/// The generator of the parameters' initial values.
pub(crate) fn parameters(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The order of the samples in an epoch, counted from 1. It follows from the seed and the epoch's number alone: training
/// that goes on from a checkpoint needs to know no more.
pub(crate) fn epoch_order(seed: u64, epoch: usize, samples: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch as u64);
    let mut order: Vec<u32> = (0..samples as u32).collect();
    order.shuffle(&mut rng);
    order
}

/// A seed as the device takes it.
pub(crate) fn fold(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}
