//! From a table to predictions: any table, any settings.

use wgrad::Device;
use wgrad::data::{Column, Table};
use wgrad::table::{Classifier, Folds, Impute, Regressor, Settings, Unknown};

use crate::draw::Draw;
use crate::graph::activation;
use crate::{Case, path};

pub(crate) const CASES: &[Case] = &[("classifiers", classifiers), ("regressors", regressors)];

fn table(d: &mut Draw) -> Table {
    let rows = 2 + d.below(12);
    let mut table = Table::new();
    for (name, kind) in [("size", 0), ("colour", 1), ("kind", 2), ("value", 3)] {
        if d.chance(0.05) {
            continue;
        }
        let cells: Vec<String> = (0..rows)
            .map(|_| match kind {
                _ if d.chance(0.03) => d.pick(&["", "NA", "inf", "x", "1e300"]).to_string(),
                0 | 3 => format!("{}", d.below(100) as f64 / 10.0),
                1 => d.pick(&["red", "blue", "green"]).to_string(),
                _ => d.pick(&["a", "b"]).to_string(),
            })
            .collect();
        table = table.with_column(name, cells).unwrap();
    }
    table
}

fn column(d: &mut Draw) -> Column {
    d.pick(&["size", "colour", "kind", "value", "", "nothing"]).into()
}

fn settings(d: &mut Draw, target: &str) -> Settings {
    let target: Column = if d.chance(0.9) { target.into() } else { column(d) };
    let mut settings = Settings::new(target).epochs(d.below(3)).hidden_layer_sizes([4]).members(1 + d.below(2));
    for _ in 0..d.below(4) {
        settings = match d.below(18) {
            0 => settings.ignore([column(d)]),
            1 => settings.categories([column(d)]),
            2 => settings.weights(column(d)),
            3 => settings.impute(Impute::Mean),
            4 => settings.min_frequency(d.size()),
            5 => settings.max_categories(d.size()),
            6 => settings.hidden_layer_sizes((0..d.below(3)).map(|_| d.small()).collect::<Vec<_>>()),
            7 => settings.activation(activation(d)),
            8 => settings.dropout(d.real()),
            9 => settings.members(d.small()),
            10 => settings.learning_rate(d.real()),
            11 => settings.weight_decay(d.real()),
            12 => settings.batch_size(d.size()),
            13 => settings.validation_fraction(d.share()),
            14 => settings.patience(d.size()),
            15 => settings.balanced(d.chance(0.5)),
            16 => settings.seed(d.seed()),
            _ => settings.progress(false),
        };
    }
    settings
}

fn folds(d: &mut Draw) -> Folds {
    let folds = Folds::new(if d.chance(0.3) { d.size() } else { 2 }).seed(d.seed());
    let folds = if d.chance(0.3) { folds.stratified(d.chance(0.5)) } else { folds };
    if d.chance(0.2) { folds.grouped(column(d)) } else { folds }
}

/// What both have in common.
macro_rules! use_model {
    ($d:ident, $model:ident, $other:ident) => {{
        let (d, other) = (&mut *$d, &$other);
        let transformed = $model.transform(other);
        d.see(transformed);
        let score = $model.score(other);
        d.see(score);
        let importance = $model.permutation_importance(other, d.small().min(2), d.seed());
        d.see(importance);
        assert!(!$model.input_names().is_empty() && !$model.summary().is_empty() && !$model.histories().is_empty());
        let path = path("table");
        let saved = $model.save(&path);
        d.see(saved);
        path
    }};
}

fn classifiers(d: &mut Draw) {
    let device = Device::cpu();
    let (data, settings) = (table(d), settings(d, "kind"));
    if d.chance(0.2) {
        let scores = Classifier::cross_validate(&device, &data, settings.clone(), folds(d));
        d.see(scores);
    }
    let fitted = Classifier::fit(&device, &data, settings);
    let Some(mut model) = d.see(fitted) else { return };
    if d.chance(0.5) {
        model = model.unknown_categories(Unknown::Rare);
    }
    let other = table(d);
    let predicted = model.predict(&other).map(|_| ());
    d.see(predicted);
    let probabilities = model.predict_proba(&other);
    if let Some(probabilities) = d.see(probabilities) {
        assert_eq!(probabilities.len(), other.len() * model.classes().len());
    }
    let matrix = model.confusion_matrix(&other);
    d.see(matrix);
    let path = use_model!(d, model, other);
    let bytes = std::fs::read(&path).unwrap();
    for read in [Classifier::load(&device, &path), Classifier::from_bytes(&device, &bytes)] {
        read.unwrap_or_else(|error| panic!("it was saved, but {error}"));
    }
}

fn regressors(d: &mut Draw) {
    let device = Device::cpu();
    let (data, settings) = (table(d), settings(d, "value"));
    if d.chance(0.2) {
        let scores = Regressor::cross_validate(&device, &data, settings.clone(), folds(d));
        d.see(scores);
    }
    let fitted = Regressor::fit(&device, &data, settings);
    let Some(mut model) = d.see(fitted) else { return };
    if d.chance(0.5) {
        model = model.unknown_categories(Unknown::Rare);
    }
    let other = table(d);
    for numbers in [model.predict(&other), model.residuals(&other)] {
        d.see(numbers);
    }
    let path = use_model!(d, model, other);
    let bytes = std::fs::read(&path).unwrap();
    for read in [Regressor::load(&device, &path), Regressor::from_bytes(&device, &bytes)] {
        read.unwrap_or_else(|error| panic!("it was saved, but {error}"));
    }
}
