//! Values on their way back from a device.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(feature = "gpu")]
use crate::device::{Device, Runner, buffer::mixed, gpu};
use crate::error::{Error, Result};

/// Values on their way back from a device: a future, or something to [`wait`](PendingRead::wait) for.
///
/// The values are those at the time of [`Tensor::read_async`](crate::Tensor::read_async), whatever runs later. They are
/// given once: a poll after that is an error.
///
/// In a browser it sleeps until the values are there. Elsewhere its first poll does so in the driver: see
/// [`Device`](crate::Device#blocking-and-awaiting).
#[must_use = "await it or call `wait`"]
pub struct PendingRead(Pending);

enum Pending {
    Ready(Vec<f32>),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Readback, Device),
    Taken,
}

impl PendingRead {
    pub(super) fn ready(values: Vec<f32>) -> Self {
        Self(Pending::Ready(values))
    }

    #[cfg(feature = "gpu")]
    pub(super) fn on_gpu(readback: gpu::Readback, device: &Device) -> Self {
        Self(Pending::Gpu(readback, device.clone()))
    }

    /// Waits for the values.
    ///
    /// # Errors
    /// A lost device; in a browser values that are still on their way from a GPU, as nothing may block there: `.await`
    /// instead.
    pub fn wait(self) -> Result<Vec<f32>> {
        match &self.0 {
            #[cfg(feature = "gpu")]
            Pending::Gpu(_, device) => {
                let device = device.clone();
                device.block_on("read", "Tensor::read_async", self)
            }
            _ => self.take(),
        }
    }

    fn take(mut self) -> Result<Vec<f32>> {
        match std::mem::replace(&mut self.0, Pending::Taken) {
            Pending::Ready(values) => Ok(values),
            _ => Err(taken()),
        }
    }
}

fn taken() -> Error {
    Error::input("read", "the values were given before; ask for them again by Tensor::read_async")
}

impl Future for PendingRead {
    type Output = Result<Vec<f32>>;

    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "what is there at once needs no waking"))]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.0 {
            Pending::Ready(values) => Ok(std::mem::take(values)),
            #[cfg(feature = "gpu")]
            Pending::Gpu(readback, device) => match device.runner() {
                Runner::Gpu(gpu) => match readback.poll(gpu, context) {
                    Poll::Ready(result) => result,
                    Poll::Pending => return Poll::Pending,
                },
                Runner::Cpu(_) => Err(mixed()),
            },
            Pending::Taken => Err(taken()),
        };
        self.0 = Pending::Taken;
        Poll::Ready(result)
    }
}

impl fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingRead")
    }
}
