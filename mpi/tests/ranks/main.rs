//! Trainings on several ranks: each test starts itself by `mpirun`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod bits;
mod checkpoints;
mod errors;
mod killed;
mod launch;
mod results;
