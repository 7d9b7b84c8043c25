//! Values on their way back from the GPU: copied to a mappable buffer, mapped, read.

use std::task::{Context, Poll};

use super::Gpu;
use super::reply::{Reply, reply};
use crate::error::Result;

pub(crate) struct Readback {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Reply<Result<(), wgpu::BufferAsyncError>>,
}

impl Readback {
    pub(super) fn start(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, size: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.create_buffer("readback", size, usage, false)?;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(source, offset, &staging, 0, size);
        let submission = gpu.submit(Some(encoder.finish()));
        let (mapped, callback) = reply();
        staging.map_async(wgpu::MapMode::Read, .., callback);
        Ok(Self { staging, submission, mapped })
    }

    pub(crate) fn poll(&self, gpu: &Gpu, context: &mut Context<'_>) -> Poll<Result<Vec<f32>>> {
        self.mapped.poll(gpu, &self.submission, context).map(|outcome| {
            let lost = |why: &dyn std::fmt::Display| {
                gpu.check()
                    .err()
                    .unwrap_or_else(|| gpu.faults.lose(&gpu.info().name, &format!("did not return its values ({why})")))
            };
            outcome?.map_err(|error| lost(&error))?;
            let view = self.staging.get_mapped_range(..).map_err(|error| lost(&error))?;
            Ok(bytemuck::pod_collect_to_vec(&view))
        })
    }
}
