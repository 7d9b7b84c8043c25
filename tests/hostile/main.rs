//! Files that are damaged at random: whatever is in them, reading one gives a result or an error, takes no more memory than
//! a small multiple of the file, and ends. 2,000 damaged files of each format in a test; any number of others by
//!
//! ```sh
//! WGRAD_CASES=1000000 WGRAD_SEED=1 cargo test --release --test hostile
//! ```
//!
//! The formats' readers share this test, so that a new one is a row in `FORMATS`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]
#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod formats;
mod memory;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use common::rng;
use damage::damaged;
use formats::{FORMATS, Format};

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is '{value}'")))
}

/// What a reader may take at once, besides 64 times the file: buffers of a fixed size, a small model.
const ROOM: usize = 8 << 20;
/// A reader that takes longer hangs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to a damaged file: whether it was read, or else refused.
fn read(format: &Format, seed: u64, bytes: &[u8]) -> Result<bool, String> {
    let (result, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| (format.read)(bytes))));
    let most = 64 * bytes.len() + ROOM;
    if peak > most {
        return Err(format!("{} {seed}: {peak} bytes of memory for a file of {}", format.name, bytes.len()));
    }
    match result {
        Ok(Ok(())) => Ok(true),
        Ok(Err(error)) => {
            let text = error.to_string();
            // Who reads it learns which operation it was, and what it found.
            if text.len() < 20 || text.len() > 2000 || !text.contains(": ") {
                return Err(format!("{} {seed}: '{text}' does not help", format.name));
            }
            Ok(false)
        }
        Err(_) => Err(format!("{} {seed}: panicked", format.name)),
    }
}

fn run(format: &'static Format) {
    let mut bases = (format.bases)();
    for (number, base) in bases.iter().enumerate() {
        assert_eq!(read(format, 0, base), Ok(true), "{}, base {number}, undamaged", format.name);
    }
    // What the fuzzer has found to lead to other parts of the reader (see fuzz/), is damaged further.
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(format.name)).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        read(format, 0, &bytes).unwrap();
        bases.push(bytes);
    }
    let first = 1_000_000_000 * env("WGRAD_SEED", 0);
    let (said, heard) = channel();
    let reader = thread::spawn(move || {
        let mut accepted = 0;
        for seed in first..first + env("WGRAD_CASES", 2000) {
            let _ = said.send(seed);
            let random = &mut rng(seed);
            let bytes = damaged(&bases[seed as usize % bases.len()], random);
            match read(format, seed, &bytes) {
                Ok(is_read) => accepted += u64::from(is_read),
                Err(fault) => {
                    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", format.name));
                    fs::write(&path, &bytes).unwrap();
                    panic!("{fault}; the file is {}", path.display());
                }
            }
        }
        println!("{}: {accepted} damaged files were read, the others refused", format.name);
    });
    let mut last = first;
    loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(seed) => last = seed,
            Err(RecvTimeoutError::Disconnected) => break,
            // The thread can't be stopped.
            Err(RecvTimeoutError::Timeout) => panic!("{} {last} takes more than {PATIENCE:?}", format.name),
        }
    }
    if let Err(fault) = reader.join() {
        std::panic::resume_unwind(fault);
    }
}

macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(FORMATS.iter().find(|format| format.name == stringify!($name)).unwrap());
            }
        )+

        #[test]
        fn every_format_is_tried() {
            assert_eq!(FORMATS.iter().map(|format| format.name).collect::<Vec<_>>(), [$(stringify!($name)),+]);
        }
    };
}
tests!(csv, idx, gz, safetensors, model, checkpoint, standardize, onnx, architecture, table);
