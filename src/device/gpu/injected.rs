//! Faults for tests: the n-th use of a device loses it, the n-th allocation finds no memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Gpu;
use crate::device::{Device, Runner};

/// Which of the coming uses and allocations fail; none where it is 0.
#[derive(Default)]
pub(super) struct Injected {
    use_that_loses: AtomicU64,
    allocation_that_fails: AtomicU64,
}

/// Whether the countdown has just come to its end.
fn is_up(countdown: &AtomicU64) -> bool {
    let count = |left: u64| left.checked_sub(1);
    countdown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(1)
}

impl Injected {
    pub(super) fn loses(&self) -> bool {
        is_up(&self.use_that_loses)
    }

    pub(super) fn refuses(&self) -> bool {
        is_up(&self.allocation_that_fails)
    }
}

fn gpu(device: &Device) -> Option<&Gpu> {
    match device.runner() {
        Runner::Gpu(gpu) => Some(gpu),
        Runner::Cpu(_) => None,
    }
}

impl Device {
    /// Destroys a GPU's device at its n-th use from now on, an allocation, an upload, a run, a read or a wait: as if it
    /// were unplugged.
    pub(crate) fn lose_at_use(&self, n: u64) {
        if let Some(gpu) = gpu(self) {
            gpu.faults.injected.use_that_loses.store(n, Ordering::Relaxed);
        }
    }

    /// Has a GPU's memory be full at the n-th allocation from now on, and at that one alone.
    pub(crate) fn refuse_allocation(&self, n: u64) {
        if let Some(gpu) = gpu(self) {
            gpu.faults.injected.allocation_that_fails.store(n, Ordering::Relaxed);
        }
    }

    /// Whether what was asked for has not happened yet; asks for it no more.
    pub(crate) fn withdraw_faults(&self) -> bool {
        let Some(gpu) = gpu(self) else { return false };
        let injected = &gpu.faults.injected;
        [&injected.use_that_loses, &injected.allocation_that_fails].map(|at| at.swap(0, Ordering::Relaxed)) != [0, 0]
    }
}
