//! A run of the page without a browser, for its tests.
//!
//! - `native losses SETTINGS EPOCHS`: the losses of all steps as bits in hexadecimal, one a line
//! - `native predict FILE NUMBERS`: the outputs of a safetensors or ONNX file for rows of inputs, separated by commas

use wgrad::Device;
use wgrad::export::Onnx;
use wgrad::nn::{Module, Predictor, Sequential};
use wgrad_web::spec::layers_of;
use wgrad_web::{Lab, Spec, data};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["losses", settings, epochs] => losses(settings, epochs.parse()?),
        ["predict", file, numbers] => {
            let numbers: Vec<f32> = numbers.split(',').map(str::parse).collect::<Result<_, _>>()?;
            predict(file, &numbers)
        }
        _ => Err("native losses SETTINGS EPOCHS | native predict FILE NUMBERS".into()),
    }
}

fn losses(settings: &str, epochs: usize) -> Result<()> {
    let spec = Spec::parse(settings)?;
    let samples = data::samples(&spec)?;
    let mut lab = Lab::new(&Device::cpu(), spec, samples).map_err(|fault| fault.message)?;
    wait(lab.train(epochs))?.map_err(|fault| fault.message)?;
    lab.step_losses().iter().for_each(|loss| println!("{:08x}", loss.to_bits()));
    Ok(())
}

fn predict(file: &str, numbers: &[f32]) -> Result<()> {
    let device = Device::cpu();
    let bytes = std::fs::read(file)?;
    let onnx = file.ends_with(".onnx").then(|| Onnx::from_bytes(&bytes)).transpose()?;
    let (model, inputs, targets) = match onnx {
        Some(onnx) => (onnx.model, onnx.inputs, onnx.targets),
        None => (Sequential::from_bytes(&bytes)?, None, None),
    };
    let (cols, ..) = layers_of(&model.describe().unwrap_or_default())?;
    let numbers = inputs.map_or_else(|| Ok(numbers.to_vec()), |scale| scale.apply(numbers))?;
    let outputs = Predictor::new(&device, model)?.predict(&numbers, cols)?;
    let outputs = targets.map_or_else(|| Ok(outputs.clone()), |scale| scale.invert(&outputs))?;
    outputs.iter().for_each(|output| println!("{output}"));
    Ok(())
}

/// On the CPU path everything is ready at once.
fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    let polled = std::pin::pin!(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    match polled {
        std::task::Poll::Ready(value) => Ok(value),
        std::task::Poll::Pending => Err("the CPU path had to wait".into()),
    }
}
