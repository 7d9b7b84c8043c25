//! The CPU path: runs a recording by calling each kernel's function, in order. It imports no wgpu.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::device::fair::Fair;
use crate::device::kernel::{Call, MAX_INPUTS, MAX_OUTPUTS};
use crate::device::recording::{Dispatch, Recording};
use crate::device::stages::Stage;
use crate::device::tensor::{MAX_ELEMENTS, Tensor};
use crate::device::{Backend, Capabilities, Counters, DeviceInfo, DeviceKind};
use crate::error::{Error, ErrorKind, Result};

pub(crate) struct Cpu {
    info: DeviceInfo,
    /// Held for a step of a run at a time, or for a part of one.
    memory: Fair<Memory>,
}

/// The most elements of freed buffers that are kept for the next ones, 32 MiB of them. Memory that is new to the process costs
/// more than a small network's pass over it: predictions of another number of rows each time took twice as long.
const SPARE_ELEMENTS: usize = 1 << 23;

/// Elements that are written before others may have the memory: 1 MiB of them.
const WRITTEN_AT_ONCE: usize = 1 << 18;

#[derive(Default)]
struct Memory {
    buffers: Vec<Vec<f32>>,
    free: Vec<usize>,
    /// Freed buffers, the oldest first.
    spare: VecDeque<Vec<f32>>,
    counters: Counters,
}

impl Cpu {
    pub(crate) fn new() -> Self {
        Self { info: Self::describe(), memory: Fair::default() }
    }

