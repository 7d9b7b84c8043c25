//! Compiled kernels: shader modules and pipelines.

use std::collections::HashMap;

use super::{Gpu, layout_entry};
use crate::device::kernel::Kernel;
use crate::device::recording::Dispatch;
use crate::error::{Error, Result};

#[derive(Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// What a pipeline is compiled for: the address of the kernel, as names of kernels from outside the crate need not be
/// unique; the values of its constants; whether it runs with checks.
pub(super) type Key = (usize, Vec<u64>, bool);

impl Gpu {
    /// The pipelines of dispatches, each compiled at its first use.
    pub(super) async fn pipelines(&self, dispatches: &[Dispatch]) -> Result<Vec<Pipeline>> {
        let mut pipelines = Vec::with_capacity(dispatches.len());
        let mut compiling = HashMap::new();
        for dispatch in dispatches {
            let kernel = dispatch.kernel;
            let constants = (kernel.constants)(&dispatch.params);
            let values = constants.iter().map(|(_, value)| value.to_bits()).collect();
            let checked = self.checked_shaders || !kernel.own || !dispatch.trusted;
            let key: Key = (std::ptr::from_ref(kernel).addr(), values, checked);
            let known = self.state().pipelines.get(&key).cloned();
            if let Some(pipeline) =
                known.or_else(|| compiling.get(&key).map(|(_, new, _): &(_, Pipeline, _)| new.clone()))
            {
                pipelines.push(pipeline);
                continue;
            }
            let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let pipeline = self.compile(kernel, &constants, checked);
            // What the compiler says comes later in a page, where all pipelines are compiled meanwhile.
            compiling.insert(key, (kernel, pipeline.clone(), scope.pop()));
            pipelines.push(pipeline);
        }
        let mut failed = None;
        for (key, (kernel, pipeline, refused)) in compiling {
            match refused.await {
                None => drop(self.state().pipelines.insert(key, pipeline)),
                Some(error) => failed = Some((kernel.name, error)),
            }
        }
        match failed {
            None => Ok(pipelines),
            Some((name, error)) => {
                Err(self.cause(Error::kernel(name, format!("the kernel does not compile: {error}"))))
            }
        }
    }

    fn compile(&self, kernel: &'static Kernel, constants: &[(&str, f64)], checked: bool) -> Pipeline {
        use wgpu::BufferBindingType::{Storage, Uniform};
        let storage = (0..kernel.inputs + kernel.outputs).map(|i| Storage { read_only: i < kernel.inputs });
        let entries: Vec<_> = std::iter::once(Uniform)
            .chain(storage)
            .zip(0..)
            .map(|(ty, binding)| layout_entry(binding, ty, false))
            .collect();
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
        let groups = [Some(&layout), Some(&self.step_layout)];
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: if kernel.uses_step { &groups } else { &groups[..1] },
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &self.shader_module(kernel, checked),
            entry_point: Some(kernel.entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel of the crate writes its workgroup memory before it reads it. (To fill a large one, GL compiles
                // a constant of as many numbers, for minutes.)
                zero_initialize_workgroup_memory: !kernel.own,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    #[expect(unsafe_code, reason = "wgpu leaves out the checks only in an unsafe call")]
    fn shader_module(&self, kernel: &Kernel, checked: bool) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(kernel.wgsl.into()),
        };
        if checked {
            return self.device.create_shader_module(descriptor);
        }
        // SAFETY: such dispatches come from `ops` alone, which binds tensors of checked shapes; every kernel guards its indices by those
        // shapes, and every loop ends; tests run each kernel with and without the checks, between guard rows.
        unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, KERNELS, Recording, Tensor, ops};

    #[test]
    fn only_what_ops_dispatches_runs_without_checks() {
        let device = Device::cpu();
        let x = Tensor::zeros(&device, 1, 4).unwrap();
        let mut recording = Recording::new(&device);
        ops::fill::fill(&mut recording, 1.0, &x).unwrap();
        let fill = KERNELS.iter().find(|kernel| kernel.name == "fill.fill").unwrap();
        recording.dispatch(fill, [1, 1], [u32::MAX, 0], &[], &[&x], 4).unwrap();
        let mut copy = Recording::new(&device);
        copy.append(&recording).unwrap();
        let rebound = recording.rebound(&[(&x, &Tensor::zeros(&device, 1, 4).unwrap())]).unwrap();
        for recording in [&recording, &copy, &rebound] {
            let trusted: Vec<_> = recording.dispatches().iter().map(|dispatch| dispatch.trusted).collect();
            assert_eq!(trusted, [true, false]);
        }
    }
}
