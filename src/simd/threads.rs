//! How many threads there are, and how much work makes them worthwhile.

use std::sync::OnceLock;

/// The number of threads that large work takes: the environment's `WGRAD_THREADS`, else one for each core, up to 8.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let wanted = std::env::var("WGRAD_THREADS").ok().and_then(|n| n.parse().ok());
        wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(8))).max(1)
    })
}

/// Threads for this much work, in multiplications and additions. Waking one takes some ten microseconds if it is asleep.
pub(crate) fn worth(work: usize) -> usize {
    const EACH: usize = 1 << 20;
    if work < 2 * EACH { 1 } else { threads().min(work / EACH) }
}
