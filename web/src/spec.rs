//! What is trained, as text: the part of the page's address behind the `#`, such as
//! `data=moons&layers=8.tanh,8.tanh&rate=0.03`. What it does not name has a default.

use wgrad::nn::Activation;

/// Hidden layers.
const MAX_LAYERS: usize = 8;
/// Neurons of a hidden layer.
const MAX_WIDTH: usize = 256;
/// Parameters of a network, so that a step takes a few milliseconds at most.
const MAX_PARAMETERS: usize = 200_000;
/// Points of a set that is drawn at random.
const MAX_POINTS: usize = 5_000;
/// Networks trained at once.
const MAX_MEMBERS: usize = 10;

/// A hidden layer: its neurons and their activation.
pub type Layer = (usize, Activation);

/// The settings of a run: the same text gives the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The name of a data set, `points` (drawn by hand) or `csv`.
    pub data: String,
    /// The points drawn by hand: see [`points`](crate::data::points).
    pub points: String,
    /// How many points a set that is drawn at random has.
    pub samples: usize,
    /// In percent of the picture's half width: how far a point is moved, or a value is off.
    pub noise: f64,
    /// In percent: the share of the points to train on. The others test.
    pub share: f64,
    /// Decides data, initial parameters and the order of mini-batches.
    pub seed: u64,
    /// The hidden layers.
    pub layers: Vec<Layer>,
    /// `entropy`, `squared`, `absolute` or `huber`.
    pub loss: String,
    /// `sgd`, `adam`, `adamw` or `rmsprop`.
    pub optimizer: String,
    /// The learning rate.
    pub rate: f32,
    /// Momentum, of SGD and RMSprop.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
    /// Samples of a mini-batch.
    pub batch: usize,
    /// Networks, each with a seed of its own, from `seed` on.
    pub members: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            data: "disk".into(),
            points: String::new(),
            samples: 300,
            noise: 5.0,
            share: 70.0,
            seed: 1,
            layers: vec![(6, Activation::Tanh); 2],
            loss: "entropy".into(),
            optimizer: "adam".into(),
            rate: 0.01,
            momentum: 0.9,
            decay: 0.0,
            batch: 16,
            members: 1,
        }
    }
}

impl Spec {
    /// Reads the text; keys that mean nothing here (the page has some of its own) are passed over.
    ///
    /// # Errors
    /// A value that is none, or one beyond a limit of the page: what to change.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for (key, value) in text.trim_start_matches('#').split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "data" => spec.data = value.into(),
                "points" => spec.points = value.into(),
                "n" => spec.samples = number(key, value, 10.0, MAX_POINTS as f64)? as usize,
                "noise" => spec.noise = number(key, value, 0.0, 100.0)?,
                "share" => spec.share = number(key, value, 10.0, 90.0)?,
                "seed" => spec.seed = number(key, value, 0.0, 1e9)? as u64,
                "layers" => spec.layers = layers(value)?,
                "loss" => spec.loss = one_of(key, value, &["entropy", "squared", "absolute", "huber"])?,
                "opt" => spec.optimizer = one_of(key, value, &["sgd", "adam", "adamw", "rmsprop"])?,
                "rate" => spec.rate = number(key, value, 1e-6, 1e6)? as f32,
                "momentum" => spec.momentum = number(key, value, 0.0, 0.999)? as f32,
                "decay" => spec.decay = number(key, value, 0.0, 1.0)? as f32,
                "batch" => spec.batch = number(key, value, 1.0, MAX_POINTS as f64)? as usize,
                "members" => spec.members = number(key, value, 1.0, MAX_MEMBERS as f64)? as usize,
                _ => {}
            }
        }
        Ok(spec)
    }

    /// Checks the size of the network, for data of so many columns.
    ///
    /// # Errors
    /// More parameters than the page takes.
    pub fn check_size(&self, inputs: usize, outputs: usize) -> Result<(), String> {
        let widths: Vec<usize> =
            std::iter::once(inputs).chain(self.layers.iter().map(|layer| layer.0)).chain([outputs]).collect();
        let count: usize = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
        if count <= MAX_PARAMETERS {
            return Ok(());
        }
        Err(format!(
            "This network has {count} parameters; the page takes at most {MAX_PARAMETERS}. Take away a layer, or give the \
             widest layers fewer neurons."
        ))
    }
}

fn number(key: &str, value: &str, least: f64, most: f64) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{key}={value}: give a number from {least} to {most}.")),
    }
}

fn one_of(key: &str, value: &str, words: &[&str]) -> Result<String, String> {
    match words.contains(&value) {
        true => Ok(value.into()),
        false => Err(format!("{key}={value}: give one of {}.", words.join(", "))),
    }
}