    pub(crate) fn describe() -> DeviceInfo {
        DeviceInfo {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            backend: Backend::Cpu,
            driver: format!("wgrad {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
            capabilities: Capabilities {
                // What the kernels can count to.
                max_tensor_bytes: MAX_ELEMENTS as u64 * 4,
                workgroup_memory: 0,
                ..Capabilities::of(DeviceKind::Cpu, Backend::Cpu)
            },
        }
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        &self.info
    }

    pub(crate) fn counters(&self) -> Counters {
        self.memory.lock().counters
    }

    pub(crate) fn allocate(&self, len: usize) -> Result<usize> {
        let mut buffer = self.memory.lock().take_spare(len);
        if buffer.try_reserve_exact(len).is_err() {
            return Err(Error::new(
                ErrorKind::OutOfMemory,
                "tensor",
                format!("{len} elements ({} MiB) do not fit in memory; use smaller batches", len >> 18),
            ));
        }
        buffer.resize(len, 0.0);
        let mut memory = self.memory.lock();
        let slot = memory.free.pop().unwrap_or(memory.buffers.len());
        if slot == memory.buffers.len() {
            memory.buffers.push(buffer);
        } else {
            memory.buffers[slot] = buffer;
        }
        Ok(slot)
    }

    pub(crate) fn free(&self, slot: usize) {
        let mut memory = self.memory.lock();
        let buffer = std::mem::take(&mut memory.buffers[slot]);
        memory.free.push(slot);
        let unwanted = memory.keep(buffer);
        // Large ones take their time.
        drop(memory);
        drop(unwanted);
    }

    pub(crate) fn write(&self, slot: usize, offset: usize, values: &[f32]) -> Result<()> {
        let mut memory = self.memory.lock();
        memory.counters.uploads += values.len() as u64;
        // A dataset takes longer than others should wait.
        for (number, part) in values.chunks(WRITTEN_AT_ONCE).enumerate() {
            memory = self.memory.yielded(memory);
            let start = offset + number * WRITTEN_AT_ONCE;
            memory.buffers[slot][start..start + part.len()].copy_from_slice(part);
        }
        Ok(())
    }

    pub(crate) fn read(&self, slot: usize, range: Range<usize>) -> Result<Vec<f32>> {
        let mut memory = self.memory.lock();
        memory.counters.reads += 1;
        Ok(memory.buffers[slot][range].to_vec())
    }

    /// See [`Device::copy`](crate::Device).
    pub(crate) fn copy(&self, pairs: &[[Tensor; 2]]) -> Result<()> {
        let mut memory = self.memory.lock();
        for [(from, source), (to, target)] in pairs.iter().map(|pair| [&pair[0], &pair[1]].map(place)) {
            if from == to {
                memory.buffers[to].copy_within(source, target.start);
                continue;
            }
            let mut written = std::mem::take(&mut memory.buffers[to]);
            written[target].copy_from_slice(&memory.buffers[from][source]);
            memory.buffers[to] = written;
        }
        Ok(())
    }

    /// Calls `f` with all buffers, by their slots.
    pub(crate) fn with_memory<T>(&self, f: impl FnOnce(&mut [Vec<f32>]) -> T) -> T {
        f(&mut self.memory.lock().buffers)
    }

    /// Counts a run whose dispatches were called by someone else.
    pub(crate) fn count(&self, dispatches: u64) {
        let mut memory = self.memory.lock();
        memory.counters.submits += 1;
        memory.counters.dispatches += dispatches;
    }

    /// Writes values to the first tensor, runs all dispatches once, and reads the second.
    pub(crate) fn run_through(
        &self,
        recording: &Recording,
        (input, values): (&Tensor, &[f32]),
        output: &Tensor,
    ) -> Result<Vec<f32>> {
        recording.stages();
        let mut memory = self.memory.lock();
        memory.counters.uploads += values.len() as u64;
        memory.counters.submits += 1;
        memory.counters.dispatches += recording.len() as u64;
        memory.counters.reads += 1;
        let [(from, range), (to, out)] = [place(input), place(output)];
        memory.buffers[from][range].copy_from_slice(values);
        run_step(&mut memory.buffers, recording, 0..1)?;
        Ok(memory.buffers[to][out].to_vec())
    }

    pub(crate) fn run(&self, recording: &Recording, steps: Range<u32>) -> Result<()> {
        // Made before the first run, while nobody waits.
        recording.stages();
        let mut memory = self.memory.lock();
        memory.counters.submits += 1;
        let at_once = recording.steps_at_once();
        for step in steps.clone().step_by(at_once as usize) {
            memory = self.memory.yielded(memory);
            memory.counters.dispatches += recording.len() as u64;
            let end = steps.end.min(step.saturating_add(at_once));
            let steps = step as usize..end as usize;
            if recording.lets_others_in() {
                memory = self.run_in_parts(memory, recording, steps)?;
            } else {
                run_step(&mut memory.buffers, recording, steps)?;
            }
        }
        Ok(())
    }

    /// [`run_step`], and between its parts whoever waits for the memory has it.
    fn run_in_parts<'a>(
        &'a self,
        mut memory: MutexGuard<'a, Memory>,
        recording: &Recording,
        steps: Range<usize>,
    ) -> Result<MutexGuard<'a, Memory>> {
        let dispatches = recording.dispatches();
        for stage in recording.stages().unwrap_or_default() {
            for part in stage.parts() {
                memory = self.memory.yielded(memory);
                caught(recording, &steps, |at| run_stage(stage, part, dispatches, &mut memory.buffers, &steps, at))?;
            }
        }
        if recording.stages().is_none() {
            for (number, dispatch) in dispatches.iter().enumerate() {
                memory = self.memory.yielded(memory);
                caught(recording, &steps, |at| {
                    at.store(number, Ordering::Relaxed);
                    call(&mut memory.buffers, dispatch, &steps);
                })?;
            }
        }
        Ok(memory)
    }
}

