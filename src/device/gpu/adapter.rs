//! Which adapter: enumeration, preference, names, limits.

use wgpu::{Backend, Backends, DeviceType};

use crate::device::DeviceInfo;
use crate::device::tensor::MAX_ELEMENTS;
use crate::error::{Error, ErrorKind, Result};

/// GL is asked only when it is named or nothing else was found: enumerating it is slow, and prints on headless machines.
const PRIMARY: Backends = Backends::PRIMARY;

fn adapters(backends: Backends) -> Vec<(wgpu::Adapter, DeviceInfo)> {
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .filter(|adapter| {
            let flags = adapter.get_downlevel_capabilities().flags;
            flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        })
        .map(|adapter| {
            let info = describe(&adapter.get_info(), &adapter.limits());
            (adapter, info)
        })
        .collect();
    // A stable sort: within a kind, the system's order.
    adapters.sort_by_key(|(_, info)| rank(info.kind));
    adapters
}

fn rank(kind: &str) -> usize {
    ["discrete", "integrated", "virtual", "other", "software"].iter().position(|k| *k == kind).unwrap_or(usize::MAX)
}

fn describe(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> DeviceInfo {
    let driver = format!("{} {}", info.driver, info.driver_info);
    DeviceInfo {
        name: info.name.clone(),
        kind: match info.device_type {
            DeviceType::DiscreteGpu => "discrete",
            DeviceType::IntegratedGpu => "integrated",
            DeviceType::VirtualGpu => "virtual",
            DeviceType::Cpu => "software",
            // Mesa's software drivers don't always say what they are.
            DeviceType::Other if is_software(&info.name) => "software",
            DeviceType::Other => "other",
        },
        backend: match info.backend {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
            Backend::BrowserWebGpu => "webgpu",
            Backend::Noop => "noop",
        },
        driver: if driver.trim().is_empty() { "unnamed driver".into() } else { driver.trim().into() },
        max_tensor_bytes: max_tensor_bytes(limits),
        workgroup_memory: limits.max_compute_workgroup_storage_size,
    }
}

fn is_software(name: &str) -> bool {
    let name = name.to_lowercase();
    ["llvmpipe", "softpipe", "swiftshader", "basic render"].iter().any(|s| name.contains(s))
}

/// What the adapter and the kernels take.
fn max_tensor_bytes(limits: &wgpu::Limits) -> u64 {
    let binding = limits.max_storage_buffer_binding_size;
    binding.min(limits.max_buffer_size).min(MAX_ELEMENTS as u64 * 4)
}

pub(crate) fn has_hardware() -> bool {
    adapters(PRIMARY).iter().any(|(_, info)| info.kind != "software")
}

pub(crate) fn list() -> Vec<DeviceInfo> {
    adapters(Backends::all()).into_iter().map(|(_, info)| info).collect()
}

/// The adapter that a name stands for: see [`crate::Device::named`].
pub(super) fn find(name: &str) -> Result<(wgpu::Adapter, DeviceInfo)> {
    let wanted = name.to_lowercase();
    let fits = |info: &DeviceInfo| {
        wanted == info.backend
            || matches!(wanted.as_str(), "gpu" | "auto" | "")
            || info.name.to_lowercase().contains(&wanted)
    };
    let find = |backends| adapters(backends).into_iter().find(|(_, info)| fits(info));
    let found = match wanted.as_str() {
        "gl" => find(Backends::GL),
        "vulkan" => find(Backends::VULKAN),
        "metal" => find(Backends::METAL),
        "dx12" => find(Backends::DX12),
        _ => find(PRIMARY).or_else(|| find(Backends::GL)),
    };
    found.ok_or_else(|| {
        let present: Vec<_> = crate::Device::list().iter().map(|d| format!("{} ({})", d.name, d.backend)).collect();
        let hint = if present.len() > 1 {
            ""
        } else {
            "; a software GPU driver is one package away (Debian: apt-get install mesa-vulkan-drivers)"
        };
        Error::new(
            ErrorKind::NoDevice,
            "device",
            format!("no adapter or backend is called '{name}'; present: {}{hint}", present.join(", ")),
        )
    })
}

/// Opens the adapter with WebGPU's default limits, or its own where those are lower, and the largest buffers it has.
pub(super) fn request_device(
    adapter: &wgpu::Adapter,
    info: DeviceInfo,
    default_limits: bool,
) -> Result<(wgpu::Device, wgpu::Queue, DeviceInfo)> {
    let available = adapter.limits();
    let mut limits = wgpu::Limits::default().or_worse_values_from(&available);
    if !default_limits {
        limits.max_buffer_size = available.max_buffer_size;
        limits.max_storage_buffer_binding_size = available.max_storage_buffer_binding_size;
    }
    let opened = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_limits: limits.clone(),
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    }));
    let (device, queue) = opened.map_err(|error| {
        Error::new(
            ErrorKind::NoDevice,
            "device",
            format!("{} ({}) can't be opened: {error}; name another, or use Device::cpu()", info.name, info.backend),
        )
    })?;
    let info = DeviceInfo {
        max_tensor_bytes: max_tensor_bytes(&limits),
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        ..info
    };
    Ok((device, queue, info))
}
