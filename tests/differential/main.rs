//! Random trainings: networks, losses, optimizers and ways to run them are drawn, and give the same on every device and by
//! every path: 200 on the CPU, 24 on GPUs, 100 as PyTorch has them. Any number of others by
//!
//! ```sh
//! WGRAD_CASES=10000 WGRAD_SEED=1 cargo test --release --test differential
//! ```
//!
//! **What is the same?** Rounding makes the result of a training that of one with slightly other numbers. So each case is
//! run on the CPU path with its parameters and data moved by as much as its rounding may come to, relatively: results may
//! lie as far apart as those do, times four, as the worst direction is not among them, and as often as there are steps.
//! Where a gradient is a difference of two that nearly cancel, or an input lies at a kink, this makes the bound wide; a
//! case whose bound is a tenth of what it learns, or that diverges, says nothing, and few may be like that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

mod bits;
mod case;
#[path = "../common/mod.rs"]
mod common;
mod planted;
mod pytorch;
mod run;

use wgrad::{Device, StepPath};

use case::Case;
use common::{assert_same_bits, gpus};
use planted::Fault;
use run::{Bound, Outcome, Way};

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is '{value}'")))
}

/// The seeds of a test, this many if nobody says otherwise.
fn seeds(cases: u64) -> impl Iterator<Item = u64> {
    let first = 1_000_000 * env("WGRAD_SEED", 0);
    first..first + env("WGRAD_CASES", cases)
}

/// How many cases say something about their results.
#[derive(Default)]
struct Said {
    cases: usize,
    nothing: usize,
}

impl Said {
    fn add(&mut self, bound: Option<&Bound>) {
        self.cases += 1;
        self.nothing += usize::from(!bound.is_some_and(Bound::says_something));
    }

    fn assert(&self) {
        println!("{} cases, of which {} say nothing", self.cases, self.nothing);
        assert!(5 * self.nothing <= self.cases, "{} of {} cases say nothing", self.nothing, self.cases);
    }
}

#[test]
fn every_path_of_the_cpu_gives_the_same() {
    let (device, mut said) = (Device::cpu(), Said::default());
    for seed in seeds(200) {
        let case = Case::draw(seed);
        let Some(layered) = Outcome::of(&device, &case, Way::default()) else {
            said.add(None);
            continue;
        };
        let bound = Bound::new(&case, &layered, 0.0);
        said.add(Some(&bound));
        let unmerged = Outcome::of(&device, &case, Way::by(StepPath::Unmerged)).unwrap();
        bound.check("unmerged", &unmerged);
        if let Some(fused) = Outcome::of(&device, &case, Way::by(StepPath::Fused)) {
            bound.check("fused", &fused);
        }
        let others = Way { resident_bytes: 0, steps_per_submit: 1, ..Way::default() };
        Outcome::of(&device, &case, others).unwrap().assert_same(&format!("in parts: {case}"), &layered);
    }
    said.assert();
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_gpu_gives_what_the_cpu_gives() {
    let mut said = Said::default();
    // Nearly all of the time goes into compiling pipelines.
    for (seed, gpu) in seeds(24).zip(gpus().iter().cycle()) {
        let case = Case::draw(seed);
        let Some(expected) = Outcome::of(&Device::cpu(), &case, Way::default()) else {
            said.add(None);
            continue;
        };
        let bound = Bound::new(&case, &expected, run::FUNCTIONS);
        said.add(Some(&bound));
        // Every adapter gets every path in turn; each compiles pipelines, so a case has one.
        let paths = [StepPath::Layered, StepPath::Fused, StepPath::Unmerged];
        let path = paths[seed as usize / gpus().len() % 3];
        let (path, outcome) = match Outcome::of(&gpu.device, &case, Way::by(path)) {
            Some(outcome) => (path, outcome),
            None => (StepPath::Layered, Outcome::of(&gpu.device, &case, Way::default()).unwrap()),
        };
        bound.check(&format!("{path:?} on {}", gpu.label), &outcome);
        let others = Way { resident_bytes: 0, steps_per_submit: 2, path };
        let parts = Outcome::of(&gpu.device, &case, others).unwrap();
        parts.assert_same(&format!("in parts, {path:?} on {}: {case}", gpu.label), &outcome);
    }
    said.assert();
}

/// A kernel that is wrong on GPUs alone is found, whatever is wrong with it; one that is right is not.
#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_wrong_kernel_is_found() {
    let device = &gpus()[0].device;
    let wrong = |fault: Fault, seed: u64| {
        let case = Case::draw(seed).plant(fault);
        let expected = Outcome::of(&Device::cpu(), &case, Way::default()).unwrap();
        let bound = Bound::new(&case, &expected, run::FUNCTIONS);
        Outcome::of(device, &case, Way::default()).is_none_or(|found| bound.compare(&found).is_err())
    };
    for fault in [Fault::Scaled, Fault::LastLeftOut, Fault::WrongIndex] {
        let cases = (0..200).position(|seed| wrong(fault, seed));
        println!("{fault:?}: found in case {cases:?}");
        assert!(cases.is_some(), "{fault:?} is not found in 200 cases");
    }
    assert!((0..20).all(|seed| !wrong(Fault::None, seed)));
}
