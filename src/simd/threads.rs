//! How many threads there are, and how much work makes them worthwhile.

use std::cell::Cell;
use std::sync::OnceLock;

thread_local! {
    /// Whether this thread is one of several that have shared out work between them.
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// Runs what shall start no threads itself, as all cores have work.
pub(crate) fn single_threaded(work: impl FnOnce()) {
    let before = SHARES.replace(true);
    work();
    SHARES.set(before);
}

/// The number of threads that large products take: the environment's `WGRAD_THREADS`, else one for each core, up to 8.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let wanted = std::env::var("WGRAD_THREADS").ok().and_then(|n| n.parse().ok());
        wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(8))).max(1)
    })
}

/// Threads for this many multiplications: starting one takes as long as about a million.
pub(crate) fn worth(multiplications: usize) -> usize {
    const EACH: usize = 2 << 20;
    if multiplications < 2 * EACH || SHARES.get() { 1 } else { threads().min(multiplications / EACH) }
}
