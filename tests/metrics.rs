//! Metrics against values worked out by hand and by scikit-learn 1.9.1, and what they refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

use wgrad::ErrorKind;
use wgrad::data::Dataset;
use wgrad::metrics::{self, ConfusionMatrix, Decision};

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
    let matrix = ConfusionMatrix::new(&predictions, &truth, Decision::Argmax).unwrap();
    let counts: Vec<Vec<_>> = (0..3).map(|t| (0..3).map(|p| matrix.count(t, p)).collect()).collect();
    assert_eq!(counts, [[2, 1, 1], [1, 2, 0], [1, 0, 2]]);
    assert_eq!(matrix.accuracy(), 0.6);
    // scikit-learn: balanced_accuracy_score.
    assert_near(matrix.balanced_accuracy(), 0.611111111111111);
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
    assert_eq!(ConfusionMatrix::new(&predictions, &truth.one_hot(3).unwrap(), Decision::Argmax).unwrap(), matrix);
}

#[test]
fn classes_that_are_never_predicted_or_never_there() {
    // Class 1 is there and never predicted, class 2 predicted and never there, class 3 neither.
    let matrix =
        ConfusionMatrix::new(&choosing(&[0, 0, 2, 0], 4), &data(&[0.0, 1.0, 1.0, 0.0], 1), Decision::Argmax).unwrap();
    // scikit-learn: balanced_accuracy_score.
    assert_near(matrix.balanced_accuracy(), 0.5);
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
fn a_prediction_means_the_same_whatever_it_is_measured_on() {
    /// Decision, predictions, targets, columns, accuracy.
    type Case<'a> = (Decision, &'a [f32], &'a [f32], usize, f64);
    let logits = Decision::logits();
    // The classes of the data do not move the threshold.
    let cases: [Case<'_>; 9] = [
        (logits, &[0.3, -0.2, 0.4, 1.0], &[1.0, 0.0, 1.0, 1.0], 1, 1.0),
        (logits, &[3.0; 4], &[1.0; 4], 1, 1.0),
        (logits, &[-3.0; 4], &[1.0; 4], 1, 0.0),
        (logits, &[-3.0], &[0.0], 1, 1.0),
        (Decision::between(0.0, 1.0), &[0.9, 0.8], &[1.0, 1.0], 1, 1.0),
        (Decision::between(0.0, 1.0), &[0.4, 0.2], &[0.0, 0.0], 1, 1.0),
        (Decision::between(-1.0, 1.0), &[0.2, -0.2, 0.1], &[1.0, 1.0, 1.0], 1, 2.0 / 3.0),
        // Independent labels: scikit-learn's accuracy_score of all in one row.
        (logits, &[2.0, -1.0, -3.0, -0.1, -0.5, 0.5, -2.0, 1.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], 2, 0.625),
        (Decision::Argmax, &[0.5, 0.5, 0.2, 0.8], &[0.0, 1.0], 1, 1.0),
    ];
    for (decision, predictions, targets, cols, expected) in cases {
        let data = data(targets, cols);
        assert_eq!(decision.accuracy(predictions, &data).unwrap(), Some(expected), "{decision:?} {predictions:?}");
        assert_eq!(metrics::accuracy(predictions, &data, decision).unwrap(), expected);
        if cols == 1 {
            assert_eq!(ConfusionMatrix::new(predictions, &data, decision).unwrap().accuracy(), expected);
        }
    }
    let numbers = data(&[1.5, -2.0], 1);
    assert_eq!(Decision::Regression.accuracy(&[1.5, -2.0], &numbers).unwrap(), None);
    assert!(metrics::accuracy(&[1.5, -2.0], &numbers, Decision::Regression).is_err());
    // -1 and 1: the middle is 0, and 0 itself is not above it.
    let sides = data(&[1.0, 1.0, -1.0, -1.0], 1);
    let matrix = ConfusionMatrix::new(&[0.2, 0.0, -0.1, 3.0], &sides, Decision::between(-1.0, 1.0)).unwrap();
    assert_eq!([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(t, p)| matrix.count(t, p)), [1, 1, 1, 1]);
    assert_eq!(Decision::between(3e38, 3.2e38), Decision::Threshold { output: 3.1e38, target: 3.1e38 });
}

#[test]
fn rows_are_read_one_by_one() {
    let (logits, argmax) = (Decision::logits(), Decision::Argmax);
    assert_eq!(argmax.classes(&[0.5, 0.5, 0.1, 0.3, 0.7, 0.7], 3).unwrap(), [0, 1]);
    assert_eq!(logits.classes(&[0.1, -0.1, 0.0], 1).unwrap(), [1, 0, 0]);
    assert_eq!((logits.class_of(&[1.0, 2.0]), Decision::Regression.class_of(&[1.0])), (None, None));
    // NaN is of no class, and never right.
    for decision in [logits, argmax, Decision::between(0.0, 1.0)] {
        let row: &[f32] = if decision == argmax { &[f32::NAN, 0.0] } else { &[f32::NAN] };
        assert_eq!(decision.class_of(row), None);
        for target in [0.0, 1.0] {
            assert_eq!(decision.is_right(row, &[target]), Some(false));
            assert_eq!(decision.count_right(row, &[target]), 0);
        }
        assert_eq!(decision.classes(row, row.len()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(argmax.class_of_target(&[2.0]), Some(2));
    assert_eq!((argmax.class_of_target(&[-1.0]), argmax.class_of_target(&[0.5])), (None, None));
    assert_eq!(argmax.class_of_target(&[0.0, 1.0]), Some(1));
    assert_eq!((logits.answers(3), argmax.answers(3), Decision::Regression.answers(3)), (3, 1, 0));
    assert_eq!(logits.count_right(&[1.0, -1.0, 1.0], &[1.0, 1.0, 0.0]), 1);
    assert_eq!(logits.is_right(&[1.0, -1.0], &[1.0, 0.0]), Some(true));
    assert_eq!(Decision::Regression.is_right(&[1.0], &[1.0]), None);
    assert!(logits.classes(&[1.0, 2.0], 2).unwrap_err().to_string().contains("Decision::Argmax"));
    assert!(argmax.classes(&[1.0, 2.0], 1).unwrap_err().to_string().contains("Decision::logits()"));
}

#[test]
fn scores_and_probabilities_as_scikit_learn_measures_them() {
    let near = |value: f64, expected: f64| assert!((value - expected).abs() <= 1e-6, "{value}, not {expected}");
    let y = data(&[0.0, 1.0, 2.0, 2.0, 0.0, 1.0], 1);
    let p = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.25, 0.5, 0.25], [0.05, 0.15, 0.8]];
    // roc_auc_score, with ties; of classes against the rest (multi_class="ovr"); of independent labels.
    let ties = data(&[0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0], 1);
    assert_near(metrics::roc_auc(&[0.1, 0.4, 0.4, 0.8, 0.4, 0.2, 0.9, 0.05], &ties).unwrap(), 0.8125);
    assert_near(metrics::roc_auc(p.as_flattened(), &y).unwrap(), 0.6875);
    assert_near(metrics::roc_auc(p.as_flattened(), &y.one_hot(3).unwrap()).unwrap(), 0.6875);
    let two = data(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], 2);
    assert_near(metrics::roc_auc(&[0.9, 0.2, 0.3, 0.4, 0.3, 0.3, 0.4, 0.1], &two).unwrap(), 0.8125);
    // log_loss.
    near(metrics::log_loss(p.as_flattened(), &y).unwrap(), 1.0451964139938354);
    near(metrics::log_loss(p.as_flattened(), &y.one_hot(3).unwrap()).unwrap(), 1.0451964139938354);
    near(metrics::log_loss(&[0.1, 0.9, 0.4, 0.6], &data(&[0.0, 1.0, 1.0, 0.0], 1)).unwrap(), 0.5108256340026855);
    near(metrics::log_loss(&[0.0, 1.0, 0.0], &data(&[0.0, 1.0, 1.0], 1)).unwrap(), 5.314128398895264);
    // top_k_accuracy_score.
    let q = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.29, 0.31, 0.4], [0.2, 0.5, 0.3], [0.05, 0.15, 0.8]];
    let y = data(&[0.0, 1.0, 2.0, 0.0, 0.0, 1.0], 1);
    assert_near(metrics::top_k_accuracy(q.as_flattened(), &y, 2).unwrap(), 2.0 / 3.0);
    assert_near(metrics::top_k_accuracy(q.as_flattened(), &y, 1).unwrap(), 1.0 / 3.0);
    assert_near(metrics::accuracy(q.as_flattened(), &y, Decision::Argmax).unwrap(), 1.0 / 3.0);
    // Of equals the first count.
    assert_eq!(metrics::top_k_accuracy(&[0.5; 6], &data(&[1.0, 2.0], 1), 2).unwrap(), 0.5);
    // mean_pinball_loss.
    let numbers = data(&[3.0, -0.5, 2.0, 7.0, 1.0, 4.0], 1);
    let predictions = [2.5, 0.0, 2.0, 8.0, 1.5, 3.0];
    assert_near(metrics::pinball(&predictions, &numbers, 0.9).unwrap(), 0.2583333333333333);
    assert_near(metrics::pinball(&predictions, &numbers, 0.25).unwrap(), 0.3125);
    assert!(metrics::pinball(&predictions, &numbers, 1.5).is_err());
    // mean_absolute_percentage_error.
    let targets = data(&[3.0, -0.5, 2.0, 7.0], 1);
    assert_near(metrics::mape(&[2.5, 0.0, 2.0, 8.0], &targets).unwrap(), 0.3273809523809524);
    let two = data(&[0.5, 1.0, -1.0, 1.0, 7.0, -6.0], 2);
    assert_near(metrics::mape(&[0.0, 2.0, -1.0, 2.0, 8.0, -5.0], &two).unwrap(), 0.5515873015873016);
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
fn weights_of_samples_count_as_in_scikit_learn() {
    let near = |value: f64, expected: f64| assert!((value - expected).abs() <= 1e-6, "{value}, not {expected}");
    let weights = vec![1.0, 0.25, 3.0, 0.0, 0.5, 2.0];
    let weighed = |targets: &[f32]| data(targets, 1).with_weights(weights.clone()).unwrap();
    let y = weighed(&[0.0, 1.0, 2.0, 2.0, 0.0, 1.0]);
    let p = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.25, 0.5, 0.25], [0.05, 0.15, 0.8]];
    let p = p.as_flattened();
    assert_near(metrics::accuracy(p, &y, Decision::Argmax).unwrap(), 0.18518518518518517);
    assert_near(metrics::balanced_accuracy(p, &y, Decision::Argmax).unwrap(), 0.25925925925925924);
    let q = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.29, 0.31, 0.4], [0.2, 0.5, 0.3], [0.05, 0.15, 0.8]];
    assert_near(metrics::top_k_accuracy(q.as_flattened(), &y, 2).unwrap(), 0.9259259259259259);
    assert_near(metrics::roc_auc(p, &y).unwrap(), 0.5148148148148148);
    near(metrics::log_loss(p, &y).unwrap(), 1.2716573278109233);
    near(metrics::log_loss(p, &y.one_hot(3).unwrap()).unwrap(), 1.2716573278109233);
    let matrix = ConfusionMatrix::new(p, &y, Decision::Argmax).unwrap();
    assert_near(matrix.accuracy(), 0.18518518518518517);
    for (scores, expected) in
        matrix.scores().iter().zip([[1.0, 2.0 / 3.0, 0.8], [1.0 / 15.0, 1.0 / 9.0, 1.0 / 12.0], [0.0; 3]])
    {
        assert_near(scores.precision, expected[0]);
        assert_near(scores.recall, expected[1]);
        assert_near(scores.f1, expected[2]);
    }
    // Counts are of samples.
    assert_eq!((matrix.count(2, 1), matrix.count(2, 2), matrix.scores()[2].samples), (1, 1, 2));
    let mean = matrix.macro_average();
    assert_near(mean.precision, 0.35555555555555557);
    assert_near(mean.recall, 0.25925925925925924);
    assert_near(mean.f1, 0.29444444444444445);
    let (two, scores) = (weighed(&[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]), [0.1, 0.4, 0.4, 0.8, 0.4, 0.2]);
    assert_near(metrics::roc_auc(&scores, &two).unwrap(), 0.7);
    near(metrics::log_loss(&scores, &two).unwrap(), 0.9564781796049189);
    let (t, q) = (weighed(&[3.0, -0.5, 2.0, 7.0, 1.0, 4.0]), [2.5, 0.0, 2.0, 8.0, 1.5, 3.0]);
    assert_near(metrics::mae(&q, &t).unwrap(), 0.42592592592592593);
    assert_near(metrics::rmse(&q, &t).unwrap(), 0.6009252125773316);
    assert_near(metrics::mape(&q, &t).unwrap(), 0.1728395061728395);
    assert_near(metrics::r2(&q, &t).unwrap(), 0.7242011524358303);
    assert_near(metrics::pinball(&q, &t, 0.9).unwrap(), 0.3388888888888889);
    // Several columns.
    let t = data(&[0.5, 1.0, -1.0, 1.0, 7.0, -6.0], 2).with_weights(vec![1.0, 2.0, 0.5]).unwrap();
    let q = [0.0, 2.0, -1.0, 2.0, 8.0, -5.0];
    assert_near(metrics::mae(&q, &t).unwrap(), 0.6428571428571428);
    assert_near(metrics::rmse(&q, &t).unwrap(), 0.6071428571428571f64.sqrt());
    assert_near(metrics::mape(&q, &t).unwrap(), 0.5935374149659864);
    assert_near(metrics::r2(&q, &t).unwrap(), 0.9020223152022315);
    let two_labels = data(&[1.0, 0.0, 0.0, 1.0], 2).with_weights(vec![3.0, 1.0]).unwrap();
    assert_eq!(metrics::accuracy(&[1.0, -1.0, 1.0, 1.0], &two_labels, Decision::logits()).unwrap(), 0.875);
    // Nothing to measure.
    let nothing = y.select(&[3]).unwrap();
    for error in [metrics::mae(&[1.0], &nothing), metrics::accuracy(&[0.1, 0.2], &nothing, Decision::Argmax)] {
        assert!(error.unwrap_err().to_string().contains("the weights of all samples are 0"));
    }
    // A class or a value that does not count is not there.
    let none = weighed(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    assert!(metrics::roc_auc(&scores, &none).unwrap_err().to_string().contains("samples of both kinds are needed"));
    assert!(metrics::r2(&scores, &none).unwrap_err().to_string().contains("all targets of column 0 are 0"));
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

    let kind = |predictions: &[f32], data: &Dataset, decision| {
        let error = ConfusionMatrix::new(predictions, data, decision).unwrap_err();
        assert!(error.to_string().starts_with("confusion_matrix: "), "{error}");
        error.kind()
    };
    let (two, logits, argmax) = (data(&[0.0, 1.0], 1), Decision::logits(), Decision::Argmax);
    assert_eq!(kind(&[], &two, logits), ErrorKind::Shape);
    assert_eq!(kind(&[1.0, 0.0, 1.0], &two, logits), ErrorKind::Shape);
    assert_eq!(kind(&[0.0, f32::INFINITY], &two, logits), ErrorKind::InvalidInput);
    assert_eq!(kind(&[0.0, f32::NAN], &two, logits), ErrorKind::InvalidInput);
    // Columns: 3 against 2; a class number of 5 for 2; three values in a single column; three names for two classes; the
    // largest of one; several answers; none.
    assert_eq!(kind(&[0.0; 6], &data(&[0.0, 1.0, 1.0, 0.0], 2), argmax), ErrorKind::Shape);
    assert_eq!(kind(&[0.0; 4], &data(&[0.0, 5.0], 1), argmax), ErrorKind::InvalidInput);
    assert_eq!(kind(&[0.0; 3], &data(&[0.0, 1.0, 2.0], 1), logits), ErrorKind::InvalidInput);
    assert_eq!(kind(&[0.0; 4], &two.clone().with_class_names(["a", "b", "c"]), argmax), ErrorKind::Shape);
    assert_eq!(kind(&[0.0; 2], &two, argmax), ErrorKind::Shape);
    assert_eq!(kind(&[0.0; 4], &data(&[0.0, 1.0, 1.0, 0.0], 2), logits), ErrorKind::Shape);
    assert_eq!(kind(&[0.0; 2], &two, Decision::Regression), ErrorKind::InvalidInput);
    assert_eq!(argmax.classes(&[0.0; 3], 2).unwrap_err().kind(), ErrorKind::Shape);

    let told = |result: wgrad::Result<f64>| result.unwrap_err().to_string();
    assert!(told(metrics::log_loss(&[0.3, 1.7], &two)).contains("take logits through Sigmoid or Softmax first"));
    assert!(told(metrics::log_loss(&[0.5, 0.9, 0.5, 0.5], &two)).contains("sums to 1.3"));
    assert!(told(metrics::log_loss(&[0.5, 0.5], &data(&[-1.0, 1.0], 1))).contains("the target -1 in row 0"));
    assert!(told(metrics::roc_auc(&[0.3, 0.7], &data(&[1.0, 1.0], 1))).contains("samples of both kinds are needed"));
    assert!(told(metrics::roc_auc(&[0.3, 0.7, 0.1], &data(&[0.0, 1.0, 2.0], 1))).contains("the target 1 in row 1"));
    assert!(told(metrics::roc_auc(&[0.3, f32::NAN], &two)).contains("NaN"));
    assert!(told(metrics::mape(&[1.0, 1.0], &two)).contains("the target in row 0, column 0 is 0"));
    for k in [0, 2] {
        assert!(told(metrics::top_k_accuracy(&[0.0; 4], &two, k)).ends_with("give 1 to 1"));
    }
    for error in [metrics::mae(&[f32::NAN, 0.0], &two), metrics::rmse(&[f32::NAN, 0.0], &two)] {
        assert!(told(error).contains("the predictions hold NaN in row 0"));
    }
}
