//! What there is to see of a run.

use wgrad::Monitor;

use crate::data::Kind;
use crate::lab::{Fault, Lab, Reading};

/// The most neurons of a layer that have a picture.
pub const SHOWN: usize = 12;

/// The networks' answers on a grid, row by row from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Numbers for each place: the probability of the second of two classes, those of all classes if there are more, or a value from
    /// -1 to 1 as it lies in the range of the targets.
    pub channels: usize,
    /// The mean over the networks.
    pub values: Vec<f32>,
}

/// Losses of an epoch, over the networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// The mean, the smallest and the largest on the training data.
    pub train: [f32; 3],
    /// On the test data.
    pub test: [f32; 3],
}

/// Smallest and largest.
fn range(values: impl Iterator<Item = f32>) -> [f32; 2] {
    values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)])
}

impl Lab {
    /// The range of each input that is shown, and that of the targets behind them.
    pub fn bounds(&self) -> Vec<[f32; 2]> {
        let cols = self.names.len();
        let column = |data: fn(&wgrad::data::Dataset) -> &[f32], cols: usize, col: usize| {
            range(self.raw.iter().flat_map(|part| data(part).iter().skip(col).step_by(cols).copied()))
        };
        let inputs = (0..cols).map(|col| match self.inputs {
            None => [-1.1, 1.1],
            Some(_) => {
                let [low, high] = column(wgrad::data::Dataset::inputs, cols, col);
                let margin = if high > low { 0.08 * (high - low) } else { 1.0 };
                [low - margin, high + margin]
            }
        });
        let [low, high] = match (&self.kind, &self.inputs) {
            (Kind::Numbers, None) => [-1.0, 1.0],
            _ => column(wgrad::data::Dataset::targets, 1, 0),
        };
        inputs.chain([[low, if high > low { high } else { low + 1.0 }]]).collect()
    }

    /// The inputs of a grid of `size` x `size` places over two columns, the others at their means; over one column if there are no
    /// more, a row of `size`. As the network takes them.
    fn grid(&self, size: usize, axes: [usize; 2]) -> wgrad::Result<Vec<f32>> {
        let (cols, bounds) = (self.names.len(), self.bounds());
        let train = &self.raw[0];
        let mean = |col: usize| {
            train.inputs().iter().skip(col).step_by(cols).map(|x| f64::from(*x)).sum::<f64>() / train.len() as f64
        };
        let base: Vec<f32> = (0..cols).map(|col| mean(col) as f32).collect();
        let place = |col: usize, at: usize| {
            let [low, high] = bounds[col];
            low + (high - low) * (at as f32 + 0.5) / size as f32
        };
        let rows = if cols == 1 { 1 } else { size };
        let mut inputs = Vec::with_capacity(rows * size * cols);
        for row in 0..rows {
            for column in 0..size {
                let mut sample = base.clone();
                if cols > 1 {
                    sample[axes[1]] = place(axes[1], size - 1 - row);
                }
                sample[axes[0]] = place(axes[0], column);
                inputs.extend(sample);
            }
        }
        match &self.inputs {
            Some(scale) => scale.apply(&inputs),
            None => Ok(inputs),
        }
    }

    /// The networks' mean answer over two columns of the inputs.
    ///
    /// # Errors
    /// A column that there is not; a lost device.
    pub async fn surface(&self, size: usize, axes: [usize; 2]) -> Result<Surface, Fault> {
        let cols = self.names.len();
        if axes.iter().any(|axis| *axis >= cols && cols > 1) || size == 0 {
            return Err(format!("There is no column {axes:?}.").into());
        }
        let inputs = self.grid(size, if cols == 1 { [0; 2] } else { axes })?;
        let mut sum = Vec::new();
        for member in self.ensemble.members() {
            let outputs = member.predictor().predict_async(&inputs, cols).await?;
            let answers = self.answers(&outputs)?;
            if sum.is_empty() {
                sum = answers;
            } else {
                sum.iter_mut().zip(answers).for_each(|(sum, answer)| *sum += answer);
            }
        }
        let count = self.ensemble.members().len() as f32;
        let values: Vec<f32> = sum.into_iter().map(|x| x / count).collect();
        Ok(Surface { channels: values.len() / (inputs.len() / cols), values })
    }

