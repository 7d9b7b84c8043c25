//! Trained models for other programs: as ONNX files, and as Rust source without dependencies.
//!
//! [`Export`] takes what a model calls in evaluation, so modules of your own are exported, too. ONNX files made of linear
//! layers, activations, normalisations and residual blocks are read back by [`Onnx`].

mod file;
mod formula;
mod import;
mod onnx;
mod patterns;
mod proto;
mod rust;
mod trace;

use std::fmt;
use std::path::Path;

use crate::data::Standardize;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::Predictor;
use formula::Formula;
pub use import::Onnx;
use trace::{Step, Trace};

/// A model as it predicts, with the values that its parameters have now.
///
/// ```
/// use wgrad::export::Export;
/// use wgrad::nn::{Linear, Predictor, ReLU, Sequential};
/// use wgrad::Device;
///
/// # let folder = std::env::temp_dir().join("wgrad-doc-export");
/// # std::fs::create_dir_all(&folder).unwrap();
/// let model = Sequential::new().add(Linear::new(4, 16)).add(ReLU).add(Linear::new(16, 3));
/// let predictor = Predictor::new(&Device::cpu(), model)?; // or trainer.predictor()
/// let export = Export::new(&predictor, 4)?.metadata("classes", "setosa,versicolor,virginica");
/// export.save_onnx(folder.join("iris.onnx"))?;
/// export.save_rust(folder.join("iris.rs"))?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// The model must treat each row alike: no statistic of the batch, no number of rows that it expects.
pub struct Export {
    trace: Trace,
    inputs: Option<Standardize>,
    targets: Option<Standardize>,
    names: [String; 2],
    metadata: Vec<(String, String)>,
}

impl Export {
    /// The model of a predictor for inputs [n, `input_cols`], for any n.
    ///
    /// # Errors
    /// Inputs that do not fit the model; a model whose calls depend on the number of rows; a lost device.
    pub fn new(predictor: &Predictor, input_cols: usize) -> Result<Self> {
        let new = Self::new_async(predictor, input_cols);
        predictor.parameters().device().block_on("export", "Export::new_async", new)
    }

    /// [`Export::new`] without blocking.
    ///
    /// # Errors
    /// See [`Export::new`].
    pub async fn new_async(predictor: &Predictor, input_cols: usize) -> Result<Self> {
        let trace = Trace::new(predictor, input_cols).await?;
        let names = ["input", "output"].map(String::from);
        Ok(Self { trace, inputs: None, targets: None, names, metadata: Vec::new() })
    }

    /// What is exported takes raw inputs, and standardises them as the training data were.
    ///
    /// # Errors
    /// Another number of columns than the model's inputs.
    pub fn inputs(self, scale: &Standardize) -> Result<Self> {
        check("inputs", self.trace.cols()[0], scale)?;
        Ok(Self { inputs: Some(scale.clone()), ..self })
    }

    /// What is exported gives outputs on the scale of the raw targets, as [`Standardize::invert`] does.
    ///
    /// # Errors
    /// Another number of columns than the model's outputs.
    pub fn targets(self, scale: &Standardize) -> Result<Self> {
        check("outputs", self.trace.cols()[1], scale)?;
        Ok(Self { targets: Some(scale.clone()), ..self })
    }

    /// Names of the input and the output in ONNX files, in place of `input` and `output`.
    pub fn names(self, input: impl Into<String>, output: impl Into<String>) -> Self {
        Self { names: [input.into(), output.into()], ..self }
    }

    /// A text that goes with the model: in ONNX's `metadata_props`, and as a comment in Rust source.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// The bytes of an ONNX file: opset 17, or 20 if there is a GELU. The input is f32 [batch, i], the output f32 [batch, o].
    ///
    /// Parameters are initializers under the names that they have in safetensors files. Layer and batch normalisation,
    /// softmax and all activations are single nodes, except SiLU and affine maps. Runtimes differ from wgrad in one thing:
    /// an [`Embedding`](crate::nn::Embedding) given a number that is no row, which is NaN here, is an error in onnxruntime.
    ///
    /// # Errors
    /// An operation that ONNX has no counterpart of.
    pub fn onnx(&self) -> Result<Vec<u8>> {
        onnx::write(self)
    }

    /// Writes [`Export::onnx`] to a file, which is replaced atomically.
    ///
    /// # Errors
    /// See [`Export::onnx`]; a file that can't be written.
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write("save_onnx", path.as_ref(), &self.onnx()?)
    }

    /// A Rust file without dependencies that predicts one row: `pub fn predict(input: &[f32; INPUTS]) -> [f32; OUTPUTS]`.
    ///
    /// It needs neither `std` nor an allocator, so it fits micro-controllers and plugins: `mod model;` and
    /// `model::predict(&[5.1, 3.5, 1.4, 0.2])`. Weights are statics, with as many digits as give the same bits. It computes what
    /// [`Predictor::predict`] does, up to rounding: exp, tanh and what is made of them are wgrad's own functions, and sums of
    /// products are added up one by one in f32. Standardisation is done in f64, as [`Standardize`] does.
    ///
    /// # Errors
    /// An operation that computes with more than the row at hand, or that is none of wgrad's.
    pub fn rust(&self) -> Result<String> {
        rust::write(self)
    }

    /// Writes [`Export::rust`] to a file, which is replaced atomically.
    ///
    /// # Errors
    /// See [`Export::rust`]; a file that can't be written.
    pub fn save_rust(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write("save_rust", path.as_ref(), self.rust()?.as_bytes())
    }
}

fn check(what: &str, cols: usize, scale: &Standardize) -> Result<()> {
    let fitted = scale.columns().count();
    if fitted == cols {
        return Ok(());
    }
    let detail = format!("the model's {what} have {cols} columns, but the scale was fitted to {fitted}; give as many");
    Err(Error::shape("export", detail))
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [inputs, outputs] = self.trace.cols();
        write!(f, "Export(n x {inputs} to n x {outputs}, {} steps)", self.trace.steps.len())
    }
}
