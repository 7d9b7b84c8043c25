//! `shaders/mlp.wgsl`

use std::ops::Range;

use rand::RngExt;
use wgrad::ops::loss::Elementwise;
use wgrad::ops::mlp::{self, Chain, Loss, Rule, Run, Weights};
use wgrad::ops::optim::Update;
use wgrad::ops::{Activation, Reduction};
use wgrad::{Device, Recording, Result, Tensor};

use crate::case::Case;
use crate::common::{EPSILON, rng, signed};

use Activation::{ELU, GELU, GELUTanh, Identity, LeakyReLU, ReLU, SiLU, Sigmoid, Softplus, Tanh};

/// A training, with its data.
struct Setup {
    chain: Chain,
    members: usize,
    samples: usize,
    target_cols: usize,
    entries: usize,
    steps: Range<u32>,
    /// What initial values are multiplied by.
    gain: f32,
}

/// As many as there are rows of rates and slots of losses; later steps take the last.
const SLOTS: usize = 3;
const RATES: [f32; 4 * SLOTS] = [0.25, 1.5, 1.25, 9.0, 0.125, 1.25, 1.125, 9.0, 0.0625, 1.125, 1.0625, 9.0];

fn setup(sizes: &[usize], functions: &[Activation], rows: usize) -> Setup {
    let functions = functions.iter().cycle();
    let outputs = sizes[sizes.len() - 1];
    let chain = Chain {
        inputs: sizes[0],
        layers: sizes[1..].iter().copied().zip(functions.copied()).collect(),
        loss: Loss::Elementwise(Elementwise::Squared),
        scale: Reduction::Mean.scale(rows, outputs),
        weights: Weights::None,
        rule: Rule::Sgd,
        update: Update::default(),
        rows,
        stride: rows,
    };
    Setup { chain, members: 1, samples: 2 * rows + 3, target_cols: outputs, entries: 3 * rows, steps: 0..2, gain: 1.0 }
}

impl Setup {
    fn loss(mut self, loss: Loss) -> Self {
        self.chain.loss = loss;
        self
    }

    fn classes(mut self) -> Self {
        (self.chain.loss, self.target_cols) = (Loss::CrossEntropy, 1);
        self
    }

    fn rule(mut self, rule: Rule, change: impl FnOnce(&mut Update)) -> Self {
        (self.chain.rule, self.chain.update.epsilon) = (rule, 1e-3);
        change(&mut self.chain.update);
        self
    }

    /// With weights from 0 to 1 behind the targets.
    fn weights(mut self, weights: Weights) -> Self {
        self.chain.weights = weights;
        self
    }

    fn steps(mut self, steps: Range<u32>) -> Self {
        self.steps = steps;
        self
    }

    fn len(&self) -> usize {
        self.chain.values_len()
    }

    /// Columns of targets and weights.
    fn cols(&self) -> usize {
        self.target_cols + usize::from(self.chain.weights != Weights::None)
    }

    fn targets(&self) -> Vec<f32> {
        let (len, outputs) = (self.samples * self.target_cols, self.chain.layers[self.chain.layers.len() - 1].0);
        match self.chain.loss {
            Loss::CrossEntropy if self.target_cols == 1 => (0..len).map(|i| (i % outputs) as f32).collect(),
            Loss::CrossEntropy | Loss::Elementwise(Elementwise::BceWithLogits) => {
                signed(2, len).iter().map(|t| 0.5 + 0.5 * t).collect()
            }
            _ => signed(2, len),
        }
    }

    fn targets_and_weights(&self) -> Vec<f32> {
        let targets = self.targets();
        if self.chain.weights == Weights::None {
            return targets;
        }
        let weights = signed(4, self.samples);
        let rows = targets.chunks_exact(self.target_cols).zip(&weights);
        rows.flat_map(|(row, weight)| row.iter().copied().chain([weight.max(0.0)])).collect()
    }

    /// U(±gain/√inputs), with a gain of 1 as layers are initialised; zeros between the parameters.
    fn values(&self, seed: u64) -> Vec<f32> {
        let mut values = Vec::new();
        let mut inputs = self.chain.inputs;
        for (seed, (outputs, _)) in (seed..).zip(&self.chain.layers) {
            for len in [inputs * outputs, *outputs] {
                let bound = self.gain / (inputs as f32).sqrt();
                values.extend(signed(seed, len).iter().map(|v| v * bound));
                values.resize(values.len().next_multiple_of(64), 0.0);
            }
            inputs = *outputs;
        }
        values
    }

