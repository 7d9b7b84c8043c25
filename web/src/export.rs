//! Networks as files, and back.

use wgrad::Device;
use wgrad::data::Standardize;
use wgrad::export::Export;
use wgrad::nn::{Module, Parameters, Sequential};

use crate::data::Kind;
use crate::lab::{Fault, Lab, Reading};
use crate::spec::layers_of;

/// Means and standard deviations of columns.
fn columns(scale: &Standardize) -> Vec<(f32, f32)> {
    let number = |text: &str| text.parse().unwrap_or(0.0);
    let text = scale.to_string();
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(','));
    lines.map(|(mean, std)| (number(mean), number(std))).collect()
}

impl Lab {
    /// The first network in a format: the name of its file, and its bytes. What is exported takes columns as they are in the
    /// user's table.
    ///
    /// # Errors
    /// A format that there is not; a lost device.
    pub async fn export(&self, format: &str) -> Result<(String, Vec<u8>), Fault> {
        Ok(match format {
            "safetensors" => ("network.safetensors".into(), self.safetensors().await?),
            "onnx" => ("network.onnx".into(), self.exported().await?.onnx()?),
            "rust" => ("network.rs".into(), self.exported().await?.rust()?.into_bytes()),
            "csv" => ("history.csv".into(), self.history().into_bytes()),
            other => return Err(format!("There is no format '{other}'.").into()),
        })
    }

    async fn exported(&self) -> wgrad::Result<Export> {
        let predictor = self.ensemble.members()[0].predictor();
        let mut export = Export::new_async(&predictor, self.names.len()).await?;
        if let Some(scale) = &self.inputs {
            export = export.inputs(scale)?;
        }
        if let Some(scale) = &self.targets {
            export = export.targets(scale)?;
        }
        let outputs = match self.reading {
            Reading::Logit => "above 0: the second class",
            Reading::Sign => "-1: the first class, 1: the second",
            Reading::Logits | Reading::Largest => "the largest says the class",
            Reading::Value => "the predicted value",
        };
        let export = export.metadata("inputs", self.names.join(",")).metadata("output", outputs);
        Ok(match &self.kind {
            Kind::Classes(names) => export.metadata("classes", names.join(",")),
            Kind::Numbers => export.metadata("target", self.target.clone()),
        })
    }

    /// wgrad's history without its seconds: it has no clock in a page.
    fn history(&self) -> String {
        let text = self.ensemble.members()[0].history().to_csv();
        let line = |line: &str| line.rsplit_once(',').map_or(line, |(rest, _)| rest).to_string() + "\n";
        text.lines().map(line).collect()
    }

    /// Parameters are written as if the first layer took raw columns, and the last gave raw values.
    async fn safetensors(&self) -> Result<Vec<u8>, Fault> {
        let network = self.networks[0].fresh();
        let device = Device::cpu();
        let parameters = Parameters::new(&device, &network.model(), 0)?;
        for (i, (from, to)) in self.networks[0].linear.iter().zip(&network.linear).enumerate() {
            let read = [Some(from.weight()), from.bias()];
            let mut values = Vec::new();
            for parameter in read.into_iter().flatten() {
                values.push(parameter.value()?.read_async()?.await?);
            }
            self.scale(i, &mut values, true);
            write(to, &values)?;
        }
        Ok(parameters.to_bytes().await?)
    }

    /// Weights and biases of a layer, from those that take and give standardised columns to those that take and give raw ones,
    /// or back.
    fn scale(&self, layer: usize, values: &mut [Vec<f32>], to_raw: bool) {
        let [weights, biases] = values else { return };
        let rescale_outputs = |weights: &mut [f32], biases: &mut [f32]| {
            if let Some(&(mean, std)) = self.targets.as_ref().map(columns).as_ref().and_then(|all| all.first())
                && layer + 1 == self.networks[0].linear.len()
            {
                weights.iter_mut().for_each(|w| if to_raw { *w *= std } else { *w /= std });
                biases.iter_mut().for_each(|b| *b = if to_raw { *b * std + mean } else { (*b - mean) / std });
            }
        };
        let rescale_inputs = |weights: &mut [f32], biases: &mut [f32]| {
            let Some(scale) = self.inputs.as_ref().filter(|_| layer == 0).map(columns) else { return };
            for (row, bias) in weights.chunks_mut(scale.len()).zip(biases) {
                let mut shift = 0.0;
                for (w, (mean, std)) in row.iter_mut().zip(&scale) {
                    let raw = if to_raw { *w / std } else { *w };
                    shift += f64::from(raw) * f64::from(*mean);
                    *w = if to_raw { raw } else { *w * std };
                }
                *bias += if to_raw { -shift } else { shift } as f32;
            }
        };
        if to_raw {
            rescale_inputs(weights, biases);
            rescale_outputs(weights, biases);
        } else {
            rescale_outputs(weights, biases);
            rescale_inputs(weights, biases);
        }
    }

