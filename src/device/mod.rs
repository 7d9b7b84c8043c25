//! The device: the one seam between the GPU and the CPU path. Nothing above this file knows which it runs on.

mod buffer;
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
pub(crate) mod kernel;
mod recording;
mod tensor;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
pub use buffer::PendingRead;
use buffer::{Buffer, Storage};
use cpu::Cpu;
#[cfg(feature = "gpu")]
use gpu::Gpu;
pub use kernel::{Call, Constants, Field, Kernel, MAX_INPUTS, MAX_OUTPUTS};
pub(crate) use kernel::{Shader, kernel, params, shader};
pub(crate) use recording::MAX_WORKGROUPS;
pub use recording::{Dispatch, Recording};
pub use tensor::Tensor;
pub(crate) use tensor::{ALIGNMENT, MAX_ELEMENTS};

/// Where tensors live and kernels run: a GPU adapter, or the CPU.
///
/// A device is a handle: clones are the same device. Tensors of different devices don't mix.
///
/// ```
/// use wgrad::Device;
///
/// let device = Device::cpu();
/// assert_eq!(device.name(), "cpu");
/// println!("{}", device.describe());
/// ```
#[derive(Clone)]
pub struct Device(Arc<Backend>);

/// What a device is.
pub(crate) enum Backend {
    Cpu(Cpu),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

/// The most steps of one run: a GPU keeps their numbers in a table of 256 bytes each.
const MAX_STEPS: u32 = 1 << 20;

/// The words of a device name that are not part of an adapter's name, as error messages list them.
const WORDS: &str = "auto, cpu, gpu, vulkan, metal, dx12, gl";

/// What is known about a device, as [`Device::list`] and [`Device::describe`] give it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The adapter's name, as its driver gives it; `cpu` for the CPU path.
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software` (a GPU driver that runs on the CPU), `other`, or `cpu`.
    pub kind: &'static str,
    /// `vulkan`, `metal`, `dx12`, `gl`, `webgpu`, or `cpu`.
    pub backend: &'static str,
    /// The driver's name and version.
    pub driver: String,
    /// The largest matrix it takes, in bytes.
    pub max_tensor_bytes: u64,
    /// Workgroup memory in bytes; 0 on the CPU.
    pub workgroup_memory: u32,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == "cpu" {
            return write!(f, "cpu ({})", self.driver);
        }
        write!(
            f,
            "{} ({}, {}, {}; matrices to {} MiB, workgroup memory {} KiB)",
            self.name,
            self.kind,
            self.backend,
            self.driver,
            self.max_tensor_bytes >> 20,
            self.workgroup_memory >> 10
        )
    }
}

/// How to open a device, where [`Device::named`] is not enough.
///
/// ```
/// use wgrad::DeviceOptions;
///
/// let device = DeviceOptions::new("cpu").checked_shaders(true).open()?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    pub(crate) name: String,
    pub(crate) checked_shaders: bool,
    pub(crate) default_limits: bool,
}

impl DeviceOptions {
    /// Options for the device of this name: the words of [`Device::named`].
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), checked_shaders: false, default_limits: false }
    }

    /// Keep bounds checks and loop bounds in wgrad's own kernels (off: shapes are checked before a launch, and the
    /// checks cost up to half the speed). For tests, and for drivers that are in doubt.
    pub fn checked_shaders(mut self, checked: bool) -> Self {
        self.checked_shaders = checked;
        self
    }

    /// Use no more than WebGPU's default limits (128 MiB a matrix), as a browser would.
    pub fn default_limits(mut self, only: bool) -> Self {
        self.default_limits = only;
        self
    }

    /// Opens the device.
    ///
    /// # Errors
    /// See [`Device::named`].
    pub fn open(&self) -> Result<Device> {
        match self.name.to_lowercase().as_str() {
            "auto" | "" => self.open_best(),
            "cpu" => Ok(Device::cpu()),
            _ => self.open_gpu(),
        }
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(&self) -> Result<Device> {
        Ok(Device(Arc::new(Backend::Gpu(Box::new(Gpu::open(self)?)))))
    }

    #[cfg(not(feature = "gpu"))]
    fn open_gpu(&self) -> Result<Device> {
        Err(Error::new(
            ErrorKind::NoDevice,
            "device",
            format!("'{}' needs a GPU, and wgrad was built without its feature 'gpu'; present: cpu", self.name),
        ))
    }

    fn open_best(&self) -> Result<Device> {
        #[cfg(feature = "gpu")]
        if gpu::has_hardware() {
            return self.open_gpu();
        }
        log::warn!(
            "no hardware GPU found, so this runs on the CPU (a software GPU can be named: {WORDS}, or its name)"
        );
        Ok(Device::cpu())
    }
}

