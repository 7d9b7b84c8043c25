//! The steps that `bench/` times beside other libraries.

use js_sys::Float32Array;
use wasm_bindgen::prelude::*;
use wgrad::data::Dataset;
use wgrad::nn::{CrossEntropy, Linear, Mse, ReLU, Sequential, Sigmoid};
use wgrad::optim::Sgd;
use wgrad::{DeviceOptions, Fit, Session};

fn thrown(error: wgrad::Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

/// Training without evaluation: plain SGD with a rate of 0.1 on mini-batches of 1,000 rows.
#[wasm_bindgen]
pub struct Bench {
    session: Session,
    data: Dataset,
    batch: usize,
}

#[wasm_bindgen]
impl Bench {
    /// `disk`: 2-25-25-25-2, ReLU, sigmoid, squared error, 32 rows a step; `digits`: 784-128-10, ReLU, cross-entropy, 64 rows.
    ///
    /// # Errors
    /// No such device.
    pub async fn open(net: String, device: String, inputs: Vec<f32>, targets: Vec<f32>) -> Result<Bench, JsValue> {
        let device = DeviceOptions::new(device).open_async().await.map_err(thrown)?;
        let (model, rate) = (Sequential::new(), Sgd::new(0.1));
        if net == "disk" {
            let model = model.add(Linear::new(2, 25)).add(ReLU).add(Linear::new(25, 25)).add(ReLU);
            let model = model.add(Linear::new(25, 25)).add(ReLU).add(Linear::new(25, 2)).add(Sigmoid);
            let session = Session::new(&device, model, Mse::new(), rate, 0).map_err(thrown)?;
            return Ok(Self { session, data: Dataset::new(inputs, 2, targets, 2).map_err(thrown)?, batch: 32 });
        }
        let model = model.add(Linear::new(784, 128)).add(ReLU).add(Linear::new(128, 10));
        let session = Session::new(&device, model, CrossEntropy::new(), rate, 0).map_err(thrown)?;
        Ok(Self { session, data: Dataset::new(inputs, 784, targets, 1).map_err(thrown)?, batch: 64 })
    }

    /// The device.
    pub fn device(&self) -> String {
        self.session.device().describe().to_string()
    }

    /// Trains for so many epochs; gives the losses of the steps.
    ///
    /// # Errors
    /// A lost device.
    pub async fn train(&mut self, epochs: u32) -> Result<Float32Array, JsValue> {
        let fit = Fit::new(epochs as usize, self.batch).evaluate(false).drop_last(true);
        let history = self.session.fit(&self.data, fit).await.map_err(thrown)?;
        Ok(Float32Array::from(&history.step_losses[..]))
    }
}
