//! ONNX files read back: wgrad's own, and PyTorch's.

use wgrad::export::{Export, Onnx};
use wgrad::nn::{Linear, Module, Predictor, Residual, Sequential, Tanh};
use wgrad::{Device, ErrorKind};

use crate::common::{compare, floats, list, oracle, text};
use crate::models::{all, embedding, layers, placed, scales, standardised};

/// Names without what a model has more than its file: dropouts.
fn shown(model: &Sequential) -> String {
    format!("{model:?}").replace("Dropout(0.5), ", "")
}

#[test]
fn what_was_exported_comes_back() {
    for (name, model, cols) in [("layers", layers(), 4), ("embedding", embedding(), 2)] {
        let case = all().into_iter().find(|case| case.name == name).unwrap();
        let onnx = Onnx::from_bytes(&case.export.onnx().unwrap()).unwrap();
        let expected = shown(&model);
        // Of the momentum nothing is left in an evaluation.
        let expected = expected.replace("momentum=0.25", "momentum=0.1");
        // The scale and the shift of an affine map are nodes of their own.
        let expected = expected.replace("Affine(2, 0.5)", "Affine(2, 0), Affine(1, 0.5)");
        assert_eq!(shown(&onnx.model), expected);
        assert!(onnx.inputs.is_none() && onnx.targets.is_none() && onnx.metadata.is_empty());
        let again = Predictor::new(&Device::cpu(), onnx.model).unwrap();
        let inputs = floats(&oracle("onnx.json")["models"][name]["inputs"]);
        let [ours, expected] = [&again, &case.predictor].map(|predictor| predictor.predict(&inputs, cols).unwrap());
        assert_eq!(ours, expected, "{name}");
    }
}

#[test]
fn a_scale_comes_back_apart_from_the_model() {
    let case = all().into_iter().find(|case| case.name == "standardised").unwrap();
    let onnx = Onnx::from_bytes(&case.export.onnx().unwrap()).unwrap();
    assert_eq!(format!("{:?}", onnx.model), format!("{:?}", standardised()));
    assert_eq!(onnx.metadata[1], ("author".to_string(), "Ångström".to_string()));
    let numbers = |scale: &wgrad::data::Standardize| -> Vec<f32> {
        let text = scale.to_string();
        text.split([',', '\n']).filter_map(|number| number.parse().ok()).collect()
    };
    let [inputs, targets] = scales();
    // To single precision.
    assert_eq!(numbers(&onnx.inputs.unwrap()), numbers(&inputs));
    assert_eq!(numbers(&onnx.targets.unwrap()), numbers(&targets));
}

/// A layer that is used twice is one layer again.
#[test]
fn shared_layers_stay_shared() {
    let layer = Linear::new(3, 3);
    let model = Sequential::new().add(layer.clone()).add(Tanh).add(Residual::new(layer));
    let predictor = placed(model, 3);
    let onnx = Onnx::from_bytes(&Export::new(&predictor, 3).unwrap().onnx().unwrap()).unwrap();
    let parameters = onnx.model.named_parameters();
    assert_eq!(parameters.len(), 4);
    assert_eq!(parameters[0].1, parameters[2].1);
}

#[test]
fn files_of_pytorchs_give_its_outputs() {
    let files = oracle("onnx.json");
    let cases = list(&files["pytorch"]);
    assert!(cases.len() >= 3);
    for case in cases {
        let name = text(&case["file"]);
        let path = format!("{}/tests/oracle/onnx/{name}", env!("CARGO_MANIFEST_DIR"));
        let onnx = Onnx::load(path).unwrap();
        let predictor = Predictor::new(&Device::cpu(), onnx.model).unwrap();
        let outputs = predictor.predict(&floats(&case["inputs"]), case["cols"].as_u64().unwrap() as usize).unwrap();
        // Of a few layers with at most 16 inputs each, weights below 1 and values below 4.
        compare(name, &outputs, &floats(&case["outputs"]), 0.0, |_| 1e-5).unwrap();
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    for path in ["no-such-file.onnx", env!("CARGO_MANIFEST_DIR")] {
        let error = Onnx::load(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains(path), "{error}");
    }
}
