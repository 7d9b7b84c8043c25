//! A list of dispatches: recorded once, printable, comparable, and replayed every step.

mod substitute;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::device::gpu::Prepared;
use crate::device::kernel::{Kernel, MAX_BINDINGS, MAX_INPUTS, MAX_OUTPUTS, MAX_PARAMS_SIZE};
use crate::device::stages::{Stage, stages};
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};

/// WebGPU's limit on workgroups in one dimension of a dispatch.
pub(crate) const MAX_WORKGROUPS: usize = 65_535;

/// One dispatch: which kernel, how many workgroups, its parameters, and the tensors it reads and writes.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub(crate) kernel: &'static Kernel,
    pub(crate) workgroups: [u32; 2],
    pub(crate) params: Vec<u8>,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
    /// The most steps that it runs at once: 1 unless the kernel can run several.
    pub(crate) steps: u32,
    /// Roughly how many multiplications and additions a step of it costs,
    /// to bound the length of a submit, and to tell whether threads are worth it.
    pub(crate) work: u64,
    /// Whether wgrad itself chose the parameters, after checking the shapes: only then may a kernel run without checks.
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "the CPU path always checks"))]
    pub(crate) trusted: bool,
}

/// A list of dispatches on one device, in the order in which they run.
///
/// Operations push onto it ([`ops`](crate::ops)); [`Recording::run`] runs it as often as wanted. What the GPU needs
/// for that (pipelines, bind groups, parameter buffers) is made once, at the first run.
///
/// Printed, it shows one dispatch a line, with buffers numbered in the order of their first use:
///
/// ```
/// use wgrad::{Device, Recording, Tensor, ops};
///
/// let device = Device::cpu();
/// let x = Tensor::new(&device, 2, 2, &[1.0, 2.0, 3.0, 4.0])?;
/// let sum = Tensor::zeros(&device, 1, 1)?;
/// let mut recording = Recording::new(&device);
/// ops::reduce::sum(&mut recording, &x, 1.0, &sum)?;
/// assert_eq!(recording.to_string(), "reduce.sum [1, 1] (b0[2 x 2]) -> b1[1 x 1]\n");
/// recording.run()?;
/// assert_eq!(sum.read()?, [10.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Recording {
    device: Device,
    dispatches: Vec<Dispatch>,
    /// Whether a row's bits are to be the same among any number of rows: see [`Recording::keep_rows_apart`].
    rows_apart: bool,
    stages: OnceLock<Option<Vec<Stage>>>,
    /// Before how many of the first dispatches the CPU path's other users are let in.
    open_dispatches: usize,
    #[cfg(feature = "gpu")]
    prepared: OnceLock<Prepared>,
}

impl Recording {
    /// An empty list.
    pub fn new(device: &Device) -> Self {
        Self::of(device, Vec::new())
    }

    pub(super) fn of(device: &Device, dispatches: Vec<Dispatch>) -> Self {
        Self {
            device: device.clone(),
            dispatches,
            rows_apart: false,
            stages: OnceLock::new(),
            open_dispatches: 0,
            #[cfg(feature = "gpu")]
            prepared: OnceLock::new(),
        }
    }

    /// Forgets what was made of the list before it was changed.
    fn changed(&mut self) {
        self.stages.take();
        #[cfg(feature = "gpu")]
        self.prepared.take();
    }

