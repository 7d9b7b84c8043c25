//! ONNX files read back: wgrad's own, and PyTorch's.

use wgrad::export::{Export, Onnx};
use wgrad::nn::{
    Activation, Average, BatchNorm1d, Dropout, ELU, Embedding, GELU, Identity, LayerNorm, LeakyReLU, Linear,
    LogSoftmax, Module, Predictor, ReLU, Residual, Sequential, SiLU, Sigmoid, Softmax, Softplus, Tanh,
};
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

/// Every module of the crate: how it shows, the same values, and the same bits.
#[test]
fn every_module_comes_back() {
    fn module(module: impl Module + 'static) -> Box<dyn Module> {
        Box::new(module)
    }
    let member = |width| Sequential::new().add(Linear::new(3, width)).add(Tanh).add(Linear::new(width, 3));
    let nested = Average::new([
        Residual::new(Average::new([member(2), member(5)])),
        Residual::new(Average::new([member(4), member(3)])),
    ]);
    let mut modules = vec![
        module(Linear::new(3, 4)),
        module(Linear::new(3, 4).without_bias()),
        module(BatchNorm1d::new(3)),
        module(BatchNorm1d::new(3).momentum(0.25).eps(1e-3)),
        module(Sequential::new().add(BatchNorm1d::new(3).momentum(0.0)).add(BatchNorm1d::new(3).momentum(1.0))),
        module(LayerNorm::new(3)),
        module(Embedding::new(5, 2)),
        module(Sequential::new().add(Linear::new(3, 4)).add(Dropout::new(0.5))),
        module(Residual::new(Linear::new(3, 3))),
        module(Residual::new(Residual::new(member(4)))),
        module(Average::new([member(4), member(2), member(7)])),
        module(Average::new([Residual::new(member(4)), Residual::new(member(2))])),
        module(Sequential::new().add(Average::new([member(4), member(2)])).add(Average::new([Softmax, Softmax]))),
        module(Sequential::new().add(nested).add(Tanh)),
        // What is no average, though it looks like one.
        module(
            Sequential::new().add(Residual::new(Linear::new(3, 3))).add(Activation::Affine { scale: 0.5, shift: 0.0 }),
        ),
        module(Softmax),
        module(LogSoftmax),
    ];
    let functions =
        [Identity, ReLU, Tanh, Sigmoid, SiLU, Softplus, GELU, Activation::GELUTanh, Activation::Exp, Activation::Log];
    modules.extend(functions.map(module));
    modules.extend([LeakyReLU { slope: 0.125 }, ELU { alpha: 1.5 }].map(module));
    modules.extend([-1.0, 0.5, 2.0, 1.7].map(|exponent| module(Activation::Pow { exponent })));
    modules.extend(
        [(2.0, 0.0), (1.0, 0.5), (-1.5, 0.0)].map(|(scale, shift)| module(Activation::Affine { scale, shift })),
    );

    // Positive for logarithms, and rows of the embedding.
    let inputs: Vec<f32> = (0..12).map(|i| (i % 5) as f32).collect();
    // Whether modules stand in a `Sequential` of their own is not told by a file, and dropouts are not in it.
    let plain = |text: &str| text.replace("Sequential", "").replace(['(', ')'], "").replace(", Dropout0.5", "");
    let mut tried = String::from("Activation");
    for (seed, module) in modules.into_iter().enumerate() {
        // A model without parameters is none.
        let mut modules = vec![module];
        if modules[0].named_parameters().is_empty() {
            modules.insert(0, Box::new(Linear::new(3, 3)));
        }
        let model = Sequential::from(modules);
        let shown = format!("{model:?}");
        let predictor = placed(model, seed as u64);
        let bytes = Export::new(&predictor, 3).unwrap().onnx().unwrap();
        let model = Onnx::from_bytes(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}")).model;
        assert_eq!(plain(&format!("{model:?}")), plain(&shown));
        let again = Predictor::new(&Device::cpu(), model).unwrap();
        let [ours, expected] = [&again, &predictor].map(|predictor| predictor.predict(&inputs, 3).unwrap());
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&ours), bits(&expected), "{shown}");
        tried += &shown;
    }
    for name in names_of_modules() {
        assert!(tried.contains(&name), "{name} is not tried");
    }
}

/// The modules that the source has.
fn names_of_modules() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/nn")).unwrap();
    let texts = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let names: Vec<String> = texts
        .flat_map(|text| {
            let lines: Vec<String> =
                text.lines().filter_map(|line| line.strip_prefix("impl Module for ").map(String::from)).collect();
            lines
        })
        .map(|line| line.trim_end_matches(" {").to_string())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    names
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
