//! A training that is drawn at random: what a seed stands for, as a text that `tests/oracle/differential.py` reads, too.

use std::fmt::Write;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use wgrad::data::Dataset;
use wgrad::nn::{
    BatchNorm1d, BceWithLogits, CrossEntropy, Dropout, Huber, LayerNorm, Linear, Loss, Mae, Mse, Quantile, Reduction,
    Residual, Sequential,
};
use wgrad::ops::Activation;
use wgrad::optim::{Adam, RmsProp, Schedule, Sgd};
use wgrad::{Device, Trainer};

use crate::common::rng;
use crate::planted::{Fault, Planted};

/// A training: the network, the data, the loss, the optimizer and how it is run.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) inputs: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) score: Score,
    pub(crate) by: By,
    pub(crate) rows: usize,
    pub(crate) batch: usize,
    pub(crate) epochs: usize,
    pub(crate) drop_last: bool,
    pub(crate) shuffle: bool,
    /// Whether samples count more or less.
    pub(crate) weights: bool,
    /// The parameter that is not trained, by its number.
    pub(crate) frozen: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layer {
    Linear {
        outputs: usize,
        bias: bool,
    },
    /// The layer before it and this function once more: both have the same parameters.
    Again(Activation),
    Function(Activation),
    /// Each row by itself: LayerNorm.
    Standardized,
    BatchNorm,
    Dropout(f32),
    /// Around a linear layer without a change of width, and this function.
    Residual(Activation),
    /// Not drawn: see [`Case::plant`].
    Planted(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Score {
    Mse,
    Mae,
    Huber,
    Quantile,
    Bce,
    /// Class numbers as targets, or probabilities.
    CrossEntropy {
        numbers: bool,
        smoothing: f32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) rule: &'static str,
    pub(crate) rate: f32,
    pub(crate) momentum: f32,
    pub(crate) decay: f32,
    pub(crate) decoupled: f32,
    pub(crate) clip_value: f32,
    pub(crate) clip_norm: f32,
    /// The rate is multiplied by this after every epoch.
    pub(crate) gamma: f64,
    /// The rate of the first parameter is half of the others'.
    pub(crate) group: bool,
    pub(crate) sum: bool,
}

const FUNCTIONS: [(&str, Activation); 9] = [
    ("relu", Activation::ReLU),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("leaky", Activation::LeakyReLU { slope: 0.125 }),
    ("elu", Activation::ELU { alpha: 1.0 }),
    ("gelu", Activation::GELU),
    ("gelutanh", Activation::GELUTanh),
    ("silu", Activation::SiLU),
    ("softplus", Activation::Softplus),
];

fn name_of(function: Activation) -> &'static str {
    FUNCTIONS.iter().find(|(_, f)| *f == function).map_or("?", |(name, _)| name)
}

fn function(random: &mut ChaCha8Rng) -> Activation {
    FUNCTIONS.choose(random).unwrap().1
}

/// Widths at which tiles begin, end and are cut.
fn width(random: &mut ChaCha8Rng) -> usize {
    match random.random_range(0..8) {
        0 => 1,
        1 => *[8, 16, 32, 64].choose(random).unwrap(),
        2 => *[9, 17, 31, 33, 65].choose(random).unwrap(),
        _ => random.random_range(1..30),
    }
}

impl Case {
    pub(crate) fn draw(seed: u64) -> Self {
        let random = &mut rng(seed);
        let inputs = width(random).min(20);
        let (mut layers, mut before) = (Vec::new(), inputs);
        for depth in 0..random.random_range(1..4) {
            let outputs = width(random);
            layers.push(Layer::Linear { outputs, bias: random.random_range(0..5) > 0 });
            if before == outputs && random.random_range(0..2) == 0 {
                layers.push(Layer::Again(function(random)));
            }
            before = outputs;
            match random.random_range(0..12) {
                0 if before > 2 => layers.push(Layer::Standardized),
                1 => layers.push(Layer::BatchNorm),
                2 => layers.push(Layer::Residual(function(random))),
                3 if depth > 0 => layers.push(Layer::Dropout(0.25)),
                _ => {}
            }
            if random.random_range(0..8) > 0 {
                layers.push(Layer::Function(function(random)));
            }
        }
        let score = match random.random_range(0..8) {
            0 => Score::Mae,
            1 => Score::Huber,
            2 => Score::Quantile,
            3 => Score::Bce,
            4 => Score::CrossEntropy { numbers: true, smoothing: 0.0 },
            5 => Score::CrossEntropy { numbers: random.random(), smoothing: 0.125 },
            _ => Score::Mse,
        };
        let outputs = match score {
            Score::CrossEntropy { .. } => random.random_range(2..12),
            _ => width(random).min(12),
        };
        layers.push(Layer::Linear { outputs, bias: true });
        // Of what ends a network no loss is more than a product away.
        if matches!(score, Score::Mse | Score::Huber) && random.random_range(0..3) == 0 {
            layers.push(Layer::Function(*[Activation::Tanh, Activation::Sigmoid].choose(random).unwrap()));
        }
        let rows = random.random_range(3..48);
        let has_batch_norm = layers.contains(&Layer::BatchNorm);
        let batch = random.random_range(1..=rows).max(rows / 4).max(2);
        let drop_last = has_batch_norm || random.random_range(0..5) == 0;
        let mut sometimes = |value: f32| if random.random_range(0..4) == 0 { value } else { 0.0 };
        let (decay, decoupled) = (sometimes(1.0 / 64.0), sometimes(1.0 / 64.0));
        let (clip_value, clip_norm) = (sometimes(1.0 / 16.0), sometimes(0.25));
        let sum = sometimes(1.0) > 0.0;
        // These losses' gradients are sums of a few numbers, which cancel but for rounding; others divide by what is left.
        let rules = if matches!(score, Score::Mae | Score::Quantile) { 4 } else { 6 };
        let rule = *["sgd", "sgd", "momentum", "nesterov", "adam", "rmsprop"][..rules].choose(random).unwrap();
        let rate = match rule {
            "adam" | "rmsprop" => 1.0 / 256.0,
            _ if sum => 1.0 / 512.0,
            _ => 1.0 / 16.0,
        };
        let by = By {
            rule,
            rate,
            momentum: if matches!(rule, "momentum" | "nesterov") { 0.75 } else { 0.0 },
            // Both at once is a choice that no other library has.
            decoupled: if decay > 0.0 { 0.0 } else { decoupled },
            decay,
            clip_value,
            clip_norm,
            gamma: if random.random_range(0..3) == 0 { 0.5 } else { 1.0 },
            group: random.random_range(0..6) == 0,
            sum,
        };
        let frozen = (random.random_range(0..6) == 0).then_some(1);
        let (epochs, shuffle, weights) = (random.random_range(1..4), random.random(), random.random_range(0..4) == 0);
        Self { seed, inputs, layers, score, by, rows, batch, epochs, drop_last, shuffle, weights, frozen }
    }

    /// The same with a layer that has this fault on GPUs.
    pub(crate) fn plant(mut self, fault: Fault) -> Self {
        self.layers.insert(1, Layer::Planted(fault));
        self
    }

    /// What PyTorch can repeat: no masks, no order that is drawn.
    pub(crate) fn for_pytorch(mut self) -> Self {
        self.layers.retain(|layer| !matches!(layer, Layer::Dropout(_)));
        self.shuffle = false;
        // PyTorch's RMSProp has no decoupled decay.
        if self.by.rule == "rmsprop" {
            self.by.decoupled = 0.0;
        }
        self
    }

    pub(crate) fn outputs(&self) -> usize {
        self.layers.iter().fold(self.inputs, |cols, layer| match layer {
            Layer::Linear { outputs, .. } => *outputs,
            _ => cols,
        })
    }

    /// Mini-batches of an epoch.
    pub(crate) fn steps(&self) -> usize {
        if self.drop_last { self.rows / self.batch } else { self.rows.div_ceil(self.batch) }
    }

    /// The longest sum in it.
    pub(crate) fn terms(&self) -> usize {
        let widths = self.layers.iter().map(|layer| match layer {
            Layer::Linear { outputs, .. } => *outputs,
            _ => 0,
        });
        // A loss adds up all outputs of a batch.
        widths.max().unwrap_or(0).max(self.inputs).max(self.batch * self.outputs())
    }

    pub(crate) fn model(&self) -> Sequential {
        let (mut cols, mut last) = (self.inputs, None);
        let mut model = Sequential::new();
        for layer in &self.layers {
            model = match *layer {
                Layer::Linear { outputs, bias } => {
                    let linear = Linear::new(cols, outputs);
                    let linear = std::sync::Arc::new(if bias { linear } else { linear.without_bias() });
                    cols = outputs;
                    last = Some(linear.clone());
                    model.add(linear)
                }
                Layer::Again(function) => model.add(function).add(last.clone().unwrap()),
                Layer::Function(function) => model.add(function),
                Layer::Standardized => model.add(LayerNorm::new(cols)),
                Layer::BatchNorm => model.add(BatchNorm1d::new(cols)),
                Layer::Dropout(p) => model.add(Dropout::new(p)),
                Layer::Residual(function) => {
                    model.add(Residual::new(Sequential::new().add(Linear::new(cols, cols)).add(function)))
                }
                Layer::Planted(fault) => model.add(Planted(fault)),
            };
        }
        model
    }

    /// Ready to be trained, with the values of [`Case::parameter`].
    pub(crate) fn trainer(&self, device: &Device) -> Trainer {
        let reduction = if self.by.sum { Reduction::Sum } else { Reduction::Mean };
        match self.score {
            Score::Mse => self.trained_for(device, Mse::new().reduction(reduction)),
            Score::Mae => self.trained_for(device, Mae::new().reduction(reduction)),
            Score::Huber => self.trained_for(device, Huber::new(0.5).reduction(reduction)),
            Score::Quantile => self.trained_for(device, Quantile::new(0.75).reduction(reduction)),
            Score::Bce => self.trained_for(device, BceWithLogits::new().reduction(reduction)),
            Score::CrossEntropy { smoothing, .. } => {
                self.trained_for(device, CrossEntropy::new().label_smoothing(smoothing).reduction(reduction))
            }
        }
    }

    fn trained_for(&self, device: &Device, loss: impl Loss + 'static) -> Trainer {
        let by = self.by;
        macro_rules! trainer {
            ($algorithm:expr) => {{
                let mut algorithm = $algorithm.weight_decay(by.decay).decoupled_weight_decay(by.decoupled);
                if by.clip_value > 0.0 {
                    algorithm = algorithm.clip_value(by.clip_value);
                }
                if by.clip_norm > 0.0 {
                    algorithm = algorithm.clip_norm(by.clip_norm);
                }
                if by.gamma < 1.0 {
                    algorithm = algorithm.schedule(Schedule::exponential(by.gamma));
                }
                if by.group {
                    algorithm = algorithm.group(|name| name == "0.weight", by.rate / 2.0, by.decay + by.decoupled);
                }
                Trainer::new(device, self.model(), loss, algorithm, self.seed).unwrap()
            }};
        }
        let trainer = match by.rule {
            "adam" => trainer!(Adam::new(by.rate)),
            "rmsprop" => trainer!(RmsProp::new(by.rate)),
            rule => trainer!(Sgd::new(by.rate).momentum(by.momentum).nesterov(rule == "nesterov")),
        };
        for (count, (name, parameter)) in trainer.parameters().named().enumerate() {
            if !parameter.is_buffer() {
                parameter.value().unwrap().write(&self.parameter(count, name, parameter.shape())).unwrap();
            }
            parameter.set_frozen(self.frozen == Some(count));
        }
        trainer
    }

    /// With inputs that are `moved`.
    pub(crate) fn data(&self, moved: impl FnOnce(Vec<f32>) -> Vec<f32>) -> Dataset {
        let (inputs, outputs) = (number(self.seed, 1), self.outputs());
        let inputs = moved((0..self.rows * self.inputs).map(inputs).collect());
        let drawn = number(self.seed, 2);
        let class = |row: usize| ((drawn(row) + 1.0) * 1024.0) as usize % outputs;
        let (targets, cols): (Vec<f32>, usize) = match self.score {
            Score::Bce => ((0..self.rows * outputs).map(|i| f32::from(drawn(i) > 0.0)).collect(), outputs),
            Score::CrossEntropy { numbers: true, .. } => ((0..self.rows).map(|row| class(row) as f32).collect(), 1),
            Score::CrossEntropy { numbers: false, .. } => {
                let one_hot = |i: usize| f32::from(class(i / outputs) == i % outputs);
                ((0..self.rows * outputs).map(one_hot).collect(), outputs)
            }
            _ => ((0..self.rows * outputs).map(drawn).collect(), outputs),
        };
        let data = Dataset::new(inputs, self.inputs, targets, cols).unwrap();
        if !self.weights {
            return data;
        }
        let weight = number(self.seed, 3);
        data.with_weights((0..self.rows).map(|row| 1.0 + weight(row)).collect()).unwrap()
    }

    /// The value of an element of a parameter, counted from 0, before training: weights of about one over the root of their
    /// inputs, scales near 1.
    pub(crate) fn parameter(&self, count: usize, name: &str, [rows, cols]: [usize; 2]) -> Vec<f32> {
        let drawn = number(self.seed, 10 + count as u64);
        let scale = (-(cols as f64).sqrt().log2().ceil()).exp2() as f32;
        let is_scale = rows == 1 && name.ends_with("weight");
        (0..rows * cols).map(|i| if is_scale { 1.0 + drawn(i) / 4.0 } else { drawn(i) * scale }).collect()
    }
}

/// A list of numbers from -1 to 1 that f32 holds exactly, and that is easily repeated in another language.
pub(crate) fn number(seed: u64, list: u64) -> impl Fn(usize) -> f32 {
    let start = (seed as u32).wrapping_mul(0x9e37_79b9).wrapping_add((list as u32).wrapping_mul(0x85eb_ca6b));
    move |i| {
        let mut bits = start.wrapping_add((i as u32).wrapping_mul(0xc2b2_ae35));
        for multiplier in [0x7feb_352d, 0x846c_a68b] {
            bits = (bits ^ (bits >> 16)).wrapping_mul(multiplier);
        }
        ((bits >> 8) % 2049) as f32 / 1024.0 - 1.0
    }
}

/// The training as one line of words and numbers.
impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut layers = String::new();
        for layer in &self.layers {
            match layer {
                Layer::Linear { outputs, bias: true } => write!(layers, ",linear:{outputs}")?,
                Layer::Linear { outputs, bias: false } => write!(layers, ",nobias:{outputs}")?,
                Layer::Again(function) => write!(layers, ",again:{}", name_of(*function))?,
                Layer::Function(function) => write!(layers, ",{}", name_of(*function))?,
                Layer::Standardized => layers += ",layernorm",
                Layer::BatchNorm => layers += ",batchnorm",
                Layer::Dropout(p) => write!(layers, ",dropout:{p}")?,
                Layer::Residual(function) => write!(layers, ",residual:{}", name_of(*function))?,
                Layer::Planted(fault) => write!(layers, ",planted:{fault:?}")?,
            }
        }
        let score = match self.score {
            Score::Mse => "mse",
            Score::Mae => "mae",
            Score::Huber => "huber",
            Score::Quantile => "quantile",
            Score::Bce => "bce",
            Score::CrossEntropy { numbers: true, smoothing: 0.0 } => "ce",
            Score::CrossEntropy { numbers: true, .. } => "ce-smooth",
            Score::CrossEntropy { numbers: false, .. } => "ce-onehot-smooth",
        };
        let By { rule, rate, momentum, decay, decoupled, clip_value, clip_norm, gamma, group, sum } = self.by;
        write!(
            f,
            "seed={} inputs={} layers={} loss={score} sum={} rule={rule} rate={rate} momentum={momentum} decay={decay} \
             decoupled={decoupled} clip_value={clip_value} clip_norm={clip_norm} gamma={gamma} group={} rows={} batch={} \
             epochs={} drop_last={} shuffle={} weights={} frozen={}",
            self.seed,
            self.inputs,
            &layers[1..],
            u8::from(sum),
            u8::from(group),
            self.rows,
            self.batch,
            self.epochs,
            u8::from(self.drop_last),
            u8::from(self.shuffle),
            u8::from(self.weights),
            self.frozen.map_or(-1, |count| count as i32),
        )
    }
}
