//! Parameters, and the flat buffers in which they lie on a device.

use std::collections::HashSet;
use std::fmt;
#[cfg(feature = "safetensors")]
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::device::{ALIGNMENT, Device, MAX_ELEMENTS, Recording, Tensor};
use crate::error::{Error, Result};
use crate::nn::{Init, Module};
use crate::ops;

/// A matrix that training changes: its shape and how its initial values are drawn, and, once [`Parameters::new`] has
/// placed it on a device, its value and its gradient.
///
/// A handle: clones are the same parameter, which is how two modules share weights.
#[derive(Clone)]
pub struct Parameter(Arc<Inner>);

struct Inner {
    shape: [usize; 2],
    /// One-dimensional in files.
    vector: bool,
    fans: [usize; 2],
    init: Init,
    /// What a file gave, in place of drawn values.
    loaded: OnceLock<Vec<f32>>,
    placed: RwLock<Option<Placed>>,
    frozen: AtomicBool,
}

#[derive(Clone)]
struct Placed {
    value: Tensor,
    gradient: Tensor,
}

impl Parameter {
    /// A parameter of `rows x cols`: a layer's weight [out, in] for [`Init`].
    pub fn new(rows: usize, cols: usize, init: Init) -> Self {
        Self::from_parts([rows, cols], false, [cols, rows], init)
    }

    /// A parameter of `1 x len` that is one-dimensional in files, as PyTorch's biases are.
    pub fn vector(len: usize, init: Init) -> Self {
        Self::from_parts([1, len], true, [len, 1], init)
    }

    fn from_parts(shape: [usize; 2], vector: bool, fans: [usize; 2], init: Init) -> Self {
        let (loaded, placed, frozen) = (OnceLock::new(), RwLock::new(None), AtomicBool::new(false));
        Self(Arc::new(Inner { shape, vector, fans, init, loaded, placed, frozen }))
    }

    /// A new parameter of the same shape that belongs to a layer from `inputs` to `outputs` columns.
    pub fn fans(&self, inputs: usize, outputs: usize) -> Self {
        Self::from_parts(self.0.shape, self.0.vector, [inputs, outputs], self.0.init)
    }

    /// A new parameter of the same shape with other initial values.
    pub fn init(&self, init: Init) -> Self {
        Self::from_parts(self.0.shape, self.0.vector, self.0.fans, init)
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape
    }

    /// The shape in files.
    #[cfg(feature = "safetensors")]
    pub(crate) fn file_shape(&self) -> &[usize] {
        if self.0.vector { &self.0.shape[1..] } else { &self.0.shape }
    }

    /// Has [`Parameters::new`] place these values instead of drawing some.
    #[cfg(feature = "safetensors")]
    pub(crate) fn set_loaded(&self, values: Vec<f32>) {
        // Set once: only a module that was just made from a file is given values.
        let _ = self.0.loaded.set(values);
    }

    /// Takes the parameter out of training, or puts it back: tapes made from now on schedule no gradient for it, and
    /// optimisers leave it as it is. (`requires_grad_(False)` in PyTorch.)
    pub fn set_frozen(&self, frozen: bool) {
        self.0.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Whether it is left out of training.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::Relaxed)
    }

    /// The value, on its device.
    ///
    /// # Errors
    /// It was not placed on a device.
    pub fn value(&self) -> Result<Tensor> {
        self.placed().map(|placed| placed.value)
    }

    /// The gradient, on its device.
    ///
    /// # Errors
    /// It was not placed on a device.
    pub fn gradient(&self) -> Result<Tensor> {
        self.placed().map(|placed| placed.gradient)
    }

    /// Its length in the flat buffers.
    fn padded_len(&self) -> usize {
        let [rows, cols] = self.0.shape;
        (rows * cols).next_multiple_of(ALIGNMENT)
    }

    fn placed(&self) -> Result<Placed> {
        self.0.placed.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| {
            let [rows, cols] = self.0.shape;
            Error::input(
                "parameter",
                format!(
                    "a {rows} x {cols} parameter is on no device yet; call Parameters::new(&device, &model, seed), which \
                     takes what the model's modules list in named_parameters"
                ),
            )
        })
    }
}

impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({} x {})", self.0.shape[0], self.0.shape[1])
    }
}

/// All parameters of a model on a device: one flat buffer of values and one of gradients, in which each parameter is
/// a view, so that one launch updates them all.
///
/// ```
/// use wgrad::Device;
/// use wgrad::nn::{Linear, Parameters};
///
/// let parameters = Parameters::new(&Device::cpu(), &Linear::new(2, 3), 0)?;
/// let (name, weight) = parameters.named().next().unwrap();
/// assert_eq!((name, weight.shape()), ("weight", [3, 2]));
/// assert_eq!(weight.value()?.read()?.len(), 6);
/// assert_eq!(parameters.count(), 9);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parameters {
    device: Device,
    /// What [`Module::describe`] said.
    #[cfg(feature = "safetensors")]
    architecture: Option<String>,
    /// All that the model listed: what modules share is there several times.
    #[cfg(feature = "safetensors")]
    listed: Vec<(String, Parameter)>,
    named: Vec<(String, Parameter)>,
    values: Tensor,
    gradients: Tensor,
}