    /// What outputs say: see [`Surface::channels`].
    fn answers(&self, outputs: &[f32]) -> wgrad::Result<Vec<f32>> {
        let classes = if let Kind::Classes(names) = &self.kind { names.len() } else { 1 };
        Ok(match self.reading {
            Reading::Logit => outputs.iter().map(|y| 1.0 / (1.0 + (-y).exp())).collect(),
            Reading::Sign => outputs.iter().map(|y| (0.5 + 0.5 * y).clamp(0.0, 1.0)).collect(),
            Reading::Largest => outputs
                .chunks(classes)
                .flat_map(|row| {
                    let sum: f32 = row.iter().map(|y| y.max(0.0)).sum();
                    row.iter().map(move |y| y.max(0.0) / sum.max(1e-6)).collect::<Vec<_>>()
                })
                .collect(),
            Reading::Logits => outputs
                .chunks(classes)
                .flat_map(|row| {
                    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let exp: Vec<f32> = row.iter().map(|y| (y - most).exp()).collect();
                    let sum: f32 = exp.iter().sum();
                    exp.into_iter().map(move |e| e / sum)
                })
                .collect(),
            Reading::Value => {
                let values = match &self.targets {
                    Some(scale) => scale.invert(outputs)?,
                    None => outputs.to_vec(),
                };
                let [low, high] = self.bounds().last().copied().unwrap_or([-1.0, 1.0]);
                values.into_iter().map(|y| 2.0 * (y - low) / (high - low) - 1.0).collect()
            }
        })
    }

    /// What the first neurons of each hidden layer of the first network answer: layer by layer, `min(width, SHOWN)` pictures of
    /// `size` x `size` numbers.
    ///
    /// # Errors
    /// A lost device.
    pub async fn neurons(&self, size: usize, axes: [usize; 2]) -> Result<Vec<Vec<f32>>, Fault> {
        let cols = self.names.len();
        let inputs = self.grid(size, if cols == 1 { [0; 2] } else { axes })?;
        let mut layers = Vec::new();
        for (encoder, (width, _)) in self.encoders.iter().zip(&self.spec.layers) {
            let outputs = encoder.predict_async(&inputs, cols).await?;
            let picture = |neuron: usize| outputs.iter().skip(neuron).step_by(*width).copied();
            layers.push((0..(*width).min(SHOWN)).flat_map(picture).collect());
        }
        Ok(layers)
    }

    /// The first network's weights between the neurons that have a picture: layer by layer [outputs, inputs], at most
    /// `SHOWN` each.
    ///
    /// # Errors
    /// A lost device.
    pub async fn weights(&self) -> Result<Vec<Vec<f32>>, Fault> {
        let mut layers = Vec::new();
        for linear in &self.networks[0].linear {
            let [_, inputs] = linear.weight().shape();
            let values = linear.weight().value()?.read_async()?.await?;
            let rows = values.chunks(inputs).take(SHOWN);
            layers.push(rows.flat_map(|row| row.iter().take(SHOWN).copied()).collect());
        }
        Ok(layers)
    }

    /// The losses of the epochs behind the first `from`.
    pub fn curves(&self, from: usize) -> Vec<Curve> {
        let members = self.ensemble.members();
        let of = |epoch: usize, monitor: Monitor| {
            let losses: Vec<f32> = members
                .iter()
                .filter_map(|member| {
                    let record = member.history().epochs.get(epoch)?;
                    let metrics = if monitor == Monitor::TrainLoss { record.train } else { record.validation };
                    metrics.map(|metrics| metrics.loss)
                })
                .collect();
            let [low, high] = range(losses.iter().copied());
            [losses.iter().sum::<f32>() / losses.len() as f32, low, high]
        };
        (from..self.epochs())
            .map(|epoch| Curve { train: of(epoch, Monitor::TrainLoss), test: of(epoch, Monitor::ValidationLoss) })
            .collect()
    }

    /// The mean accuracy of the networks on training and test data; none of numbers, or before the first epoch.
    pub fn accuracies(&self) -> [Option<f64>; 2] {
        [Monitor::TrainAccuracy, Monitor::ValidationAccuracy]
            .map(|monitor| self.ensemble.statistics(monitor).map(|of| of.mean))
    }

    /// What is predicted: the names of the classes; none of numbers.
    pub fn classes(&self) -> &[String] {
        if let Kind::Classes(names) = &self.kind { names } else { &[] }
    }

    /// The names of the inputs' columns, and of what is predicted.
    pub fn names(&self) -> (&[String], &str) {
        (&self.names, &self.target)
    }

    /// Samples as they are: those to train on, and those to test on, with inputs [n, i] and class numbers or values [n, 1].
    pub fn samples(&self) -> [(&[f32], &[f32]); 2] {
        [0, 1].map(|part| (self.raw[part].inputs(), self.raw[part].targets()))
    }

    /// The device it runs on.
    pub fn device(&self) -> String {
        self.ensemble.device().name().to_string()
    }

    /// Networks that are trained, and what stopped the others.
    pub fn members(&self) -> (usize, &[String]) {
        (self.ensemble.members().len(), &self.diverged)
    }
}