    /// Data, order, rates: as the kernel reads them; then values, losses and states, as it finds them.
    fn data(&self) -> [Vec<f32>; 7] {
        let mut data = signed(1, self.samples * self.chain.inputs);
        data.resize(data.len().next_multiple_of(64), f32::NAN);
        data.extend(self.targets_and_weights());
        // Row numbers beyond the data stand for its last row.
        let mut random = rng(3);
        let mut row = || f32::from_bits(random.random_range(0..self.samples as u32 + 2));
        let order = (0..self.members * self.entries).map(|_| row()).collect();
        let members = 0..self.members as u64;
        let values = members.clone().flat_map(|m| self.values(10 + 100 * m)).collect();
        let state = |seed: u64, positive: bool| {
            let values = members.clone().flat_map(|m| self.values(seed + 100 * m));
            let value = |v: f32| if positive && v != 0.0 { 0.1 + v * v } else { v };
            values.map(value).collect::<Vec<_>>()
        };
        let squares = |first: bool| matches!((self.chain.rule, first), (Rule::Adam | Rule::RmsProp, false));
        let rates = RATES.repeat(self.members);
        [
            data,
            order,
            rates,
            values,
            vec![f32::NAN; self.members * SLOTS],
            state(50, squares(true)),
            state(60, squares(false)),
        ]
    }

    fn shapes(&self) -> [[usize; 2]; 7] {
        let (members, len) = (self.members, self.len());
        let data = (self.samples * self.chain.inputs).next_multiple_of(64) + self.samples * self.cols();
        let values = [members, len];
        [[1, data], [members, self.entries], [members * SLOTS, 4], values, [members, SLOTS], values, values]
    }

    fn record(&self) -> impl Fn(&mut Recording, &[&Tensor], &[&Tensor]) -> Result<()> + use<> {
        let (chain, samples, target_cols) = (self.chain.clone(), self.samples, self.cols());
        move |recording, inputs, outputs| {
            let targets_at = (samples * chain.inputs).next_multiple_of(64);
            let inputs_part = inputs[0].view(0, samples, chain.inputs)?;
            let targets = inputs[0].view(targets_at, samples, target_cols)?;
            let state: Vec<_> = outputs[2..].iter().map(|state| (*state).clone()).collect();
            let run = Run {
                data: [&inputs_part, &targets],
                order: inputs[1],
                rates: inputs[2],
                values: outputs[0],
                state: &state,
                losses: outputs[1],
            };
            mlp::train(recording, &chain, run)
        }
    }

    /// What the CPU's reference makes of these values.
    fn outcome(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let device = Device::cpu();
        let mut data = self.data();
        data[3] = values.to_vec();
        let tensors: Vec<Tensor> =
            data.iter().zip(self.shapes()).map(|(data, [r, c])| Tensor::new(&device, r, c, data).unwrap()).collect();
        let tensors: Vec<_> = tensors.iter().take(5 + self.chain.rule.states()).collect();
        let mut recording = Recording::new(&device);
        self.record()(&mut recording, &tensors[..3], &tensors[3..]).unwrap();
        recording.run_steps(self.steps.clone()).unwrap();
        tensors[3..].iter().map(|tensor| tensor.read().unwrap()).collect()
    }

    /// How far each output may be off: every value of a step is rounded relatively by that of its sum, and by that of the
    /// functions, which acts like a movement of the values; those of all steps add up. How far outputs follow a movement
    /// is the largest of four random ones, times four, as the worst direction is not among them.
    fn tolerances(&self) -> Vec<f64> {
        const MOVE: f32 = 1e-3;
        let widest = self.chain.layers.iter().map(|(outputs, _)| *outputs).max().unwrap().max(self.chain.inputs);
        let terms = widest.max(self.chain.rows) + 8;
        // exp and a division are off by at most (3 + 2 |x|) and 2.5 units, at |x| up to 4.
        let smooth = |function: &Activation| !matches!(function, Identity | ReLU | LeakyReLU { .. });
        let squared = matches!(self.chain.loss, Loss::Elementwise(Elementwise::Squared));
        let functions = if self.chain.layers.iter().any(|(_, f)| smooth(f)) || !squared { 32.0 } else { 0.0 };
        let rounding = (terms as f64 + functions) * EPSILON;
        let [_, _, _, values, ..] = self.data();
        let expected = self.outcome(&values);
        let mut largest = vec![0.0_f64; expected.len()];
        for seed in 0..4 {
            let signs = signed(900 + seed, values.len());
            let moved: Vec<_> = values.iter().zip(signs).map(|(v, sign)| v * (1.0 + MOVE.copysign(sign))).collect();
            for ((largest, moved), expected) in largest.iter_mut().zip(self.outcome(&moved)).zip(&expected) {
                for (a, b) in moved.iter().zip(expected).filter(|(_, b)| b.is_finite()) {
                    *largest = largest.max(f64::from((a - b).abs() / MOVE));
                }
            }
        }
        largest.iter().map(|largest| (1 + self.steps.len()) as f64 * 4.0 * largest * rounding).collect()
    }

