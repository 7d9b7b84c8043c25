//! `shaders/metrics.wgsl`

use wgrad::ops::metrics;

use crate::case::Case;
use crate::common::small_integers;

pub(crate) fn count_correct() -> Vec<Case> {
    // A workgroup counts 256 rows. The last is a row of as many classes as the largest vocabularies have.
    let shapes = [[1, 1], [255, 1], [256, 2], [257, 3], [1000, 10], [4099, 2], [7, 67], [100_003, 1], [2, 60_000]];
    let case = |(i, shape): (usize, &[usize; 2])| {
        let len = shape[0] * shape[1];
        // Few different values, so that there are ties, of which the first counts.
        let (p, t) = (small_integers(i as u64, len, 2), small_integers(50 + i as u64, len, 2));
        let case = Case::new(format!("count correct {shape:?}"), move |recording, inputs, outputs| {
            metrics::count_correct(recording, inputs[0], inputs[1], None, [-0.5, 0.5], outputs[0])
        });
        case.input(*shape, p).input(*shape, t).exact([1, 1])
    };
    // Class numbers instead of a column for each class.
    let numbers = |(i, [rows, cols]): (usize, &[usize; 2])| {
        let mut classes = small_integers(50 + i as u64, *rows, *cols as i32 - 1);
        classes.iter_mut().for_each(|class| *class = class.abs());
        let case = Case::new(format!("count correct {rows} x {cols}, class numbers"), |recording, inputs, outputs| {
            metrics::count_correct(recording, inputs[0], inputs[1], None, [0.5; 2], outputs[0])
        });
        let predictions = small_integers(i as u64, rows * cols, 2);
        case.input([*rows, *cols], predictions).input([*rows, 1], classes).exact([1, 1])
    };
    // Rows that count differently, some not at all: whole numbers, so that the sums are exact.
    let weighted = |(i, shape): (usize, &[usize; 2])| {
        let len = shape[0] * shape[1];
        let (p, t) = (small_integers(i as u64, len, 2), small_integers(50 + i as u64, len, 2));
        let weights = small_integers(90 + i as u64, shape[0], 4).iter().map(|weight| weight.abs()).collect();
        let case = Case::new(format!("count correct {shape:?}, weighted"), |recording, inputs, outputs| {
            metrics::count_correct(recording, inputs[0], inputs[1], Some(inputs[2]), [-0.5, 0.5], outputs[0])
        });
        case.input(*shape, p).input(*shape, t).input([shape[0], 1], weights).exact([1, 1])
    };
    // Thresholds that values are equal to, values that are infinite or no numbers, and numbers of no class.
    let odd = |(i, [rows, cols]): (usize, &[usize; 2])| {
        const ODD: [f32; 4] = [f32::NAN, f32::INFINITY, -1.0, f32::NEG_INFINITY];
        let spread = |mut values: Vec<f32>, every: usize| {
            values.iter_mut().step_by(every).zip(ODD.iter().cycle()).for_each(|(value, odd)| *value = *odd);
            values
        };
        let predictions = spread(small_integers(i as u64, rows * cols, 2), 11);
        let targets = spread(small_integers(50 + i as u64, rows * cols, 2), 13);
        let classes = spread((0..*rows).map(|row| ((row * 7) % (cols + 2)) as f32).collect(), 17);
        let case = |targets: Vec<f32>, target_cols: usize| {
            let name = format!("count correct {rows} x {cols}, odd values in {target_cols} columns of targets");
            let case = Case::new(name, |recording, inputs, outputs| {
                metrics::count_correct(recording, inputs[0], inputs[1], None, [0.0, 1.0], outputs[0])
            });
            case.input([*rows, *cols], predictions.clone()).input([*rows, target_cols], targets).exact([1, 1])
        };
        [case(targets, *cols), case(classes, 1)]
    };
    let wide = shapes.iter().filter(|[_, cols]| *cols > 1).enumerate();
    shapes
        .iter()
        .enumerate()
        .map(case)
        .chain(wide.map(numbers))
        .chain(shapes.iter().enumerate().map(weighted))
        .chain(shapes[..7].iter().enumerate().flat_map(odd))
        .collect()
}
