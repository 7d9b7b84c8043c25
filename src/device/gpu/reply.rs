//! Waiting for what the driver calls back with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Gpu;
use crate::error::{Error, Result};

/// The driver is left after so long, to be asked again: with GL no other thread gets in meanwhile, and its clock ends at
/// four seconds.
const SLICE: Duration = Duration::from_millis(500);

/// What the driver will call back with, once.
///
/// In a browser a poll leaves its waker for the callback. Elsewhere drivers call back only from a thread that sleeps in
/// them, so a poll does just that.
pub(super) struct Reply<T>(Arc<Shared<T>>);

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    given: Condvar,
}

struct Slot<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reply, and the callback that gives it.
pub(super) fn reply<T: Send + 'static>() -> (Reply<T>, impl FnOnce(T) + Send + 'static) {
    let shared = Arc::new(Shared { slot: Mutex::new(Slot { answer: None, waker: None }), given: Condvar::new() });
    let reply = Reply(shared.clone());
    let callback = move |answer| {
        let mut slot = shared.slot();
        slot.answer = Some(answer);
        let waker = slot.waker.take();
        drop(slot);
        shared.given.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    (reply, callback)
}

impl<T> Reply<T> {
    pub(super) fn poll(
        &self,
        gpu: &Gpu,
        submission: &wgpu::SubmissionIndex,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        if let Err(error) = gpu.check() {
            return Poll::Ready(Err(error));
        }
        let mut slot = self.0.slot();
        if let Some(answer) = slot.answer.take() {
            return Poll::Ready(Ok(answer));
        }
        if cfg!(target_arch = "wasm32") {
            slot.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(slot);
        Poll::Ready(gpu.sleep(submission).and_then(|()| self.wait(gpu)))
    }

    /// Another thread that slept in the driver, too, may be the one that is just about to call back.
    fn wait(&self, gpu: &Gpu) -> Result<T> {
        let start = Instant::now();
        let mut slot = self.0.slot();
        loop {
            if let Some(answer) = slot.answer.take() {
                return Ok(answer);
            }
            // The callback was dropped, or takes too long.
            if Arc::strong_count(&self.0) == 1 || start.elapsed() > gpu.timeout {
                return Err(gpu.faults.lose(&gpu.info.name, "did not answer"));
            }
            slot = self.0.given.wait_timeout(slot, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Gpu {
    /// Sleeps until a submission is done. The callbacks of all that is done by then have been called, or are being called
    /// by another thread that slept.
    fn sleep(&self, submission: &wgpu::SubmissionIndex) -> Result<()> {
        let start = Instant::now();
        loop {
            let timeout = SLICE.min(self.timeout.saturating_sub(start.elapsed()));
            let wait = wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: Some(timeout) };
            // wgpu panics where the driver says that the device is lost.
            let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
            self.check()?;
            match polled {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(wgpu::PollError::Timeout)) if start.elapsed() < self.timeout => {}
                Ok(Err(wgpu::PollError::Timeout)) => return Err(self.hangs()),
                Ok(Err(error)) => {
                    return Err(self.faults.lose(&self.info.name, &format!("can't be waited for ({error})")));
                }
                Err(_) => return Err(self.faults.lose(&self.info.name, "was lost while waiting for it")),
            }
        }
    }

    /// Gives the device up.
    fn hangs(&self) -> Error {
        // Dropped, the queue would wait for its work without end.
        std::mem::forget(self.queue.clone());
        let seconds = self.timeout.as_secs_f32();
        self.faults.lose(
            &self.info.name,
            &format!(
                "gave no answer within {seconds} s (DeviceOptions::timeout): it hangs, or another program holds it"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::device::Runner;
    use crate::{Device, DeviceOptions, ErrorKind, Recording, Tensor, ops};

    /// What a caller sees after [`super::Gpu::hangs`], whatever the driver is doing.
    #[test]
    #[cfg_attr(skip_gpu_tests, ignore = "no GPU: see tests/common/devices.rs")]
    fn a_device_that_was_given_up_stays_so_and_is_dropped_at_once() {
        let devices: Vec<_> = ["gpu", "gl"]
            .into_iter()
            .filter_map(|name| DeviceOptions::new(name).timeout(Duration::from_millis(1500)).open().ok())
            .collect();
        assert!(!devices.is_empty(), "no GPU: see tests/common/devices.rs");
        for device in devices {
            given_up(device);
        }
    }

    fn given_up(device: Device) {
        let x = Tensor::new(&device, 1, 4, &[1.0; 4]).unwrap();
        let y = Tensor::zeros(&device, 1, 4).unwrap();
        let mut recording = Recording::new(&device);
        ops::activation::forward(&mut recording, ops::Activation::Identity, &x, &y).unwrap();
        recording.run().unwrap();
        let pending = y.read_async().unwrap();
        let Runner::Gpu(gpu) = device.runner() else { panic!("{device:?} is no GPU") };
        let error = gpu.hangs();
        assert_eq!(error.kind(), ErrorKind::DeviceLost);
        assert!(error.to_string().contains("no answer within 1.5 s"), "{error}");
        let start = Instant::now();
        let later = [
            pending.wait().err(),
            y.read().err(),
            y.write(&[1.0; 4]).err(),
            recording.run().err(),
            device.wait().err(),
            Tensor::zeros(&device, 1, 1).err(),
        ];
        assert_eq!(later, [(); 6].map(|()| Some(error.clone())));
        drop((x, y, recording, device));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
