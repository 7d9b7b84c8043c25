//! What a page's JavaScript sees: thin wrappers, whose calls are awaited. Errors are JavaScript's, named by wgrad's kind.

use js_sys::{Array, Float32Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wgrad::DeviceOptions;

use crate::lab::{Fault, Lab};
use crate::table::{self, Role};
use crate::{Spec, data, layers_in};

fn thrown(fault: impl Into<Fault>) -> JsValue {
    let fault = fault.into();
    let error = js_sys::Error::new(&fault.message);
    error.set_name(&fault.kind.map_or_else(|| "Settings".into(), |kind| format!("{kind:?}")));
    error.into()
}

/// An object of these fields.
fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A new object takes any field.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

fn floats(values: &[f32]) -> JsValue {
    Float32Array::from(values).into()
}

fn strings(values: &[String]) -> JsValue {
    values.iter().map(|text| JsValue::from(text.as_str())).collect::<Array>().into()
}

fn layers(values: &[Vec<f32>]) -> JsValue {
    values.iter().map(|layer| floats(layer)).collect::<Array>().into()
}

/// Shows a panic's message in the console, which would else only say that something was unreachable.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| wasm_bindgen::throw_str(&panic.to_string())));
}

/// The columns of a table: name, first values, whether they are numbers, and the proposed role (`input`, `class`, `number`,
/// `ignored`).
///
/// # Errors
/// What wgrad's reader refuses, with the line.
#[wasm_bindgen]
pub fn columns(text: &str) -> Result<Array, JsValue> {
    let columns = table::columns(text).map_err(thrown)?;
    Ok(columns
        .into_iter()
        .map(|column| {
            let role = match column.role {
                Role::Input => "input",
                Role::Class => "class",
                Role::Number => "number",
                Role::Ignored => "ignored",
            };
            object([
                ("name", column.name.as_str().into()),
                ("first", strings(&column.first)),
                ("isNumber", column.is_number.into()),
                ("role", role.into()),
            ])
        })
        .collect())
}

/// The network of a safetensors file: its columns of inputs and outputs, and its layers as the address has them.
///
/// # Errors
/// A file that is damaged, or of a network that the page does not show.
#[wasm_bindgen(js_name = layersIn)]
pub fn layers_in_file(bytes: &[u8]) -> Result<JsValue, JsValue> {
    let (inputs, layers, outputs) = layers_in(bytes).map_err(thrown)?;
    let [inputs, outputs] = [inputs, outputs].map(|columns| JsValue::from(columns as f64));
    Ok(object([("inputs", inputs), ("layers", layers.as_str().into()), ("outputs", outputs)]))
}

/// A run on a device: see [`Lab`].
#[wasm_bindgen]
pub struct Run(Lab);

#[wasm_bindgen]
impl Run {
    /// Opens a device (`cpu`, `webgpu`) and prepares a run; with a table if the settings say `data=csv`, whose columns have these
    /// roles.
    ///
    /// # Errors
    /// Settings that make no sense, a table that can't be read, no such device.
    pub async fn open(
        settings: String,
        table: Option<String>,
        roles: Vec<String>,
        device: String,
    ) -> Result<Run, JsValue> {
        let spec = Spec::parse(&settings).map_err(thrown)?;
        let samples = match (&*spec.data, table) {
            ("csv", None) => Err("A link can't hold a table: drop the file again.".to_string()),
            ("csv", Some(text)) => {
                let role = |text: &String| match &**text {
                    "input" => Role::Input,
                    "class" => Role::Class,
                    "number" => Role::Number,
                    _ => Role::Ignored,
                };
                table::samples(&text, &roles.iter().map(role).collect::<Vec<_>>())
            }
            _ => data::samples(&spec),
        };
        let device = DeviceOptions::new(device).open_async().await.map_err(thrown)?;
        Ok(Self(Lab::new(&device, spec, samples.map_err(thrown)?).map_err(thrown)?))
    }

    /// The device it runs on.
    pub fn device(&self) -> String {
        self.0.device()
    }