impl Memory {
    /// A freed buffer of about this size, emptied, or a new one.
    fn take_spare(&mut self, len: usize) -> Vec<f32> {
        let fitting = self.spare.iter().rposition(|spare| (len..=len.saturating_mul(2)).contains(&spare.capacity()));
        let mut buffer = fitting.and_then(|fitting| self.spare.remove(fitting)).unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Keeps a freed buffer. Those that are too many come back.
    fn keep(&mut self, buffer: Vec<f32>) -> Vec<Vec<f32>> {
        self.spare.push_back(buffer);
        let mut elements: usize = self.spare.iter().map(Vec::capacity).sum();
        let too_many = self.spare.iter().take_while(|spare| {
            let over = elements > SPARE_ELEMENTS;
            elements -= spare.capacity();
            over
        });
        let too_many = too_many.count().max(self.spare.len().saturating_sub(32));
        self.spare.drain(..too_many).collect()
    }
}

/// Runs all dispatches, once for these steps. A reference implementation that panics is an error, and leaves the memory intact.
fn run_step(buffers: &mut [Vec<f32>], recording: &Recording, steps: Range<usize>) -> Result<()> {
    let dispatches = recording.dispatches();
    caught(recording, &steps, |at| {
        if let Some(stages) = recording.stages() {
            for stage in stages {
                run_stage(stage, 0..stage.len(), dispatches, buffers, &steps, at);
            }
            return;
        }
        for (number, dispatch) in dispatches.iter().enumerate() {
            at.store(number, Ordering::Relaxed);
            call(buffers, dispatch, &steps);
        }
    })
}

fn run_stage(
    stage: &Stage,
    part: Range<usize>,
    dispatches: &[Dispatch],
    buffers: &mut [Vec<f32>],
    steps: &Range<usize>,
    at: &AtomicUsize,
) {
    stage.run(part, dispatches, buffers, steps.start, at, |buffers, dispatch| call(buffers, dispatch, steps));
}

/// Runs some dispatches, whose number `run` keeps where it is told. A panic of one is an error.
fn caught(recording: &Recording, steps: &Range<usize>, run: impl FnOnce(&AtomicUsize)) -> Result<()> {
    let at = AtomicUsize::new(0);
    catch_unwind(AssertUnwindSafe(|| run(&at))).map_err(|panic| {
        let at = at.into_inner();
        let name = recording.dispatches().get(at).map_or("run", |dispatch| dispatch.kernel.name);
        let message = message(&*panic);
        Error::kernel(
            name,
            format!("its reference implementation panicked in dispatch {at} of step {}: {message}", steps.start),
        )
    })
}

/// What a panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn place(tensor: &Tensor) -> (usize, Range<usize>) {
    // `Recording::dispatch` took tensors of this device only.
    let slot = tensor.buffer.cpu_slot().unwrap_or(usize::MAX);
    (slot, tensor.offset..tensor.offset + tensor.len())
}

/// The outputs' buffers, taken out of the list until the kernel has run, or has panicked.
struct Taken<'a> {
    buffers: &'a mut [Vec<f32>],
    outputs: &'a [Tensor],
    taken: [Vec<f32>; MAX_OUTPUTS],
}

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        for (taken, output) in self.taken.iter_mut().zip(self.outputs) {
            self.buffers[place(output).0] = std::mem::take(taken);
        }
    }
}

