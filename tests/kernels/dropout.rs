//! `shaders/dropout.wgsl`

use wgrad::ops::dropout;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{EPSILON, SHAPES, signed};

pub(crate) fn apply() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, shape) in SHAPES.iter().chain([&MANY_GROUPS]).enumerate() {
        let len = shape[0] * shape[1];
        for accumulate in [false, true] {
            let (p, key, clock) = ([0.0, 0.25, 0.5, 0.9][i % 4], 0x9e37_79b9u32.wrapping_mul(i as u32), 7 * i as u32);
            let before = accumulate.then(|| signed(99, len));
            let name = format!("dropout {p} of {shape:?}, accumulate {accumulate}");
            let case = Case::new(name, move |recording, inputs, outputs| {
                dropout::apply(recording, [inputs[0], inputs[1]], (p, key), outputs[0], accumulate)
            });
            let case = case.input(*shape, signed(i as u64, len)).input([1, 1], vec![f32::from_bits(clock)]);
            // The mask is the same to the bit. The product may be fused with an addition; both are at most 10.
            let tolerance = if accumulate { 10.0 * EPSILON } else { 0.0 };
            cases.push(case.close(*shape, move |_, _| tolerance).before(before).steps(3..4));
        }
    }
    cases
}
