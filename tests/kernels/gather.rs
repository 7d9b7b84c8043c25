//! `shaders/gather.wgsl`

use rand::RngExt;
use wgrad::ops::gather;

use crate::case::Case;
use crate::common::{rng, signed};

/// `batch` rows out of `rows`, picked by a list of `entries` row numbers, at the last of `steps` steps.
struct Pick {
    rows: usize,
    cols: [usize; 2],
    batch: usize,
    entries: usize,
    /// Row numbers are drawn below this.
    below: u32,
    steps: std::ops::Range<u32>,
}

impl Pick {
    fn case(self) -> Case {
        let Self { rows, cols: [i, t], batch, entries, below, steps } = self;
        let mut rng = rng(entries as u64);
        let order: Vec<f32> = (0..entries).map(|_| f32::from_bits(rng.random_range(0..below))).collect();
        let name = format!("gather {batch} of {rows} x ({i} + {t}) by {entries} entries, steps {steps:?}");
        let case = Case::new(name, move |recording, inputs, outputs| {
            gather(recording, inputs[0], [inputs[1], inputs[2]], [outputs[0], outputs[1]], batch)
        });
        case.input([1, entries], order)
            .input([rows, i], signed(1, rows * i))
            .input([rows, t], signed(2, rows * t))
            .exact([batch, i])
            .exact([batch, t])
            .steps(steps)
    }
}

pub(crate) fn rows() -> Vec<Case> {
    vec![
        Pick { rows: 1, cols: [1, 1], batch: 1, entries: 1, below: 1, steps: 0..1 }.case(),
        Pick { rows: 10, cols: [3, 2], batch: 4, entries: 10, below: 10, steps: 0..1 }.case(),
        Pick { rows: 10, cols: [3, 2], batch: 4, entries: 10, below: 10, steps: 1..2 }.case(),
        // The third mini-batch of four reaches beyond the ten entries: the list wraps around.
        Pick { rows: 10, cols: [3, 2], batch: 4, entries: 10, below: 10, steps: 0..3 }.case(),
        // A list of two mini-batches serves every step, and one is shorter than a mini-batch.
        Pick { rows: 10, cols: [3, 2], batch: 4, entries: 8, below: 10, steps: 5..6 }.case(),
        Pick { rows: 10, cols: [3, 2], batch: 7, entries: 3, below: 10, steps: 2..3 }.case(),
        Pick { rows: 63, cols: [1, 1], batch: 31, entries: 62, below: 63, steps: 0..2 }.case(),
        Pick { rows: 63, cols: [1, 1], batch: 32, entries: 64, below: 63, steps: 0..2 }.case(),
        Pick { rows: 127, cols: [65, 1], batch: 13, entries: 1001, below: 127, steps: 76..77 }.case(),
        Pick { rows: 1001, cols: [2, 2], batch: 1000, entries: 1001, below: 1001, steps: 0..1 }.case(),
        // Row numbers beyond the data give its last row.
        Pick { rows: 10, cols: [2, 1], batch: 16, entries: 16, below: 20, steps: 0..1 }.case(),
        // More steps than the first table of step numbers holds.
        Pick { rows: 600, cols: [2, 1], batch: 2, entries: 1200, below: 600, steps: 0..600 }.case(),
        // More than 65,535 workgroups.
        Pick { rows: 3, cols: [40, 25], batch: 65_000, entries: 65_000, below: 3, steps: 0..1 }.case(),
    ]
}
