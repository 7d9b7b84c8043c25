//! What the test files share: a comparison that can fail, data that can show a fault, outputs between guard rows,
//! and the devices to test on.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod accuracy;
mod compare;
mod data;
mod devices;
mod formulas;
mod guarded;
mod losses;
mod oracle;
mod trainings;

pub(crate) use accuracy::{Accuracy, CPU, ROUNDING, TINY, WGSL, flushed, sigmoid_error, tanh_error};
pub(crate) use compare::{EPSILON, assert_close, assert_same_bits, assert_same_training, compare};
pub(crate) use data::{SHAPES, exponents, rng, signed, small_integers};
pub(crate) use devices::{Devices, Gpu, cpu_and_gpus, gpus, on_every_device, opened_anew};
pub(crate) use formulas::{everywhere, exact, sigmoid};
pub(crate) use guarded::Guarded;
pub(crate) use oracle::{floats, list, number, numbers, oracle, shape, text};
pub(crate) use trainings::{trainer_of, training_data, values};
