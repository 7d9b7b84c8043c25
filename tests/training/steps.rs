//! Full-batch steps by hand, and how far rounding may drive two of them apart.

use wgrad::nn::{Backprop, Loss, Module, Mse, Parameters, Sequential};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, Graph, Tensor, Var};

use crate::common::{EPSILON, signed};

/// A network with given parameters, and a batch to train on.
pub(crate) struct Problem {
    pub(crate) model: fn() -> Sequential,
    /// In the order of the model's names.
    pub(crate) parameters: Vec<Vec<f32>>,
    pub(crate) x: Vec<f32>,
    pub(crate) target: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) learning_rate: f32,
}

/// A network ready to be trained by hand.
pub(crate) struct Steps {
    pub(crate) parameters: Parameters,
    optimizer: Optimizer,
    pass: Backprop,
    loss: Var,
}

impl Problem {
    pub(crate) fn place(&self, device: &Device) -> Steps {
        let model = (self.model)();
        let parameters = Parameters::new(device, &model, 0).unwrap();
        assert_eq!(parameters.named().count(), self.parameters.len());
        for ((_, parameter), values) in parameters.named().zip(&self.parameters) {
            parameter.value().unwrap().write(values).unwrap();
        }
        let optimizer = Optimizer::new(&parameters, Sgd::new(self.learning_rate)).unwrap();
        let mut graph = Graph::new(device);
        let matrix = |values: &[f32]| Tensor::new(device, self.rows, values.len() / self.rows, values).unwrap();
        let x = graph.input(&matrix(&self.x)).unwrap();
        let target = graph.input(&matrix(&self.target)).unwrap();
        let y = model.forward(&mut graph, x).unwrap();
        let loss = Mse::new().forward(&mut graph, y, target).unwrap();
        let pass = Backprop::new(&mut graph, &parameters, loss, &[]).unwrap();
        Steps { parameters, optimizer, pass, loss }
    }

    /// The loss before each of `steps` steps.
    pub(crate) fn losses(&self, device: &Device, steps: usize) -> Vec<f32> {
        let mut placed = self.place(device);
        (0..steps).map(|_| placed.step()).collect()
    }

    /// How much a loss within `steps` steps moves for each unit by which all parameters are moved relatively, to first
    /// order: the largest of eight random movements on the CPU, times four, as the worst direction is not among them.
    pub(crate) fn sensitivity(&self, steps: usize) -> f64 {
        const MOVE: f32 = 1e-3;
        let losses = self.losses(&Device::cpu(), steps);
        let mut largest: f64 = 0.0;
        for seed in 0..8 {
            let mut moved = self.parameters.clone();
            for (values, seed) in moved.iter_mut().zip(100 * seed..) {
                let signs = signed(seed, values.len());
                values.iter_mut().zip(signs).for_each(|(v, sign)| *v *= 1.0 + MOVE.copysign(sign));
            }
            let other = Problem { parameters: moved, x: self.x.clone(), target: self.target.clone(), ..*self };
            for (a, b) in other.losses(&Device::cpu(), steps).iter().zip(&losses) {
                largest = largest.max(f64::from((a - b).abs() / MOVE));
            }
        }
        4.0 * largest
    }

    /// How far apart two computations of the loss of step s (from 0) may lie, when each value of a step is rounded
    /// relatively by `rounding`: such an error acts like a movement of the parameters, and those of s + 1 steps add up.
    pub(crate) fn tolerance(&self, steps: usize, rounding: f64) -> impl Fn(usize) -> f64 {
        let sensitivity = self.sensitivity(steps);
        move |step| (step + 1) as f64 * sensitivity * rounding
    }
}

impl Steps {
    /// One step: zero_grad, forward, backward, update. The loss before the update.
    pub(crate) fn step(&mut self) -> f32 {
        self.optimizer.zero_grad().unwrap();
        self.pass.forward().unwrap();
        self.pass.backward().unwrap();
        let loss = self.pass.read(self.loss).unwrap()[0];
        self.optimizer.step().unwrap();
        loss
    }

    pub(crate) fn gradients(&self) -> Vec<Vec<f32>> {
        self.parameters.named().map(|(_, parameter)| parameter.gradient().unwrap().read().unwrap()).collect()
    }
}

/// The rounding of sums of up to `terms` products.
pub(crate) fn sums(terms: usize) -> f64 {
    (terms + 4) as f64 * EPSILON
}

/// What WGSL lets a tanh be off by, where the CPU's is right to an epsilon.
pub(crate) const TANH: f64 = 1e-5;
