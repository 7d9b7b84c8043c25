//! Metrics against values worked out by hand, and what they refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

use wgrad::data::{Dataset, Labels, disk};
use wgrad::metrics::{self, ConfusionMatrix};
use wgrad::nn::{Linear, Mse};
use wgrad::optim::Sgd;
use wgrad::{Device, ErrorKind, Trainer};

/// Data of these targets; the inputs do not matter.
fn data(targets: &[f32], cols: usize) -> Dataset {
    Dataset::new(vec![0.0; targets.len() / cols], 1, targets.to_vec(), cols).unwrap()
}

/// Predictions that choose these classes.
fn choosing(classes: &[usize], of: usize) -> Vec<f32> {
    let row = |class: &usize| (0..of).map(move |i| if i == *class { 0.5 } else { -0.5 }).collect::<Vec<_>>();
    classes.iter().flat_map(row).collect()
}

/// Sums of a few numbers and quotients of them: a rounding each, of f64.
fn assert_near(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 8.0 * f64::EPSILON * expected.abs().max(1.0), "{value}, not {expected}");
}

#[test]
fn three_classes_by_hand() {
    // True:      0 0 0 0 1 1 1 2 2 2
    // Predicted: 0 0 1 2 1 1 0 2 2 0
    let truth = data(&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0], 1);
    let predictions = choosing(&[0, 0, 1, 2, 1, 1, 0, 2, 2, 0], 3);
    let matrix = ConfusionMatrix::new(&predictions, &truth).unwrap();
    let counts: Vec<Vec<_>> = (0..3).map(|t| (0..3).map(|p| matrix.count(t, p)).collect()).collect();
    assert_eq!(counts, [[2, 1, 1], [1, 2, 0], [1, 0, 2]]);
    assert_eq!(matrix.accuracy(), 0.6);
    let expected = [
        (2.0 / 4.0, 2.0 / 4.0, 4.0 / 8.0, 4),
        (2.0 / 3.0, 2.0 / 3.0, 4.0 / 6.0, 3),
        (2.0 / 3.0, 2.0 / 3.0, 4.0 / 6.0, 3),
    ];
    for (scores, (precision, recall, f1, samples)) in matrix.scores().iter().zip(expected) {
        assert_eq!((scores.precision, scores.recall, scores.f1, scores.samples), (precision, recall, f1, samples));
    }
    let mean = matrix.macro_average();
    assert_near(mean.precision, (0.5 + 4.0 / 3.0) / 3.0);
    assert_near(mean.f1, (0.5 + 4.0 / 3.0) / 3.0);
    assert_eq!(mean.samples, 10);
    // Class numbers and their one-hot rows say the same.
    assert_eq!(ConfusionMatrix::new(&predictions, &truth.one_hot(3).unwrap()).unwrap(), matrix);
}

#[test]
fn classes_that_are_never_predicted_or_never_there() {
    // Class 1 is there and never predicted, class 2 predicted and never there, class 3 neither.
    let matrix = ConfusionMatrix::new(&choosing(&[0, 0, 2, 0], 4), &data(&[0.0, 1.0, 1.0, 0.0], 1)).unwrap();
    let scores = matrix.scores();
    assert_eq!((scores[1].precision, scores[1].recall, scores[1].f1, scores[1].samples), (0.0, 0.0, 0.0, 2));
    assert_eq!((scores[2].precision, scores[2].recall, scores[2].f1, scores[2].samples), (0.0, 0.0, 0.0, 0));
    assert_eq!((scores[3].precision, scores[3].recall, scores[3].f1, scores[3].samples), (0.0, 0.0, 0.0, 0));
    // Precision 2/3, recall 1; the mean is over classes 0, 1 and 2.
    let mean = matrix.macro_average();
    assert_near(mean.precision, 2.0 / 9.0);
    assert_near(mean.recall, 1.0 / 3.0);
    assert_near(mean.f1, 0.8 / 3.0);
    assert_eq!((matrix.count(4, 0), matrix.count(0, 4)), (0, 0));
}

