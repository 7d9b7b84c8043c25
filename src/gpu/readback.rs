//! Values on their way back from the GPU: copied to a mappable buffer, mapped, read.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use super::Gpu;
use crate::error::{Error, ErrorKind, Result};

pub(crate) struct Readback {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Arc<Mutex<Option<Result<(), wgpu::BufferAsyncError>>>>,
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
        let mapped = Arc::new(Mutex::new(None));
        let result = mapped.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        Self { staging, submission, mapped }
    }

    pub(crate) fn wait(self, gpu: &Gpu) -> Result<Vec<f32>> {
        gpu.wait_for(Some(self.submission.clone()))?;
        self.take(gpu).unwrap_or_else(|| Err(lost(gpu, "it finished without giving them")))
    }

    /// On native systems a poll also drives the device, and asks to be polled again.
    pub(crate) fn poll(&self, gpu: &Gpu, context: &mut Context<'_>) -> Poll<Result<Vec<f32>>> {
        if let Err(error) = gpu.device.poll(wgpu::PollType::Poll) {
            return Poll::Ready(Err(lost(gpu, &error.to_string())));
        }
        match self.take(gpu) {
            Some(result) => Poll::Ready(result),
            None => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn take(&self, gpu: &Gpu) -> Option<Result<Vec<f32>>> {
        if let Err(error) = gpu.faults.check() {
            return Some(Err(error));
        }
        let outcome = self.mapped.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(match outcome.map(|()| self.staging.get_mapped_range(..)) {
            Ok(Ok(view)) => Ok(bytemuck::pod_collect_to_vec(&view)),
            Ok(Err(error)) => Err(lost(gpu, &error.to_string())),
            Err(error) => Err(lost(gpu, &error.to_string())),
        })
    }
}

fn lost(gpu: &Gpu, why: &str) -> Error {
    Error::new(ErrorKind::DeviceLost, "read", format!("{} did not return its values: {why}", gpu.info.name))
}
