//! Modules, losses, parameters, predictors, and their files.

use std::fs;
use std::sync::Arc;

use wgrad::metrics::Decision;
use wgrad::nn::{
    Average, Backprop, BatchNorm1d, BceWithLogits, CrossEntropy, Dropout, Embedding, Huber, Init, LayerNorm, Linear,
    LogSoftmax, Loss, Mae, Module, Mse, Parameter, Parameters, Predictor, Quantile, Residual, Sequential, Softmax,
    prefixed, summary,
};
use wgrad::{Device, Graph, Recording, StepPath};

use crate::device::tensor;
use crate::draw::Draw;
use crate::graph::{activation, reduction};
use crate::{Case, path};

pub(crate) const CASES: &[Case] =
    &[("modules", modules), ("parameters", parameters), ("losses", losses), ("files", files)];

fn init(d: &mut Draw) -> Init {
    let number = d.real();
    let all = [
        Init::Constant(number),
        Init::Uniform { bound: number },
        Init::Normal { std: number },
        Init::XavierUniform { gain: number },
        Init::XavierNormal { gain: 1.0 },
        Init::HeUniform,
        Init::HeNormal,
        Init::Linear,
    ];
    d.pick(&all)
}

/// A module from columns to columns that fit mostly.
fn module(d: &mut Draw, cols: &mut usize, depth: usize) -> Arc<dyn Module> {
    let inputs = d.near(*cols);
    match d.below(if depth > 2 { 8 } else { 11 }) {
        0 | 1 => {
            let outputs = if d.chance(0.05) { d.size() } else { d.small() };
            *cols = outputs;
            let linear = Linear::new(inputs, outputs);
            let linear = if d.chance(0.2) { linear.init(init(d), init(d)) } else { linear };
            let linear = if d.chance(0.2) { linear.without_bias() } else { linear };
            assert_eq!(linear.weight().shape(), [outputs, inputs]);
            let _ = linear.bias();
            Arc::new(linear)
        }
        2 => Arc::new(activation(d)),
        3 => Arc::new(Dropout::new(d.real())),
        4 => {
            let norm = BatchNorm1d::new(inputs);
            let norm = if d.chance(0.3) { norm.momentum(d.real()).eps(d.real()) } else { norm };
            assert_eq!(norm.running_mean().shape(), norm.running_var().shape());
            Arc::new(norm)
        }
        5 => Arc::new(LayerNorm::new(inputs)),
        6 => {
            let outputs = d.small();
            let embedding = Embedding::new(d.small(), outputs);
            let embedding = if d.chance(0.2) { embedding.init(init(d)) } else { embedding };
            let _ = embedding.weight().shape();
            *cols = cols.saturating_mul(outputs);
            Arc::new(embedding)
        }
        7 => {
            if d.chance(0.5) {
                Arc::new(Softmax)
            } else {
                Arc::new(LogSoftmax)
            }
        }
        8 => Arc::new(Residual::new(model(d, cols, depth + 1))),
        9 => {
            let start = *cols;
            Arc::new(Average::new(
                (0..d.below(3))
                    .map(|_| {
                        *cols = start;
                        model(d, cols, depth + 1)
                    })
                    .collect::<Vec<_>>(),
            ))
        }
        _ => Arc::new(model(d, cols, depth + 1)),
    }
}

pub(crate) fn model(d: &mut Draw, cols: &mut usize, depth: usize) -> Sequential {
    let mut model = Sequential::new();
    for _ in 0..d.below(4) {
        let module = module(d, cols, depth);
        model = model.add(module);
    }
    let _ = (model.is_empty(), model.len());
    model
}

