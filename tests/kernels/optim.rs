//! `shaders/optim.wgsl`

use wgrad::ops::optim;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

pub(crate) fn sgd() -> Vec<Case> {
    let case = |(i, shape): (usize, &[usize; 2])| {
        let len = shape[0] * shape[1];
        let (gradients, values) = (signed(i as u64, len), signed(50 + i as u64, len));
        // Steps beyond the schedule's end take its last rate.
        let (rates, steps) = if i % 2 == 0 { (vec![0.125], 0..1) } else { (vec![0.5, -0.25, 0.1], 1..5) };
        let last = rates.len();
        let scale: Vec<f64> = gradients.iter().zip(&values).map(|(g, v)| f64::from(g.abs() + v.abs())).collect();
        let case = Case::new(format!("sgd {shape:?}, {last} rates, steps {steps:?}"), |recording, inputs, outputs| {
            optim::sgd(recording, inputs[0], inputs[1], outputs[0])
        });
        // Each of at most four steps rounds a product, unless it is fused, and a sum.
        let case = case.input(*shape, gradients).input([1, last], rates).steps(steps);
        case.close(*shape, move |i, _| 4.0 * EPSILON * scale[i]).before(Some(values))
    };
    SHAPES.iter().chain([&MANY_GROUPS]).enumerate().map(case).collect()
}