    /// Puts the values of a file's network in place of the first network's, which must have the same layers.
    ///
    /// # Errors
    /// A file that is damaged, or holds another network.
    pub fn import(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let model = Sequential::from_bytes(bytes)?;
        let own = self.networks[0].model().describe();
        if model.describe() != own {
            let theirs = model.describe().unwrap_or_default();
            return Err(format!("The file holds {theirs}; here is {}.", own.unwrap_or_default()).into());
        }
        Parameters::new(&Device::cpu(), &model, 0)?;
        let named = model.named_parameters();
        for (i, to) in self.networks[0].linear.iter().enumerate() {
            let prefix = format!("{}.", 2 * i);
            let mut values = Vec::new();
            for (_, parameter) in named.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                values.push(parameter.value()?.read()?);
            }
            self.scale(i, &mut values, false);
            write(to, &values)?;
        }
        Ok(())
    }
}

fn write(to: &wgrad::nn::Linear, values: &[Vec<f32>]) -> wgrad::Result<()> {
    for (parameter, values) in [Some(to.weight()), to.bias()].into_iter().flatten().zip(values) {
        parameter.value()?.write(values)?;
    }
    Ok(())
}

/// The hidden layers of a file's network as text, with its columns of inputs and outputs: see [`Spec`](crate::Spec).
///
/// # Errors
/// A file that is damaged, or of a network that the page does not show.
pub fn layers_in(bytes: &[u8]) -> Result<(usize, String, usize), Fault> {
    let model = Sequential::from_bytes(bytes)?;
    Ok(layers_of(&model.describe().unwrap_or_else(|| "modules of another program".into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Role, samples};
    use crate::{Spec, spec::Layer};
    use wgrad::nn::{Activation, Predictor};

    #[test]
    fn what_is_exported_takes_raw_columns_and_comes_back() {
        let mut text = String::from("a,b,y\n");
        (0..40).for_each(|i| text += &format!("{},{},{}\n", 100 + i, i % 7, 1000 + 3 * i));
        let samples = samples(&text, &[Role::Input, Role::Input, Role::Number]).unwrap();
        let layers: Vec<Layer> = vec![(5, Activation::Tanh)];
        let spec = Spec { data: "csv".into(), layers, ..Spec::default() };
        let mut lab = Lab::new(&Device::cpu(), spec.clone(), samples.clone()).unwrap();
        let wait = |future| pollster(future);
        wait(Box::pin(lab.train(30))).unwrap();
        let row = [117.0, 3.0];
        let inputs = lab.inputs.as_ref().unwrap().apply(&row).unwrap();
        let expected = lab.ensemble.members()[0].predict(&inputs, 2).unwrap();
        let expected = lab.targets.as_ref().unwrap().invert(&expected).unwrap()[0];
        let bytes = pollster(Box::pin(lab.export("safetensors"))).unwrap().1;
        assert_eq!(layers_in(&bytes).unwrap(), (2, "5.tanh".into(), 1));
        let model = Predictor::new(&Device::cpu(), Sequential::from_bytes(&bytes).unwrap()).unwrap();
        let found = model.predict(&row, 2).unwrap()[0];
        // Terms before the activation: a weight (below 2) times a column in deviations from 0 (120 / 11), some five roundings each,
        // of 6e-8. They reach the output through five weights (below 2), a slope of at most 1, and a deviation of 35.
        let bound = 3.0 * 5.0 * 6e-8 * (2.0 * 120.0 / 11.0) * 5.0 * 2.0 * 35.0 + 5.0 * 6e-8 * 1100.0;
        assert!((found - expected).abs() < bound, "{found} {expected}");
        let mut other = Lab::new(&Device::cpu(), Spec { seed: 1, ..spec }, samples).unwrap();
        other.import(&bytes).unwrap();
        let again = other.ensemble.members()[0].predict(&inputs, 2).unwrap();
        let again = other.targets.as_ref().unwrap().invert(&again).unwrap()[0];
        assert!((again - expected).abs() < 2.0 * bound, "{again} {expected}");
        for format in ["onnx", "rust", "csv"] {
            assert!(!pollster(Box::pin(lab.export(format))).unwrap().1.is_empty());
        }
    }

    /// On the CPU path everything is ready at once.
    fn pollster<T>(mut future: std::pin::Pin<Box<dyn Future<Output = T> + '_>>) -> T {
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("not ready"),
        }
    }
}
