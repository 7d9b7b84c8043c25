//! Information about a device: its kind, backend, capabilities, and counters of its work.

use std::fmt;

use crate::device::cut::are_chunked;

/// What sort of device an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with dedicated memory.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A virtual GPU, in a virtual machine.
    Virtual,
    /// A GPU whose driver does not say what it is; in a browser every hardware GPU.
    Other,
    /// A GPU driver that runs on the CPU (llvmpipe, SwiftShader, WARP).
    Software,
    /// wgrad's own CPU path, without any driver.
    Cpu,
}

impl DeviceKind {
    /// Whether it is a real GPU, which [`Device::auto`](crate::Device::auto) picks by itself.
    pub fn is_hardware(self) -> bool {
        !matches!(self, Self::Software | Self::Cpu)
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
            Self::Cpu => "cpu",
        })
    }
}

/// The interface through which a device is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal, on Apple's systems.
    Metal,
    /// Direct3D 12, on Windows.
    Dx12,
    /// OpenGL or OpenGL ES.
    Gl,
    /// A browser's WebGPU.
    WebGpu,
    /// wgpu's backend that does nothing.
    Noop,
    /// wgrad's own CPU path.
    Cpu,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::Gl => "gl",
            Self::WebGpu => "webgpu",
            Self::Noop => "noop",
            Self::Cpu => "cpu",
        })
    }
}

/// What differs between devices and matters to the choice of kernels and to the length of a submit.
///
/// Nothing is measured: the same adapter gives the same values in every run, and so the same kernels and the same bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The largest matrix it takes, in bytes.
    pub max_tensor_bytes: u64,
    /// Workgroup memory in bytes; 0 on the CPU path.
    pub workgroup_memory: u32,
    /// Whether tiles in workgroup memory are faster than loads from buffers. Not on software drivers, where both are the
    /// same memory and a barrier is dear. The CPU path records what hardware would.
    pub fast_workgroup_memory: bool,
    /// Whether its compiler copes with long unrolled kernels: of software drivers llvmpipe's does, in two seconds.
    /// SwiftShader's takes minutes and gigabytes.
    pub compiles_long_kernels: bool,
    /// The number of workgroups that keeps it busy; 1 on the CPU path, which shares out rows instead.
    pub busy_workgroups: usize,
    /// The overhead of a dispatch in microseconds; like the next field a pessimistic estimate, to a factor of a few.
    pub dispatch_microseconds: f64,
    /// Multiplications and additions per microsecond.
    pub work_per_microsecond: f64,
}

impl Capabilities {
    /// What is assumed of a kind of device that has WebGPU's default limits.
    pub(crate) fn of(kind: DeviceKind, backend: Backend) -> Self {
        let (busy_workgroups, dispatch_microseconds, work_per_microsecond) = match (kind, backend) {
            (DeviceKind::Discrete, _) => (256, 3.0, 500_000.0),
            // Browsers don't say what their GPU is, but do say when it is a software one.
            (DeviceKind::Integrated, _) | (DeviceKind::Other, Backend::WebGpu) => (256, 6.0, 50_000.0),
            (DeviceKind::Virtual | DeviceKind::Other, _) => (256, 30.0, 1_000.0),
            // A workgroup at a time to each core.
            (DeviceKind::Software, _) => (16, 30.0, 1_000.0),
            (DeviceKind::Cpu, _) => (1, 0.1, 1_000.0),
        };
        Self {
            max_tensor_bytes: 128 << 20,
            workgroup_memory: 16 << 10,
            fast_workgroup_memory: kind != DeviceKind::Software,
            compiles_long_kernels: kind != DeviceKind::Software,
            busy_workgroups,
            dispatch_microseconds,
            work_per_microsecond,
        }
    }

    /// The workgroups that its speed is given for: those that keep it busy; of a software driver one, which has a core.
    pub(crate) fn workgroups_at_once(&self) -> usize {
        if self.fast_workgroup_memory { self.busy_workgroups } else { 1 }
    }

    /// Whether so many rows are worked on in chunks, and sums over them made of the chunks' sums: on the CPU path, whose threads
    /// share the chunks.
    pub(crate) fn takes_chunks_of(&self, rows: usize) -> bool {
        self.busy_workgroups == 1 && are_chunked(rows)
    }
}

/// What is known about a device, as [`Device::list`](crate::Device::list) and
/// [`Device::describe`](crate::Device::describe) give it. Printed, it is a line that
/// [`Device::named`](crate::Device::named) takes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The adapter's name, as its driver gives it; `cpu` for the CPU path.
    pub name: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
    /// The interface through which it is driven.
    pub backend: Backend,
    /// The driver's name and version.
    pub driver: String,
    /// Its limits and its speed.
    pub capabilities: Capabilities,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == DeviceKind::Cpu {
            return write!(f, "cpu ({})", self.driver);
        }
        write!(
            f,
            "{} ({}, {}, {}; matrices to {} MiB, workgroup memory {} KiB)",
            self.name,
            self.kind,
            self.backend,
            self.driver,
            self.capabilities.max_tensor_bytes >> 20,
            self.capabilities.workgroup_memory >> 10
        )
    }
}

/// Counters of a device's work since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Kernels dispatched.
    pub dispatches: u64,
    /// Submits: of dispatches (one for each run on the CPU), of copies for a read, of large uploads.
    pub submits: u64,
    /// Reads of results.
    pub reads: u64,
    /// Values uploaded from the host.
    pub uploads: u64,
}
