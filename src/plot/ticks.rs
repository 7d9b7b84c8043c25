//! Where an axis has ticks, and what they say: a few round numbers, with as many digits as distinguish them.
//!
//! A tick is a whole number of units of ten to some power, so that its text is exact; its place is the number that the
//! text stands for. Their number is bounded before any is made, whatever the range.

use std::ops::Range;

/// Labels of more letters than this are shorter with an exponent.
const PLAIN: usize = 7;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

/// A whole number times ten to a power.
#[derive(Clone, Copy, Debug)]
struct Decimal(i128, i32);

impl Decimal {
    fn value(self) -> Option<f64> {
        format!("{}e{}", self.0, self.1).parse().ok()
    }

    /// The number's digits, with as many decimals as its power has.
    fn plain(self) -> String {
        let Self(units, power) = self;
        if power >= 0 {
            let zeros = if units == 0 { 0 } else { power as usize };
            return format!("{units}{}", "0".repeat(zeros));
        }
        let decimals = power.unsigned_abs() as usize;
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = decimals + 1);
        let (whole, rest) = digits.split_at(digits.len() - decimals);
        format!("{}{whole}.{rest}", if units < 0 { "-" } else { "" })
    }

    /// One digit before the point, and the power of ten.
    fn scientific(self) -> String {
        let Self(units, power) = self;
        if units == 0 {
            return "0".into();
        }
        let digits = units.unsigned_abs().to_string();
        let power = power as i64 + digits.len() as i64 - 1;
        let (first, rest) = digits.split_at(1);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{}{first}{point}{rest}e{power}", if units < 0 { "-" } else { "" })
    }
}

/// Ticks of a linear axis from a smaller number to a larger: about `most`, some more at the most. If `whole`, they are
/// whole numbers.
pub(super) fn linear(range: &Range<f64>, most: usize, whole: bool) -> Vec<Tick> {
    let size = range.start.abs().max(range.end.abs());
    // Brought near to 1 where powers of ten would overflow otherwise.
    let shift = if (1e-250..1e250).contains(&size) { 0 } else { -(size.log10().floor() as i32) };
    let [low, high] = [range.start, range.end].map(|value| shifted(value, shift));
    let least = (high - low) / most.max(1) as f64;
    // Hardly any number lies between them.
    let ends = || [range.start, range.end].map(|at| Tick { at, label: shortest(at) }).to_vec();
    if least <= 0.0 {
        return ends();
    }
    let power = least.log10().floor() as i32;
    let steps = [(1, power), (2, power), (5, power), (1, power + 1)];
    let large = |(units, power): &(i128, i32)| shifted(*units as f64, *power) >= least * (1.0 - 1e-9);
    let (mut step, mut power) = steps.into_iter().find(large).unwrap_or((2, power + 1));
    if whole && shift == 0 && power < 0 {
        (step, power) = (1, 0);
    }
    // From one too early, against rounding; what is outside is left out below.
    let first = (shifted(low, -power) / step as f64).ceil() as i128 - 1;
    let count = most.max(1) + 4;
    let decimals: Vec<_> = (0..count as i128).map(|i| Decimal((first + i) * step, power - shift)).collect();
    let mut ticks = labelled(range, &decimals);
    // Units that doubles do not count to are finer than the numbers between the ends.
    if ticks.len() < 2 || decimals.iter().any(|decimal| decimal.0.unsigned_abs() > 1 << f64::MANTISSA_DIGITS) {
        return ends();
    }
    if whole {
        // Epochs begin with 1, at the left end of the axis.
        let start = Tick { at: range.start, label: shortest(range.start) };
        let room = ticks[0].at - start.at;
        if room >= 0.6 * (ticks[1].at - ticks[0].at) && start.at.fract() == 0.0 {
            ticks.insert(0, start);
        }
    }
    ticks
}

/// Ticks of a logarithmic axis between numbers above 0: powers of ten; in a short range others, too.
pub(super) fn logarithmic(range: &Range<f64>, most: usize) -> Vec<Tick> {
    let [low, high] = [range.start, range.end].map(|value| value.log10().floor() as i32);
    let decades = high - low;
    if decades > 2 {
        let stride = (decades as usize + 1).div_ceil(most.max(2)) as i32;
        let powers = (low.div_euclid(stride)..=high.div_euclid(stride)).map(|i| Decimal(1, i * stride));
        let ticks = labelled(range, &powers.collect::<Vec<_>>());
        if ticks.len() > 1 {
            return ticks;
        }
    }
    let parts: &[i128] = if decades > 1 { &[1, 3] } else { &[1, 2, 5] };
    let decimals: Vec<_> = (low..=high.min(low + 3)).flat_map(|p| parts.iter().map(move |u| Decimal(*u, p))).collect();
    let ticks = labelled(range, &decimals);
    if ticks.len() > 2 { ticks } else { linear(range, most, false) }
}

