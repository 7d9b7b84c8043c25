//! A step on the CPU path allocates nothing once it has run.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wgrad::nn::{Backprop, CrossEntropy, Linear, Loss, Module, Parameters, ReLU, Sequential, Tanh};
use wgrad::{Device, Graph, Recording, Tensor, ops};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: handed on.
        unsafe { System.dealloc(place, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn steps_allocate_nothing() {
    let device = Device::cpu();
    let (rows, batch) = (40, 20);
    let numbers = |len: usize| (0..len).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<_>>();
    let x = Tensor::new(&device, rows, 9, &numbers(rows * 9)).unwrap();
    let t = Tensor::new(&device, rows, 1, &(0..rows).map(|i| (i % 3) as f32).collect::<Vec<_>>()).unwrap();
    let order: Vec<f32> = (0..rows as u32).map(f32::from_bits).collect();
    let order = Tensor::new(&device, 1, rows, &order).unwrap();
    let [bx, bt] = [9, 1].map(|cols| Tensor::zeros(&device, batch, cols).unwrap());

    let model =
        Sequential::new().add(Linear::new(9, 70)).add(ReLU).add(Linear::new(70, 33)).add(Tanh).add(Linear::new(33, 3));
    let parameters = Parameters::new(&device, &model, 0).unwrap();
    let mut graph = Graph::new(&device);
    let (input, target) = (graph.input(&bx).unwrap(), graph.input(&bt).unwrap());
    let logits = model.forward(&mut graph, input).unwrap();
    let loss = CrossEntropy::new().forward(&mut graph, logits, target).unwrap();
    let pass = Backprop::new(&mut graph, &parameters, loss, &[]).unwrap();

    let mut step = Recording::new(&device);
    ops::gather(&mut step, &order, [&x, &t], [&bx, &bt], batch).unwrap();
    step.append(pass.forward_pass().recording()).unwrap();
    step.append(pass.backward_pass().recording()).unwrap();
    step.run_steps(0..2).unwrap();

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    step.run_steps(0..50).unwrap();
    // The harness waits in a thread of its own, which may allocate now and then; a step would by the dozen.
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(allocations < 10, "{allocations} allocations in 50 steps of {} dispatches", step.len());
}
