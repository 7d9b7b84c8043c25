//! The device: the abstraction over the GPU and the CPU path. Nothing above this file knows which it runs on.

mod buffer;
mod cpu;
mod cut;
mod fair;
#[cfg(feature = "gpu")]
mod gpu;
mod info;
pub(crate) mod kernel;
mod lanes;
mod names;
mod options;
mod read;
mod recording;
mod set;
mod stages;
mod tensor;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use buffer::{Buffer, Storage};
use cpu::Cpu;
pub(crate) use cut::{CHUNK_ROWS, Cut, Share};
#[cfg(feature = "gpu")]
use gpu::Gpu;
pub use info::{Backend, Capabilities, Counters, DeviceInfo, DeviceKind};
pub use kernel::{Call, Constants, Field, Kernel, MAX_BINDINGS, MAX_INPUTS, MAX_OUTPUTS};
pub(crate) use kernel::{Shader, kernel, params, shader};
pub(crate) use lanes::{LaneCall, Lanes, MEMBERS, Values};
pub use options::DeviceOptions;
pub use read::PendingRead;
pub(crate) use recording::MAX_WORKGROUPS;
pub use recording::{Dispatch, Recording};
pub(crate) use set::RecordingSet;
pub use tensor::Tensor;
pub(crate) use tensor::{ALIGNMENT, MAX_ELEMENTS};

/// Where tensors live and kernels run: a GPU adapter, or the CPU.
///
/// A device is a handle: clones are the same device. Tensors of different devices can't be mixed.
///
/// ```
/// use wgrad::Device;
///
/// let device = Device::cpu();
/// assert_eq!(device.name(), "cpu");
/// println!("{}", device.describe());
/// ```
///
/// # Blocking and awaiting
/// What takes time comes twice: as a future (`auto_async`, [`named_async`](Self::named_async),
/// [`Recording::prepare`], [`Recording::run_steps_async`], [`Tensor::read_async`], [`wait_async`](Self::wait_async)), and
/// as a call that blocks on it.
///
/// In a browser the futures sleep until the driver calls back. Nothing may block there: the calls that open a device are
/// absent, the others work on the CPU path and are an error on a GPU. Elsewhere drivers call nobody back by themselves, so
/// the first poll of such a future sleeps in the driver until the answer is there, and returns it: every executor will
/// do, none is kept busy, but a thread of it is held for as long. Where that matters (tokio with much else to do), wrap the
/// blocking call in the executor's `spawn_blocking`.
#[derive(Clone)]
pub struct Device(Arc<Runner>);

/// What runs recordings.
pub(crate) enum Runner {
    Cpu(Box<Cpu>),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

/// The most steps of one run: a GPU keeps their numbers in a table of 256 bytes each.
const MAX_STEPS: u32 = 1 << 20;

impl Device {
    /// The device that `WGRAD_DEVICE` names (the words of [`Device::named`]); else the best hardware adapter:
    /// discrete before integrated before virtual; else the CPU, with a warning through the `log` crate.
    ///
    /// A software adapter (llvmpipe, SwiftShader, WARP) is never taken unless named.
    ///
    /// # Errors
    /// `WGRAD_DEVICE` names no device, or the adapter can't be opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn auto() -> Result<Self> {
        DeviceOptions::auto().open()
    }

    /// [`Device::auto`] without blocking.
    ///
    /// # Errors
    /// `WGRAD_DEVICE` names no device, or the adapter can't be opened.
    pub async fn auto_async() -> Result<Self> {
        DeviceOptions::auto().open_async().await
    }

    /// The CPU path. It multiplies large matrices, and works on many rows, on up to eight cores; the environment's
    /// `WGRAD_THREADS` sets another number. The bits depend neither on it nor on the processor's vector instructions, as long as
    /// it has fused multiplication and addition (x86-64 since 2013, AArch64). Processors without it, and WebAssembly without
    /// relaxed SIMD, have other bits; `WGRAD_SIMD=none` gives those anywhere, more slowly.
    ///
    /// Threads that share it take turns, step by step of a run.
    pub fn cpu() -> Self {
        Self(Arc::new(Runner::Cpu(Box::new(Cpu::new()))))
    }

