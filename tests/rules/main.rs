//! The rules by which `lower` merges neighbouring calls. Each condition of each rule has a graph here that would be lowered
//! to something wrong without it, or to something that does not run; and random graphs look for what nobody thought of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod chains;
mod losses;
mod networks;
mod order;
mod products;
mod random;
mod support;
