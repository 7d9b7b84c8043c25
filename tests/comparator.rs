//! The comparison and the guard rows must catch planted faults: a test that cannot fail proves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use common::{EPSILON, Guarded, SHAPES, assert_same_bits, compare, signed, small_integers};
use wgrad::{Device, Recording, ops};

const ROWS: usize = 5;
const COLS: usize = 7;

/// The comparison as the kernel tests use it: a relative part and an absolute part.
fn verdict(actual: &[f32], expected: &[f32]) -> Result<(), String> {
    compare("planted", actual, expected, 4.0 * EPSILON, |_| 4.0 * EPSILON)
}

fn good() -> Vec<f32> {
    signed(1, ROWS * COLS)
}

#[test]
fn equal_values_and_roundings_pass() {
    let expected = good();
    assert_eq!(verdict(&expected, &expected), Ok(()));
    let rounded: Vec<f32> = expected.iter().map(|x| x * (1.0 + f32::EPSILON)).collect();
    assert_ne!(rounded, expected);
    assert_eq!(verdict(&rounded, &expected), Ok(()));
}

#[test]
fn one_wrong_value_is_caught_wherever_it_stands() {
    let expected = good();
    for i in 0..expected.len() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -expected[i], 0.0, expected[i] * 1.001] {
            let mut actual = expected.clone();
            actual[i] = wrong;
            let message = verdict(&actual, &expected).expect_err("a wrong value passed");
            assert!(message.starts_with("planted: 1 of 35 values differ"), "{message}");
            assert!(message.contains(&format!("[{i}] is")), "{message}");
        }
    }
}

#[test]
fn a_reference_that_is_not_finite_is_caught_even_where_both_agree() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut both = good();
        both[3] = wrong;
        assert!(verdict(&both, &both).is_err());
    }
}

#[test]
fn a_tolerance_that_is_not_finite_is_caught() {
    let values = good();
    assert!(compare("planted", &values, &values, f64::NAN, |_| 0.0).is_err());
    assert!(compare("planted", &values, &values, 0.0, |_| f64::INFINITY).is_err());
}

#[test]
fn short_long_and_empty_outputs_are_caught() {
    let expected = good();
    assert!(verdict(&expected[..expected.len() - 1], &expected).is_err());
    assert!(verdict(&expected, &expected[..expected.len() - 1]).is_err());
    assert!(verdict(&[], &expected).is_err());
    assert!(verdict(&[], &[]).is_err(), "nothing was compared");
}

#[test]
fn swapped_rows_a_missing_tail_and_zeros_are_caught() {
    let expected = good();
    let mut swapped = expected.clone();
    swapped[..2 * COLS].rotate_left(COLS);
    assert!(verdict(&swapped, &expected).is_err());
    let mut shifted = expected.clone();
    shifted.rotate_left(1);
    assert!(verdict(&shifted, &expected).is_err());
    let mut tail = expected.clone();
    tail[(ROWS - 1) * COLS..].fill(0.0);
    assert!(verdict(&tail, &expected).unwrap_err().contains("7 of 35"));
    assert!(verdict(&vec![0.0; expected.len()], &expected).unwrap_err().contains("35 of 35"));
}

#[test]
fn the_worst_value_is_named() {
    let expected = good();
    let mut actual = expected.clone();
    actual[4] += 0.01;
    actual[9] += 10.0;
    let message = verdict(&actual, &expected).unwrap_err();
    assert!(message.contains("the first, [4]") && message.contains("the worst, [9]"), "{message}");
    actual[20] = f32::NAN;
    assert!(verdict(&actual, &expected).unwrap_err().contains("the worst, [20] is NaN"));
}

#[test]
#[should_panic(expected = "zeros of different sign")]
fn bits_are_compared_to_the_sign_of_zero() {
    assert_same_bits("planted", &[1.0, -0.0], &[1.0, 0.0]);
}

#[test]
fn an_output_that_no_kernel_touched_is_caught() {
    let device = Device::cpu();
    let output = Guarded::poisoned(&device, [ROWS, COLS]);
    let untouched = output.read().expect("guards are whole");
    assert!(verdict(&untouched, &good()).is_err());
    // The same device compared with itself, having computed nothing: the poison must not equal itself.
    assert!(verdict(&untouched, &untouched).is_err());
}

#[test]
fn writes_before_and_beyond_an_output_are_caught() {
    let device = Device::cpu();
    for start in [0, 64] {
        let output = Guarded::output(&device, [1, 64], &[1.0; 64]);
        assert_eq!(output.read(), Ok(vec![1.0; 64]));
        let too_large = output.whole().view(start, 1, 128).unwrap();
        let mut recording = Recording::new(&device);
        ops::fill::fill(&mut recording, 2.0, &too_large).unwrap();
        recording.run().unwrap();
        let message = output.read().expect_err("a guard was overwritten");
        assert!(message.contains("outside of it, was set to 2e0"), "{message}");
    }
}

#[test]
fn the_data_is_signed_seeded_and_far_from_zero() {
    let values = signed(7, 1000);
    assert_eq!(values, signed(7, 1000));
    assert_ne!(values, signed(8, 1000));
    let positive = values.iter().filter(|x| **x > 0.0).count();
    assert!((400..600).contains(&positive), "{positive} of 1000 are positive");
    assert!(values.iter().all(|x| (0.05..1.0).contains(&x.abs())));
    let integers = small_integers(7, 1000, 4);
    assert!(integers.iter().all(|x| x.fract() == 0.0 && x.abs() <= 4.0) && integers.iter().any(|x| *x < 0.0));
}

#[test]
fn the_shape_ladder_goes_around_every_tile() {
    let lengths: Vec<usize> = SHAPES.iter().map(|[rows, cols]| rows * cols).collect();
    for tile in [64, 256, 4096] {
        for len in [tile - 1, tile, tile + 1] {
            assert!(lengths.contains(&len), "no shape of {len} elements");
        }
    }
}