/// Those within the range and apart from each other, all of them with an exponent or none.
fn labelled(range: &Range<f64>, decimals: &[Decimal]) -> Vec<Tick> {
    let within =
        |decimal: &Decimal| Some((*decimal, decimal.value()?)).filter(|(_, v)| *v >= range.start && *v <= range.end);
    let mut found: Vec<_> = decimals.iter().filter_map(within).collect();
    found.dedup_by(|(_, a), (_, b)| a == b);
    let longest = |labels: &[String]| labels.iter().map(String::len).max().unwrap_or(0);
    let scientific: Vec<_> = found.iter().map(|(decimal, _)| decimal.scientific()).collect();
    let plain: Vec<_> = found.iter().map(|(decimal, _)| decimal.plain()).collect();
    let is_short = longest(&plain) <= PLAIN.max(longest(&scientific));
    let labels = if is_short { plain } else { scientific };
    found.iter().zip(labels).map(|((_, at), label)| Tick { at: *at, label }).collect()
}

/// The fewest digits that distinguish this number from its neighbours.
fn shortest(value: f64) -> String {
    let [plain, scientific] = [format!("{value}"), format!("{value:e}")];
    if plain.len() <= PLAIN.max(scientific.len()) { plain } else { scientific }
}

/// Times ten to a power, in two steps, of which none leaves the range of numbers.
fn shifted(value: f64, power: i32) -> f64 {
    let half = power / 2;
    let step = |value: f64, power: i32| {
        let factor = 10f64.powi(power.abs());
        // Dividing by a power that is exact is more exact than multiplying by one that is not.
        if power < 0 { value / factor } else { value * factor }
    };
    if power.abs() <= 22 { step(value, power) } else { step(step(value, half), power - half) }
}

#[cfg(test)]
mod tests {
    use super::{linear, logarithmic};

    fn labels(ticks: &[super::Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_have_the_digits_that_tell_them_apart() {
        for (range, expected) in [
            (0.0..1.0, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"][..]),
            (1.0..100.0, &["20", "40", "60", "80", "100"]),
            (0.0..4e-7, &["0", "1e-7", "2e-7", "3e-7", "4e-7"]),
            (-3e9..1e9, &["-3e9", "-2e9", "-1e9", "0", "1e9"]),
            (0.9991..0.9996, &["0.9991", "0.9992", "0.9993", "0.9994", "0.9995", "0.9996"]),
            (1_700_000_000.0..1_700_000_004.0, &["1700000000", "1700000001", "1700000002", "1700000003", "1700000004"]),
            (1e-9..3e-9, &["1.0e-9", "1.5e-9", "2.0e-9", "2.5e-9", "3.0e-9"]),
        ] {
            let ticks = linear(&range, 5, false);
            let expected: Vec<_> = expected.iter().map(|label| label.replace(".0e", "e")).collect();
            assert_eq!(labels(&ticks), expected, "{range:?}");
            for tick in ticks {
                assert_eq!(tick.label.parse(), Ok(tick.at), "{range:?}");
            }
        }
        let ulps = 1.0..1f64.next_up().next_up();
        assert_eq!(labels(&linear(&ulps, 5, false)), ["1", "1.0000000000000004"]);
        assert_eq!(labels(&linear(&(1.0..3.0), 9, true)), ["1", "2", "3"]);
        assert_eq!(labels(&linear(&(1.0..60.0), 6, true)), ["1", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(labels(&logarithmic(&(0.002..40.0), 6)), ["0.01", "0.1", "1", "10"].map(String::from));
        assert_eq!(labels(&logarithmic(&(0.2..3.0), 6)), ["0.2", "0.5", "1", "2"]);
        assert_eq!(labels(&logarithmic(&(1e-9..3.0), 6)), ["1e-8", "1e-6", "1e-4", "1e-2", "1e0"]);
    }

    /// Zero, the smallest numbers, the largest, and what lies between and beside them.
    fn ladder() -> Vec<f64> {
        let mut sizes = vec![0.0, 5e-324, 1e-323, 1e-310, f64::MIN_POSITIVE, f64::MAX / 2.0, f64::MAX];
        sizes.extend((-10..=10).map(|i| 10f64.powi(30 * i) * 1.234_567_89));
        sizes.extend([0.1, 1.0, 3.0, 20.0, 255.0, 1e6, 9_007_199_254_740_992.0, 1.7e9]);
        let beside = sizes.iter().flat_map(|size| [size.next_up(), size * 1.01]);
        let sizes: Vec<f64> = sizes.iter().copied().chain(beside).filter(|size| size.is_finite()).collect();
        let mut all: Vec<_> = sizes.iter().flat_map(|size| [*size, -size]).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }

    #[test]
    fn every_range_has_a_few_ticks_that_differ() {
        let ladder = ladder();
        for (i, low) in ladder.iter().enumerate() {
            for high in &ladder[i + 1..] {
                for most in [1, 4, 10] {
                    let range = *low..*high;
                    let mut all = vec![linear(&range, most, false)];
                    if low.fract() == 0.0 && high.fract() == 0.0 {
                        all.push(linear(&range, most, true));
                    }
                    if *low > 0.0 {
                        all.push(logarithmic(&range, most));
                    }
                    for ticks in all {
                        let case = format!("{range:?}, {most}: {ticks:?}");
                        assert!((2..=most + 10).contains(&ticks.len()), "{case}");
                        for pair in ticks.windows(2) {
                            assert!(pair[0].at < pair[1].at && pair[0].label != pair[1].label, "{case}");
                        }
                        for tick in ticks {
                            assert!(tick.at >= *low && tick.at <= *high, "{case}");
                            assert_eq!(tick.label.parse(), Ok(tick.at), "{case}");
                            assert!(tick.label.len() < 30, "{case}");
                        }
                    }
                }
            }
        }
    }
}
