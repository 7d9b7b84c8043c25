//! Threads that wait for work, so that a piece of some microseconds is worth sharing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

use super::threads::threads;

/// A thread looks this many times, some 200 microseconds, before it goes to sleep: the next step's work comes sooner.
const LOOKS: usize = 10_000;

/// What the threads share. One job at a time: a second caller does its work alone.
struct Pool {
    state: Mutex<State>,
    /// Grows with each job; looked at without the lock.
    number: AtomicUsize,
    wake: Condvar,
    done: Condvar,
}

struct State {
    job: Option<Job>,
    /// How many more threads the job takes.
    places: usize,
    asleep: usize,
}

/// The work, and how far it is. Both live until the job's caller has seen that no thread is busy with it.
#[derive(Clone, Copy)]
struct Job {
    work: &'static (dyn Fn(usize) + Sync),
    progress: &'static Progress,
    pieces: usize,
}

#[derive(Default)]
struct Progress {
    /// The next piece that nobody has taken.
    next: AtomicUsize,
    /// Threads at the job besides its caller. Changed with the pool's lock held.
    busy: AtomicUsize,
    /// What a panic of theirs said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

static POOL: Pool = Pool {
    state: Mutex::new(State { job: None, places: 0, asleep: 0 }),
    number: AtomicUsize::new(0),
    wake: Condvar::new(),
    done: Condvar::new(),
};

/// Calls `work` with each number below `pieces`, once, on up to this many threads of which the caller is one. Which thread
/// takes which piece is left to chance. A panic of any piece is one of the caller, when all are done.
pub(crate) fn share(threads: usize, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
    let progress = Progress::default();
    // SAFETY: the lifetimes end in truth with this function, which returns only when nobody has the job any more: it is taken
    // out of the pool, and the threads that took it are no longer busy, after which they touch nothing of it.
    let job = unsafe {
        Job {
            work: std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work),
            progress: std::mem::transmute::<&Progress, &'static Progress>(&progress),
            pieces,
        }
    };
    if threads.min(pieces) <= 1 || !POOL.open(job, threads.min(pieces) - 1) {
        return (0..pieces).for_each(work);
    }
    let own = catch_unwind(AssertUnwindSafe(|| job.run()));
    POOL.close(&progress);
    let theirs = progress.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(panic) = own.err().or(theirs) {
        resume_unwind(panic);
    }
}

impl Job {
    fn run(&self) {
        loop {
            let piece = self.progress.next.fetch_add(1, Ordering::Relaxed);
            if piece >= self.pieces {
                return;
            }
            (self.work)(piece);
        }
    }
}

/// Looks for a while whether something has come about.
fn looked(mut there: impl FnMut() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        std::hint::spin_loop();
        there()
    })
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a job to the threads, unless they have one.
    fn open(&'static self, job: Job, places: usize) -> bool {
        static START: Once = Once::new();
        START.call_once(|| {
            for i in 1..threads() {
                // Without it there is one less to help.
                drop(std::thread::Builder::new().name(format!("wgrad {i}")).spawn(|| self.serve()));
            }
        });
        let mut state = self.lock();
        if state.job.is_some() {
            return false;
        }
        (state.job, state.places) = (Some(job), places);
        self.number.fetch_add(1, Ordering::Release);
        let asleep = state.asleep;
        drop(state);
        if asleep > 0 {
            self.wake.notify_all();
        }
        true
    }

    /// Takes the job back and waits for those who are at it.
    fn close(&self, progress: &Progress) {
        let busy = || progress.busy.load(Ordering::Acquire) > 0;
        self.lock().job = None;
        looked(|| !busy());
        let mut state = self.lock();
        while busy() {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread's life: job after job.
    fn serve(&self) {
        let mut seen = 0;
        loop {
            looked(|| self.number.load(Ordering::Acquire) != seen);
            let mut state = self.lock();
            while self.number.load(Ordering::Acquire) == seen {
                state.asleep += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
            seen = self.number.load(Ordering::Acquire);
            let Some(job) = state.job.filter(|_| state.places > 0) else { continue };
            state.places -= 1;
            job.progress.busy.fetch_add(1, Ordering::AcqRel);
            drop(state);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.run())) {
                *job.progress.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            let state = self.lock();
            // The caller may be gone once it can have the lock.
            if job.progress.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.done.notify_all();
            }
            drop(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::share;

    #[test]
    fn every_piece_is_done_once() {
        for pieces in [0, 1, 2, 3, 17, 100] {
            for _ in 0..if cfg!(miri) { 3 } else { 200 } {
                let done: Vec<_> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                share(3, pieces, &|piece| {
                    done[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{pieces}");
            }
        }
    }

    /// Small jobs of several callers at once, some of which panic: each gets its own panic, and every other piece is done.
    #[test]
    fn callers_get_their_own_panics_and_no_others() {
        std::thread::scope(|scope| {
            for caller in 0..4 {
                scope.spawn(move || {
                    for round in 0..if cfg!(miri) { 10 } else { 5_000 } {
                        let (done, panics) = (AtomicUsize::new(0), (caller + round) % 3 == 0);
                        let result = catch_unwind(AssertUnwindSafe(|| {
                            share(1 + round % 4, 6, &|piece| {
                                // So that others get their turn in between.
                                std::thread::yield_now();
                                if panics && piece == 4 {
                                    // Without a message.
                                    resume_unwind(Box::new(caller));
                                }
                                done.fetch_add(1, Ordering::Relaxed);
                            })
                        }));
                        let of = result.err().map(|panic| *panic.downcast::<usize>().unwrap());
                        assert_eq!(of, panics.then_some(caller), "round {round}");
                        assert!(panics || done.into_inner() == 6, "round {round}");
                    }
                });
            }
        });
    }

    #[test]
    fn callers_in_threads_of_their_own_and_within_a_piece_get_their_work_done() {
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    share(2, 8, &|_| {
                        share(2, 4, &|piece| {
                            sum.fetch_add(piece, Ordering::Relaxed);
                        })
                    })
                });
            }
        });
        assert_eq!(sum.into_inner(), 3 * 8 * 6);
    }

    #[test]
    fn a_panic_is_the_callers_and_the_next_job_runs() {
        let failed = catch_unwind(AssertUnwindSafe(|| share(2, 10, &|piece| assert!(piece != 7, "seven"))));
        assert!(failed.is_err());
        let done = AtomicUsize::new(0);
        share(2, 10, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 10);
    }
}
