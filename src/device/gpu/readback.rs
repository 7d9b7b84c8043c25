//! Values on their way back from the GPU: copied to a mappable buffer, mapped, read.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::{Context, Poll};

use super::{Gpu, TIMEOUT};
use crate::error::{Error, ErrorKind, Result};

type Mapped = Result<(), wgpu::BufferAsyncError>;

pub(crate) struct Readback {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<Mapped>,
}

impl Readback {
    pub(super) fn start(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, size: u64) -> Self {
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(source, offset, &staging, 0, size);
        let submission = gpu.queue.submit([encoder.finish()]);
        let (sender, mapped) = channel();
        staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
            // Nobody listens if the values are not wanted any more.
            let _ = sender.send(outcome);
        });
        Self { staging, submission, mapped }
    }

    pub(crate) fn wait(self, gpu: &Gpu) -> Result<Vec<f32>> {
        gpu.wait_for(Some(self.submission.clone()))?;
        // Another thread that waits for the device may be the one that is just about to call back.
        match self.mapped.recv_timeout(TIMEOUT) {
            Ok(outcome) => self.values(gpu, outcome),
            Err(error) => Err(lost(gpu, &error.to_string())),
        }
    }

    /// On native systems a poll also drives the device, and asks to be polled again.
    pub(crate) fn poll(&self, gpu: &Gpu, context: &mut Context<'_>) -> Poll<Result<Vec<f32>>> {
        if let Err(error) = gpu.device.poll(wgpu::PollType::Poll) {
            return Poll::Ready(Err(lost(gpu, &error.to_string())));
        }
        if let Err(error) = gpu.faults.check() {
            return Poll::Ready(Err(error));
        }
        match self.mapped.try_recv() {
            Ok(outcome) => Poll::Ready(self.values(gpu, outcome)),
            Err(TryRecvError::Empty) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(lost(gpu, &error.to_string()))),
        }
    }

    fn values(&self, gpu: &Gpu, outcome: Mapped) -> Result<Vec<f32>> {
        gpu.faults.check()?;
        match outcome.map(|()| self.staging.get_mapped_range(..)) {
            Ok(Ok(view)) => Ok(bytemuck::pod_collect_to_vec(&view)),
            Ok(Err(error)) => Err(lost(gpu, &error.to_string())),
            Err(error) => Err(lost(gpu, &error.to_string())),
        }
    }
}

fn lost(gpu: &Gpu, why: &str) -> Error {
    Error::new(ErrorKind::DeviceLost, "read", format!("{} did not return its values: {why}", gpu.info.name))
}
