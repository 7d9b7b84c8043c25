//! A run: data, networks, and their training.

use std::sync::Arc;

use wgrad::data::{Dataset, Standardize};
use wgrad::metrics::Decision;
use wgrad::nn::{Activation, BceWithLogits, CrossEntropy, Huber, Linear, Loss, Mae, Mse, Predictor, Sequential};
use wgrad::optim::{Adam, RmsProp, Sgd};
use wgrad::{Device, Ensemble, Error, ErrorKind, Fit, Trainer};

use crate::data::{Kind, Samples};
use crate::spec::Spec;

/// Why something could not be done, for people.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind of wgrad's error, if it is one.
    pub kind: Option<ErrorKind>,
    /// What to read.
    pub message: String,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { kind: Some(error.kind()), message: error.to_string() }
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { kind: None, message }
    }
}

/// How outputs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A logit: of the second class.
    Logit,
    /// Below 0 the first class, above 0 the second.
    Sign,
    /// Logits of classes.
    Logits,
    /// The largest says the class.
    Largest,
    /// A number.
    Value,
}

/// The layers of one network.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) linear: Vec<Arc<Linear>>,
    pub(crate) activations: Vec<Activation>,
}

impl Network {
    pub(crate) fn new(inputs: usize, spec: &Spec, outputs: usize) -> Self {
        let widths: Vec<usize> =
            std::iter::once(inputs).chain(spec.layers.iter().map(|layer| layer.0)).chain([outputs]).collect();
        Self {
            linear: widths.windows(2).map(|pair| Arc::new(Linear::new(pair[0], pair[1]))).collect(),
            activations: spec.layers.iter().map(|layer| layer.1).collect(),
        }
    }

    /// The model, up to the end of this hidden layer or of all.
    pub(crate) fn up_to(&self, layers: usize) -> Sequential {
        let mut model = Sequential::new();
        for (i, linear) in self.linear.iter().enumerate().take(layers) {
            model = model.add(linear.clone());
            if let Some(activation) = self.activations.get(i) {
                model = model.add(*activation);
            }
        }
        model
    }

    pub(crate) fn model(&self) -> Sequential {
        self.up_to(self.linear.len())
    }
}

/// A run of one network, or of several at once.
pub struct Lab {
    pub(crate) spec: Spec,
    /// As they are: to train on, and to test on.
    pub(crate) raw: [Dataset; 2],
    pub(crate) kind: Kind,
    pub(crate) names: Vec<String>,
    pub(crate) target: String,
    /// As the network takes them.
    pub(crate) data: [Dataset; 2],
    pub(crate) inputs: Option<Standardize>,
    pub(crate) targets: Option<Standardize>,
    pub(crate) reading: Reading,
    pub(crate) ensemble: Ensemble,
    /// One for each member.
    pub(crate) networks: Vec<Network>,
    /// The predictors of the first network's hidden layers.
    pub(crate) encoders: Vec<Predictor>,
    /// What stopped members that are no more.
    pub(crate) diverged: Vec<String>,
}

impl Lab {
    /// Prepares a run on a device: draws the initial parameters.
    ///
    /// # Errors
    /// Samples that can't be divided as the settings say; a network that is too large; a device without memory.
    pub fn new(device: &Device, spec: Spec, samples: Samples) -> Result<Self, Fault> {
        let Samples { data, kind, names, target, scaled } = samples;
        let (train, test) = data.split(spec.share / 100.0, spec.seed)?;
        let inputs = scaled.then(|| Standardize::fit(&train));
        let targets = (scaled && kind == Kind::Numbers).then(|| Standardize::fit_targets(&train));
        let (reading, outputs) = match (&kind, spec.loss.as_str()) {
            (Kind::Numbers, _) => (Reading::Value, 1),
            (Kind::Classes(names), "squared") if names.len() == 2 => (Reading::Sign, 1),
            (Kind::Classes(names), "squared") => (Reading::Largest, names.len()),
            (Kind::Classes(names), _) if names.len() == 2 => (Reading::Logit, 1),
            (Kind::Classes(names), _) => (Reading::Logits, names.len()),
        };
        spec.check_size(data.input_cols(), outputs)?;
        let prepared = |raw: &Dataset| -> wgrad::Result<Dataset> {
            let data = inputs.as_ref().map_or_else(|| Ok(raw.clone()), |scale| scale.apply_to_inputs(raw))?;
            let data = targets.as_ref().map_or_else(|| Ok(data.clone()), |scale| scale.apply_to_targets(&data))?;
            match reading {
                Reading::Sign => data.map_targets(|class| 2.0 * class - 1.0),
                Reading::Largest => data.one_hot(outputs),
                _ => Ok(data),
            }
        };
        let prepared = [prepared(&train)?, prepared(&test)?];
        let (mut networks, mut trainers) = (Vec::new(), Vec::new());
        for member in 0..spec.members {
            let network = Network::new(data.input_cols(), &spec, outputs);
            trainers.push(trainer(device, &spec, &network, reading, spec.seed + member as u64));
            networks.push(network);
        }
        let ensemble = Ensemble::new(trainers)?;
        let (data, raw) = (prepared, [train, test]);
        let mut lab = Self {
            spec,
            raw,
            kind,
            names,
            target,
            data,
            inputs,
            targets,
            reading,
            ensemble,
            networks,
            encoders: Vec::new(),
            diverged: Vec::new(),
        };
        lab.make_encoders()?;
        Ok(lab)
    }

