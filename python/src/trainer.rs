//! A network with its optimizer, as Python holds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use numpy::{PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use wgrad::Device;
use wgrad::nn::{Average, Module, Predictor as Forward, Sequential, Sigmoid, Softmax};

use crate::data::{Dataset, contiguous, matrix};
use crate::device::{check_process, open};
use crate::errors::{invalid, outside};
use crate::model::{Spec, algorithm, loss, sequential};

/// A network, its loss, its optimizer and its history. `layers`, `loss` and `optimizer` are names with options; see
/// `wgrad/nn.py` and `wgrad/optim.py`, which write them.
#[pyclass(frozen, module = "wgrad._wgrad")]
pub(crate) struct Trainer {
    /// What it was made of, for copies.
    made_of: Py<PyTuple>,
    device: Device,
    /// The process that opened the device.
    process: u32,
    model: Arc<dyn Module>,
    forward: Forward,
    /// Empty while it trains.
    trainer: Mutex<Option<wgrad::Trainer>>,
}

impl Trainer {
    /// Takes the trainer out, for a training.
    pub(crate) fn take(&self) -> PyResult<wgrad::Trainer> {
        check_process(self.process, &self.device)?;
        let taken = match self.trainer.try_lock() {
            Ok(mut trainer) => trainer.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        taken.ok_or_else(|| PyRuntimeError::new_err("this network is being trained elsewhere; wait until that is over"))
    }

    pub(crate) fn put_back(&self, trainer: wgrad::Trainer) {
        *self.trainer.lock().unwrap_or_else(PoisonError::into_inner) = Some(trainer);
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Has `work` use the trainer, outside of the interpreter.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut wgrad::Trainer) -> wgrad::Result<T> + Send,
    ) -> PyResult<T> {
        let mut trainer = self.take()?;
        let result = outside(py, || work(&mut trainer));
        self.put_back(trainer);
        result
    }
}

#[pymethods]
impl Trainer {
    #[new]
    #[pyo3(signature = (layers, loss_of, optimizer, seed, device = None))]
    fn new(
        py: Python<'_>,
        layers: Bound<'_, PyAny>,
        loss_of: Bound<'_, PyAny>,
        optimizer: Bound<'_, PyAny>,
        seed: u64,
        device: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (name, device) = match device {
            None => ("cpu".to_string(), Device::cpu()),
            Some(beside) => match beside.cast::<Self>() {
                // Those that train side by side are on one device.
                Ok(other) => (other.get().device_name(py)?, other.get().device.clone()),
                Err(_) => {
                    let name: String = beside.extract()?;
                    (name.clone(), open(py, &name)?)
                }
            },
        };
        let made_of = (layers.clone(), loss_of.clone(), optimizer.clone(), seed, name).into_pyobject(py)?.unbind();
        let model: Arc<dyn Module> = Arc::new(sequential(&layers.extract::<Vec<Spec<'_>>>()?)?);
        let (loss, algorithm) = (loss(&loss_of.extract()?)?, algorithm(&optimizer.extract()?)?);
        let trainer = outside(py, || wgrad::Trainer::new(&device, model.clone(), loss, algorithm, seed))?;
        let forward = trainer.predictor();
        Ok(Self { made_of, device, process: std::process::id(), model, forward, trainer: Mutex::new(Some(trainer)) })
    }

    /// The name that the device was asked for by.
    fn device_name(&self, py: Python<'_>) -> PyResult<String> {
        self.made_of.bind(py).get_item(4)?.extract()
    }

    /// The device itself, in words.
    fn describe_device(&self) -> String {
        self.device.describe().to_string()
    }

    /// The outputs [n, o] for inputs [n, i].
    fn predict<'py>(&self, py: Python<'py>, x: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_process(self.process, &self.device)?;
        forward(py, &self.forward, &x)
    }

    /// The parameters' names and values, each a matrix; biases are of one row.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyArray2<f32>>)>> {
        check_process(self.process, &self.device)?;
        let parameters = self.forward.parameters();
        let values = outside(py, || {
            let named = parameters.named();
            named
                .map(|(name, of)| Ok((name.to_string(), of.shape()[1], of.value()?.read()?)))
                .collect::<wgrad::Result<Vec<_>>>()
        })?;
        values.into_iter().map(|(name, cols, values)| Ok((name, matrix(py, values, cols)?))).collect()
    }