/// The names of activations in the text, and in files.
const ACTIVATIONS: [(&str, Activation); 7] = [
    ("relu", Activation::ReLU),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("gelu", Activation::GELU),
    ("silu", Activation::SiLU),
    ("elu", Activation::ELU { alpha: 1.0 }),
    ("linear", Activation::Identity),
];

fn layers(text: &str) -> Result<Vec<Layer>, String> {
    let parts: Vec<&str> = text.split(',').filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_LAYERS {
        return Err(format!("{} hidden layers; the page takes at most {MAX_LAYERS}. Take some away.", parts.len()));
    }
    let layer = |part: &&str| {
        let (width, name) = part.split_once('.').unwrap_or((part, "tanh"));
        let found = ACTIVATIONS.iter().find(|(known, _)| *known == name);
        let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
        let (_, activation) = found.ok_or_else(|| format!("{part}: give one of {}.", names.join(", ")))?;
        match width.parse::<usize>() {
            Ok(width) if (1..=MAX_WIDTH).contains(&width) => Ok((width, *activation)),
            _ => Err(format!("A layer of {width} neurons; the page takes 1 to {MAX_WIDTH}. Make it smaller.")),
        }
    };
    parts.iter().map(layer).collect()
}

/// The hidden layers of a model that a file describes, as text, with its columns of inputs and outputs:
/// `Sequential(Linear(2, 8), Tanh, Linear(8, 1))` gives 2, `8.tanh` and 1.
///
/// # Errors
/// A model of other modules than the page shows.
pub fn layers_of(model: &str) -> Result<(usize, String, usize), String> {
    let other = || {
        format!("The file holds {model}. This page shows linear layers, each but the last followed by an activation.")
    };
    let inner = model.strip_prefix("Sequential(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(other)?;
    // Linear(2, 8) has a comma of its own.
    let mut modules: Vec<String> = Vec::new();
    for part in inner.split(", ") {
        match modules.last_mut().filter(|last| last.contains('(') && !last.contains(')')) {
            Some(last) => *last += &format!(", {part}"),
            None => modules.push(part.into()),
        }
    }
    let (mut widths, mut texts) = (Vec::new(), Vec::new());
    for (i, module) in modules.iter().enumerate() {
        if i % 2 == 0 {
            let sizes = module.strip_prefix("Linear(").and_then(|rest| rest.strip_suffix(')'));
            let (i, o) = sizes.and_then(|sizes| sizes.split_once(", ")).ok_or_else(other)?;
            widths.push([i.parse::<usize>().map_err(|_| other())?, o.parse().map_err(|_| other())?]);
        } else {
            let is_it =
                |activation: &Activation| wgrad::nn::Module::describe(activation).as_deref() == Some(module.as_str());
            let (name, _) = ACTIVATIONS.iter().find(|(_, activation)| is_it(activation)).ok_or_else(other)?;
            texts.push(format!("{}.{name}", widths.last().ok_or_else(other)?[1]));
        }
    }
    match (widths.first(), widths.last()) {
        (Some(first), Some(last)) if texts.len() + 1 == widths.len() => Ok((first[0], texts.join(","), last[1])),
        _ => Err(other()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gives_settings_and_faults_say_what_to_change() {
        let spec = Spec::parse("#data=moons&layers=8.relu,4&rate=0.5&members=10&view=1").unwrap();
        assert_eq!(spec.layers, [(8, Activation::ReLU), (4, Activation::Tanh)]);
        assert_eq!((spec.rate, spec.members), (0.5, 10));
        assert_eq!(Spec::parse("").unwrap(), Spec::default());
        let fault = |text: &str| Spec::parse(text).unwrap_err();
        assert_eq!(fault("rate=fast"), "rate=fast: give a number from 0.000001 to 1000000.");
        assert_eq!(fault("layers=300"), "A layer of 300 neurons; the page takes 1 to 256. Make it smaller.");
        assert!(fault("layers=1,1,1,1,1,1,1,1,1").starts_with("9 hidden layers; the page takes at most 8."));
        assert!(fault("layers=3.cos").ends_with("silu, elu, linear."));
        let large = Spec::parse("layers=256,256,256,256,256").unwrap();
        assert!(large.check_size(2, 1).unwrap_err().starts_with("This network has 264193 parameters"));
    }

    #[test]
    fn a_model_of_a_file_is_read_as_layers() {
        let model = "Sequential(Linear(2, 8), ELU(1), Linear(8, 3), Identity, Linear(3, 1))";
        assert_eq!(layers_of(model).unwrap(), (2, "8.elu,3.linear".into(), 1));
        assert_eq!(layers_of("Sequential(Linear(2, 1))").unwrap(), (2, String::new(), 1));
        for other in ["Linear(2, 1)", "Sequential(Linear(2, 8), Dropout(0.5), Linear(8, 1))", "Sequential(Tanh)"] {
            assert!(layers_of(other).unwrap_err().contains("This page shows"), "{other}");
        }
    }
}
