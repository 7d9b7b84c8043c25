//! A training step, ready to be timed.

use wgrad::data::Dataset;
use wgrad::nn::{Linear, Loss, Module, Mse, Parameters, ReLU, Sequential, Sigmoid, Tanh};
use wgrad::ops::mlp::{self, Chain, Rule, Run};
use wgrad::ops::optim::Update;
use wgrad::ops::{Activation, RULES, Reduction, loss};
use wgrad::optim::{Adam, Algorithm, Optimizer, Sgd};
use wgrad::{Device, Error, ErrorKind, Graph, Lowering, Recording, Result, StepPath, Tensor, ops};

/// What is trained, and how.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a> {
    /// Columns of the input, of each hidden layer and of the output.
    pub(crate) sizes: &'a [usize],
    /// tanh in the hidden layers instead of ReLU.
    pub(crate) tanh: bool,
    /// Adam instead of SGD.
    pub(crate) adam: bool,
}

/// A network in training, with the dispatches of a step.
pub(crate) struct Training {
    /// The dispatches of a step.
    pub(crate) step: Recording,
    loss: Tensor,
}

impl Training {
    /// A network with its data, for at most `steps` steps at a time.
    pub(crate) fn new(device: &Device, network: Network<'_>, batch: usize, steps: u32, path: StepPath) -> Result<Self> {
        let sizes = network.sizes;
        if sizes.len() < 2 || batch == 0 || steps == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "throughput",
                "give at least two sizes, a batch of at least 1 and at least 1 step",
            ));
        }
        let rows = batch.max(1024);
        let data = network.data(rows)?;
        let (inputs, outputs) = (data.input_cols(), data.target_cols());
        // Side by side, so that one dispatch can bind both as one.
        let behind = data.inputs().len().next_multiple_of(64);
        let both = Tensor::zeros(device, 1, behind + data.targets().len())?;
        let (x, t) = (both.view(0, rows, inputs)?, both.view(behind, rows, outputs)?);
        x.write(data.inputs())?;
        t.write(data.targets())?;
        let data = [x, t];
        // Row numbers, stored as bits.
        let first = |step: usize| (step * batch) % (rows - batch + 1);
        let order = (0..steps as usize).flat_map(|step| first(step)..first(step) + batch);
        let order: Vec<f32> = order.map(|row| f32::from_bits(row as u32)).collect();
        let order = Tensor::new(device, 1, order.len(), &order)?;
        let mini_batch = [Tensor::zeros(device, batch, inputs)?, Tensor::zeros(device, batch, outputs)?];

        let model = network.model();
        let parameters = Parameters::new(device, &model, 0)?;
        if path == StepPath::Fused {
            if network.tanh || network.adam {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "throughput",
                    "one dispatch is timed with ReLU and SGD only; leave out --tanh, --adam or --path fused",
                ));
            }
            return Self::fused(&parameters, sizes, batch, &data, &order);
        }
        let mut optimizer = Optimizer::new(&parameters, network.algorithm())?;
        let mut graph = Graph::new(device);
        let (x, t) = (graph.input(&mini_batch[0])?, graph.input(&mini_batch[1])?);
        let y = model.forward(&mut graph, x)?;
        let loss = Mse::new().forward(&mut graph, y, t)?;
        let mut wanted = optimizer.train_step(&mut graph, loss)?;
        wanted.push(loss);
        let lowered =
            Lowering::default().rules(if path == StepPath::Layered { RULES } else { &[] }).lower(&graph, &wanted)?;
        let missing = || Error::new(ErrorKind::InvalidInput, "throughput", "the loss was not lowered");
        let loss = lowered.tensor(loss).cloned().ok_or_else(missing)?;

        let mut step = Recording::new(device);
        ops::gather(&mut step, &order, [&data[0], &data[1]], [&mini_batch[0], &mini_batch[1]], batch)?;
        step.append(lowered.recording())?;
        Ok(Self { step, loss })
    }

    /// All steps in as few dispatches as can be.
    fn fused(
        parameters: &Parameters,
        sizes: &[usize],
        batch: usize,
        [inputs, targets]: &[Tensor; 2],
        order: &Tensor,
    ) -> Result<Self> {
        let device = parameters.device();
        let last = sizes.len() - 2;
        let function = |layer| if layer < last { Activation::ReLU } else { Activation::Sigmoid };
        let chain = Chain {
            inputs: sizes[0],
            layers: sizes[1..].iter().enumerate().map(|(layer, outputs)| (*outputs, function(layer))).collect(),
            loss: mlp::Loss::Elementwise(loss::Elementwise::Squared),
            scale: Reduction::Mean.scale(batch, sizes[sizes.len() - 1]),
            weights: mlp::Weights::None,
            rule: Rule::Sgd,
            update: Update::default(),
            rows: batch,
            stride: batch,
        };
        let values = Tensor::new(device, 1, chain.values_len(), &parameters.read()?)?;
        let rates = Tensor::new(device, 1, 4, &[0.1, 1.0, 1.0, 0.0])?;
        let loss = Tensor::zeros(device, 1, 1)?;
        let run = Run { data: [inputs, targets], order, rates: &rates, values: &values, state: &[], losses: &loss };
        let mut step = Recording::new(device);
        mlp::train(&mut step, &chain, run)?;
        Ok(Self { step, loss })
    }

    /// Runs this many steps and returns the loss of the last.
    pub(crate) fn run(&self, steps: u32) -> Result<f32> {
        self.step.run_steps(0..steps)?;
        Ok(self.loss.read()?[0])
    }
}

impl<'a> Network<'a> {
    /// With ReLU and SGD.
    pub(crate) fn of(sizes: &'a [usize]) -> Self {
        Self { sizes, tanh: false, adam: false }
    }

    pub(crate) fn model(self) -> Sequential {
        let mut model = Sequential::new();
        for (i, layer) in self.sizes.windows(2).enumerate() {
            model = model.add(Linear::new(layer[0], layer[1]));
            model = match (i + 2 < self.sizes.len(), self.tanh) {
                (true, false) => model.add(ReLU),
                (true, true) => model.add(Tanh),
                (false, _) => model.add(Sigmoid),
            };
        }
        model
    }

    pub(crate) fn algorithm(self) -> Box<dyn Algorithm> {
        if self.adam { Box::new(Adam::new(0.001)) } else { Box::new(Sgd::new(0.1)) }
    }

    /// Random inputs, and targets of 0 and 1.
    pub(crate) fn data(self, rows: usize) -> Result<Dataset> {
        let (inputs, outputs) = (self.sizes[0], self.sizes[self.sizes.len() - 1]);
        let mut random = random_numbers();
        let x: Vec<f32> = (0..rows * inputs).map(|_| random()).collect();
        let t: Vec<f32> = (0..rows * outputs).map(|_| random().round()).collect();
        Dataset::new(x, inputs, t, outputs)
    }

    /// Multiplications and additions of a step's matrix products: forward, weight gradients, and input gradients except
    /// the first layer's.
    pub(crate) fn flops(self, batch: usize) -> f64 {
        let products: usize = self.sizes.windows(2).map(|w| w[0] * w[1]).sum();
        let first: usize = self.sizes.iter().take(2).product();
        (2 * batch * (3 * products - first)) as f64
    }
}

/// Numbers from 0 to 1, as `benches/peers/burn` draws them.
fn random_numbers() -> impl FnMut() -> f32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32
    }
}