/// Neighbouring parameters in the flat buffers.
pub(crate) struct FlatStretch {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) group: Option<usize>,
}

impl Parameters {
    /// Places the model's parameters on a device and draws their initial values, in the order of their names; those of
    /// a model that came from a file are the file's.
    ///
    /// # Errors
    /// A model without parameters, an empty parameter, or one that does not fit the device.
    pub fn new(device: &Device, model: &dyn Module, seed: u64) -> Result<Self> {
        let listed = model.named_parameters();
        let mut named = listed.clone();
        let mut seen = HashSet::new();
        named.retain(|(_, parameter)| seen.insert(Arc::as_ptr(&parameter.0)));
        let mut starts = Vec::new();
        let mut end = 0;
        for (name, parameter) in &named {
            let [rows, cols] = parameter.0.shape;
            if rows.checked_mul(cols).is_none_or(|len| len > MAX_ELEMENTS) {
                return Err(Error::shape(
                    "parameters",
                    format!("{name} is {rows} x {cols}: more elements than can be counted; at most {MAX_ELEMENTS}"),
                ));
            }
            if rows == 0 || cols == 0 {
                return Err(Error::shape("parameters", format!("{name} is {rows} x {cols}; give at least 1 x 1")));
            }
            starts.push(end);
            end += parameter.padded_len();
        }
        if end == 0 {
            let detail = "the model has no parameters: nothing to train (modules list theirs in named_parameters)";
            return Err(Error::input("parameters", detail));
        }
        let (values, gradients) = (Tensor::zeros(device, 1, end)?, Tensor::zeros(device, 1, end)?);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut initial = vec![0.0; end];
        for ((_, parameter), start) in named.iter().zip(starts) {
            let Inner { shape: [rows, cols], fans, init, ref loaded, ref placed, .. } = *parameter.0;
            let to = &mut initial[start..start + rows * cols];
            match loaded.get() {
                Some(values) => to.copy_from_slice(values),
                None => to.copy_from_slice(&init.draw(rows * cols, fans, &mut rng)?),
            }
            let value = values.view(start, rows, cols)?;
            let gradient = gradients.view(start, rows, cols)?;
            *placed.write().unwrap_or_else(PoisonError::into_inner) = Some(Placed { value, gradient });
        }
        values.write(&initial)?;
        Ok(Self {
            device: device.clone(),
            // A description does not say that modules share parameters.
            #[cfg(feature = "safetensors")]
            architecture: model.describe().filter(|_| named.len() == listed.len()),
            #[cfg(feature = "safetensors")]
            listed,
            named,
            values,
            gradients,
        })
    }

    /// The parameters with their names; one that two modules share, under its first.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.named.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// The parameters with their names, and where each lies in the flat buffers.
    #[cfg(feature = "safetensors")]
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&str, &Parameter, Range<usize>)> {
        self.named.iter().scan(0, |end, (name, parameter)| {
            let start = *end;
            *end += parameter.padded_len();
            Some((name.as_str(), parameter, start..start + parameter.0.shape.iter().product::<usize>()))
        })
    }

    /// All names that the model listed, with their parameters.
    #[cfg(feature = "safetensors")]
    pub(crate) fn listed(&self) -> &[(String, Parameter)] {
        &self.listed
    }

    /// What the model said that it is.
    #[cfg(feature = "safetensors")]
    pub(crate) fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// The runs of neighbouring parameters that are not frozen and are of one group, by name.
    pub(crate) fn stretches(&self, group_of: impl Fn(&str) -> Option<usize>) -> Vec<FlatStretch> {
        let mut stretches: Vec<FlatStretch> = Vec::new();
        let mut start = 0;
        for (name, parameter) in &self.named {
            let len = parameter.padded_len();
            let group = group_of(name);
            if !parameter.is_frozen() {
                match stretches.last_mut() {
                    Some(last) if last.group == group && last.start + last.len == start => last.len += len,
                    _ => stretches.push(FlatStretch { start, len, group }),
                }
            }
            start += len;
        }
        stretches
    }

    /// How many numbers are trained.
    pub fn count(&self) -> usize {
        self.named.iter().map(|(_, parameter)| parameter.0.shape.iter().product::<usize>()).sum()
    }

    /// The device that holds them.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All values in one row, with zeros between parameters.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// All gradients in one row, laid out as the values.
    pub fn gradients(&self) -> &Tensor {
        &self.gradients
    }

    /// The launch that zeroes the gradients.
    ///
    /// # Errors
    /// Never, on the parameters' own device.
    pub fn record_zero_grad(&self, recording: &mut Recording) -> Result<()> {
        ops::fill::fill(recording, 0.0, &self.gradients)
    }
}
