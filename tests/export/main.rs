//! Models taken elsewhere: ONNX files against onnxruntime's outputs and an evaluation in f64, what is read back against what was
//! written, Rust source against predictions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;
mod evaluate;
mod hostile;
mod import;
mod models;
mod onnx;
mod proto;
mod rust;
