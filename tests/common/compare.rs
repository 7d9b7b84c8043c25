//! The comparison that all numeric tests use.

use wgrad::{History, Trainer};

/// f32's machine epsilon: one rounding errs by at most half of it, relatively. A sum of n products, added in any
/// order, errs by at most `n * EPSILON / 2 * sum of |a||b|`; two such sums differ by at most `n * EPSILON * ...`.
pub(crate) const EPSILON: f64 = f32::EPSILON as f64;

/// Whether `actual` is close to `expected`: the same length, every value finite, and
/// `|actual - expected| <= atol(i) + rtol * |expected|` for each element i. The error says what is wrong and where.
pub(crate) fn compare<A, E>(
    op: &str,
    actual: &[A],
    expected: &[E],
    rtol: f64,
    atol: impl Fn(usize) -> f64,
) -> Result<(), String>
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if actual.len() != expected.len() {
        return Err(format!("{op}: {} values, but {} were expected", actual.len(), expected.len()));
    }
    if actual.is_empty() {
        return Err(format!("{op}: no values to compare"));
    }
    let mut faults = 0;
    let mut first = None;
    let mut worst = (0, -1.0);
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let (a, e): (f64, f64) = ((*a).into(), (*e).into());
        let tolerance = atol(i) + rtol * e.abs();
        let difference = (a - e).abs();
        // Written so that a NaN anywhere makes it false.
        let ok = a.is_finite() && e.is_finite() && tolerance.is_finite() && difference <= tolerance;
        if !ok {
            faults += 1;
            first.get_or_insert(i);
            let excess = difference / tolerance;
            let excess = if excess.is_nan() { f64::INFINITY } else { excess };
            if excess > worst.1 {
                worst = (i, excess);
            }
        }
    }
    let Some(first) = first else { return Ok(()) };
    let show = |i: usize| {
        let (a, e): (f64, f64) = (actual[i].into(), expected[i].into());
        let tolerance = atol(i) + rtol * e.abs();
        format!("[{i}] is {a:e}, expected {e:e}, {:e} apart, {tolerance:e} allowed", (a - e).abs())
    };
    Err(format!(
        "{op}: {faults} of {} values differ; the first, {}; the worst, {}",
        actual.len(),
        show(first),
        show(worst.0)
    ))
}

/// Panics unless [`compare`] finds the values close, with one absolute tolerance for all.
#[track_caller]
pub(crate) fn assert_close<A, E>(op: &str, actual: &[A], expected: &[E], rtol: f64, atol: f64)
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if let Err(message) = compare(op, actual, expected, rtol, |_| atol) {
        panic!("{message}");
    }
}

/// Panics unless both hold the same bits, all finite.
#[track_caller]
pub(crate) fn assert_same_bits(op: &str, actual: &[f32], expected: &[f32]) {
    assert_close(op, actual, expected, 0.0, 0.0);
    let differs = |(a, e): (&f32, &f32)| a.to_bits() != e.to_bits();
    if let Some(i) = actual.iter().zip(expected).position(differs) {
        panic!("{op}: [{i}] is {:e}, expected {:e}: zeros of different sign", actual[i], expected[i]);
    }
}

/// Asserts that two trainers are in the same state, and came there by the same losses, bit for bit.
pub(crate) fn assert_same_training(name: &str, one: &Trainer, other: &Trainer) {
    let values = |trainer: &Trainer| trainer.parameters().read().unwrap();
    assert_same_bits(&format!("{name}: parameters"), &values(one), &values(other));
    assert_same_bits(&format!("{name}: losses"), &one.history().step_losses, &other.history().step_losses);
    let epochs = |history: &History| {
        let epochs = history.epochs.iter();
        epochs.map(|r| (r.epoch, r.steps, r.loss, r.train, r.validation)).collect::<Vec<_>>()
    };
    assert_eq!(epochs(one.history()), epochs(other.history()), "{name}");
}
