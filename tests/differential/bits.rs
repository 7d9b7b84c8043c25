//! The bits of random trainings on the CPU path, as they were when the lists were made: one list for every processor that
//! multiplies and adds in one rounding (x86-64 with AVX2 or AVX-512, AArch64), one for those that round twice (older x86-64,
//! WebAssembly without relaxed SIMD), in every process.
//!
//! A change of the arithmetic changes them; then make the lists anew and say so in the changelog:
//! `WGRAD_BLESS=1 cargo test --test differential bits`.

use std::fmt::Write;
use std::process::Command;

use wgrad::Device;

use crate::case::Case;
use crate::run::{Outcome, Way};

const FUSED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/bits.txt");
const ROUNDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/bits-rounded.txt");
const CASES: u64 = 200;
/// Says which instructions are used at most.
const SIMD: &str = "WGRAD_SIMD";

/// FNV-1a of the bits.
fn hash(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn bits_are_what_they_were() {
    let mut lines = String::new();
    for seed in 0..CASES {
        let mut case = Case::draw(seed);
        // Some with so many rows that they go through in chunks.
        if seed % 20 == 0 {
            (case.rows, case.batch) = (case.rows * 40, case.batch * 40);
        }
        let hash = Outcome::of(&Device::cpu(), &case, Way::default()).map_or(0, |outcome| {
            let parameters = outcome.parameters.concat();
            hash(&[&outcome.losses[..], &parameters, &outcome.predictions].concat())
        });
        writeln!(lines, "{seed:3} {hash:016x}").unwrap();
    }
    let is_fused = has_fused_multiplication() && std::env::var(SIMD).as_deref() != Ok("none");
    let path = if is_fused { FUSED } else { ROUNDED };
    if std::env::var_os("WGRAD_BLESS").is_some() {
        std::fs::write(path, &lines).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    for (now, then) in lines.lines().zip(stored.lines()) {
        let seed = now.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(now, then, "{}", Case::draw(seed));
    }
    assert_eq!(lines.len(), stored.len());
}

/// The same in processes that may not use all that the processor has.
#[test]
fn bits_of_other_levels_are_what_they_were() {
    for level in ["avx2", "none"] {
        let mut test = Command::new(std::env::current_exe().unwrap());
        let test = test.args(["--exact", "bits::bits_are_what_they_were"]).env(SIMD, level);
        let output = test.output().unwrap();
        assert!(output.status.success(), "{level}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

fn has_fused_multiplication() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    cfg!(target_arch = "aarch64")
}
