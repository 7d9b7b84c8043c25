//! `shaders/one_hot.wgsl`

use wgrad::ops::one_hot::one_hot;

use crate::activation::MANY_GROUPS;
use crate::case::Case;
use crate::common::{SHAPES, rng};
use rand::RngExt;

pub(crate) fn rows() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, [rows, classes]) in SHAPES.iter().chain([&MANY_GROUPS]).copied().enumerate() {
        let mut rng = rng(i as u64);
        let mut numbers: Vec<f32> = (0..rows).map(|_| rng.random_range(0..classes as u32) as f32).collect();
        let ignored = [None, Some(-100.0), Some(1.0)][i % 3];
        if let (Some(ignored), 0) = (ignored, i % 2) {
            numbers.iter_mut().step_by(3).for_each(|number| *number = ignored);
        }
        let values = [1.0 - i as f32 / 16.0, i as f32 / 64.0];
        let name = format!("one_hot {rows} x {classes}, {values:?}, ignored {ignored:?}");
        let case = Case::new(name, move |recording, inputs, outputs| {
            one_hot(recording, inputs[0], values, ignored, outputs[0])
        });
        cases.push(case.input([rows, 1], numbers).exact([rows, classes]));
    }
    cases
}
