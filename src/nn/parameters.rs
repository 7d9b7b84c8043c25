//! All parameters of a model, and their placement on a device.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::{Device, MAX_ELEMENTS, Recording, Tensor};
use crate::error::{Error, Result};
use crate::nn::parameter::{Home, Place};
use crate::nn::{Module, Parameter};
use crate::ops::fill::fill;
use crate::random;

/// All parameters of a model on a device.
///
/// Parameters are placed once: those that already have values (from another trainer, a predictor, or a part of the
/// model) are shared; the others are initialised, or taken from the file that the model was loaded from.
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
}

/// Neighbouring parameters: in the list, and in the flat buffers of their home.
pub(crate) struct Stretch {
    home: Arc<Home>,
    home_start: usize,
    /// Where it begins in the list's own layout, in which each parameter follows the one before.
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) group: Option<usize>,
}

impl Stretch {
    /// The values, as one row.
    pub(crate) fn values(&self) -> Result<Tensor> {
        self.home.values.view(self.home_start, 1, self.len)
    }

    /// The gradients, as one row.
    pub(crate) fn gradients(&self) -> Result<Tensor> {
        self.home.gradients()?.view(self.home_start, 1, self.len)
    }

    /// Where a parameter begins within the row, if it is one of the stretch.
    pub(crate) fn offset_of(&self, parameter: &Parameter) -> Option<usize> {
        let place = parameter.place().filter(|place| Arc::ptr_eq(&place.home, &self.home))?;
        place.start.checked_sub(self.home_start).filter(|start| *start < self.len)
    }
}

/// Held while parameters are placed, so that no two threads place the same.
static PLACING: Mutex<()> = Mutex::new(());

impl Parameters {
    /// The model's parameters on this device. Those without values get them, in the order of their names: from the
    /// file, for a loaded model, else drawn with this seed. The others are shared.
    ///
    /// # Errors
    /// A model without parameters, an empty parameter, or one that does not fit the device; parameters that have their
    /// values on another device, or all have values, of which none were drawn with this seed. Nothing is placed then.
    pub fn new(device: &Device, model: &dyn Module, seed: u64) -> Result<Self> {
        Self::place(device, model, seed, true)
    }

    /// [`Parameters::new`] where it does not matter which seed drew values that are there.
    pub(crate) fn shared(device: &Device, model: &dyn Module) -> Result<Self> {
        Self::place(device, model, 0, false)
    }

    fn place(device: &Device, model: &dyn Module, seed: u64, seed_matters: bool) -> Result<Self> {
        let listed = model.named_parameters();
        let mut seen = HashSet::new();
        let mut named = listed.clone();
        named.retain(|(_, parameter)| seen.insert(parameter.id()));
        // Behind what is trained, so that one dispatch still updates that.
        named.sort_by_key(|(_, parameter)| parameter.is_buffer());
        if named.is_empty() {
            let detail = "the model has no parameters: nothing to train (modules list theirs in named_parameters)";
            return Err(Error::input("parameters", detail));
        }
        let parameters = Self {
            device: device.clone(),
            // A description does not say that modules share parameters.
            #[cfg(feature = "safetensors")]
            architecture: model.describe().filter(|_| named.len() == listed.len()),
            #[cfg(feature = "safetensors")]
            listed,
            named,
        };
        let _placing = PLACING.lock().unwrap_or_else(PoisonError::into_inner);
        parameters.check_device()?;
        let new: Vec<_> = parameters.named.iter().filter(|(_, parameter)| parameter.place().is_none()).collect();
        if new.is_empty() {
            if seed_matters {
                parameters.check_seed(seed)?;
            }
        } else {
            draw(device, &new, seed)?;
        }
        Ok(parameters)
    }

