//! Threads that wait for work, so that a piece of some microseconds is worth sharing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};

use super::threads::threads;

/// A thread looks this many times, some 20 microseconds, before it goes to sleep: the next step's work comes sooner.
const LOOKS: usize = 1_000;

/// What the threads share. One job at a time: a second caller does its work alone.
struct Pool {
    state: Mutex<State>,
    /// Grows with each job; looked at without the lock.
    number: AtomicUsize,
    /// Threads at the present job.
    busy: AtomicUsize,
    wake: Condvar,
    done: Condvar,
}

struct State {
    job: Option<Job>,
    /// How many more threads the job takes.
    places: usize,
    asleep: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// The work, and the next piece that nobody has taken. Both live until the job's caller has seen that no thread is busy.
#[derive(Clone, Copy)]
struct Job {
    work: &'static (dyn Fn(usize) + Sync),
    next: &'static AtomicUsize,
    pieces: usize,
}

static POOL: Pool = Pool {
    state: Mutex::new(State { job: None, places: 0, asleep: 0, panic: None }),
    number: AtomicUsize::new(0),
    busy: AtomicUsize::new(0),
    wake: Condvar::new(),
    done: Condvar::new(),
};

/// Calls `work` with each number below `pieces`, once, on up to this many threads of which the caller is one. Which thread
/// takes which piece is left to chance. A panic of any piece is one of the caller, when all are done.
pub(crate) fn share(threads: usize, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    // SAFETY: the lifetimes end in truth with this function, which returns only when nobody has the job any more: it is taken
    // out of the pool, and the threads that took it are no longer busy.
    let job = unsafe {
        Job {
            work: std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(work),
            next: std::mem::transmute::<&AtomicUsize, &'static AtomicUsize>(&next),
            pieces,
        }
    };
    if threads.min(pieces) <= 1 || !POOL.open(job, threads.min(pieces) - 1) {
        return (0..pieces).for_each(work);
    }
    let own = catch_unwind(AssertUnwindSafe(|| job.run()));
    let theirs = POOL.close();
    if let Some(panic) = own.err().or(theirs) {
        resume_unwind(panic);
    }
}

impl Job {
    fn run(&self) {
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
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
        if state.job.is_some() || self.busy.load(Ordering::Acquire) > 0 {
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

    /// Takes the job back and waits for those who are at it. What a panic of theirs said.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        self.lock().job = None;
        looked(|| self.busy.load(Ordering::Acquire) == 0);
        let mut state = self.lock();
        while self.busy.load(Ordering::Acquire) > 0 {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.panic.take()
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
            self.busy.fetch_add(1, Ordering::AcqRel);
            drop(state);
            let panic = catch_unwind(AssertUnwindSafe(|| job.run())).err();
            let mut state = self.lock();
            state.panic = panic.or(state.panic.take());
            if self.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.done.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
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
