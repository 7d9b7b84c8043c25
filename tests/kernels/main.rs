//! Every kernel on every GPU, with and without the shaders' checks, against its CPU reference.
//!
//! Each kernel has a row in `ROWS`, and a file named like its shader gives the row's cases: shapes from the ladder,
//! dispatches of more than 65,535 workgroups, loops of more than 65,535 rounds. Inputs and outputs lie between guard
//! rows, and outputs hold NaN before the dispatch unless it adds to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]

#[path = "../common/mod.rs"]
mod common;

mod activation;
mod bias;
mod broadcast;
mod case;
mod chain;
mod copy;
mod cross_entropy;
mod dropout;
mod embedding;
mod fill;
mod folded;
mod gather;
mod loss;
mod matmul;
mod matmul_f64;
mod matmul_fused;
mod metrics;
mod mlp;
mod mlp_predict;
mod mutants;
mod one_hot;
mod optim;
mod reduce;
mod softmax;

use std::time::Instant;

use case::Case;
use common::gpus;
use wgrad::{Device, KERNELS};

/// A kernel's name and its cases.
type Row = (&'static str, fn() -> Vec<Case>);

const ROWS: &[Row] = &[
    ("activation.forward", activation::forward),
    ("activation.backward", activation::backward),
    ("bias.forward", bias::forward),
    ("bias.backward", bias::backward),
    ("broadcast.forward", broadcast::forward),
    ("chain.run", chain::run),
    ("copy.block", copy::block),
    ("cross_entropy.forward", cross_entropy::forward),
    ("cross_entropy.backward", cross_entropy::backward),
    ("cross_entropy.both", cross_entropy::both),
    ("dropout.apply", dropout::apply),
    ("embedding.backward", embedding::backward),
    ("embedding.forward", embedding::forward),
    ("fill.fill", fill::fill),
    ("gather.rows", gather::rows),
    ("loss.forward", loss::forward),
    ("loss.backward", loss::backward),
    ("loss.both", loss::both),
    ("matmul.add_parts", matmul::add_parts),
    ("matmul.direct", matmul::direct),
    ("matmul.direct4", matmul::direct4),
    ("matmul.small", matmul::small),
    ("matmul.tiled", matmul::tiled),
    ("matmul.wide", matmul::wide),
    ("metrics.count_correct", metrics::count_correct),
    ("mlp.predict", mlp_predict::predict),
    ("mlp.train", mlp::train),
    ("one_hot.rows", one_hot::rows),
    ("optim.sgd", optim::sgd),
    ("optim.momentum", optim::momentum),
    ("optim.adam", optim::adam),
    ("optim.rmsprop", optim::rmsprop),
    ("reduce.sum", reduce::sum),
    ("reduce.rows", reduce::rows),
    ("softmax.forward", softmax::forward),
    ("softmax.backward", softmax::backward),
];

#[test]
fn every_kernel_has_a_row() {
    let mut rows: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
    let mut kernels: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
    rows.sort_unstable();
    kernels.sort_unstable();
    assert_eq!(rows, kernels);
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn every_kernel_matches_its_reference() {
    let mut faults = Vec::new();
    for (kernel, cases) in ROWS {
        let start = Instant::now();
        let cases = cases();
        assert!(!cases.is_empty(), "{kernel} has no cases");
        for case in &cases {
            let expected = case.run(kernel, &Device::cpu()).unwrap_or_else(|e| panic!("{} on the cpu: {e}", case.name));
            for gpu in gpus() {
                let verdict = case.run(kernel, &gpu.device).and_then(|actual| case.compare(&actual, &expected));
                if let Err(fault) = verdict {
                    faults.push(format!("{} on {}: {fault}", case.name, gpu.label));
                }
            }
        }
        println!("{kernel}: {} cases on {} devices in {:.1?}", cases.len(), gpus().len(), start.elapsed());
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
