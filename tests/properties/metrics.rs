//! Metrics: of predictions that fit the data, or do not.

use wgrad::metrics::{
    ConfusionMatrix, Decision, accuracy, balanced_accuracy, log_loss, mae, mape, pinball, r2, rmse, roc_auc,
    top_k_accuracy,
};
use wgrad::{EarlyStopping, Monitor, Statistics};

use crate::Case;
use crate::draw::Draw;

pub(crate) const CASES: &[Case] = &[("decisions", decisions), ("metrics", metrics), ("statistics", statistics)];

fn decision(d: &mut Draw) -> Decision {
    match d.below(4) {
        0 => Decision::Regression,
        1 => Decision::logits(),
        2 => Decision::between(d.real(), d.real()),
        _ => Decision::Argmax,
    }
}

fn decisions(d: &mut Draw) {
    let decision = decision(d);
    let (n, m) = (d.small(), d.small());
    let (prediction, target) = (d.reals(n), d.reals(m));
    let _ = (decision.class_of(&prediction), decision.class_of_target(&target));
    let _ = (decision.count_right(&prediction, &target), decision.is_right(&prediction, &target));
    let cols = d.size();
    let _ = decision.answers(cols);
    let classes = decision.classes(&prediction, cols);
    if let Some(classes) = d.see(classes) {
        assert_eq!(classes.len() * cols, n);
    }
}

fn metrics(d: &mut Draw) {
    let Some(data) = d.dataset() else { return };
    let cols = d.near(data.target_cols()).min(5);
    let len = d.near(data.len() * cols).min(200);
    let predictions = match d.below(3) {
        0 => d.reals(len),
        1 => d.reals(len).iter().map(|value| value.abs().min(1.0)).collect(),
        _ => data.targets().to_vec(),
    };
    let (decision, k, quantile) = (decision(d), d.size(), d.share());
    let of_decision = decision.accuracy(&predictions, &data);
    d.see(of_decision);
    let results = [
        accuracy(&predictions, &data, decision),
        balanced_accuracy(&predictions, &data, decision),
        top_k_accuracy(&predictions, &data, k),
        log_loss(&predictions, &data),
        roc_auc(&predictions, &data),
        mae(&predictions, &data),
        rmse(&predictions, &data),
        mape(&predictions, &data),
        pinball(&predictions, &data, quantile),
        r2(&predictions, &data),
    ];
    for (number, result) in results.into_iter().enumerate() {
        if let Some(value) = d.see(result) {
            assert!(!value.is_nan(), "metric {number}");
        }
    }
    let matrix = ConfusionMatrix::new(&predictions, &data, decision);
    let Some(matrix) = d.see(matrix) else { return };
    let classes = matrix.classes();
    assert!(classes == matrix.names().len() && classes == matrix.scores().len());
    let _ = (matrix.accuracy(), matrix.balanced_accuracy(), matrix.macro_average(), format!("{matrix}{matrix:?}"));
    let (actual, predicted) = (d.size(), d.size());
    // What is no class was never counted.
    let counted = matrix.count(actual, predicted);
    assert!(counted <= data.len());
}

fn statistics(d: &mut Draw) {
    let values: Vec<f64> = (0..d.small()).map(|_| d.share()).collect();
    let of = Statistics::of(values.iter().copied());
    assert_eq!(of.is_some(), !values.is_empty());
    for monitor in [Monitor::highest("own"), Monitor::lowest("own"), Monitor::ValidationAccuracy] {
        let _ = monitor.on_training_data();
    }
    let _ = EarlyStopping::new(d.size()).min_delta(d.real());
}
