//! The experiments of the five reports, as a table.

use wgrad::Result;
use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::Decision;
use wgrad::nn::{Activation, Identity, Init, Linear, Mse, ReLU, Reduction, Sequential, Sigmoid, Tanh};
use wgrad::optim::{Schedule, Sgd};
use wgrad::{Device, Trainer};

/// Points to train on, and as many others to test on.
const POINTS: usize = 1000;
const HIDDEN: usize = 25;

/// A 2-25-25-25-k multi-layer perceptron that learns the disk problem by mini-batches of squared errors.
pub(crate) struct Experiment {
    /// The report, and what distinguishes its experiments.
    pub(crate) name: &'static str,
    hidden: [Activation; 3],
    output: Activation,
    labels: Labels,
    init: InitOf,
    loss: Reduction,
    /// Learning rates, each with the first epoch that has it, counted from 0.
    rates: &'static [(usize, f64)],
    pub(crate) batch_size: usize,
    pub(crate) epochs: usize,
    decay: Decay,
    /// The report's test accuracy in percent, as it writes it.
    pub(crate) reported: &'static str,
    /// PyTorch's test accuracy in percent: mean and standard deviation of [`PYTORCH_RUNS`] runs.
    pub(crate) pytorch: (f64, f64),
}

pub(crate) const PYTORCH_RUNS: usize = 100;

/// Initial weights and biases of a layer, given the activation that follows it.
type InitOf = fn(Activation) -> (Init, Init);

#[derive(Clone, Copy, PartialEq)]
enum Decay {
    None,
    /// θ - η (∇L + λθ).
    OfGradient(f32),
    /// θ - η∇L - λθ: the learning rate does not scale it, so it shrinks weights 1/η times as fast.
    Literal(f32),
}

/// U(±1/√in) for weights and biases.
const PYTORCH: InitOf = |_| (Init::Linear, Init::Linear);
const XAVIER: InitOf = |activation| {
    let gain = if activation == ReLU { std::f32::consts::SQRT_2 } else { 1.0 };
    (Init::XavierNormal { gain }, Init::Constant(0.0))
};
const NORMAL: InitOf = |_| (Init::Normal { std: 1.0 }, Init::Normal { std: 1.0 });

const BASE: Experiment = Experiment {
    name: "",
    hidden: [ReLU; 3],
    output: Identity,
    labels: Labels::OneHot,
    init: PYTORCH,
    loss: Reduction::Mean,
    rates: &[(0, 0.01)],
    batch_size: 50,
    epochs: 1000,
    decay: Decay::None,
    reported: "",
    pytorch: (0.0, 0.0),
};

const WITHOUT_AUTOGRAD: Experiment = Experiment {
    output: Tanh,
    labels: Labels::ZeroOne,
    rates: &[(0, 0.1), (100, 0.03), (175, 0.01)],
    epochs: 250,
    ..BASE
};

const FIVE_ACTIVATIONS: Experiment = Experiment { hidden: [ReLU, Tanh, Sigmoid], init: NORMAL, ..BASE };

pub(crate) const EXPERIMENTS: [Experiment; 11] = [
    Experiment {
        name: "worch",
        output: Sigmoid,
        loss: Reduction::OutputMean,
        rates: &[(0, 0.1)],
        batch_size: 32,
        epochs: 100,
        reported: "very good",
        pytorch: (95.54, 2.08),
        ..BASE
    },
    // What the report's authors ran in PyTorch.
    Experiment {
        name: "pytorch-like",
        loss: Reduction::Sum,
        rates: &[(0, 0.001)],
        reported: "97.17 ± 0.72",
        pytorch: (97.52, 1.01),
        ..BASE
    },
    // What they ran in their own framework.
    Experiment {
        name: "pytorch-like-own",
        init: XAVIER,
        loss: Reduction::SampleMean,
        rates: &[(0, 0.001)],
        reported: "96.99 ± 0.93",
        pytorch: (96.26, 1.57),
        ..BASE
    },
    Experiment { name: "without-autograd-1", reported: "97.8", pytorch: (98.43, 0.51), ..WITHOUT_AUTOGRAD },
    Experiment {
        name: "without-autograd-2",
        hidden: [Tanh; 3],
        reported: "95.9",
        pytorch: (96.79, 0.76),
        ..WITHOUT_AUTOGRAD
    },
    Experiment {
        name: "without-autograd-3",
        hidden: [Tanh, Sigmoid, Sigmoid],
        reported: "51.7",
        pytorch: (50.23, 4.04),
        ..WITHOUT_AUTOGRAD
    },
    // The report says that it takes about 1400 epochs; it does at a constant rate.
    Experiment {
        name: "without-autograd-3-long",
        hidden: [Tanh, Sigmoid, Sigmoid],
        rates: &[(0, 0.1)],
        epochs: 1400,
        reported: "converges",
        pytorch: (97.00, 1.20),
        ..WITHOUT_AUTOGRAD
    },
    Experiment {
        name: "hotgrad",
        output: Tanh,
        labels: Labels::PlusMinusOneHot,
        reported: "about 98",
        pytorch: (97.83, 0.97),
        ..BASE
    },
    Experiment { name: "five-activations", reported: "97.8 ± 0.8", pytorch: (97.69, 0.85), ..FIVE_ACTIVATIONS },
    Experiment {
        name: "five-activations-decay",
        decay: Decay::OfGradient(0.001),
        reported: "97.9 ± 0.6",
        pytorch: (97.66, 0.85),
        ..FIVE_ACTIVATIONS
    },
    // The same report's rule taken as it is printed.
    Experiment {
        name: "five-activations-literal-decay",
        decay: Decay::Literal(0.001),
        reported: "—",
        pytorch: (49.99, 1.47),
        ..FIVE_ACTIVATIONS
    },
];