    /// What does not change while it runs: samples, names, bounds.
    pub fn about(&self) -> JsValue {
        let (names, target) = self.0.names();
        let parts = self
            .0
            .samples()
            .map(|(inputs, targets)| object([("inputs", floats(inputs)), ("targets", floats(targets))]));
        let bounds = self.0.bounds();
        object([
            ("names", strings(names)),
            ("target", target.into()),
            ("classes", strings(self.0.classes())),
            ("samples", parts.into_iter().collect::<Array>().into()),
            ("bounds", floats(bounds.as_flattened())),
        ])
    }

    /// Trains for so many epochs: see [`Lab::train`].
    ///
    /// # Errors
    /// See there.
    pub async fn train(&mut self, epochs: u32) -> Result<(), JsValue> {
        self.0.train(epochs as usize).await.map_err(thrown)
    }

    /// Epochs and steps so far, losses since epoch `from`, accuracies; and if the sizes are not 0, pictures of so many
    /// places: of the answer, and of the neurons.
    ///
    /// # Errors
    /// A lost device.
    pub async fn view(&self, from: u32, size: u32, neurons: u32, x: u32, y: u32) -> Result<JsValue, JsValue> {
        let axes = [x as usize, y as usize];
        let curves = self.0.curves(from as usize);
        let curves: Vec<f32> = curves.iter().flat_map(|curve| [curve.train, curve.test]).flatten().collect();
        let (members, diverged) = self.0.members();
        let accuracies = self.0.accuracies().map(|share| share.map_or(JsValue::NULL, JsValue::from));
        let mut surface = JsValue::NULL;
        if size > 0 {
            let found = self.0.surface(size as usize, axes).await.map_err(thrown)?;
            surface = object([("channels", (found.channels as f64).into()), ("values", floats(&found.values))]);
        }
        let (mut pictures, mut weights) = (JsValue::NULL, JsValue::NULL);
        if neurons > 0 {
            pictures = layers(&self.0.neurons(neurons as usize, axes).await.map_err(thrown)?);
            weights = layers(&self.0.weights().await.map_err(thrown)?);
        }
        Ok(object([
            ("epochs", (self.0.epochs() as f64).into()),
            ("steps", (self.0.step_losses().len() as f64).into()),
            ("from", f64::from(from).into()),
            ("curves", floats(&curves)),
            ("accuracies", accuracies.into_iter().collect::<Array>().into()),
            ("members", (members as f64).into()),
            ("diverged", strings(diverged)),
            ("surface", surface),
            ("neurons", pictures),
            ("weights", weights),
        ]))
    }

    /// Epochs so far.
    #[wasm_bindgen(js_name = epochCount)]
    pub fn epoch_count(&self) -> u32 {
        self.0.epochs() as u32
    }

    /// Steps so far, of each network.
    #[wasm_bindgen(js_name = stepCount)]
    pub fn step_count(&self) -> u32 {
        self.0.step_losses().len() as u32
    }

    /// The losses of all steps so far.
    #[wasm_bindgen(js_name = stepLosses)]
    pub fn step_losses(&self) -> Float32Array {
        Float32Array::from(self.0.step_losses())
    }

    /// See [`Lab::checkpoint`].
    ///
    /// # Errors
    /// See there.
    pub async fn checkpoint(&mut self) -> Result<Uint8Array, JsValue> {
        Ok(Uint8Array::from(&self.0.checkpoint().await.map_err(thrown)?[..]))
    }

    /// See [`Lab::resume`].
    ///
    /// # Errors
    /// See there.
    pub async fn resume(&mut self, bytes: Vec<u8>) -> Result<(), JsValue> {
        self.0.resume(&bytes).await.map_err(thrown)
    }

    /// See [`Lab::export`].
    ///
    /// # Errors
    /// See there.
    pub async fn export(&self, format: String) -> Result<JsValue, JsValue> {
        let (name, bytes) = self.0.export(&format).await.map_err(thrown)?;
        Ok(object([("name", name.as_str().into()), ("bytes", Uint8Array::from(&bytes[..]).into())]))
    }

    /// See [`Lab::import`].
    ///
    /// # Errors
    /// See there.
    pub fn import(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.import(bytes).map_err(thrown)
    }
}
