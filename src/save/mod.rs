//! Models in files: safetensors, with PyTorch's names and layout.

mod architecture;
mod checked;
mod file;
mod mismatch;
mod numbers;

use std::path::Path;

use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, Parameters, Sequential};
pub(crate) use checked::{is_amount, whole};
pub(crate) use file::{Contained, Contents};
pub use mismatch::Mismatch;
use mismatch::compare;

/// The text that says what the model is.
const ARCHITECTURE: &str = "architecture";

/// How the names of a checkpoint's own tensors begin; the others are the model's.
pub(crate) const CHECKPOINT: &str = "checkpoint/";

/// What safetensors keeps for its texts.
const METADATA: &str = "__metadata__";

impl Parameters {
    /// Writes the values to a safetensors file, under their names and in PyTorch's layout: weights [out, in], biases
    /// one-dimensional. Where all modules are of this crate, the architecture goes with them.
    ///
    /// A parameter that several modules share is written under each of its names, as `state_dict` lists it. In PyTorch,
    /// `model.load_state_dict(safetensors.torch.load_file(path))` takes the file.
    ///
    /// The file is replaced atomically: even if interrupted, it is either the old one or the new one. A symbolic link
    /// is followed, and an existing file's mode kept.
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
    /// A file that can't be written, or a path that leads to anything but a regular file; two parameters of one name; a
    /// lost device.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.device().block_on("save", "Session::save_checkpoint", self.contents())?.write(path.as_ref())
    }

    /// The bytes of such a file, for where there are no files, as in a browser; [`Sequential::from_bytes`] reads them.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Parameters, Sequential};
    /// use wgrad::{Device, Result};
    ///
    /// async fn saved() -> Result<Vec<u8>> {
    ///     Parameters::new(&Device::cpu(), &Sequential::new().add(Linear::new(2, 3)), 0)?.to_bytes().await
    /// }
    /// # let bytes = pollster::block_on(saved())?;
    /// # assert_eq!(Sequential::from_bytes(&bytes)?.len(), 1);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Two parameters of one name; a lost device.
    pub async fn to_bytes(&self) -> Result<Vec<u8>> {
        self.contents().await?.bytes()
    }

    /// The values and the architecture.
    pub(crate) async fn contents(&self) -> Result<Contents> {
        self.contents_of(&self.read_async().await?)
    }

    /// The same if the values are these, in the list's own layout.
    pub(crate) fn contents_of(&self, values: &[f32]) -> Result<Contents> {
        let mut contents = Contents::default();
        let mut written = std::collections::BTreeSet::new();
        for (names, parameter, range) in self.all_names() {
            for name in names {
                let reserved = name.starts_with(CHECKPOINT) || name == METADATA;
                if reserved || !written.insert(name) {
                    let fault = if reserved { "is a name that files keep for themselves" } else { "is there twice" };
                    let detail = format!("the parameter's name '{name}' {fault}; change it in named_parameters");
                    return Err(Error::input("save", detail));
                }
                contents.push(name, parameter.file_shape(), &values[range.clone()]);
            }
        }
        if let Some(architecture) = self.architecture() {
            contents.push_text(ARCHITECTURE, architecture);
        }
        Ok(contents)
    }

    /// Replaces the values with those of a safetensors file, PyTorch's or wgrad's, which must have the same names and
    /// shapes. Numbers of 16 bits (F16, BF16) and doubles (F64) are converted.
    ///
    /// # Errors
    /// A file that can't be read or is damaged; a mismatch: the message lists every missing, unexpected and misshapen
    /// tensor, and the call that helps where the names differ by a prefix. A double too large for single precision.
    /// Nothing is loaded then.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        self.load_renamed(path, str::to_string)
    }

    /// As [`Parameters::load`], with a function from the file's names to the model's.
    ///
    /// ```
    /// use wgrad::nn::{Linear, Parameters, Sequential};
    /// use wgrad::Device;
    ///
    /// # let path = std::env::temp_dir().join("wgrad-renamed.safetensors");
    /// # let inner = Sequential::new().add(Linear::new(2, 3));
    /// # let wrapped = wgrad::nn::prefixed("module", &inner);
    /// # struct Wrapped(Sequential);
    /// # impl wgrad::nn::Module for Wrapped {
    /// #     fn forward(&self, graph: &mut wgrad::Graph, x: wgrad::Var) -> wgrad::Result<wgrad::Var> {
    /// #         self.0.forward(graph, x)
    /// #     }
    /// #     fn named_parameters(&self) -> Vec<(String, wgrad::nn::Parameter)> {
    /// #         wgrad::nn::prefixed("module", &self.0)
    /// #     }
    /// # }
    /// # Parameters::new(&Device::cpu(), &Wrapped(inner), 0)?.save(&path)?;
    /// // PyTorch's DataParallel wrote module.0.weight for 0.weight.
    /// let parameters = Parameters::new(&Device::cpu(), &Sequential::new().add(Linear::new(2, 3)), 0)?;
    /// parameters.load_renamed(&path, |name| name.replacen("module.", "", 1))?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Parameters::load`]; two tensors that are given one name.
    pub fn load_renamed(&self, path: impl AsRef<Path>, rename: impl Fn(&str) -> String) -> Result<()> {
        let (found, _) = self.found_in(&Contained::open(path.as_ref())?, true, &rename)?;
        self.replace(found)
    }

    /// Loads what fits, and lists the rest: for a model partly trained elsewhere. The function gives the
    /// model's names for the file's: `str::to_string` if they are the same.
    ///
    /// # Errors
    /// A file that can't be read or is damaged, two tensors that are given one name, a double too large for single
    /// precision. Nothing is loaded then.
    pub fn load_partial(&self, path: impl AsRef<Path>, rename: impl Fn(&str) -> String) -> Result<Mismatch> {
        let (found, mismatch) = self.found_in(&Contained::open(path.as_ref())?, false, &rename)?;
        self.replace(found)?;
        Ok(mismatch)
    }

    /// The values that a file has for the parameters, in their order.
    pub(crate) fn found_in(
        &self,
        file: &Contained<'_>,
        strict: bool,
        rename: &dyn Fn(&str) -> String,
    ) -> Result<(Vec<Option<Vec<f32>>>, Mismatch)> {
        let named: Vec<_> = self.all_names().map(|(names, parameter, _)| (names, parameter)).collect();
        compare(&named, file, strict, rename)
    }

    /// The values as they will be with those that were found.
    pub(crate) async fn with_found(&self, found: Vec<Option<Vec<f32>>>) -> Result<Vec<f32>> {
        let mut values = self.read_async().await?;
        for ((_, _, range), found) in self.ranges().zip(found) {
            if let Some(found) = found {
                values[range].copy_from_slice(&found);
            }
        }
        Ok(values)
    }

    fn replace(&self, found: Vec<Option<Vec<f32>>>) -> Result<()> {
        let values = self.device().block_on("load", "Session::resume", self.with_found(found))?;
        self.write(&values)
    }

    /// The parameters with all the names that modules who share them have for them, and where each lies.
    fn all_names(&self) -> impl Iterator<Item = (Vec<&str>, &Parameter, std::ops::Range<usize>)> {
        self.ranges().map(|(_, parameter, range)| {
            let names = self.listed().iter().filter(|(_, listed)| listed == parameter);
            (names.map(|(name, _)| name.as_str()).collect(), parameter, range)
        })
    }
}

impl Sequential {
    /// The model of a file that [`Parameters::save`] or a checkpoint wrote: its modules, and the values with which its
    /// parameters are placed on a device.
    ///
    /// # Errors
    /// A file that can't be read, is damaged or does not say what the model is: another program's, or one of a model
    /// with custom modules. For those, build the model and use [`Parameters::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_contents(&Contained::open(path.as_ref())?)
    }

    /// The same from the bytes of such a file: `include_bytes!` embeds the model in the program.
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
        Self::from_contents(&Contained::from_bytes(bytes)?)
    }

    pub(crate) fn from_contents(file: &Contained<'_>) -> Result<Self> {
        let architecture = file.text(ARCHITECTURE).ok_or_else(|| {
            file.error("it does not say what the model is; build the model, then load the file with Parameters::load")
        })?;
        let model = architecture::parse(architecture).map_err(|fault| file.error(fault))?;
        let named = model.named_parameters();
        let named: Vec<_> = named.iter().map(|(name, parameter)| (vec![name.as_str()], parameter)).collect();
        let (found, _) = compare(&named, file, true, &str::to_string)?;
        for ((_, parameter), values) in named.iter().zip(found.into_iter().flatten()) {
            parameter.set_loaded(values);
        }
        Ok(model)
    }
}
