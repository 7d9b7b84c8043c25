//! The end, when a rank does not answer.

use std::time::{Duration, Instant};

use mpi::request::scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

/// Of the messages by which ranks look for each other.
const ALIVE: i32 = 7;

/// How long they do: waiting began at different times.
const LOOK: Duration = Duration::from_secs(3);

/// Says which ranks don't answer, and ends all others. (MPI can't go on without a rank, not even finish.)
pub(crate) fn give_up(rank: usize, size: usize, waited: Duration, exchanges: u64) -> ! {
    let world = SimpleCommunicator::world();
    let others: Vec<usize> = (0..size).filter(|other| *other != rank).collect();
    let word = [rank as u32];
    let mut missing = others.clone();
    let start = Instant::now();
    scope(|scope| {
        let sent: Vec<_> = others
            .iter()
            .map(|other| world.process_at_rank(*other as i32).immediate_send_with_tag(scope, &word[..], ALIVE))
            .collect();
        while start.elapsed() < LOOK && !missing.is_empty() {
            missing.retain(|other| world.process_at_rank(*other as i32).immediate_probe_with_tag(ALIVE).is_none());
            std::thread::sleep(Duration::from_millis(1));
        }
        let who = match &missing[..] {
            [] => "a rank that is there took too long".to_string(),
            [one] => format!("rank {one} does not answer"),
            many => format!("ranks {many:?} do not answer"),
        };
        eprintln!(
            "wgrad-mpi: rank {rank} of {size} has waited {:.0} s in exchange {exchanges}: {who}. It has died, hangs, or computes for longer \
             than the others wait (World::timeout). All ranks end here; the last checkpoint is whole.",
            waited.as_secs_f64()
        );
        // They are never done, and not to be waited for.
        let _sent = std::mem::ManuallyDrop::new(sent);
        world.abort(1)
    })
}