fn modules(d: &mut Draw) {
    let device = Device::cpu();
    let mut cols = 1 + d.below(4);
    let inputs = cols;
    let model = model(d, &mut cols, 0);
    let described = summary(&model, inputs);
    if let Some(summary) = d.see(described) {
        let bytes: usize = summary.rows().iter().map(|row| row.bytes()).sum();
        assert!(
            summary.bytes() == bytes && summary.bytes() / 4 >= summary.parameters() && !summary.to_string().is_empty()
        );
    }
    let _ = (format!("{model:?}"), model.describe(), prefixed(&d.text(), &model).len());
    let predictor = Predictor::new(&device, model);
    let Some(predictor) = d.see(predictor) else { return };
    for _ in 0..3 {
        let cols = if d.chance(0.1) { d.size() } else { d.near(inputs) };
        let len = d.near(cols.min(9) * 3);
        let values = d.reals(len);
        let predicted = predictor.predict(&values, cols);
        d.see(predicted);
        let predicted = pollster::block_on(predictor.predict_async(&values, cols));
        d.see(predicted);
    }
    let count = predictor.parameters().count();
    assert!(count < 1 << 28);
    let predictor = predictor.with_path(d.pick(&[StepPath::Auto, StepPath::Layered, StepPath::Fused]));
    let path = predictor.path(d.near(inputs));
    d.see(path);
    let predicted = predictor.predict(&vec![0.5; 2 * inputs], inputs);
    d.see(predicted);
}

fn parameters(d: &mut Draw) {
    let device = Device::cpu();
    let parameter = match d.below(3) {
        0 => Parameter::new(d.size(), d.size(), init(d)),
        1 => Parameter::vector(d.size(), init(d)),
        _ => Parameter::buffer(d.size(), init(d)),
    };
    let parameter = if d.chance(0.2) { parameter.fans(d.size(), d.size()) } else { parameter };
    let parameter = if d.chance(0.2) { parameter.init(init(d)) } else { parameter };
    parameter.set_frozen(d.chance(0.5));
    let _ = (parameter.is_frozen(), parameter.is_buffer(), parameter.shape(), format!("{parameter:?}"));
    let own = [parameter.value(), parameter.gradient()];
    for tensor in own {
        d.see(tensor);
    }
    let mut graph = Graph::new(&device);
    let var = parameter.var(&mut graph);
    d.see(var);

    let mut cols = 2;
    let (first, second) = (model(d, &mut cols, 1), model(d, &mut 2, 1));
    let seed = d.seed();
    let [first, second] = [first, second].map(|model| {
        let placed = Parameters::new(&device, &model, seed);
        let again = Parameters::new(&Device::cpu(), &model, seed);
        d.see(again);
        d.see(placed)
    });
    let Some(first) = first else { return };
    if let Some(second) = second {
        let copied = first.copy_from(&second);
        d.see(copied);
    }
    let redrawn = first.redraw(d.seed());
    d.see(redrawn);
    let values = first.read().unwrap();
    assert_eq!(pollster::block_on(first.read_async()).unwrap(), values);
    let len = d.near(values.len());
    let values = d.reals(len);
    let written = first.write(&values);
    d.see(written);
    for (_, parameter) in first.named() {
        assert_eq!(parameter.gradient().unwrap().shape(), parameter.value().unwrap().shape());
    }
    let mut recording = Recording::new(if d.chance(0.9) { first.device() } else { &device });
    let recorded = first.record_zero_grad(&mut recording);
    d.see(recorded);
    let run = recording.run();
    d.see(run);
}

pub(crate) fn loss(d: &mut Draw) -> Box<dyn Loss> {
    let (reduction, number) = (reduction(d), d.real());
    let decision = d.pick(&[Decision::Regression, Decision::logits(), Decision::Argmax]);
    match d.below(6) {
        0 => Box::new(Mse::new().reduction(reduction).decision(decision)),
        1 => Box::new(Mae::new().reduction(reduction)),
        2 => Box::new(Huber::new(number)),
        3 => Box::new(Quantile::new(number)),
        4 => Box::new(BceWithLogits::new().reduction(reduction)),
        _ => {
            let loss = CrossEntropy::new().reduction(reduction);
            match d.below(4) {
                0 => Box::new(loss.label_smoothing(number)),
                1 => Box::new(loss.ignore_index(d.pick(&[-100, 0, i32::MIN, i32::MAX]))),
                2 => {
                    let classes = d.small();
                    Box::new(loss.class_weights(d.reals(classes)))
                }
                _ => Box::new(loss),
            }
        }
    }
}

