//! A part of the random trainings, against what PyTorch makes of them in f64.

use std::fmt::Write;

use wgrad::Device;

use crate::case::Case;
use crate::common::{compare, floats, list, numbers, oracle, text};
use crate::run::{Bound, Outcome, Way};

const CASES: u64 = 100;

fn cases() -> impl Iterator<Item = Case> {
    (0..CASES).map(|seed| Case::draw(seed).for_pytorch())
}

/// `WGRAD_ORACLE=cases.txt cargo test --test differential print -- --ignored`, for `tests/oracle/differential.py`.
#[test]
#[ignore = "writes what a script reads"]
fn print_the_cases_for_pytorch() {
    let mut lines = String::new();
    for case in cases() {
        writeln!(lines, "{case}").unwrap();
    }
    match std::env::var("WGRAD_ORACLE") {
        Ok(path) => std::fs::write(path, lines).unwrap(),
        Err(_) => println!("{lines}"),
    }
}

#[test]
fn random_trainings_are_those_of_pytorch() {
    let oracle = oracle("differential.json");
    let stored = list(&oracle);
    assert_eq!(stored.len(), CASES as usize);
    for (case, stored) in cases().zip(stored) {
        assert_eq!(case.to_string(), text(&stored["case"]), "the cases are drawn in another way: run the script again");
        let outcome = Outcome::of(&Device::cpu(), &case, Way::default()).unwrap();
        let expected = Outcome {
            losses: floats(&stored["losses"]),
            // Of the parameters the sum of squares of each is kept.
            parameters: outcome.parameters.clone(),
            predictions: floats(&stored["predictions"]),
        };
        let bound = Bound::new(&case, &outcome, 0.0);
        bound.check("PyTorch", &expected);
        let squares = |values: &Vec<f32>| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let own: Vec<f64> = outcome.parameters.iter().map(squares).collect();
        let tolerance = |i: usize| bound.of_squares(i);
        let result = compare("squares of parameters", &own, &numbers(&stored["squares"]), 0.0, tolerance);
        result.unwrap_or_else(|fault| panic!("{fault}\n{case}"));
    }
}
