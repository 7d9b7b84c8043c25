//! A lock whose holder can let others in: they come before it does so again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex behind a door. Who wants in passes the door first and holds it until he has the lock, so that of two who want it
/// one stands at the door; a mutex alone would go to whoever held it before, who is awake, time and again.
#[derive(Default)]
pub(super) struct Fair<T> {
    door: Mutex<()>,
    value: Mutex<T>,
    waiting: AtomicUsize,
}

/// Looks at a lock so many times before it sleeps: a step of a small network is over sooner than a thread is woken.
const LOOKS: usize = 2_000;

impl<T> Fair<T> {
    /// A panic in another thread leaves whole values behind, so a poisoned lock is as good as any.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        if let Ok(guard) = self.value.try_lock() {
            return guard;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Lets those in who wait.
    pub(super) fn yielded<'a>(&'a self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return guard;
        }
        drop(guard);
        // Who waits holds the door until he is in.
        drop(self.door.lock().unwrap_or_else(PoisonError::into_inner));
        self.lock()
    }
}
