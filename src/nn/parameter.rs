//! Parameters: what training changes, and the one place on a device where their values lie.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::device::{ALIGNMENT, MAX_ELEMENTS, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::nn::Init;

/// A matrix that training changes: its shape and how its initial values are drawn, and, once
/// [`Parameters::new`](crate::nn::Parameters::new) has placed it on a device, its value and its gradient.
///
/// A handle: clones are the same parameter, which is how two modules share weights. Its value is stored once:
/// everything that uses the parameter later (a second trainer, a predictor, a part of the model alone) sees the same
/// numbers.
#[derive(Clone)]
pub struct Parameter(Arc<Inner>);

struct Inner {
    shape: [usize; 2],
    /// One-dimensional in files.
    vector: bool,
    /// Whether training never changes it by a gradient.
    buffer: bool,
    fans: [usize; 2],
    init: Init,
    /// What a file gave, in place of drawn values; taken when the parameter is placed.
    loaded: Mutex<Option<Vec<f32>>>,
    /// What its values were drawn with; `None` if they came from a file.
    seed: Mutex<Option<u64>>,
    place: OnceLock<Place>,
    frozen: AtomicBool,
    /// While a [`Claim`] holds it.
    claimed: AtomicBool,
}

/// Where a parameter lies: in a home, from an element on.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) home: Arc<Home>,
    pub(crate) start: usize,
}

/// Flat buffers in which parameters that were placed together lie behind each other, each at a multiple of 64 elements, so
/// that one dispatch updates them all.
pub(crate) struct Home {
    pub(crate) values: Tensor,
    gradients: OnceLock<Tensor>,
}

impl Home {
    pub(crate) fn new(values: Tensor) -> Self {
        Self { values, gradients: OnceLock::new() }
    }

    /// The gradients, laid out as the values; allocated when they are first asked for, as predictions need none.
    pub(crate) fn gradients(&self) -> Result<&Tensor> {
        if let Some(gradients) = self.gradients.get() {
            return Ok(gradients);
        }
        let new = Tensor::zeros(self.values.device(), 1, self.values.len())?;
        // Of two threads that get here, one wins and the other's buffer is dropped.
        Ok(self.gradients.get_or_init(|| new))
    }
}

impl Parameter {
    /// A parameter of `rows x cols`: a layer's weight [out, in] for [`Init`].
    pub fn new(rows: usize, cols: usize, init: Init) -> Self {
        Self::from_parts([rows, cols], [false; 2], [cols, rows], init)
    }

    /// A parameter of `1 x len` that is one-dimensional in files, as PyTorch's biases are.
    pub fn vector(len: usize, init: Init) -> Self {
        Self::from_parts([1, len], [true, false], [len, 1], init)
    }

    /// As [`Parameter::vector`], for numbers that belong to the model, and to its files and checkpoints, but are not
    /// trained: `register_buffer` in PyTorch. It is always frozen, and does not count as a parameter.
    pub fn buffer(len: usize, init: Init) -> Self {
        Self::from_parts([1, len], [true, true], [len, 1], init)
    }

    fn from_parts(shape: [usize; 2], [vector, buffer]: [bool; 2], fans: [usize; 2], init: Init) -> Self {
        let (loaded, seed, place) = (Mutex::new(None), Mutex::new(None), OnceLock::new());
        let [frozen, claimed] = [(); 2].map(|()| AtomicBool::new(false));
        Self(Arc::new(Inner { shape, vector, buffer, fans, init, loaded, seed, place, frozen, claimed }))
    }

    /// A new parameter of the same shape that belongs to a layer from `inputs` to `outputs` columns.
    pub fn fans(&self, inputs: usize, outputs: usize) -> Self {
        Self::from_parts(self.0.shape, [self.0.vector, self.0.buffer], [inputs, outputs], self.0.init)
    }

    /// A new parameter of the same shape with other initial values.
    pub fn init(&self, init: Init) -> Self {
        Self::from_parts(self.0.shape, [self.0.vector, self.0.buffer], self.0.fans, init)
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape
    }

    /// The shape in files.
    #[cfg(any(feature = "export", feature = "safetensors"))]
    pub(crate) fn file_shape(&self) -> &[usize] {
        if self.0.vector { &self.0.shape[1..] } else { &self.0.shape }
    }

