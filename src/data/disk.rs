//! The disk problem.

use rand::RngExt;

use super::{Dataset, with_room};
use crate::device::MAX_ELEMENTS;
use crate::error::{Error, Result};
use crate::random;

/// The targets of [`disk`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Labels {
    /// Two columns: 1 0 outside, 0 1 inside.
    #[default]
    OneHot,
    /// One column: 0 outside, 1 inside.
    ZeroOne,
    /// One column: -1 outside, 1 inside.
    PlusMinusOne,
    /// Two columns: 1 -1 outside, -1 1 inside.
    PlusMinusOneHot,
}

/// `n` points uniform in [0, 1]², inside or outside the circle around (0.5, 0.5) of radius 1/√(2π), which halves the
/// square.
///
/// ```
/// use wgrad::data::{Labels, disk};
///
/// let points = disk(1000, 0, Labels::ZeroOne)?;
/// let inside = points.targets().iter().sum::<f32>();
/// assert!((400.0..600.0).contains(&inside));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// `n` is 0, or more than fit in a matrix, or in memory.
pub fn disk(n: usize, seed: u64, labels: Labels) -> Result<Dataset> {
    if n > MAX_ELEMENTS / 2 {
        return Err(Error::input("disk", format!("{n} points; give at most {}", MAX_ELEMENTS / 2)));
    }
    if n == 0 {
        return Err(Error::input("disk", "0 points; give at least 1"));
    }
    let too_large = || format!("{n} points do not fit in memory; give fewer");
    let mut inputs = with_room("disk", 2 * n, too_large)?;
    let mut rng = random::disk(seed);
    inputs.extend((0..2 * n).map(|_| rng.random::<f32>()));
    let (target_cols, [outside, inside]): (usize, [[f32; 2]; 2]) = match labels {
        Labels::OneHot => (2, [[1.0, 0.0], [0.0, 1.0]]),
        Labels::ZeroOne => (1, [[0.0; 2], [1.0; 2]]),
        Labels::PlusMinusOne => (1, [[-1.0; 2], [1.0; 2]]),
        Labels::PlusMinusOneHot => (2, [[1.0, -1.0], [-1.0, 1.0]]),
    };
    let mut targets = with_room("disk", target_cols * n, too_large)?;
    targets.extend(inputs.chunks_exact(2).flat_map(|point| {
        let (x, y) = (point[0] - 0.5, point[1] - 0.5);
        let target = if x * x + y * y < 0.5 * std::f32::consts::FRAC_1_PI { inside } else { outside };
        target.into_iter().take(target_cols)
    }));
    Dataset::new(inputs, 2, targets, target_cols)
}
