//! Feeds a reader with what the fuzzer makes, by the parts of the reader that it reaches. The readers, with what they have to
//! hold to, are those of tests/hostile; which one it is, WGRAD_FORMAT says:
//!
//! ```sh
//! WGRAD_FORMAT=onnx cargo +nightly fuzz run format fuzz/corpus/onnx
//! ```

#![no_main]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../../tests/hostile/formats.rs"]
mod formats;

use std::sync::LazyLock;

use formats::{FORMATS, Format};
use libfuzzer_sys::fuzz_target;

static FORMAT: LazyLock<&'static Format> = LazyLock::new(|| {
    let name = std::env::var("WGRAD_FORMAT").unwrap_or_default();
    let names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
    FORMATS.iter().find(|format| format.name == name).unwrap_or_else(|| panic!("WGRAD_FORMAT is one of {names:?}"))
});

fuzz_target!(init: {
    // What the fuzzer is to begin with.
    if let Some(folder) = std::env::var_os("WGRAD_BASES") {
        let bases = (FORMAT.bases)();
        for (number, base) in bases.iter().enumerate() {
            std::fs::write(std::path::Path::new(&folder).join(format!("base-{number}")), base).unwrap();
        }
    }
}, |bytes: &[u8]| {
    let _ = (FORMAT.read)(bytes);
});
