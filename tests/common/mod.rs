//! What the test files share: a comparison that can fail, data that can show a fault, outputs between guard rows,
//! and the devices to test on.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod compare;
mod data;
mod devices;
mod guarded;

pub(crate) use compare::{EPSILON, assert_close, assert_same_bits, compare};
pub(crate) use data::{SHAPES, rng, signed, small_integers};
pub(crate) use devices::{Gpu, cpu_and_gpus, gpus};
pub(crate) use guarded::Guarded;
