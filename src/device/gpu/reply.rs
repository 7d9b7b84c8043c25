//! Waiting for what the driver calls back with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
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
pub(super) struct Reply<T> {
    answer: Receiver<T>,
    waker: Arc<Mutex<Option<Waker>>>,
}

/// A reply, and the callback that gives it.
pub(super) fn reply<T: Send + 'static>() -> (Reply<T>, impl FnOnce(T) + Send + 'static) {
    let (sender, answer) = channel();
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let left = waker.clone();
    let callback = move |value| {
        // Nobody listens if the answer is not wanted any more.
        let _ = sender.send(value);
        if let Some(waker) = left.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    };
    (Reply { answer, waker }, callback)
}

impl<T> Reply<T> {
    pub(super) fn poll(
        &self,
        gpu: &Gpu,
        submission: &wgpu::SubmissionIndex,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        if let Err(error) = gpu.faults.check() {
            return Poll::Ready(Err(error));
        }
        match self.answer.try_recv() {
            Ok(answer) => return Poll::Ready(Ok(answer)),
            Err(TryRecvError::Disconnected) => return Poll::Ready(Err(gpu.no_answer())),
            Err(TryRecvError::Empty) => {}
        }
        if cfg!(target_arch = "wasm32") {
            // No callback comes in between: a page has one thread.
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(gpu.sleep(submission).and_then(|()| {
            // Another thread that slept there, too, may be the one that is just about to call back.
            self.answer.recv_timeout(gpu.timeout).map_err(|_| gpu.no_answer())
        }))
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
            self.faults.check()?;
            match polled {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(wgpu::PollError::Timeout)) if start.elapsed() < self.timeout => {}
                Ok(Err(wgpu::PollError::Timeout)) => return Err(self.hangs()),
                Ok(Err(error)) => return Err(self.faults.lose(&self.info.name, &format!("can't be waited for ({error})"))),
                Err(_) => return Err(self.faults.lose(&self.info.name, "was lost while it was waited for")),
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
            &format!("gave no answer within {seconds} s (DeviceOptions::timeout): it hangs, or another program holds it"),
        )
    }

    fn no_answer(&self) -> Error {
        self.faults.lose(&self.info.name, "did not answer")
    }
}