    fn check_device(&self) -> Result<()> {
        for (name, parameter) in &self.named {
            let elsewhere = parameter.place().map(|place| place.home.values.device()).filter(|d| **d != self.device);
            if let Some(elsewhere) = elsewhere {
                return Err(Error::input(
                    "parameters",
                    format!(
                        "{name} has its values on {}, another device than {}; create new layers and copy the values \
                         with Parameters::copy_from",
                        elsewhere.name(),
                        self.device.name()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_seed(&self, seed: u64) -> Result<()> {
        let drawn: Vec<u64> = self.named.iter().filter_map(|(_, parameter)| *parameter.seed()).collect();
        match drawn.first() {
            Some(first) if !drawn.contains(&seed) => Err(Error::input(
                "parameters",
                format!(
                    "all parameters have values already, drawn with seed {first}; to train them further give that seed \
                     instead of {seed}, for new values create new layers or call Parameters::redraw"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Reinitialises all values with this seed, in the order of their names, for everything that shares these
    /// parameters.
    ///
    /// # Errors
    /// Initial values that can't be drawn; a lost device.
    pub fn redraw(&self, seed: u64) -> Result<()> {
        let mut values = vec![0.0; self.padded_len()];
        let mut rng = random::parameters(seed);
        for (_, parameter, range) in self.ranges() {
            let (init, fans) = parameter.initial();
            values[range.clone()].copy_from_slice(&init.draw(range.len(), fans, &mut rng)?);
        }
        self.write(&values)?;
        self.named.iter().for_each(|(_, parameter)| *parameter.seed() = Some(seed));
        Ok(())
    }

    /// Copies the values of another model's parameters, of any device, which must have the same names and shapes.
    ///
    /// # Errors
    /// Other names or shapes; a lost device.
    pub fn copy_from(&self, other: &Self) -> Result<()> {
        self.check_same("copy_from", other)?;
        self.write(&other.read()?)
    }

    /// An error unless the other's parameters have the same names and shapes.
    pub(crate) fn check_same(&self, operation: &str, other: &Self) -> Result<()> {
        let names = |parameters: &Self| -> Vec<(String, [usize; 2])> {
            parameters.named().map(|(name, parameter)| (name.to_string(), parameter.shape())).collect()
        };
        let (own, theirs) = (names(self), names(other));
        if let Some((own, theirs)) = own.iter().zip(&theirs).find(|(own, theirs)| own != theirs) {
            let detail = format!(
                "{} {:?} from {} {:?}; both models must have the same parameters",
                own.0, own.1, theirs.0, theirs.1
            );
            return Err(Error::shape(operation, detail));
        }
        if own.len() != theirs.len() {
            let detail =
                format!("{} parameters from {}; both models must have the same parameters", own.len(), theirs.len());
            return Err(Error::shape(operation, detail));
        }
        Ok(())
    }

    /// The parameters with their names, then the buffers; one that two modules share, under its first.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.named.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// The tensors of the parameters and buffers.
    pub(crate) fn values(&self) -> Result<Vec<Tensor>> {
        self.named().map(|(_, parameter)| parameter.value()).collect()
    }

    /// The parameters with their names, and where each lies in the list's own layout.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&str, &Parameter, Range<usize>)> {
        self.named.iter().scan(0, |end, (name, parameter)| {
            let start = *end;
            *end += parameter.padded_len();
            Some((name.as_str(), parameter, start..start + parameter.shape().iter().product::<usize>()))
        })
    }

    /// Elements in the list's own layout.
    pub(crate) fn padded_len(&self) -> usize {
        self.named.iter().map(|(_, parameter)| parameter.padded_len()).sum()
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

    /// The runs of neighbours, in memory and in the list, among the parameters that `has` takes, of one group each.
    pub(crate) fn stretches(
        &self,
        has: impl Fn(&Parameter) -> bool,
        group_of: impl Fn(&str) -> Option<usize>,
    ) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut start = 0;
        for (name, parameter) in &self.named {
            let (len, group) = (parameter.padded_len(), group_of(name));
            if let Some(place) = parameter.place().filter(|_| has(parameter)) {
                let goes_on = |last: &&mut Stretch| {
                    last.group == group
                        && last.start + last.len == start
                        && last.home_start + last.len == place.start
                        && Arc::ptr_eq(&last.home, &place.home)
                };
                match stretches.last_mut().filter(goes_on) {
                    Some(last) => last.len += len,
                    None => {
                        let (home, home_start) = (place.home.clone(), place.start);
                        stretches.push(Stretch { home, home_start, start, len, group });
                    }
                }
            }
            start += len;
        }
        stretches
    }

    /// All of them, in as few stretches as there are.
    pub(crate) fn all(&self) -> Vec<Stretch> {
        self.stretches(|_| true, |_| None)
    }

    /// How many numbers the parameters are; buffers don't count.
    pub fn count(&self) -> usize {
        let parameters = self.named.iter().filter(|(_, parameter)| !parameter.is_buffer());
        parameters.map(|(_, parameter)| parameter.shape().iter().product::<usize>()).sum()
    }

    /// The device that holds them.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All values, concatenated in the order of [`Parameters::named`]. Each parameter begins at a multiple of 64, after
    /// zeros.
    ///
    /// # Errors
    /// A lost device.
    pub fn read(&self) -> Result<Vec<f32>> {
        self.device.block_on("read", "Parameters::read_async", self.read_async())
    }

    /// [`Parameters::read`] without blocking.
    ///
    /// # Errors
    /// A lost device.
    pub async fn read_async(&self) -> Result<Vec<f32>> {
        let read = |stretch: &Stretch| stretch.values()?.read_async();
        let reads = self.all().iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(self.padded_len());
        for read in reads {
            values.extend(read.await?);
        }
        Ok(values)
    }

    /// Replaces all values, laid out as [`Parameters::read`] gives them.
    ///
    /// # Errors
    /// Another number of values; a lost device.
    pub fn write(&self, values: &[f32]) -> Result<()> {
        if values.len() != self.padded_len() {
            let detail = format!("{} values; these parameters take {}", values.len(), self.padded_len());
            return Err(Error::shape("parameters", detail));
        }
        for stretch in self.all() {
            stretch.values()?.write(&values[stretch.start..stretch.start + stretch.len])?;
        }
        Ok(())
    }

    /// The dispatches that zero the gradients.
    ///
    /// # Errors
    /// No memory for the gradients.
    pub fn record_zero_grad(&self, recording: &mut Recording) -> Result<()> {
        self.all().iter().try_for_each(|stretch| fill(recording, 0.0, &stretch.gradients()?))
    }
}

/// Gives parameters a home together, and their values. All or none.
fn draw(device: &Device, new: &[&(String, Parameter)], seed: u64) -> Result<()> {
    let mut end = 0_usize;
    for (name, parameter) in new {
        let [rows, cols] = parameter.shape();
        if end + parameter.checked_len(name)? > MAX_ELEMENTS {
            return Err(Error::shape(
                "parameters",
                format!("{name} is {rows} x {cols}: a model has at most {MAX_ELEMENTS} parameters in all"),
            ));
        }
        if rows == 0 || cols == 0 {
            return Err(Error::shape("parameters", format!("{name} is {rows} x {cols}; give at least 1 x 1")));
        }
        end += parameter.padded_len();
    }
    let values = Tensor::zeros(device, 1, end)?;
    let mut rng = random::parameters(seed);
    let (mut start, mut places) = (0, Vec::new());
    // One by one: together they would take as much memory again.
    for (_, parameter) in new {
        let [rows, cols] = parameter.shape();
        let at = values.view(start, 1, rows * cols)?;
        let drawn = match &*parameter.loaded() {
            Some(loaded) => {
                at.write(loaded)?;
                None
            }
            None => {
                let (init, fans) = parameter.initial();
                at.write(&init.draw(rows * cols, fans, &mut rng)?)?;
                Some(seed)
            }
        };
        places.push((start, drawn));
        start += parameter.padded_len();
    }
    let home = Arc::new(Home::new(values));
    for ((_, parameter), (start, drawn)) in new.iter().zip(places) {
        *parameter.seed() = drawn;
        parameter.set_place(Place { home: home.clone(), start });
    }
    Ok(())
}