    fn make_encoders(&mut self) -> wgrad::Result<()> {
        let device = self.ensemble.device().clone();
        let network = &self.networks[0];
        let encoder = |layers| Predictor::new(&device, network.up_to(layers));
        self.encoders = (1..network.linear.len()).map(encoder).collect::<wgrad::Result<_>>()?;
        Ok(())
    }

    /// Trains all networks for so many epochs.
    ///
    /// Of several networks, one whose loss becomes infinite is taken out, and the others go on.
    ///
    /// # Errors
    /// The loss of the only network, or of the last, is no longer finite (it then is as after its last good epoch); a lost device.
    pub async fn train(&mut self, epochs: usize) -> Result<(), Fault> {
        let [train, test] = &self.data;
        let batch = self.spec.batch.min(train.len());
        let results = self.ensemble.fit_async(train, |_| Fit::new(epochs, batch).validation(test)).await?;
        if results.iter().all(Result::is_ok) {
            return Ok(());
        }
        if let Some(error) = results
            .iter()
            .find_map(|result| result.as_ref().err())
            .filter(|error| results.iter().all(Result::is_err) || error.kind() != ErrorKind::NotFinite)
        {
            return Err(error.clone().into());
        }
        // Members can be taken out only of the list that an ensemble is made of.
        let keep: Vec<bool> = results.iter().map(Result::is_ok).collect();
        self.diverged.extend(results.into_iter().filter_map(|result| result.err().map(|error| error.to_string())));
        let spare = trainer(self.ensemble.device(), &self.spec, &self.networks[0].fresh(), self.reading, 0);
        let members = std::mem::replace(&mut self.ensemble, Ensemble::new([spare])?).into_members();
        let sound = members.into_iter().zip(&keep).filter(|(_, keep)| **keep);
        self.ensemble = Ensemble::new(sound.map(|(member, _)| Ok(member)))?;
        let mut kept = keep.iter();
        self.networks.retain(|_| kept.next() == Some(&true));
        Ok(self.make_encoders()?)
    }

    /// Epochs so far.
    pub fn epochs(&self) -> usize {
        self.ensemble.members()[0].history().epochs.len()
    }

    /// The losses of the first network's steps so far.
    pub fn step_losses(&self) -> &[f32] {
        &self.ensemble.members()[0].history().step_losses
    }

    /// All that is needed to go on from here to the bit: a checkpoint for each network, with its length before it.
    ///
    /// # Errors
    /// A lost device.
    pub async fn checkpoint(&mut self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        for member in self.ensemble.members_mut() {
            let checkpoint = member.session().checkpoint_bytes().await?;
            bytes.extend((checkpoint.len() as u32).to_le_bytes());
            bytes.extend(checkpoint);
        }
        Ok(bytes)
    }

    /// Goes on from a checkpoint of a run with the same settings.
    ///
    /// # Errors
    /// A checkpoint of other networks, or one that is damaged.
    pub async fn resume(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        for member in self.ensemble.members_mut() {
            let cut = || Fault::from("The run that this page kept is cut short; it begins anew.".to_string());
            let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
            let (checkpoint, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(cut)?;
            member.session().resume_from_bytes(checkpoint).await?;
            bytes = rest;
        }
        Ok(())
    }
}

impl Network {
    /// The same layers with parameters of their own.
    pub(crate) fn fresh(&self) -> Self {
        let new = |layer: &Arc<Linear>| {
            let [outputs, inputs] = layer.weight().shape();
            Arc::new(Linear::new(inputs, outputs))
        };
        Self { linear: self.linear.iter().map(new).collect(), activations: self.activations.clone() }
    }
}

fn trainer(device: &Device, spec: &Spec, network: &Network, reading: Reading, seed: u64) -> wgrad::Result<Trainer> {
    match (reading, spec.loss.as_str()) {
        (Reading::Logit, _) => with_loss(device, spec, network, BceWithLogits::new(), seed),
        (Reading::Logits, _) => with_loss(device, spec, network, CrossEntropy::new(), seed),
        (Reading::Sign, _) => with_loss(device, spec, network, Mse::new().decision(Decision::between(-1.0, 1.0)), seed),
        (Reading::Largest, _) => with_loss(device, spec, network, Mse::new().decision(Decision::Argmax), seed),
        (Reading::Value, "absolute") => with_loss(device, spec, network, Mae::new(), seed),
        (Reading::Value, "huber") => with_loss(device, spec, network, Huber::new(1.0), seed),
        (Reading::Value, _) => with_loss(device, spec, network, Mse::new(), seed),
    }
}

fn with_loss(
    device: &Device,
    spec: &Spec,
    network: &Network,
    loss: impl Loss + 'static,
    seed: u64,
) -> wgrad::Result<Trainer> {
    let (model, &Spec { rate, momentum, decay, .. }) = (network.model(), spec);
    match spec.optimizer.as_str() {
        "sgd" => Trainer::new(device, model, loss, Sgd::new(rate).momentum(momentum).weight_decay(decay), seed),
        "rmsprop" => Trainer::new(device, model, loss, RmsProp::new(rate).momentum(momentum).weight_decay(decay), seed),
        "adamw" => Trainer::new(device, model, loss, Adam::new(rate).decoupled_weight_decay(decay), seed),
        _ => Trainer::new(device, model, loss, Adam::new(rate).weight_decay(decay), seed),
    }
}
