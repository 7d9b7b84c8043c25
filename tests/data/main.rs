//! User data: what is read, what is refused and where it says the fault is, and what is done to data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod csv;
mod csv_format;
mod csv_refused;
mod dataset;
mod idx;
mod resample;
mod standardize;
mod weights;

use std::path::PathBuf;

/// A file of this test run.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
