//! What is thrown at the functions: mostly what they take, and every now and then what they should not.

use std::fmt::Debug;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use wgrad::data::Dataset;
use wgrad::{Error, Result};

use crate::common::rng;

const SIZES: &[usize] = &[
    17,
    63,
    64,
    65,
    256,
    257,
    1000,
    1 << 16,
    (1 << 16) + 1,
    1 << 31,
    (1 << 31) + 1,
    1 << (usize::BITS / 2),
    1 << (usize::BITS / 8 * 5),
    1 << (usize::BITS - 2),
    usize::MAX / 2,
    usize::MAX,
];
const REALS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-30,
    1e30,
    f32::MIN_POSITIVE,
    1e-45,
    f32::EPSILON,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    16_777_217.0,
    4_294_967_296.0,
];
const TEXTS: &[&str] =
    &["", "x", "y", "a", "weight", "0.weight", "\n", "a,b", "\"", "é", "checkpoint/x", "__metadata__", "<&>"];

/// Draws from a number; keeps what it drew, to be shown.
pub(crate) struct Draw {
    random: ChaCha8Rng,
    pub(crate) drawn: Vec<String>,
    pub(crate) refused: u64,
    pub(crate) taken: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: rng(seed), drawn: Vec::new(), refused: 0, taken: 0 }
    }

    fn note<T: Debug>(&mut self, value: T) -> T {
        if self.drawn.len() < 200 {
            let text: String = format!("{value:?}").chars().take(200).collect();
            self.drawn.push(text);
        }
        value
    }

    /// The value, if there is one; an error says what it is of, and something about it.
    pub(crate) fn see<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.taken += 1;
                Some(value)
            }
            Err(error) => {
                self.refused += 1;
                check(&error);
                None
            }
        }
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        let is_so = self.random.random_bool(p);
        self.note(is_so)
    }

    /// From 0, below this.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let drawn = self.random.random_range(0..end);
        self.note(drawn)
    }

    pub(crate) fn seed(&mut self) -> u64 {
        let drawn = *[0, 1, 7, u64::MAX].choose(&mut self.random).unwrap();
        self.note(drawn)
    }

    pub(crate) fn pick<T: Clone + Debug>(&mut self, of: &[T]) -> T {
        let drawn = of.choose(&mut self.random).unwrap().clone();
        self.note(drawn)
    }

    /// From 1 to 6 mostly; 0, or any number at all.
    pub(crate) fn size(&mut self) -> usize {
        let drawn = match self.random.random_range(0..20) {
            0 => 0,
            1 | 2 => *SIZES.choose(&mut self.random).unwrap(),
            _ => self.random.random_range(1..7),
        };
        self.note(drawn)
    }

    /// From 0 to 6, seldom 0.
    pub(crate) fn small(&mut self) -> usize {
        let drawn = self.random.random_range(0..20_usize).min(6);
        let drawn = if drawn == 6 { self.random.random_range(1..7) } else { drawn };
        self.note(drawn)
    }

    /// This, or something else near it.
    pub(crate) fn near(&mut self, size: usize) -> usize {
        let drawn = match self.random.random_range(0..16) {
            0 => size.saturating_add(1),
            1 => size.saturating_sub(1),
            2 => size.saturating_mul(2),
            3 => 0,
            _ => size,
        };
        self.note(drawn)
    }

    pub(crate) fn real(&mut self) -> f32 {
        let drawn = match self.random.random_range(0..3) {
            0 => *REALS.choose(&mut self.random).unwrap(),
            _ => self.random.random_range(-2.0..2.0),
        };
        self.note(drawn)
    }

    /// From 0 to 1 mostly.
    pub(crate) fn share(&mut self) -> f64 {
        let drawn = match self.random.random_range(0..4) {
            0 => f64::from(*REALS.choose(&mut self.random).unwrap()),
            _ => self.random.random_range(0.0..1.0),
        };
        self.note(drawn)
    }

    pub(crate) fn reals(&mut self, len: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..len).map(|_| self.random.random_range(-2.0..2.0)).collect();
        if !values.is_empty() && self.random.random_bool(0.25) {
            for _ in 0..self.random.random_range(1..4) {
                let at = self.random.random_range(0..len);
                values[at] = *REALS.choose(&mut self.random).unwrap();
            }
        }
        self.note(values)
    }

    /// Class numbers mostly.
    pub(crate) fn classes(&mut self, len: usize, classes: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..len).map(|_| self.random.random_range(0..classes.max(1)) as f32).collect();
        if !values.is_empty() && self.random.random_bool(0.2) {
            let at = self.random.random_range(0..len);
            values[at] = *REALS.choose(&mut self.random).unwrap();
        }
        self.note(values)
    }

    pub(crate) fn sizes(&mut self, below: usize) -> Vec<usize> {
        let len = self.random.random_range(0..6);
        let mut sizes: Vec<usize> = (0..len).map(|_| self.random.random_range(0..below.max(1))).collect();
        if len > 0 && self.random.random_bool(0.2) {
            sizes[0] = *SIZES.choose(&mut self.random).unwrap();
        }
        self.note(sizes)
    }

    pub(crate) fn text(&mut self) -> String {
        let drawn = TEXTS.choose(&mut self.random).unwrap().to_string();
        self.note(drawn)
    }

    /// A dataset of a few samples, if what was drawn makes one.
    pub(crate) fn dataset(&mut self) -> Option<Dataset> {
        let (rows, inputs, outputs) = (self.small(), self.small(), self.small().min(3));
        let targets = match self.below(3) {
            0 => self.reals(rows * outputs),
            _ => self.classes(rows * outputs, 3),
        };
        let values = self.near(rows * inputs);
        let values = self.reals(values);
        let data = Dataset::new(values, inputs, targets, outputs);
        let data = self.see(data)?;
        if self.chance(0.8) {
            return Some(data);
        }
        let weights = self.near(rows);
        let weights = self.reals(weights).iter().map(|weight| weight.abs()).collect();
        let data = data.with_weights(weights);
        self.see(data)
    }

    /// One that is in order: numbers as inputs, and targets that losses of this many outputs take.
    pub(crate) fn good_dataset(&mut self, inputs: usize, outputs: usize, classes: bool) -> Dataset {
        let rows = 1 + self.below(9);
        let values = (0..rows * inputs).map(|_| self.random.random_range(-2.0..2.0)).collect();
        let (cols, below) = if classes { (1, outputs.max(1)) } else { (outputs, 2) };
        let targets = (0..rows * cols).map(|_| self.random.random_range(0..below) as f32).collect();
        Dataset::new(values, inputs, targets, cols).unwrap()
    }
}

/// An error that helps: what was tried, and why it failed.
fn check(error: &Error) {
    let text = error.to_string();
    assert!(text.len() >= 15 && text.len() < 4000 && text.contains(": "), "'{text}' does not help");
    let _ = error.kind();
}