/// Calls the kernel's function on slices of the buffers. The outputs' buffers are taken out of the list meanwhile: a buffer
/// that is written is bound only once, which `Recording::dispatch` checks.
#[inline(always)]
fn call(buffers: &mut [Vec<f32>], dispatch: &Dispatch, steps: &Range<usize>) {
    let mut all = Taken { buffers, outputs: &dispatch.outputs, taken: Default::default() };
    for (taken, output) in all.taken.iter_mut().zip(all.outputs) {
        *taken = std::mem::take(&mut all.buffers[place(output).0]);
    }
    let mut outputs: [&mut [f32]; MAX_OUTPUTS] = Default::default();
    for ((slice, buffer), output) in outputs.iter_mut().zip(&mut all.taken).zip(all.outputs) {
        *slice = &mut buffer[place(output).1];
    }
    let mut inputs: [&[f32]; MAX_INPUTS] = Default::default();
    for (slice, input) in inputs.iter_mut().zip(&dispatch.inputs) {
        let (slot, range) = place(input);
        *slice = &all.buffers[slot][range];
    }
    (dispatch.kernel.cpu)(Call { params: &dispatch.params, step: steps.start, last: steps.end - 1, inputs, outputs });
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Cpu, Memory, SPARE_ELEMENTS, call, run_step};
    use crate::device::{Device, Kernel, Recording, Runner, Tensor};
    use crate::graph::Graph;
    use crate::lower::lower;
    use crate::nn::{CrossEntropy, Linear, Loss, Module, Mse, Parameters, Sequential, Sigmoid, Tanh};
    use crate::ops::{self, Activation};
    use crate::optim::{Adam, Optimizer};

    #[derive(Clone, Copy)]
    enum How {
        Stages,
        Parts,
        Dispatches,
    }

    /// All kernels that are cut, on more rows than a chunk has, and what the memory holds after two steps.
    fn bits(how: How) -> Vec<Vec<u32>> {
        let device = Device::cpu();
        let rows = 700;
        let tensor = |rows: usize, cols: usize| {
            let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect();
            Tensor::new(&device, rows, cols, &values).unwrap()
        };
        let order: Vec<f32> = (0..1600u32).map(|i| f32::from_bits((i * 31) % 800)).collect();
        let order = Tensor::new(&device, 1, order.len(), &order).unwrap();
        let (data, targets) = (tensor(800, 5), tensor(800, 3));
        let (x, t) = (Tensor::zeros(&device, rows, 5).unwrap(), Tensor::zeros(&device, rows, 3).unwrap());
        // Enough weights that the update is cut, too.
        let model = Sequential::new().add(Linear::new(5, 400)).add(Tanh).add(Linear::new(400, 400)).add(Sigmoid);
        let model = model.add(Linear::new(400, 3)).add(Sigmoid);
        let parameters = Parameters::new(&device, &model, 0).unwrap();
        let mut optimizer = Optimizer::new(&parameters, Adam::new(0.01)).unwrap();
        let mut graph = Graph::new(&device);
        let (input, target) = (graph.input(&x).unwrap(), graph.input(&t).unwrap());
        let y = model.forward(&mut graph, input).unwrap();
        let loss = Mse::new().forward(&mut graph, y, target).unwrap();
        let softmax = graph.softmax(y).unwrap();
        let entropy = CrossEntropy::new().forward(&mut graph, softmax, target).unwrap();
        let bent = graph.activation(softmax, Activation::GELU).unwrap();
        let shifted = graph.add(bent, target).unwrap();
        let rest = graph.mean(shifted).unwrap();
        let sum = graph.add(loss, entropy).unwrap();
        let sum = graph.add(sum, rest).unwrap();
        let mut wanted = optimizer.train_step(&mut graph, sum).unwrap();
        wanted.push(sum);
        let step = lower(&graph, &wanted).unwrap();

        let mut recording = Recording::new(&device);
        ops::gather(&mut recording, &order, [&data, &targets], [&x, &t], rows).unwrap();
        recording.append(step.recording()).unwrap();
        let [out, back] = [(); 2].map(|()| Tensor::zeros(&device, rows, 5).unwrap());
        let (counts, sums) = (Tensor::zeros(&device, 1, 1).unwrap(), Tensor::zeros(&device, rows, 1).unwrap());
        ops::activation::forward(&mut recording, Activation::SiLU, &x, &out).unwrap();
        ops::activation::backward(&mut recording, Activation::SiLU, [&x, &out, &x], &back, true).unwrap();
        ops::reduce::rows(&mut recording, &back, 0.5, &sums, false).unwrap();
        ops::metrics::count_correct(&mut recording, &t, &t, Some(&sums), [0.5; 2], &counts).unwrap();

        assert!(recording.stages().is_some_and(|stages| stages.iter().any(|stage| stage.dispatches.len() > 3)));
        #[cfg_attr(not(feature = "gpu"), expect(irrefutable_let_patterns, reason = "there is no other device"))]
        let Runner::Cpu(cpu) = device.runner() else { panic!("it was opened as the CPU path") };
        let mut memory = cpu.memory.lock();
        for step in 0..2 {
            let steps = step..step + 1;
            match how {
                How::Stages => run_step(&mut memory.buffers, &recording, steps).unwrap(),
                How::Parts => memory = cpu.run_in_parts(memory, &recording, steps).unwrap(),
                How::Dispatches => {
                    let dispatches = recording.dispatches().iter();
                    dispatches.for_each(|dispatch| call(&mut memory.buffers, dispatch, &steps));
                }
            }
        }
        memory.buffers.iter().map(|buffer| buffer.iter().map(|x| x.to_bits()).collect()).collect()
    }

    #[test]
    fn freed_buffers_serve_the_next_within_a_bound() {
        let mut memory = Memory::default();
        let capacities = |memory: &Memory| memory.spare.iter().map(Vec::capacity).collect::<Vec<_>>();
        for len in [100, 1000] {
            assert!(memory.keep(vec![9.0; len]).is_empty());
        }
        // Neither too small nor much too large, and without what it held.
        assert_eq!(memory.take_spare(101).capacity(), 0);
        assert_eq!(memory.take_spare(499).capacity(), 0);
        let buffer = memory.take_spare(600);
        assert_eq!((buffer.capacity(), buffer.len()), (1000, 0));
        assert_eq!(capacities(&memory), [100]);
        // The oldest go first.
        let dropped = memory.keep(Vec::with_capacity(SPARE_ELEMENTS - 50));
        assert_eq!(dropped.iter().map(Vec::capacity).collect::<Vec<_>>(), [100]);
        assert_eq!(memory.keep(Vec::with_capacity(SPARE_ELEMENTS + 1)).len(), 2);
        for _ in 0..100 {
            memory.keep(vec![0.0]);
        }
        assert_eq!(memory.spare.len(), 32);
    }

    #[test]
    fn pieces_give_the_bits_of_the_whole() {
        let whole = bits(How::Dispatches);
        assert!(bits(How::Stages) == whole);
        assert!(bits(How::Parts) == whole);
    }

    static DEVICE: OnceLock<Device> = OnceLock::new();

    fn cpu() -> &'static Cpu {
        #[cfg_attr(not(feature = "gpu"), expect(irrefutable_let_patterns, reason = "there is no other device"))]
        let Runner::Cpu(cpu) = DEVICE.get_or_init(Device::cpu).runner() else {
            panic!("it was opened as the CPU path")
        };
        cpu
    }

    /// Between two dispatches a thread that waits writes what the second one reads.
    #[test]
    fn others_come_in_between_the_parts_of_a_step() {
        static STARTED: AtomicBool = AtomicBool::new(false);
        static WAIT: Kernel = Kernel::new("test.wait", "", "wait", [1, 1, 1], |_| {
            STARTED.store(true, Ordering::Relaxed);
            while cpu().memory.waiting() == 0 {
                std::thread::yield_now();
            }
        });
        static COPY: Kernel = Kernel::new("test.copy", "", "copy", [1, 1, 1], |call| {
            call.outputs[0].copy_from_slice(call.inputs[0]);
        })
        .inputs(1);
        let device = DEVICE.get_or_init(Device::cpu);
        let [x, y, unused] = [(); 3].map(|()| Tensor::zeros(device, 1, 1).unwrap());
        let mut recording = Recording::new(device);
        recording.dispatch(&WAIT, [1, 1], (), &[], &[&unused], 1).unwrap();
        recording.dispatch(&COPY, [1, 1], (), &[&x], &[&y], 1).unwrap();
        recording.let_others_in();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !STARTED.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                x.write(&[7.0]).unwrap();
            });
            recording.run().unwrap();
        });
        assert_eq!(y.read().unwrap(), [7.0]);
    }
}
