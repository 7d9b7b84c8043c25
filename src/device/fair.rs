//! A fair lock: its holder can let waiting threads in before it takes the lock again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex behind a second one, the door. A thread passes the door first and holds it until it has the lock, so that a
/// waiting thread is next in line; a mutex alone would go again and again to the thread that just held it, which is
/// awake.
#[derive(Default)]
pub(super) struct Fair<T> {
    door: Mutex<()>,
    value: Mutex<T>,
    waiting: AtomicUsize,
}

/// Spins this many times before sleeping: a step of a small network is over sooner than a thread wakes up.
const LOOKS: usize = 2_000;

impl<T> Fair<T> {
    /// A panic in another thread leaves the values consistent, so a poisoned lock can be used.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        if let Ok(guard) = self.value.try_lock() {
            return guard;
        }
        let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted behind the door: who lets others in must find it closed.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.look().unwrap_or_else(|| self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    fn look(&self) -> Option<MutexGuard<'_, T>> {
        (0..LOOKS).find_map(|_| {
            std::hint::spin_loop();
            self.value.try_lock().ok()
        })
    }

    /// Whether a thread waits: it is 0 or 1.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets waiting threads in.
    pub(super) fn yielded<'a>(&'a self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return guard;
        }
        drop(guard);
        // A waiting thread holds the door until it is in.
        drop(self.door.lock().unwrap_or_else(PoisonError::into_inner));
        self.lock()
    }
}