fn losses(d: &mut Draw) {
    let device = Device::cpu();
    let loss = loss(d);
    let (rows, cols) = (1 + d.below(4), 1 + d.below(3));
    let target_cols = if d.chance(0.5) { 1 } else { d.near(cols).max(1) };
    let numbers = d.classes(rows * target_cols, 3);
    let data = wgrad::data::Dataset::new(d.reals(rows), 1, numbers.clone(), target_cols);
    if let Some(data) = d.see(data) {
        let checked = loss.check_targets(&data, cols);
        d.see(checked);
    }
    let _ = (loss.target_weight(&numbers[..target_cols]), loss.weighs_errors(), loss.reduction(), loss.decision());
    let layer = Linear::new(cols, cols);
    let parameters = Parameters::new(&device, &layer, 0).unwrap();
    let [x, t, w] =
        [(rows, cols), (rows, target_cols), (rows, 1)].map(|(rows, cols)| tensor(d, &device, rows, cols).unwrap());
    let mut graph = Graph::new(&device);
    let [x, t, w] = [x, t, w].map(|tensor| graph.input(&tensor).unwrap());
    let y = layer.forward(&mut graph, x).unwrap();
    let value = if d.chance(0.5) { loss.forward(&mut graph, y, t) } else { loss.weighted(&mut graph, y, t, w) };
    let Some(value) = d.see(value) else { return };
    let wanted = [y, value, x];
    let pass = Backprop::new(&mut graph, &parameters, if d.chance(0.1) { y } else { value }, &wanted[..d.below(4)]);
    let Some(pass) = d.see(pass) else { return };
    let order = if d.chance(0.8) { [true, false] } else { [false, true] };
    for forward in order {
        let run = if forward { pass.forward() } else { pass.backward() };
        d.see(run);
    }
    for var in [y, value, x, t, w] {
        let read = pass.read(var);
        d.see(read);
    }
    assert!(pass.forward_pass().allocated() < 1 << 20 && pass.backward_pass().allocated() < 1 << 20);
}

fn files(d: &mut Draw) {
    let device = Device::cpu();
    let (first, second) = (model(d, &mut 2, 0), model(d, &mut 2, 0));
    let [first, second] = [first, second].map(|model| {
        let placed = Parameters::new(&device, &model, 1);
        d.see(placed)
    });
    let (Some(first), Some(second)) = (first, second) else { return };
    let path = match d.below(6) {
        0 => "".into(),
        1 => path("nowhere").join("x"),
        2 => std::env::temp_dir(),
        _ => path("model"),
    };
    let saved = first.save(&path);
    if d.see(saved).is_none() {
        return;
    }
    let loaded = [first.load(&path), second.load(&path), first.load_renamed(&path, |_| "same".into())];
    for loaded in loaded {
        d.see(loaded);
    }
    let mismatch = second.load_partial(&path, str::to_string);
    if let Some(mismatch) = d.see(mismatch) {
        let _ = (mismatch.is_empty(), mismatch.to_string());
    }
    let models = [Sequential::load(&path), Sequential::from_bytes(&fs::read(&path).unwrap())];
    for model in models {
        if let Some(model) = d.see(model) {
            assert_eq!(Parameters::new(&device, &model, 9).unwrap().read().unwrap(), first.read().unwrap());
        }
    }
    let bytes = pollster::block_on(first.to_bytes());
    if let Some(bytes) = d.see(bytes) {
        assert_eq!(bytes, fs::read(&path).unwrap());
    }
    let _ = fs::remove_file(&path);
}