    fn case(self) -> Case {
        let Chain { layers, loss, rule, rows, stride, inputs, weights, .. } = &self.chain;
        let name = format!(
            "{inputs} {layers:?}, {loss:?}, weights {weights:?}, {rule:?}, {rows} rows of {stride}, {} members, steps {:?}",
            self.members, self.steps
        );
        let (shapes, mut tolerances) = (self.shapes(), self.tolerances());
        let [data, order, rates, values, losses, state1, state2] = self.data();
        let states = rule.states();
        let mut case = Case::new(name, self.record()).steps(self.steps.clone()).dispatches(1);
        // Whether members share the data is told by its length.
        case = case.bound_exactly(self.members > 1);
        for (shape, values) in shapes.iter().zip([data, order, rates]) {
            case = case.input(*shape, values);
        }
        // A loss of a step that is not run stays as it was, which no comparison would let pass.
        let reached = self.steps.start == 0 && self.steps.end as usize >= SLOTS;
        let losses = losses.iter().map(|loss| if reached { *loss } else { 0.5 }).collect();
        let outputs = [values, losses, state1, state2].into_iter().take(2 + states);
        for ((shape, before), tolerance) in shapes[3..].iter().zip(outputs).zip(tolerances.drain(..)) {
            case = case.close(*shape, move |_, value| tolerance + 4.0 * EPSILON * value.abs()).before(Some(before));
        }
        case
    }
}

pub(crate) fn train() -> Vec<Case> {
    // Drivers compile each of them for seconds: so each has several things to show.
    let disk = setup(&[2, 25, 12, 25, 2], &[ReLU, ReLU, Tanh, Sigmoid], 32);
    let chain = |functions: [Activation; 3], error| {
        setup(&[4, 9, 6, 3], &functions, 14).loss(Loss::Elementwise(error)).steps(4..7)
    };
    let everything = |update: &mut Update| {
        (update.momentum, update.beta1, update.beta2, update.nesterov) = (0.5, 0.75, 0.875, 1);
        (update.decay, update.decoupled_decay, update.shrink) = (0.1, 0.2, 0.05);
        (update.rate_factor, update.clip_value) = (0.5, 0.01);
    };
    let betas = |update: &mut Update| (update.beta1, update.beta2) = (0.75, 0.875);
    let small = |function| setup(&[4, 16, 3], &[function, Identity], 16);
    // A mini-batch that is smaller than the others, and an order that wraps around within one.
    let mut short = small(ReLU).steps(0..4);
    (short.chain.rows, short.chain.stride, short.entries) = (5, 9, 11);
    // Weights of some rows, in a mini-batch that is smaller than the others, of more rows than an invocation sums at once.
    let mut weighted = small(Tanh).classes().weights(Weights::Mean).steps(0..3);
    (weighted.chain.rows, weighted.chain.stride, weighted.chain.scale) = (37, 41, 1.0);
    // Whose exponentials are infinite.
    let mut large_logits = small(ReLU).classes().rule(Rule::Sgd, everything);
    large_logits.gain = 32.0;
    let mut members = small(Tanh).rule(Rule::Momentum, |update| update.momentum = 0.5);
    members.members = 3;
    let setups = [
        setup(&[1, 1], &[Identity], 1),
        setup(&[3, 2], &[ReLU], 5).steps(0..5),
        disk,
        setup(&[5, 1, 9, 4, 6, 7, 8, 3, 2], &[SiLU, Sigmoid, ReLU], 7),
        // Weights, then nothing fits in a workgroup's memory.
        setup(&[8, 64, 64, 1], &[ReLU, ReLU, Identity], 64).rule(Rule::Adam, betas),
        setup(&[64, 128, 128, 10], &[Tanh, Tanh, Identity], 64).classes().steps(0..1),
        chain([GELU, GELUTanh, Sigmoid], Elementwise::Absolute).rule(Rule::Momentum, everything),
        chain([SiLU, Softplus, ELU { alpha: 0.5 }], Elementwise::Huber { delta: 0.5 }).rule(Rule::Adam, everything),
        chain([LeakyReLU { slope: 0.5 }, LeakyReLU { slope: -0.25 }, Identity], Elementwise::BceWithLogits)
            .rule(Rule::RmsProp, everything),
        setup(&[4, 16, 2], &[Tanh, Identity], 16).loss(Loss::CrossEntropy).rule(Rule::Adam, betas),
        large_logits,
        short,
        small(ReLU).weights(Weights::Sum),
        weighted,
        members,
    ];
    setups.into_iter().map(Setup::case).collect()
}
