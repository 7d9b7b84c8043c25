//! Which of the available devices a name refers to.

use crate::device::{Backend, DeviceInfo};

/// The words of a device name that are not part of an adapter's name, as error messages list them.
pub(crate) const WORDS: &str = "auto, cpu, gpu, vulkan, metal, dx12, gl, a number of the list";

/// A name normalised for comparison: trimmed, in lower case.
pub(crate) fn normal(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The backend whose word this is.
#[cfg(feature = "gpu")]
pub(crate) fn backend(wanted: &str) -> Option<Backend> {
    [Backend::Vulkan, Backend::Metal, Backend::Dx12, Backend::Gl, Backend::WebGpu]
        .into_iter()
        .find(|backend| backend.to_string() == wanted)
}

/// The place in the list of all devices that a name (see [`normal`]) stands for: its number; the line that is printed
/// for it, with its number or without; its name; or a part of its name, if that is more than a number.
pub(crate) fn find(wanted: &str, present: &[DeviceInfo]) -> Option<usize> {
    if let Ok(number) = wanted.parse::<usize>() {
        return (number < present.len()).then_some(number);
    }
    let place = |fits: &dyn Fn(usize, &DeviceInfo) -> bool| {
        present.iter().enumerate().find(|(i, info)| fits(*i, info)).map(|(i, _)| i)
    };
    let is_number = wanted.chars().all(|c| c.is_ascii_digit() || c == '.');
    place(&|i, info| numbered(i, info).to_lowercase() == wanted)
        .or_else(|| place(&|_, info| info.to_string().to_lowercase() == wanted))
        .or_else(|| place(&|_, info| info.name.to_lowercase() == wanted))
        .or_else(|| {
            place(&|_, info| !is_number && info.backend != Backend::Cpu && info.name.to_lowercase().contains(wanted))
        })
}

/// A device's line in the list of all.
pub(crate) fn numbered(number: usize, info: &DeviceInfo) -> String {
    format!("{number}: {info}")
}

/// The devices present, as messages list them.
pub(crate) fn list(present: &[DeviceInfo]) -> String {
    let names = present.iter().enumerate().map(|(i, info)| match info.backend {
        Backend::Cpu => format!("{i}: cpu"),
        backend => format!("{i}: {} ({backend})", info.name),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{find, list, normal};
    use crate::{Backend, Capabilities, Device, DeviceInfo, DeviceKind};

    fn adapter(name: &str, kind: DeviceKind, backend: Backend) -> DeviceInfo {
        let capabilities = Capabilities::of(kind, backend);
        DeviceInfo { name: name.into(), kind, backend, driver: "driver 1.0".into(), capabilities }
    }

    fn present() -> Vec<DeviceInfo> {
        vec![
            adapter("NVIDIA GeForce RTX 2070", DeviceKind::Discrete, Backend::Vulkan),
            adapter("NVIDIA GeForce RTX 2070", DeviceKind::Discrete, Backend::Vulkan),
            adapter("NVIDIA GeForce RTX 2070 SUPER", DeviceKind::Discrete, Backend::Vulkan),
            adapter("llvmpipe (LLVM 15.0.6, 256 bits)", DeviceKind::Software, Backend::Vulkan),
            Device::cpu().describe(),
        ]
    }

    #[test]
    fn a_device_is_found_by_number_line_name_or_part() {
        let present = present();
        let found = |name: &str| find(&normal(name), &present);
        // Two equal cards have two numbers; a number is never taken for a part of a name or of a version.
        assert_eq!((found("0"), found("1"), found(" 4 ")), (Some(0), Some(1), Some(4)));
        assert_eq!((found("5"), found("15"), found("15.0.6"), found("2070")), (None, None, None, None));
        assert_eq!((found("nvidia"), found(" LLVMpipe\n"), found("super")), (Some(0), Some(3), Some(2)));
        assert_eq!(found("NVIDIA GeForce RTX 2070 SUPER"), Some(2));
        for (i, info) in present.iter().enumerate() {
            // Of two that print the same, the first.
            let first = if i == 1 { 0 } else { i };
            assert_eq!(found(&info.to_string()), Some(first));
            assert_eq!(found(&info.name), Some(first));
            assert_eq!(found(&format!("{i}: {info}")), Some(i));
        }
        assert_eq!((found("voodoo2"), found("1: nvidia")), (None, None));
        assert!(list(&present).starts_with("0: NVIDIA GeForce RTX 2070 (vulkan), 1: "), "{}", list(&present));
        assert!(list(&present).ends_with(", 4: cpu"));
    }
}
