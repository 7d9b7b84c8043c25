//! Whole trainings: against PyTorch, between devices, against themselves, and what a `Trainer` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod fused;
mod members;
#[path = "../oracle/trajectory.rs"]
mod oracle;
mod pytorch;
mod repeat;
mod steps;
mod trainer;