impl Experiment {
    /// Training and test points.
    pub(crate) fn data(&self, [train_seed, test_seed]: [u64; 2]) -> Result<[Dataset; 2]> {
        Ok([disk(POINTS, train_seed, self.labels)?, disk(POINTS, test_seed, self.labels)?])
    }

    pub(crate) fn trainer(&self, device: &Device, seed: u64) -> Result<Trainer> {
        let outputs = match self.labels {
            Labels::OneHot | Labels::PlusMinusOneHot => 2,
            _ => 1,
        };
        let mut model = Sequential::new();
        let mut width = 2;
        for (size, activation) in self.hidden.map(|a| (HIDDEN, a)).into_iter().chain([(outputs, self.output)]) {
            let (weight, bias) = (self.init)(activation);
            model = model.add(Linear::new(width, size).init(weight, bias));
            if activation != Identity {
                model = model.add(activation);
            }
            width = size;
        }
        Trainer::new(device, model, Mse::new().reduction(self.loss).decision(self.decision()), self.rule(), seed)
    }

    /// How the outputs are read as classes.
    pub(crate) fn decision(&self) -> Decision {
        match self.labels {
            Labels::OneHot | Labels::PlusMinusOneHot => Decision::Argmax,
            Labels::PlusMinusOne => Decision::between(-1.0, 1.0),
            _ => Decision::between(0.0, 1.0),
        }
    }

    fn rule(&self) -> Sgd {
        let first = self.rates[0].1;
        let milestones: Vec<_> = self.rates.iter().map(|(epoch, rate)| (*epoch, rate / first)).collect();
        let rule = Sgd::new(first as f32).schedule(Schedule::multi_step(&milestones));
        match self.decay {
            Decay::None => rule,
            Decay::OfGradient(decay) => rule.weight_decay(decay),
            Decay::Literal(decay) => rule.shrink(decay),
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.epochs * POINTS.div_ceil(self.batch_size)
    }

    /// A loss over all points, as the mean over their outputs: comparable between the experiments.
    pub(crate) fn mean_squared_error(&self, loss: f32, data: &Dataset) -> f64 {
        let (n, outputs) = (data.len(), data.target_cols());
        f64::from(loss * Reduction::Mean.scale(n, outputs) / self.loss.scale(n, outputs))
    }

    /// Whether PyTorch's network learns: two do not, as expected.
    pub(crate) fn learns(&self) -> bool {
        self.pytorch.0 > 75.0
    }

    /// The layers' activations and the learning rates, for a picture's title.
    pub(crate) fn title(&self) -> String {
        let Self { name, hidden: [a, b, c], output, .. } = self;
        let rates: Vec<_> = self.rates.iter().map(|(_, rate)| rate.to_string()).collect();
        let decay = match self.decay {
            Decay::None => String::new(),
            Decay::OfGradient(decay) => format!(", weight decay {decay}"),
            Decay::Literal(decay) => format!(", shrinking by {decay} a step"),
        };
        format!("{name}: {a:?}, {b:?}, {c:?}, {output:?}; rate {}{decay}", rates.join(" / "))
    }
}
