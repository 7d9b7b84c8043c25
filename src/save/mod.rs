//! Models in files: safetensors, with PyTorch's names and layout.

mod architecture;
mod file;

use std::fmt;
use std::path::Path;

use safetensors::Dtype;

use crate::error::Result;
use crate::nn::{Module, Parameter, Parameters, Sequential};
pub(crate) use file::{Bytes, Contained, Contents, doubles, floats};

/// The text that says what the model is.
const ARCHITECTURE: &str = "architecture";

/// How the names of a checkpoint's own tensors begin; the others are the model's.
pub(crate) const CHECKPOINT: &str = "checkpoint/";

/// How a file's tensors differ from a model's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// The file's tensors that are no parameters of the model.
    pub unexpected: Vec<String>,
    /// Parameters that the file has in another shape or type, with both: `0.weight [3, 2] (the model's is [25, 2])`.
    pub misshapen: Vec<String>,
}

impl Mismatch {
    /// Whether file and model fit.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("missing", &self.missing), ("unexpected", &self.unexpected), ("misshapen", &self.misshapen)];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        let lists: Vec<_> = lists.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        f.write_str(&lists.join("; "))
    }
}

impl Parameters {
    /// Writes the values to a safetensors file, under their names and in PyTorch's layout: weights [out, in], biases
    /// one-dimensional. Where all modules are of this crate, the architecture goes with them.
    ///
    /// Whatever interrupts it, the file is the old one or the new one. In PyTorch,
    /// `model.load_state_dict(safetensors.torch.load_file(path))` takes it.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Predictor, Sequential, Tanh};
    /// use wgrad::{Device, Result};
    ///
    /// # let folder = std::env::temp_dir();
    /// let path = folder.join("wgrad-save.safetensors");
    /// let saved = Predictor::new(&Device::cpu(), Sequential::new().add(Linear::new(2, 3)).add(Tanh))?;
    /// saved.parameters().save(&path)?;
    ///
    /// let loaded = Predictor::new(&Device::cpu(), Sequential::load(&path)?)?;
    /// assert_eq!(loaded.predict(&[0.1, 0.2], 2)?, saved.predict(&[0.1, 0.2], 2)?);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that can't be written; a lost device.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        pollster::block_on(self.contents())?.write(path.as_ref())
    }

    /// The values and the architecture.
    pub(crate) async fn contents(&self) -> Result<Contents> {
        let mut contents = Contents::default();
        let values = self.read_async().await?;
        for (name, parameter, range) in self.ranges() {
            contents.push(name, parameter.file_shape(), &values[range]);
        }
        if let Some(architecture) = self.architecture() {
            contents.push_text(ARCHITECTURE, architecture);
        }
        Ok(contents)
    }

    /// Replaces the values by those of a safetensors file, PyTorch's or wgrad's. If `strict`, file and model must have
    /// the same names and shapes; else what fits is loaded, and the answer lists the rest.
    ///
    /// # Errors
    /// A file that can't be read or is damaged; if `strict`, a mismatch: the message lists every missing, unexpected
    /// and misshapen tensor, and nothing is loaded.
    pub fn load(&self, path: impl AsRef<Path>, strict: bool) -> Result<Mismatch> {
        let path = path.as_ref();
        let bytes = Bytes::read(path)?;
        let (values, mismatch) = pollster::block_on(self.values_of(&bytes.parse(path)?, strict))?;
        self.write(&values)?;
        Ok(mismatch)
    }

    /// The values as they will be with those of a file.
    pub(crate) async fn values_of(&self, file: &Contained<'_>, strict: bool) -> Result<(Vec<f32>, Mismatch)> {
        let named: Vec<_> = self.named().collect();
        let (found, mismatch) = compare(&named, file, strict)?;
        let mut values = self.read_async().await?;
        for ((_, _, range), found) in self.ranges().zip(found) {
            if let Some(found) = found {
                values[range].copy_from_slice(&found);
            }
        }
        Ok((values, mismatch))
    }
}

impl Sequential {
    /// The model of a file that [`Parameters::save`] or a checkpoint wrote: its modules, and the values with which its
    /// parameters are placed on a device.
    ///
    /// # Errors
    /// A file that can't be read, is damaged or does not say what the model is: another program's, or one of a model
    /// with modules of your own. For those, make the model and use [`Parameters::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_contents(&Bytes::read(path)?.parse(path)?)
    }

    /// The same from the bytes of such a file: `include_bytes!` makes the model a part of the program.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Parameters, Sequential};
    /// use wgrad::Device;
    ///
    /// # let path = std::env::temp_dir().join("wgrad-bytes.safetensors");
    /// let model = Sequential::new().add(Linear::new(2, 3));
    /// Parameters::new(&Device::cpu(), &model, 0)?.save(&path)?;
    /// let bytes = std::fs::read(&path).unwrap(); // in a program: include_bytes!("model.safetensors")
    /// assert_eq!(Sequential::from_bytes(&bytes)?.len(), 1);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sequential::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_contents(&Contained::parse(bytes, Path::new("bytes"))?)
    }

    fn from_contents(file: &Contained<'_>) -> Result<Self> {
        let architecture = file.text(ARCHITECTURE).ok_or_else(|| {
            file.error("it does not say what the model is; make the model, then load the file with Parameters::load")
        })?;
        let model = architecture::parse(architecture).map_err(|fault| file.error(fault))?;
        let named = model.named_parameters();
        let named: Vec<_> = named.iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
        let (found, _) = compare(&named, file, true)?;
        for ((_, parameter), values) in named.iter().zip(found.into_iter().flatten()) {
            parameter.set_loaded(values);
        }
        Ok(model)
    }
}

/// The values that a file has for each parameter, where they fit.
fn compare(
    parameters: &[(&str, &Parameter)],
    file: &Contained<'_>,
    strict: bool,
) -> Result<(Vec<Option<Vec<f32>>>, Mismatch)> {
    let mut mismatch = Mismatch::default();
    let found = parameters.iter().map(|(name, parameter)| {
        let Some(tensor) = file.tensor(name) else {
            mismatch.missing.push(name.to_string());
            return None;
        };
        if tensor.dtype() != Dtype::F32 || tensor.shape() != parameter.file_shape() {
            let dtype = if tensor.dtype() == Dtype::F32 { String::new() } else { format!(" of {}", tensor.dtype()) };
            let (theirs, ours) = (tensor.shape(), parameter.file_shape());
            mismatch.misshapen.push(format!("{name} {theirs:?}{dtype} (the model's is {ours:?})"));
            return None;
        }
        Some(floats(&tensor))
    });
    let found = found.collect();
    let known = |name: &String| parameters.iter().any(|(known, _)| known == name);
    mismatch.unexpected = file.names().into_iter().filter(|n| !n.starts_with(CHECKPOINT) && !known(n)).collect();
    if strict && !mismatch.is_empty() {
        return Err(file.error(format!("it does not fit the model; {mismatch}")));
    }
    Ok((found, mismatch))
}