    /// Replaces values, by name; all names must be known, and shapes as [`Self::parameters`] gives them.
    fn set_parameters(&self, py: Python<'_>, values: HashMap<String, PyReadonlyArray2<'_, f32>>) -> PyResult<()> {
        let mut writes = Vec::new();
        for (name, array) in &values {
            let Some((_, parameter)) = self.forward.parameters().named().find(|(own, _)| own == name) else {
                let names: Vec<_> = self.forward.parameters().named().map(|(name, _)| name).collect();
                return Err(invalid(format!("no parameter is called {name}; there are {}", names.join(", "))));
            };
            let (own, given) = (parameter.shape(), array.shape());
            if own != given {
                return Err(invalid(format!("{name} is {own:?}, but the values given are {given:?}")));
            }
            writes.push((parameter, contiguous(name, array)?));
        }
        self.with(py, |_| writes.iter().try_for_each(|(parameter, values)| parameter.value()?.write(values)))
    }

    /// All that training needs to go on, as the bytes of a file.
    fn checkpoint<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(py, |trainer| pollster::block_on(trainer.session().checkpoint_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Goes on from what [`Self::checkpoint`] gave, or a file of it.
    fn resume(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        self.with(py, |trainer| pollster::block_on(trainer.session().resume_from_bytes(bytes)))
    }

    /// The bytes of the file that [`Self::save`] writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(py, |trainer| pollster::block_on(trainer.parameters().to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The loss on this data, and the accuracy, where there is one.
    fn evaluate(&self, py: Python<'_>, data: &Bound<'_, Dataset>) -> PyResult<(f32, Option<f32>)> {
        let data = data.get();
        let metrics = self.with(py, |trainer| trainer.evaluate(&data.0))?;
        Ok((metrics.loss, metrics.accuracy))
    }

    /// Writes the parameters to a safetensors file, under PyTorch's names.
    fn save(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.with(py, |trainer| trainer.parameters().save(path))
    }

    /// Replaces all values by a safetensors file's.
    fn load(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        self.with(py, |trainer| trainer.parameters().load(path))
    }

    fn set_learning_rate(&self, py: Python<'_>, rate: f32) -> PyResult<()> {
        self.with(py, |trainer| trainer.optimizer().set_learning_rate(rate))
    }

    fn learning_rate(&self, py: Python<'_>) -> PyResult<f32> {
        self.with(py, |trainer| Ok(trainer.optimizer().learning_rate()))
    }

    /// How many numbers the parameters are.
    fn count(&self) -> usize {
        self.forward.parameters().count()
    }

    /// Epochs so far.
    fn epochs(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |trainer| Ok(trainer.history().epochs.len()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Py<PyTuple>, Bound<'py, PyBytes>)> {
        let py = slf.py();
        let bytes = slf.get().checkpoint(py)?;
        Ok((slf.get_type().into_any(), slf.get().made_of.clone_ref(py), bytes))
    }

    fn __setstate__(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        self.resume(py, state)
    }
}

/// What several networks predict together: the mean of their outputs, behind `head` each.
#[pyclass(frozen, module = "wgrad._wgrad")]
pub(crate) struct Predictor {
    device: Device,
    process: u32,
    forward: Forward,
}

#[pymethods]
impl Predictor {
    /// `head` is None, "Softmax" or "Sigmoid". The networks' values are shared, not copied.
    #[new]
    #[pyo3(signature = (trainers, head = None))]
    fn new(py: Python<'_>, trainers: Vec<Bound<'_, Trainer>>, head: Option<&str>) -> PyResult<Self> {
        let Some(first) = trainers.first().map(Bound::get) else { return Err(invalid("no networks to predict with")) };
        let with_head = |model: &Arc<dyn Module>| {
            let model = Sequential::new().add(model.clone());
            Ok(match head {
                None => model,
                Some("Softmax") => model.add(Softmax),
                Some("Sigmoid") => model.add(Sigmoid),
                Some(other) => return Err(invalid(format!("head={other:?}; give 'Softmax', 'Sigmoid' or None"))),
            })
        };
        let mut members =
            trainers.iter().map(|trainer| with_head(&trainer.get().model)).collect::<PyResult<Vec<_>>>()?;
        let forward = if members.len() == 1 {
            let model = members.remove(0);
            outside(py, || Forward::new(&first.device, model))?
        } else {
            outside(py, || Forward::new(&first.device, Average::new(members)))?
        };
        Ok(Self { device: first.device.clone(), process: first.process, forward })
    }

    /// The outputs [n, o] for inputs [n, i].
    fn predict<'py>(&self, py: Python<'py>, x: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        check_process(self.process, &self.device)?;
        forward(py, &self.forward, &x)
    }
}

fn forward<'py>(
    py: Python<'py>,
    predictor: &Forward,
    x: &PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let (inputs, [rows, cols]) = (contiguous("x", x)?, [x.shape()[0], x.shape()[1]]);
    let outputs = outside(py, || predictor.predict(inputs, cols))?;
    let width = outputs.len() / rows.max(1);
    matrix(py, outputs, width)
}
