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
    let power_of_2 = |bits| 1_usize.checked_shl(bits).unwrap_or(usize::MAX);
    for classes in [power_of_2(45), power_of_2(62), power_of_2(63), usize::MAX, usize::MAX / 3 + 1] {
        let error = data.one_hot(classes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{classes}: {error}");
    }
}

#[test]
fn windows_of_a_series() {
    let series = [1.0, 2.0, 3.0, 4.0, 5.0];
    let data = Dataset::windows(&series, 2, 2).unwrap();
    assert_eq!((data.inputs(), data.targets()), (&[1.0, 2.0, 2.0, 3.0][..], &[3.0, 4.0, 4.0, 5.0][..]));
    // As long as the series: one.
    let data = Dataset::windows(&series, 3, 2).unwrap();
    assert_eq!((data.inputs(), data.targets()), (&[1.0, 2.0, 3.0][..], &[4.0, 5.0][..]));
    for (series, length, horizon, words) in [
        (&series[..], 4, 2, "a series of 5 values has no window of 4 + 2"),
        (&series, usize::MAX, 2, "a series of 5 values"),
        (&[], 1, 1, "a series of 0 values has no window of 1 + 1"),
        (&series, 0, 1, "a length of 0 and a horizon of 1; give at least 1 of each"),
        (&series, 1, 0, "a length of 1 and a horizon of 0"),
        (&[1.0, f32::NAN, 3.0], 1, 1, "value 1 of the series is NaN"),
        (&[1.0, 2.0, f32::INFINITY], 1, 1, "value 2 of the series is inf"),
    ] {
        let error = Dataset::windows(series, length, horizon).unwrap_err().to_string();
        assert!(error.contains(words), "'{words}' is not in: {error}");
    }
}
