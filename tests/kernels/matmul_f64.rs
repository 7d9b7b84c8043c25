//! The matmul reference itself against f64 loops that share no code with it: GPU and reference could be wrong in the
//! same way about a stride.

use wgrad::Device;

use crate::common::{compare, signed};
use crate::matmul::{SMALL, TILED, products};

#[test]
fn the_matmul_reference_matches_plain_loops_in_f64() {
    for (kernel, shapes) in [("matmul.small", SMALL), ("matmul.tiled", TILED)] {
        for product in products(shapes) {
            let data = product.data(signed);
            let sums = product.sums(&data);
            let tolerances = product.tolerances(&sums);
            // tanh and exp of the standard library: an epsilon, where WGSL is allowed more.
            let activation = product.activation;
            let expected: Vec<f64> = sums
                .iter()
                .map(|(sum, _)| match activation {
                    wgrad::ops::Activation::Identity => *sum,
                    wgrad::ops::Activation::ReLU => sum.max(0.0),
                    wgrad::ops::Activation::Tanh => sum.tanh(),
                    wgrad::ops::Activation::Sigmoid => 1.0 / (1.0 + (-sum).exp()),
                    other => panic!("no f64 formula for {other:?}"),
                })
                .collect();
            let case = product.case(data, None);
            let actual = case.run(kernel, &Device::cpu()).unwrap();
            if let Err(fault) = compare(&case.name, &actual[0], &expected, 0.0, |i| tolerances[i]) {
                panic!("{fault}");
            }
        }
    }
}
