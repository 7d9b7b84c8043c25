//! Of the CPU path: pieces of dispatches, kept buffers, whoever comes in between.

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
    let Runner::Cpu(cpu) = DEVICE.get_or_init(Device::cpu).runner() else { panic!("it was opened as the CPU path") };
    cpu
}

/// What a copy of x has, if another thread waits to write 7 there while the dispatch before runs.
fn copied_after_waiting(parameters_are_written: bool) -> f32 {
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
    STARTED.store(false, Ordering::Relaxed);
    let device = DEVICE.get_or_init(Device::cpu);
    let [x, y, parameters, others] = [(); 4].map(|()| Tensor::zeros(device, 1, 1).unwrap());
    let mut recording = Recording::new(device);
    let written = if parameters_are_written { &parameters } else { &others };
    recording.dispatch(&WAIT, [1, 1], (), &[], &[written], 1 << 24).unwrap();
    recording.dispatch(&COPY, [1, 1], (), &[&x], &[&y], 1).unwrap();
    recording.let_others_in_until_written(&[parameters]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !STARTED.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            x.write(&[7.0]).unwrap();
        });
        recording.run().unwrap();
    });
    y.read().unwrap()[0]
}

#[test]
fn others_come_in_within_a_long_step_until_it_writes_parameters() {
    assert_eq!(copied_after_waiting(false), 7.0);
    assert_eq!(copied_after_waiting(true), 0.0);
}