    /// Has [`Parameters::new`](crate::nn::Parameters::new) place these values instead of drawing some.
    #[cfg(any(feature = "export", feature = "safetensors"))]
    pub(crate) fn set_loaded(&self, values: Vec<f32>) {
        *self.loaded() = Some(values);
    }

    pub(crate) fn loaded(&self) -> MutexGuard<'_, Option<Vec<f32>>> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seed(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.seed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How its initial values are drawn: from what, and the columns that its layer takes and gives.
    pub(crate) fn initial(&self) -> (Init, [usize; 2]) {
        (self.0.init, self.0.fans)
    }

    /// Freezes the parameter, or unfreezes it: the optimizer skips it from the next step, or call of `fit`, on.
    /// (`requires_grad_(False)` in PyTorch.)
    pub fn set_frozen(&self, frozen: bool) {
        self.0.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Whether it is frozen: by [`Parameter::set_frozen`], or as a buffer.
    pub fn is_frozen(&self) -> bool {
        self.0.buffer || self.0.frozen.load(Ordering::Relaxed)
    }

    /// Whether it is a buffer: see [`Parameter::buffer`].
    pub fn is_buffer(&self) -> bool {
        self.0.buffer
    }

    /// The value, on its device.
    ///
    /// # Errors
    /// It was not placed on a device.
    pub fn value(&self) -> Result<Tensor> {
        let place = self.placed()?;
        let [rows, cols] = self.0.shape;
        place.home.values.view(place.start, rows, cols)
    }

    /// The gradient that backward passes accumulate in, on its device.
    ///
    /// # Errors
    /// It was not placed on a device; no memory for the gradients.
    pub fn gradient(&self) -> Result<Tensor> {
        let place = self.placed()?;
        let [rows, cols] = self.0.shape;
        place.home.gradients()?.view(place.start, rows, cols)
    }

    /// The parameter as a value of a graph.
    ///
    /// # Errors
    /// It was not placed on the graph's device.
    pub fn var(&self, graph: &mut Graph) -> Result<Var> {
        if graph.has_only_shapes() {
            return Ok(graph.placeholder(self.0.shape));
        }
        graph.input(&self.value()?)
    }

    /// Its number of elements; an error if no device can hold as many.
    pub(crate) fn checked_len(&self, name: &str) -> Result<usize> {
        let [rows, cols] = self.0.shape;
        rows.checked_mul(cols).filter(|len| *len <= MAX_ELEMENTS).ok_or_else(|| {
            let detail = format!("{name} is {rows} x {cols}: a model has at most {MAX_ELEMENTS} parameters in all");
            Error::shape("parameters", detail)
        })
    }

    /// Its length in a flat buffer.
    pub(crate) fn padded_len(&self) -> usize {
        let [rows, cols] = self.0.shape;
        (rows * cols).next_multiple_of(ALIGNMENT)
    }

    /// Where it lies, if it was placed.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.0.place.get()
    }

    /// Gives it its home, once.
    pub(crate) fn set_place(&self, place: Place) {
        // `Parameters::new` places only what has no place, one thread at a time.
        let _ = self.0.place.set(place);
        *self.loaded() = None;
    }

    /// Identifies the parameter: equal for all its handles.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn placed(&self) -> Result<&Place> {
        self.place().ok_or_else(|| {
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

/// Parameters that one trainer trains: no other may until this is dropped.
pub(crate) struct Claim(Vec<Parameter>);

impl Claim {
    /// Claims those of these parameters that are not frozen.
    ///
    /// # Errors
    /// Another claim holds one of them.
    pub(crate) fn new<'a>(operation: &str, named: impl Iterator<Item = (&'a str, &'a Parameter)>) -> Result<Self> {
        let mut claim = Self(Vec::new());
        for (name, parameter) in named.filter(|(_, parameter)| !parameter.is_frozen()) {
            if parameter.0.claimed.swap(true, Ordering::Acquire) {
                let detail = format!(
                    "{name} is being trained by another trainer; wait until its fit has returned, freeze the parameters \
                     that both use, or train a copy (Parameters::copy_from)"
                );
                return Err(Error::input(operation, detail));
            }
            claim.0.push(parameter.clone());
        }
        Ok(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.iter().for_each(|parameter| parameter.0.claimed.store(false, Ordering::Release));
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
