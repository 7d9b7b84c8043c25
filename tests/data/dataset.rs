//! Datasets: class numbers, one-hot rows, sizes.

use wgrad::ErrorKind;
use wgrad::data::Dataset;
use wgrad::nn::{CrossEntropy, Loss};

#[test]
fn one_hot_takes_class_numbers_only() {
    let data =
        |targets: &[f32], cols| Dataset::new(vec![0.0; targets.len() / cols], 1, targets.to_vec(), cols).unwrap();
    let rows = data(&[1.0, 0.0], 1).one_hot(2).unwrap();
    assert_eq!((rows.targets(), rows.target_cols()), (&[0.0, 1.0, 1.0, 0.0][..], 2));
    for wrong in [-1.0, 2.0, 0.5] {
        let error = data(&[0.0, wrong], 1).one_hot(2).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("one_hot: row 1 has the class {wrong}; 2 classes (outputs) count from 0 to 1 in whole numbers")
        );
    }
    assert_eq!(data(&[0.0, 1.0], 2).one_hot(2).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(data(&[0.0], 1).one_hot(0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn classes_that_begin_with_1_are_shifted() {
    let from_1 = Dataset::from_rows(&[[0.0]; 3], &[[1.0], [3.0], [2.0]]).unwrap().with_class_names(["a", "b", "c"]);
    let way_out = "; if they begin with 1, shift them: data.map_targets(|class| class - 1.0)?";
    let one_hot = from_1.one_hot(3).unwrap_err().to_string();
    let message = "row 1 has the class 3; 3 classes (outputs) count from 0 to 2 in whole numbers";
    assert_eq!(one_hot, format!("one_hot: {message}{way_out}"));
    let loss = CrossEntropy::new().check_targets(&from_1, 3).unwrap_err().to_string();
    assert_eq!(loss, format!("cross_entropy: {message}{way_out}"));
    let shifted = from_1.map_targets(|class| class - 1.0).unwrap();
    assert_eq!((shifted.targets(), shifted.class_names().len()), (&[0.0, 2.0, 1.0][..], 3));
    assert!(shifted.one_hot(3).is_ok());
    let lost = shifted.map_targets(|class| class / 0.0).unwrap_err().to_string();
    assert!(lost.starts_with("map_targets: the targets hold NaN in row 0"), "{lost}");
}

#[test]
fn sizes_that_no_memory_holds_are_errors() {
    let data = Dataset::from_rows(&[[0.0]; 3], &[[1.0], [0.0], [2.0]]).unwrap();
    for classes in [1 << 45, 1 << 62, 1 << 63, usize::MAX, usize::MAX / 3 + 1] {
        let error = data.one_hot(classes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{classes}: {error}");
    }
}
