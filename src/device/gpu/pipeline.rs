//! Kernels made ready to run: shader modules and pipelines.

use super::{Gpu, layout_entry};
use crate::device::kernel::Kernel;
use crate::device::recording::Dispatch;
use crate::error::{Error, Result};

#[derive(Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// The launch's pipeline, compiled at its first use.
    pub(super) fn pipeline(&self, dispatch: &Dispatch) -> Result<Pipeline> {
        let kernel = dispatch.kernel;
        let constants = (kernel.constants)(&dispatch.params);
        let key = (std::ptr::from_ref(kernel).addr(), constants.iter().map(|(_, value)| value.to_bits()).collect());
        if let Some(pipeline) = self.state().pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let pipeline = self.compile(kernel, &constants);
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::input(kernel.name, format!("the kernel does not compile: {error}")));
        }
        self.state().pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, kernel: &'static Kernel, constants: &[(&str, f64)]) -> Pipeline {
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
            module: &self.shader_module(kernel),
            entry_point: Some(kernel.entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: self.checked_shaders || !kernel.own,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    #[expect(unsafe_code, reason = "wgpu leaves out the checks only in an unsafe call")]
    fn shader_module(&self, kernel: &Kernel) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(kernel.wgsl.into()),
        };
        if self.checked_shaders || !kernel.own {
            return self.device.create_shader_module(descriptor);
        }
        // SAFETY: the launchers in `ops` bind tensors of checked shapes, every kernel guards its indices by those
        // shapes, and every loop ends; tests run each kernel with and without the checks, between guard rows.
        unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    }
}