#[test]
fn single_columns_and_ties_follow_the_accuracy_on_the_device() {
    // -1 and 1: the middle is 0, and 0 itself is not above it.
    let matrix = ConfusionMatrix::new(&[0.2, 0.0, -0.1, 3.0], &data(&[1.0, 1.0, -1.0, -1.0], 1)).unwrap();
    let counts = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(t, p)| matrix.count(t, p));
    assert_eq!(counts, [1, 1, 1, 1]);
    assert_eq!(metrics::classes(&[0.5, 0.5, 0.1, 0.3, 0.7, 0.7], 3).unwrap(), [0, 1]);
    for labels in [Labels::OneHot, Labels::PlusMinusOneHot, Labels::ZeroOne, Labels::PlusMinusOne] {
        let points = disk(500, 3, labels).unwrap();
        let model = Linear::new(2, points.target_cols());
        let trainer = Trainer::new(&Device::cpu(), model, Mse::new(), Sgd::new(0.1), 5).unwrap();
        let predictions = trainer.predict(points.inputs(), 2).unwrap();
        let measured = trainer.evaluate(&points).unwrap().accuracy;
        assert_eq!(metrics::accuracy(&predictions, &points).unwrap() as f32, measured, "{labels:?}");
    }
}

#[test]
fn errors_of_numbers_by_hand() {
    // Differences: 0.5, -0.5, 0, -1.
    let (targets, predictions) = (data(&[3.0, -0.5, 2.0, 7.0], 1), [3.5, -1.0, 2.0, 6.0]);
    assert_eq!(metrics::mae(&predictions, &targets).unwrap(), 0.5);
    assert_near(metrics::rmse(&predictions, &targets).unwrap(), 0.375f64.sqrt());
    // The mean is 2.875, the squares about it sum to 29.1875.
    assert_near(metrics::r2(&predictions, &targets).unwrap(), 1.0 - 1.5 / 29.1875);
    // Two columns: R² 0 (the mean) and -3 (the targets turned around), -1.5 on average.
    let two = data(&[0.0, 0.0, 2.0, 2.0], 2);
    assert_near(metrics::r2(&[1.0, 2.0, 1.0, 0.0], &two).unwrap(), -1.5);
    assert_near(metrics::rmse(&[1.0, 2.0, 1.0, 0.0], &two).unwrap(), 2.5f64.sqrt());
    // In f32 the squares of these would be infinite, and the mean off by a thousand.
    let large = data(&[1e30, 3e30, 2e30], 1);
    assert_near(metrics::r2(&[1e30, 3e30, 2e30], &large).unwrap(), 1.0);
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let constant = metrics::r2(&[0.1, 0.2], &data(&[0.1, 0.1], 1)).unwrap_err();
    assert_eq!(
        constant.to_string(),
        "r2: all targets of column 0 are 0.1, so there is no variance to explain; use rmse"
    );
    assert!(metrics::mae(&[0.1, 0.2], &data(&[0.1, 0.1], 1)).is_ok());
    let kind = |predictions: &[f32], data: &Dataset| metrics::mae(predictions, data).unwrap_err().kind();
    assert_eq!(kind(&[1.0], &data(&[1.0, 2.0], 1)), ErrorKind::Shape);
    assert_eq!(kind(&[1.0, f32::NAN], &data(&[1.0, 2.0], 1)), ErrorKind::InvalidInput);

    let kind = |predictions: &[f32], data: &Dataset| ConfusionMatrix::new(predictions, data).unwrap_err().kind();
    let two = data(&[0.0, 1.0], 1);
    assert_eq!(kind(&[], &two), ErrorKind::Shape);
    assert_eq!(kind(&[1.0, 0.0, 1.0], &two), ErrorKind::Shape);
    assert_eq!(kind(&[0.0, f32::INFINITY], &two), ErrorKind::InvalidInput);
    // Columns: 3 against 2; a class number of 5 for 2; three values in a single column; three names for two classes.
    assert_eq!(kind(&[0.0; 6], &data(&[0.0, 1.0, 1.0, 0.0], 2)), ErrorKind::Shape);
    assert_eq!(kind(&[0.0; 4], &data(&[0.0, 5.0], 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(&[0.0; 3], &data(&[0.0, 1.0, 2.0], 1)), ErrorKind::InvalidInput);
    assert_eq!(kind(&[0.0; 4], &two.clone().with_class_names(["a", "b", "c"])), ErrorKind::Shape);
    assert_eq!(metrics::classes(&[0.0; 3], 2).unwrap_err().kind(), ErrorKind::Shape);
}
