//! The matmul reference itself against f64 loops that share no code with it: GPU and reference could be wrong in the
//! same way about a stride.

use wgrad::Device;
use wgrad::ops::matmul::{Plan, Variant};

use crate::common::{compare, signed};
use crate::matmul::{DIRECT, SMALL, SUMS, TILED, WIDE, products};

#[test]
fn the_matmul_reference_matches_plain_loops_in_f64() {
    let (small, tiled) = (Plan { variant: Variant::Small, parts: 1 }, Plan { variant: Variant::Tiled, parts: 1 });
    let in_parts = Plan { parts: 3, ..small };
    let rows = [
        ("matmul.small", small, SMALL),
        ("matmul.tiled", tiled, TILED),
        ("matmul.small", small, DIRECT),
        ("matmul.tiled", tiled, WIDE),
        ("matmul.add_parts", in_parts, SUMS),
    ];
    for (kernel, plan, shapes) in rows {
        for product in products(plan, shapes) {
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
