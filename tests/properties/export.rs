//! Models as ONNX and as Rust source, and ONNX read back.

use wgrad::Device;
use wgrad::data::Standardize;
use wgrad::export::{Export, Onnx};
use wgrad::nn::Predictor;

use crate::draw::Draw;
use crate::nn::model;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[("exports", exports)];

fn exports(d: &mut Draw) {
    let device = Device::cpu();
    let mut cols = 1 + d.below(3);
    let inputs = cols;
    let predictor = Predictor::new(&device, model(d, &mut cols, 0));
    let Some(predictor) = d.see(predictor) else { return };
    let given = if d.chance(0.1) { d.size() } else { inputs };
    let export = if d.chance(0.5) {
        Export::new(&predictor, given)
    } else {
        pollster::block_on(Export::new_async(&predictor, given))
    };
    let Some(mut export) = d.see(export) else { return };
    for _ in 0..d.below(3) {
        let data = d.dataset();
        export = match (d.below(4), data) {
            (0, Some(data)) => {
                let scaled = export.inputs(&Standardize::fit(&data));
                let Some(scaled) = d.see(scaled) else { return };
                scaled
            }
            (1, Some(data)) => {
                let scaled = export.targets(&Standardize::fit_targets(&data));
                let Some(scaled) = d.see(scaled) else { return };
                scaled
            }
            (2, _) => export.names(d.text(), d.text()),
            _ => export.metadata(d.text(), d.text()),
        };
    }
    let bytes = export.onnx();
    if let Some(bytes) = d.see(bytes) {
        let path = path("model.onnx");
        let saved = export.save_onnx(&path);
        d.see(saved);
        let read = [Onnx::from_bytes(&bytes), Onnx::load(&path)];
        for onnx in read {
            d.see(onnx);
        }
    }
    let source = export.rust();
    d.see(source);
    let saved = export.save_rust(if d.chance(0.5) { path("model.rs") } else { "".into() });
    d.see(saved);
}
