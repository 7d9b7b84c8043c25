//! Devices: names, futures, memory, what a kernel can do wrong, and threads that share one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod futures;
mod hanging;
mod memory;
mod names;
mod safety;
mod sharing;

use std::process::{Command, Output};

/// The variable that tells a test that it is the other process of itself.
const CHILD: &str = "WGRAD_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test of this file once more, as a separate process that [`is_child`].
fn child(test: &str, prepare: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    prepare(&mut command);
    command.output().unwrap()
}

/// Fails unless the process ended well; gives what it printed.
#[track_caller]
fn printed(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert!(output.status.success(), "{}\n{text}", output.status);
    text
}
