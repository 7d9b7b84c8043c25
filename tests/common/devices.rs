//! Which devices the tests run on: the CPU path, and every GPU adapter of the machine.
//!
//! Adapters are those of `Device::list()` and the one that `gl` opens (a second one of the same name and backend is left
//! out). Each is opened twice: with the checks that wgrad leaves out of its shaders, and without. `tests/swiftshader` adds
//! a second Vulkan driver.
//!
//! A machine without any adapter fails the GPU tests and says what to install. To go without GPU tests, say so:
//! `RUSTFLAGS="--cfg skip_gpu_tests" cargo test` lists them as ignored, as does `--no-default-features`.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use wgrad::{Device, DeviceInfo, DeviceKind, DeviceOptions, Error};

/// An opened adapter.
pub(crate) struct Gpu {
    /// The adapter, its backend and the shader mode, for messages.
    pub(crate) label: String,
    pub(crate) device: Device,
    pub(crate) checked_shaders: bool,
}

/// Every adapter, with unchecked and with checked shaders, opened once in a process.
pub(crate) fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    take_turn();
    GPUS.get_or_init(open_all)
}

/// Tests that use GPUs take turns, until their threads end: wgpu's GL backend panics when a thread waits some seconds for
/// another, and on a busy machine a software driver compiles a large kernel for longer.
fn take_turn() {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local! {
        static MINE: MutexGuard<'static, ()> = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    }
    MINE.with(|_| ());
}

/// The CPU path, and every adapter with the shaders that programs get.
pub(crate) fn cpu_and_gpus() -> Vec<(String, Device)> {
    let mut devices = vec![("cpu".to_string(), Device::cpu())];
    devices.extend(gpus().iter().filter(|gpu| !gpu.checked_shaders).map(|gpu| (gpu.label.clone(), gpu.device.clone())));
    devices
}

fn open_all() -> Vec<Gpu> {
    let mut gpus: Vec<Gpu> = Vec::new();
    let mut seen = Vec::new();
    for (name, info) in adapters() {
        let key = (info.name.clone(), info.backend);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        for checked_shaders in [false, true] {
            let device = DeviceOptions::new(&name).checked_shaders(checked_shaders).open();
            let device = device.unwrap_or_else(|error| panic!("{info} is listed but not opened: {error}"));
            let opened = device.describe();
            assert_eq!((&opened.name, opened.backend), (&info.name, info.backend), "'{name}' opened another adapter");
            let mode = if checked_shaders { "checked" } else { "unchecked" };
            gpus.push(Gpu { label: format!("{} ({}, {mode})", info.name, info.backend), device, checked_shaders });
        }
    }
    assert!(
        !gpus.is_empty(),
        "no GPU adapter: install a driver, a software one is enough (Debian, Ubuntu: sudo apt-get install \
         mesa-vulkan-drivers), or skip the GPU tests with RUSTFLAGS=\"--cfg skip_gpu_tests\""
    );
    gpus
}

/// Every adapter, with a name that opens it. GL has no place in the list where there are others.
fn adapters() -> Vec<(String, DeviceInfo)> {
    let listed = Device::list().into_iter().enumerate().map(|(number, info)| (number.to_string(), info));
    let gl = Device::named("gl").ok().map(|device| ("gl".to_string(), device.describe()));
    listed.filter(|(_, info)| info.kind != DeviceKind::Cpu).chain(gl).collect()
}

/// The adapter of a device, opened once more with other options.
pub(crate) fn opened_anew(
    device: &Device,
    options: impl FnOnce(DeviceOptions) -> DeviceOptions,
) -> Result<Device, Error> {
    let info = device.describe();
    let place = Device::list().iter().position(|other| (&other.name, other.backend) == (&info.name, info.backend));
    let name = place.map_or_else(|| info.backend.to_string(), |number| number.to_string());
    options(DeviceOptions::new(name)).open()
}

/// The devices of a test: labelled, opened.
pub(crate) type Devices = [(String, Device)];

/// Makes two tests of each function that takes [`Devices`]: one on the CPU path, and one on every GPU with the shaders
/// that programs get.
#[allow(unused_macros, reason = "each test file uses its own part")]
macro_rules! on_every_device {
    ($($test:ident),+ $(,)?) => {
        mod cpu {
            $(
                #[test]
                fn $test() {
                    super::$test(&[("cpu".to_string(), wgrad::Device::cpu())]);
                }
            )+
        }

        mod gpu {
            $(
                #[test]
                #[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
                fn $test() {
                    super::$test(&crate::common::cpu_and_gpus()[1..]);
                }
            )+
        }
    };
}
pub(crate) use on_every_device;
