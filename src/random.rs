//! All streams of the random generator: everything drawn from a seed has its own stream, so that one seed can serve a
//! whole program.
//!
//! | stream | what is drawn from it |
//! |---|---|
//! | 0 | initial parameters |
//! | 1, 2, ... | the order of the samples in epoch 1, 2, ... |
//! | `u64::MAX` | the points of [`disk`](crate::data::disk) |
//! | `u64::MAX - 1` | the parts of a split |
//! | `u64::MAX - 2` | the order of a shuffled dataset |
//! | `u64::MAX - 3` | the folds of a cross-validation |
//! | `u64::MAX - 4` | the rows that the members of a table's model hold out |
//! | `u64::MAX - 5` | the order of a permuted column |
//! | `u64::MAX - 6` | the seeds of trainers that train one model together |
//!
//! Dropout masks need random numbers on the device and hash a counter there: see `shaders/dropout.wgsl`.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Initial values of parameters.
pub(crate) fn parameters(seed: u64) -> ChaCha8Rng {
    stream(seed, 0)
}

/// The order of the samples in an epoch; epochs count from 1. It depends only on the seed and the epoch's number, so
/// training resumed from a checkpoint needs nothing else.
pub(crate) fn epoch_order(seed: u64, epoch: usize) -> ChaCha8Rng {
    stream(seed, epoch as u64)
}

/// A seed as the device takes it, for dropout.
pub(crate) fn fold(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

/// The seed of what is random for one of several trainers that train one model together: the first has the seed itself.
pub(crate) fn of_rank(seed: u64, rank: usize) -> u64 {
    let mut rng = stream(seed, u64::MAX - 6);
    (0..rank).map(|_| rng.next_u64()).last().unwrap_or(seed)
}

/// The points of the disk problem.
pub(crate) fn disk(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX)
}

/// Which samples go into which part of a split.
pub(crate) fn split(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX - 1)
}

/// The order of a shuffled dataset.
pub(crate) fn shuffle(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX - 2)
}

/// Which samples go into which fold of a cross-validation.
pub(crate) fn folds(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX - 3)
}

/// Which rows the members of a table's model hold out.
#[cfg(feature = "table")]
pub(crate) fn held_out(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX - 4)
}

/// The order of a column that is permuted.
#[cfg(feature = "table")]
pub(crate) fn permutation(seed: u64) -> ChaCha8Rng {
    stream(seed, u64::MAX - 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_its_own_and_repeats() {
        let first = |mut rng: ChaCha8Rng| rng.next_u64();
        let streams = |seed| {
            [
                parameters(seed),
                epoch_order(seed, 1),
                epoch_order(seed, 2),
                disk(seed),
                split(seed),
                shuffle(seed),
                folds(seed),
                epoch_order(of_rank(seed, 1), 1),
                epoch_order(of_rank(seed, 2), 1),
            ]
            .map(first)
        };
        assert_eq!(streams(7), streams(7));
        let mut all: Vec<u64> = streams(7).into_iter().chain(streams(8)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 18);
        assert_eq!(of_rank(7, 0), 7);
        // What parameters have always been drawn from.
        assert_eq!(first(parameters(7)), ChaCha8Rng::seed_from_u64(7).next_u64());
    }
}
