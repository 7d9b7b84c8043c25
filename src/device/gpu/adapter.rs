//! Which adapter: enumeration, preference, limits.

use std::sync::Once;

use wgpu::{Backends, DeviceType};

use crate::device::tensor::MAX_ELEMENTS;
use crate::device::{Backend, Capabilities, Device, DeviceInfo, DeviceKind, names};
use crate::error::{Error, ErrorKind, Result};

/// GL is tried only when it is named or nothing else was found: enumerating it is slow, and prints on headless
/// machines.
const PRIMARY: Backends = Backends::PRIMARY;

/// An adapter that was found, not opened yet.
pub(crate) struct Found {
    adapter: wgpu::Adapter,
    info: DeviceInfo,
}

async fn adapters(backends: Backends) -> Vec<Found> {
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters: Vec<_> = instance
        .enumerate_adapters(backends)
        .await
        .into_iter()
        .filter(|adapter| {
            let flags = adapter.get_downlevel_capabilities().flags;
            flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        })
        .map(|adapter| Found { info: describe(&adapter.get_info(), &adapter.limits()), adapter })
        .collect();
    // A stable sort: within a kind, the system's order.
    adapters.sort_by_key(|found| rank(found.info.kind));
    adapters
}

/// The adapters that have a place in the list of devices.
async fn present() -> Vec<Found> {
    let primary = adapters(PRIMARY).await;
    if primary.is_empty() { adapters(Backends::GL).await } else { primary }
}

fn rank(kind: DeviceKind) -> u8 {
    match kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Virtual => 2,
        DeviceKind::Other => 3,
        DeviceKind::Software | DeviceKind::Cpu => 4,
    }
}

fn describe(info: &wgpu::AdapterInfo, limits: &wgpu::Limits) -> DeviceInfo {
    let driver = format!("{} {}", info.driver, info.driver_info);
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => DeviceKind::Discrete,
        DeviceType::IntegratedGpu => DeviceKind::Integrated,
        DeviceType::VirtualGpu => DeviceKind::Virtual,
        DeviceType::Cpu => DeviceKind::Software,
        // Mesa's software drivers don't always say what they are.
        DeviceType::Other if is_software(&info.name) => DeviceKind::Software,
        DeviceType::Other => DeviceKind::Other,
    };
    let backend = match info.backend {
        wgpu::Backend::Vulkan => Backend::Vulkan,
        wgpu::Backend::Metal => Backend::Metal,
        wgpu::Backend::Dx12 => Backend::Dx12,
        wgpu::Backend::Gl => Backend::Gl,
        wgpu::Backend::BrowserWebGpu => Backend::WebGpu,
        wgpu::Backend::Noop => Backend::Noop,
    };
    DeviceInfo {
        name: info.name.clone(),
        kind,
        backend,
        driver: if driver.trim().is_empty() { "unnamed driver".into() } else { driver.trim().into() },
        capabilities: capabilities(&info.name, kind, backend, limits),
    }
}

fn is_software(name: &str) -> bool {
    let name = name.to_lowercase();
    ["llvmpipe", "softpipe", "swiftshader", "basic render"].iter().any(|s| name.contains(s))
}

fn capabilities(name: &str, kind: DeviceKind, backend: Backend, limits: &wgpu::Limits) -> Capabilities {
    let binding = limits.max_storage_buffer_binding_size;
    Capabilities {
        // What the adapter and the kernels take.
        max_tensor_bytes: binding.min(limits.max_buffer_size).min(MAX_ELEMENTS as u64 * 4),
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        compiles_long_kernels: kind.is_hardware() || name.to_lowercase().contains("llvmpipe"),
        ..Capabilities::of(kind, backend)
    }
}

/// The hardware adapter to take when none is named.
pub(crate) async fn best() -> Option<Found> {
    adapters(PRIMARY).await.into_iter().find(|found| found.info.kind.is_hardware())
}

pub(crate) async fn list() -> Vec<DeviceInfo> {
    present().await.into_iter().map(|found| found.info).collect()
}