    /// Adds a dispatch of `workgroups` (x, y) workgroups. `work` is about how many multiplications and additions it
    /// costs; long replays are cut into submits by it. The last inputs and outputs may be left out where the parameters
    /// tell the kernel not to touch them.
    ///
    /// The kernel runs with bounds checks, one of [`KERNELS`](crate::KERNELS), too: nobody has checked what `params` has
    /// it do. The functions of [`ops`](crate::ops) check that, and leave them out.
    ///
    /// # Errors
    /// Tensors of another device, parameters of another size or more tensors than the kernel's, and a buffer that is
    /// written while it is bound a second time (which no GPU allows); more than 65,535 workgroups in a direction, or
    /// than 256 bytes of parameters.
    pub fn dispatch<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static Kernel,
        workgroups: [u32; 2],
        params: P,
        inputs: &[&Tensor],
        outputs: &[&Tensor],
        work: u64,
    ) -> Result<()> {
        self.add(kernel, workgroups, bytemuck::bytes_of(&params), [inputs, outputs], work, false)
    }

    /// [`Recording::dispatch`] with parameters that keep the kernel within these tensors, as the caller has checked.
    pub(crate) fn push<P: bytemuck::NoUninit>(
        &mut self,
        kernel: &'static Kernel,
        workgroups: [u32; 2],
        params: P,
        inputs: &[&Tensor],
        outputs: &[&Tensor],
        work: u64,
    ) -> Result<()> {
        self.add(kernel, workgroups, bytemuck::bytes_of(&params), [inputs, outputs], work, true)
    }

    /// Has what is recorded from here on compute a row in the same way however many there are: no kernel is chosen, and no sum
    /// cut, by the number of rows.
    pub(crate) fn keep_rows_apart(&mut self) {
        self.rows_apart = true;
    }

    pub(crate) fn keeps_rows_apart(&self) -> bool {
        self.rows_apart
    }

    /// Lets the last dispatch run up to this many steps at once; its kernel [runs several](Kernel::runs_steps).
    pub(crate) fn let_run(&mut self, steps: u32) {
        if let Some(last) = self.dispatches.last_mut().filter(|last| last.kernel.runs_steps) {
            last.steps = steps.max(1);
        }
    }

    /// Lets the CPU path's other users in not only between steps but within one, if it is long: before each dispatch up to the
    /// first that writes one of these tensors, so that others find what a whole step has left there.
    pub(crate) fn let_others_in_until_written(&mut self, tensors: &[Tensor]) {
        /// Multiplications and additions, some hundreds of microseconds.
        const LONG: u64 = 1 << 24;
        let writes =
            |dispatch: &Dispatch| dispatch.outputs.iter().any(|out| tensors.iter().any(|tensor| out.overlaps(tensor)));
        let is_long = self.dispatches.iter().map(|dispatch| dispatch.work).sum::<u64>() >= LONG;
        let first = self.dispatches.iter().position(writes).unwrap_or(self.dispatches.len());
        self.open_dispatches = if is_long { first } else { 0 };
    }

    pub(super) fn open_dispatches(&self) -> usize {
        self.open_dispatches
    }

    /// How many steps its dispatches run at once: as many as all of them can.
    pub(crate) fn steps_at_once(&self) -> u32 {
        self.dispatches.iter().map(|dispatch| dispatch.steps).min().unwrap_or(1)
    }

    fn add(
        &mut self,
        kernel: &'static Kernel,
        workgroups: [u32; 2],
        params: &[u8],
        [inputs, outputs]: [&[&Tensor]; 2],
        work: u64,
        trusted: bool,
    ) -> Result<()> {
        let fail = |detail: String| Err(Error::input(kernel.name, detail));
        if params.len() > MAX_PARAMS_SIZE {
            return fail(format!("parameters of {} bytes; at most {MAX_PARAMS_SIZE}", params.len()));
        }
        if workgroups.iter().any(|count| *count as usize > MAX_WORKGROUPS) {
            let [x, y] = workgroups;
            return fail(format!("{x} x {y} workgroups; at most {MAX_WORKGROUPS} in each direction"));
        }
        if params.len() != kernel.params_size {
            return fail(format!("parameters of {} bytes; it takes {}", params.len(), kernel.params_size));
        }
        if inputs.len() > kernel.inputs || outputs.len() > kernel.outputs {
            return fail(format!(
                "{} inputs and {} outputs; it takes {} and {}",
                inputs.len(),
                outputs.len(),
                kernel.inputs,
                kernel.outputs
            ));
        }
        let bindings = kernel.inputs + kernel.outputs;
        if kernel.inputs > MAX_INPUTS || kernel.outputs > MAX_OUTPUTS || bindings > MAX_BINDINGS {
            let detail = format!("a kernel has at most {MAX_INPUTS} inputs and {MAX_OUTPUTS} outputs");
            return fail(detail + &format!(", {MAX_BINDINGS} in all"));
        }
        self.check_tensors(kernel, inputs, outputs)?;
        self.dispatches.push(Dispatch {
            kernel,
            workgroups,
            params: params.to_vec(),
            steps: 1,
            inputs: inputs.iter().map(|t| (*t).clone()).collect(),
            outputs: outputs.iter().map(|t| (*t).clone()).collect(),
            work,
            trusted,
        });
        self.changed();
        Ok(())
    }

    /// Whether a dispatch may bind these tensors together.
    fn check_tensors(&self, kernel: &Kernel, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let fail = |detail: String| Err(Error::input(kernel.name, detail));
        if let Some(stranger) = inputs.iter().chain(outputs).find(|t| *t.device() != self.device) {
            return fail(format!(
                "a tensor on {} in a recording on {}; make both on one Device (clones of it are the same)",
                stranger.device().name(),
                self.device.name()
            ));
        }
        for (i, output) in outputs.iter().enumerate() {
            let others = inputs.iter().chain(&outputs[..i]);
            if others.into_iter().any(|other| other.buffer.id() == output.buffer.id()) {
                return fail("a buffer that it writes is bound twice; write to a separate tensor".into());
            }
        }
        Ok(())
    }

    /// Appends a copy of another recording's dispatches.
    ///
    /// # Errors
    /// A recording of another device.
    pub fn append(&mut self, other: &Recording) -> Result<()> {
        if other.device != self.device {
            return Err(Error::input("append", "a recording of another device; record both on one Device"));
        }
        self.dispatches.extend(other.dispatches.iter().cloned());
        self.changed();
        Ok(())
    }

    /// Runs the list once, as step 0.
    ///
    /// On a GPU this returns as soon as the work is queued; [`Tensor::read`] waits for it.
    ///
    /// # Errors
    /// A kernel that does not compile, or whose reference implementation panics on the CPU path; memory that does not
    /// suffice for parameters; a lost device, or an error it reported since the last call; in a browser a GPU, where
    /// nothing may block: use [`Recording::run_steps_async`].
    pub fn run(&self) -> Result<()> {
        self.run_steps(0..1)
    }

    /// Runs the list once for each step, in order, in as few submits as their estimated time allows. Kernels that
    /// use the step see its number: a mini-batch's place in the epoch, an entry of the learning-rate schedule. A list of
    /// one dispatch that runs many steps (`ops::mlp`) takes as few dispatches as it can.
    ///
    /// # Errors
    /// See [`Recording::run`]; steps beyond 2^20.
    pub fn run_steps(&self, steps: Range<u32>) -> Result<()> {
        self.device.block_on("run", "Recording::run_steps_async", self.run_steps_async(steps))
    }

    /// [`Recording::run_steps`] without blocking: it sleeps while as many submits are under way as a GPU should have,
    /// so that a page in a browser stays responsive. If the future is dropped half-way, some of the steps have run.
    ///
    /// ```
    /// # use wgrad::Recording;
    /// # async fn show(recording: &Recording) -> wgrad::Result<()> {
    /// recording.prepare().await?;
    /// recording.run_steps_async(0..100).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Recording::run_steps`].
    pub async fn run_steps_async(&self, steps: Range<u32>) -> Result<()> {
        self.device.run(self, steps).await
    }

    /// Compiles the kernels and makes all else that a GPU needs for a run, which the first run does otherwise: the
    /// moment to show that a program is starting up.
    ///
    /// # Errors
    /// A kernel that does not compile: the message has the compiler's. Memory that does not suffice; a lost device.
    pub async fn prepare(&self) -> Result<()> {
        self.device.prepare(self).await
    }

    /// Each dispatch as a recording of its own: what to run again and again to see where a step's time goes.
    pub fn split(&self) -> Vec<Self> {
        self.dispatches.iter().map(|dispatch| Self::of(&self.device, vec![dispatch.clone()])).collect()
    }

    /// Whether the CPU path just calls one kernel after the other, step by step.
    pub(crate) fn is_plain(&self) -> bool {
        self.stages().is_none() && self.steps_at_once() == 1
    }

    /// The number of dispatches.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// What the CPU path made of the list: nothing where it just runs one dispatch after the other.
    pub(super) fn stages(&self) -> Option<&[Stage]> {
        self.stages.get_or_init(|| stages(&self.dispatches)).as_deref()
    }

    /// What the GPU backend made of the list: nothing before its first run.
    #[cfg(feature = "gpu")]
    pub(crate) fn prepared(&self) -> &OnceLock<Prepared> {
        &self.prepared
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = HashMap::new();
        for dispatch in &self.dispatches {
            let mut name = |tensor: &Tensor| {
                let next = numbers.len();
                let number = numbers.entry(tensor.buffer.id()).or_insert(next);
                let at = if tensor.offset == 0 { String::new() } else { format!("+{}", tensor.offset) };
                format!("b{number}{at}[{} x {}]", tensor.rows(), tensor.cols())
            };
            let inputs: Vec<_> = dispatch.inputs.iter().map(&mut name).collect();
            let outputs: Vec<_> = dispatch.outputs.iter().map(&mut name).collect();
            writeln!(
                f,
                "{} {:?} ({}) -> {}",
                dispatch.kernel.name,
                dispatch.workgroups,
                inputs.join(", "),
                outputs.join(", ")
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording of {} dispatches on {}:\n{self}", self.len(), self.device.name())
    }
}
