//! Whole trainings: against PyTorch, between devices, against themselves, and what a `Trainer` promises.

#[path = "../common/mod.rs"]
mod common;

mod agreement;
#[path = "../oracle/trajectory.rs"]
mod oracle;
mod pytorch;
mod repeat;
mod steps;
mod trainer;