    /// The best GPU adapter there is, hardware first, a software adapter otherwise.
    ///
    /// # Errors
    /// No adapter.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gpu() -> Result<Self> {
        Self::named("gpu")
    }

    /// The device of this name: `auto`, `cpu`, `gpu`, a backend (`vulkan`, `metal`, `dx12`, `gl`), a number of
    /// [`Device::list`] (`0`), a line as `cargo run --example devices` prints it, an adapter's name, or a part of one
    /// (`nvidia`, `llvmpipe`); in any case, with or without spaces around it. Of several that fit it is the first:
    /// identical cards are distinguished by their numbers.
    ///
    /// GL adapters are considered only for the word `gl`, their own names, or where there are no others: asking for
    /// them is slow, and prints on machines without a desktop. wgpu's own variables (`WGPU_BACKEND` and the like)
    /// choose nothing.
    ///
    /// ```
    /// let error = wgrad::Device::named("voodoo2").unwrap_err();
    /// assert!(error.to_string().contains("present: "));
    /// ```
    ///
    /// # Errors
    /// No such device: the message lists those present.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn named(name: &str) -> Result<Self> {
        DeviceOptions::new(name).open()
    }

    /// The device of this name, without blocking: see [`Device::named`].
    ///
    /// ```
    /// # async fn show() -> wgrad::Result<()> {
    /// let device = wgrad::Device::named_async("gpu").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// No such device: the message lists those present.
    pub async fn named_async(name: &str) -> Result<Self> {
        DeviceOptions::new(name).open_async().await
    }

    /// All devices present, in the order in which [`Device::auto`] prefers them, the CPU path last; GL adapters only where
    /// there are no others. A place in this list is a name for [`Device::named`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn list() -> Vec<DeviceInfo> {
        pollster::block_on(Self::list_async())
    }

    /// [`Device::list`] without blocking.
    pub async fn list_async() -> Vec<DeviceInfo> {
        #[cfg(feature = "gpu")]
        let gpus = gpu::list().await;
        #[cfg(not(feature = "gpu"))]
        let gpus = Vec::new();
        gpus.into_iter().chain([Cpu::describe()]).collect()
    }

    fn info(&self) -> &DeviceInfo {
        match &*self.0 {
            Runner::Cpu(cpu) => cpu.info(),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.info(),
        }
    }

    /// The adapter's name, `cpu` for the CPU path.
    pub fn name(&self) -> &str {
        &self.info().name
    }

    /// Name, kind, backend, driver, and capabilities.
    pub fn describe(&self) -> DeviceInfo {
        self.info().clone()
    }

    /// Its limits and its speed.
    pub fn capabilities(&self) -> &Capabilities {
        &self.info().capabilities
    }

    /// Waits until everything run and uploaded so far is done.
    ///
    /// # Errors
    /// A lost device, or an error it reported since the last call; in a browser a GPU, where nothing may block: use
    /// [`Device::wait_async`].
    pub fn wait(&self) -> Result<()> {
        self.block_on("wait", "Device::wait_async", self.wait_async())
    }

    /// [`Device::wait`] without blocking.
    ///
    /// # Errors
    /// A lost device, or an error it reported since the last call.
    pub async fn wait_async(&self) -> Result<()> {
        match &*self.0 {
            Runner::Cpu(_) => Ok(()),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.wait().await,
        }
    }

    /// What this device was asked to do since it was opened: dispatches, submits, reads, uploads. Tests of the schedule
    /// count them.
    pub fn counters(&self) -> Counters {
        match &*self.0 {
            Runner::Cpu(cpu) => cpu.counters(),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.counters(),
        }
    }

    /// Whether what lies on it may be gone from one call to the next, as on a GPU.
    pub(crate) fn can_be_lost(&self) -> bool {
        !matches!(&*self.0, Runner::Cpu(_))
    }

    pub(crate) fn runner(&self) -> &Runner {
        &self.0
    }

    pub(crate) fn allocate(&self, len: usize) -> Result<Arc<Buffer>> {
        let storage = match &*self.0 {
            Runner::Cpu(cpu) => Storage::Cpu(cpu.allocate(len)?),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => Storage::Gpu(gpu.allocate(len)?),
        };
        Ok(Arc::new(Buffer::new(self, storage)))
    }

    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "the CPU path needs nothing prepared"))]
    pub(crate) async fn prepare(&self, recording: &Recording) -> Result<()> {
        match &*self.0 {
            Runner::Cpu(_) => Ok(()),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.prepared(recording).await.map(drop),
        }
    }

    pub(crate) async fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        if steps.end > MAX_STEPS {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "run",
                format!("steps up to {}; one run takes them up to {MAX_STEPS}: use larger batches", steps.end),
            ));
        }
        match &*self.0 {
            Runner::Cpu(cpu) => cpu.run(recording, steps),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.run(recording, steps).await,
        }
    }

    /// Writes an input, runs a recording once and reads an output. On the CPU path that is one turn, so that it waits for one
    /// step at most of a training in another thread.
    pub(crate) async fn run_through(
        &self,
        recording: &Recording,
        (input, values): (&Tensor, &[f32]),
        output: &Tensor,
    ) -> Result<PendingRead> {
        if let (Runner::Cpu(cpu), true) = (&*self.0, values.len() == input.len()) {
            return cpu.run_through(recording, (input, values), output).map(PendingRead::ready);
        }
        input.write(values)?;
        self.run(recording, 0..1).await?;
        output.read_async()
    }

    /// Copies the first of each pair of tensors, as work run so far leaves it, to the second, which is as long.
    pub(crate) fn copy(&self, pairs: &[[Tensor; 2]]) -> Result<()> {
        match &*self.0 {
            Runner::Cpu(cpu) => cpu.copy(pairs),
            #[cfg(feature = "gpu")]
            Runner::Gpu(gpu) => gpu.copy(pairs),
        }
    }

    /// Waits for what may be awaited, too. In a page only what is ready at once can be had this way: the CPU path's futures,
    /// and what a GPU does not have to answer.
    #[cfg_attr(not(target_arch = "wasm32"), expect(clippy::unused_self, unused_variables, reason = "blocks"))]
    pub(crate) fn block_on<T>(
        &self,
        operation: &str,
        instead: &str,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        #[cfg(not(target_arch = "wasm32"))]
        return pollster::block_on(future);
        #[cfg(target_arch = "wasm32")]
        {
            use std::task::{Context, Poll, Waker};
            let polled = std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(result) = polled {
                return result;
            }
            Err(Error::input(operation, format!("a page may not block on a GPU; await {instead}")))
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