/// The adapter that a name (see [`names::normal`]) stands for, `None` for the CPU path; else the devices present.
pub(crate) async fn find(wanted: &str) -> Result<Option<Found>, Vec<DeviceInfo>> {
    let named = match names::backend(wanted) {
        Some(Backend::Vulkan) => Some(Backends::VULKAN),
        Some(Backend::Metal) => Some(Backends::METAL),
        Some(Backend::Dx12) => Some(Backends::DX12),
        Some(Backend::Gl) => Some(Backends::GL),
        Some(Backend::WebGpu) => Some(Backends::BROWSER_WEBGPU),
        _ => None,
    };
    let first = |found: Vec<Found>| found.into_iter().next();
    if let Some(backends) = named
        && let Some(found) = first(adapters(backends).await)
    {
        return Ok(Some(found));
    }
    let present = present().await;
    let mut infos: Vec<_> = present.iter().map(|found| found.info.clone()).collect();
    if wanted == "gpu" {
        return first(present).map(Some).ok_or_else(|| vec![Device::cpu().describe()]);
    }
    let gpus = infos.len();
    infos.push(Device::cpu().describe());
    match names::find(wanted, &infos) {
        Some(place) if place < gpus => return Ok(present.into_iter().nth(place)),
        Some(_) => return Ok(None),
        None => {}
    }
    // A number is a place in the list, in which no GL adapter is where there are others.
    if wanted.parse::<usize>().is_err() {
        let gl = adapters(Backends::GL).await;
        let infos: Vec<_> = gl.iter().map(|found| found.info.clone()).collect();
        if let Some(place) = names::find(wanted, &infos) {
            return Ok(gl.into_iter().nth(place));
        }
    }
    Err(infos)
}

/// wgpu's own variables have no effect here; warn if one is set.
fn warn_of_variables() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let set = ["WGPU_BACKEND", "WGPU_ADAPTER_NAME", "WGPU_POWER_PREF"].into_iter();
        for variable in set.filter(|variable| std::env::var_os(variable).is_some()) {
            log::warn!("{variable} is set, but wgrad ignores it: it uses the name it is given, or WGRAD_DEVICE");
        }
    });
}

/// Opens the adapter with WebGPU's default limits, or its own where those are lower; unless the options say otherwise,
/// with the largest buffers and all the workgroup memory that it has.
pub(super) async fn request_device(
    Found { adapter, info }: Found,
    default_limits: bool,
) -> Result<(wgpu::Device, wgpu::Queue, DeviceInfo)> {
    warn_of_variables();
    let available = adapter.limits();
    let mut limits = wgpu::Limits::default().or_worse_values_from(&available);
    if !default_limits {
        limits.max_buffer_size = available.max_buffer_size;
        limits.max_storage_buffer_binding_size = available.max_storage_buffer_binding_size;
        limits.max_compute_workgroup_storage_size = available.max_compute_workgroup_storage_size;
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_limits: limits.clone(),
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
        Error::new(
            ErrorKind::NoDevice,
            "device",
            format!("{} ({}) can't be opened: {error}; name another, or use Device::cpu()", info.name, info.backend),
        )
    })?;
    let capabilities = capabilities(&info.name, info.kind, info.backend, &limits);
    let info = DeviceInfo { capabilities, ..info };
    Ok((device, queue, info))
}

#[cfg(test)]
mod tests {
    use super::describe;
    use crate::DeviceKind;

    #[test]
    fn a_browsers_hardware_is_not_taken_for_a_software_driver() {
        let limits = wgpu::Limits::default();
        let about = |kind, backend, name: &str| {
            let info = wgpu::AdapterInfo { name: name.into(), ..wgpu::AdapterInfo::new(kind, backend) };
            describe(&info, &limits)
        };
        let hardware = about(wgpu::DeviceType::Other, wgpu::Backend::BrowserWebGpu, "nvidia ampere");
        assert!(hardware.kind.is_hardware() && hardware.capabilities.fast_workgroup_memory);
        assert!(hardware.capabilities.work_per_microsecond > 10_000.0, "{hardware:?}");
        let fallback = about(wgpu::DeviceType::Cpu, wgpu::Backend::BrowserWebGpu, "google swiftshader");
        assert_eq!(fallback.kind, DeviceKind::Software);
        assert!(!fallback.capabilities.fast_workgroup_memory && !fallback.capabilities.compiles_long_kernels);
        let silent = about(wgpu::DeviceType::Other, wgpu::Backend::Gl, "llvmpipe (LLVM 15.0.6, 256 bits)");
        assert_eq!(silent.kind, DeviceKind::Software);
        assert!(silent.capabilities.compiles_long_kernels);
    }
}
