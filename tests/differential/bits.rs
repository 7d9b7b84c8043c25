//! The bits of random trainings on the CPU path, as they were when the list was made: the same on every processor that
//! multiplies and adds in one rounding (x86-64 with AVX2 or AVX-512, AArch64), in every process.
//!
//! A change of the arithmetic changes them; then make the list anew and say so in the changelog:
//! `WGRAD_BLESS=1 cargo test --test differential bits`.

use std::fmt::Write;

use wgrad::Device;

use crate::case::Case;
use crate::run::{Outcome, Way};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/bits.txt");
const CASES: u64 = 200;

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
    if std::env::var_os("WGRAD_BLESS").is_some() {
        std::fs::write(PATH, &lines).unwrap();
    }
    // Without such an instruction products are rounded before they are added.
    if !has_fused_multiplication() {
        println!("This processor has other bits, which are not in the list.");
        return;
    }
    let stored = std::fs::read_to_string(PATH).unwrap();
    for (now, then) in lines.lines().zip(stored.lines()) {
        let seed = now.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(now, then, "{}", Case::draw(seed));
    }
    assert_eq!(lines.len(), stored.len());
}

fn has_fused_multiplication() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    cfg!(target_arch = "aarch64")
}
