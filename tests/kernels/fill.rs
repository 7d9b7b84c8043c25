//! `shaders/fill.wgsl`

use wgrad::ops::fill;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::SHAPES;

pub(crate) fn fill() -> Vec<Case> {
    let case = |(i, shape): (usize, &[usize; 2])| {
        let value = if i % 2 == 0 { -1.25 } else { 0.0 };
        let case = Case::new(format!("fill {shape:?} with {value}"), move |recording, _, outputs| {
            fill::fill(recording, value, outputs[0])
        });
        case.exact(*shape)
    };
    SHAPES.iter().chain([&MANY_GROUPS]).enumerate().map(case).collect()
}