impl Device {
    /// The device that `WGRAD_DEVICE` names (the words of [`Device::named`]); else the best hardware adapter:
    /// discrete before integrated before virtual; else the CPU, with a warning through the `log` crate.
    ///
    /// A software adapter (llvmpipe, SwiftShader, WARP) is never taken unless named.
    ///
    /// # Errors
    /// `WGRAD_DEVICE` names no device, or the adapter can't be opened.
    pub fn auto() -> Result<Self> {
        let name = std::env::var("WGRAD_DEVICE").unwrap_or_else(|_| "auto".into());
        DeviceOptions::new(name).open()
    }

    /// The CPU path. It multiplies large matrices on up to eight cores; the environment's `WGRAD_THREADS` sets another
    /// number. The bits depend neither on it nor on the processor's vector instructions, as long as it has fused
    /// multiplication and addition (x86-64 since 2013, AArch64).
    pub fn cpu() -> Self {
        Self(Arc::new(Backend::Cpu(Cpu::new())))
    }

    /// The best GPU adapter there is, hardware first, a software adapter otherwise.
    ///
    /// # Errors
    /// No adapter at all.
    pub fn gpu() -> Result<Self> {
        Self::named("gpu")
    }

    /// The device of this name: `auto`, `cpu`, `gpu`, a backend (`vulkan`, `metal`, `dx12`, `gl`), or a part of an
    /// adapter's name (`nvidia`, `llvmpipe`), in any case.
    ///
    /// ```
    /// let error = wgrad::Device::named("voodoo2").unwrap_err();
    /// assert!(error.to_string().contains("present: "));
    /// ```
    ///
    /// # Errors
    /// No such device: the message lists those present.
    pub fn named(name: &str) -> Result<Self> {
        DeviceOptions::new(name).open()
    }

    /// All devices present, in the order in which [`Device::auto`] prefers them, the CPU path last.
    pub fn list() -> Vec<DeviceInfo> {
        #[cfg(feature = "gpu")]
        let gpus = gpu::list();
        #[cfg(not(feature = "gpu"))]
        let gpus = Vec::new();
        gpus.into_iter().chain([Cpu::info()]).collect()
    }

    /// The adapter's name, `cpu` for the CPU path.
    pub fn name(&self) -> &str {
        match &*self.0 {
            Backend::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => &gpu.info().name,
        }
    }

    /// Name, type, backend, driver, and the limits that matter.
    pub fn describe(&self) -> DeviceInfo {
        match &*self.0 {
            Backend::Cpu(_) => Cpu::info(),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.info().clone(),
        }
    }

    /// [`DeviceInfo::kind`].
    pub(crate) fn kind(&self) -> &'static str {
        match &*self.0 {
            Backend::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.info().kind,
        }
    }

    /// Waits until everything run so far is done.
    ///
    /// # Errors
    /// A lost device, or an error it reported since the last call.
    pub fn wait(&self) -> Result<()> {
        match &*self.0 {
            Backend::Cpu(_) => Ok(()),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.wait(),
        }
    }

    /// What this device was asked to do since it was opened: launches, submits, reads, uploads. Tests of the schedule
    /// count them.
    pub fn counters(&self) -> Counters {
        match &*self.0 {
            Backend::Cpu(cpu) => cpu.counters(),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.counters(),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.0
    }

    pub(crate) fn allocate(&self, len: usize) -> Result<Arc<Buffer>> {
        let storage = match &*self.0 {
            Backend::Cpu(cpu) => Storage::Cpu(cpu.allocate(len)?),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => Storage::Gpu(gpu.allocate(len)?),
        };
        Ok(Arc::new(Buffer::new(self, storage)))
    }

    pub(crate) fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        if steps.end > MAX_STEPS {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "run",
                format!("steps up to {}; one run takes them up to {MAX_STEPS}: use larger batches", steps.end),
            ));
        }
        match &*self.0 {
            Backend::Cpu(cpu) => cpu.run(recording, steps),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.run(recording, steps),
        }
    }
}

/// Two handles are equal when they are the same opened device.
impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.describe())
    }
}

/// What a device was asked to do since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Kernel launches.
    pub launches: u64,
    /// Command buffers handed to the driver (one for each run on the CPU).
    pub submits: u64,
    /// Results asked for.
    pub reads: u64,
    /// Values uploaded from the host.
    pub uploads: u64,
}
