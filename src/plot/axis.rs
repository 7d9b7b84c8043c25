//! The two axes of a chart.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::ticks::{self, Tick};
use super::{Area, Chart, FONT, GRID, drawing};
use crate::error::Result;

/// The width of a digit, and the height of a tick label.
const DIGIT: usize = 8;
const LINE: usize = 44;
/// Ticks along an axis at most.
const MOST: usize = 10;
/// Around the chart; below it, for ticks and description; at the left, for the description alone.
const MARGIN: u32 = 14;
const BELOW: u32 = 44;
const DESCRIPTION: usize = 34;

/// The labels and scales of a chart's axes: made from `["epoch", "loss"]`, or by [`Axes::new`].
///
/// ```
/// use wgrad::plot::{Axes, Curve, curves};
/// # let path = std::env::temp_dir().join("wgrad-doc-axes.svg");
///
/// let loss = Curve::new("training", (1..=50).map(|epoch| (f64::from(epoch), 0.8f64.powi(epoch))));
/// curves(&path, "Five decades", Axes::new("epoch", "loss").log_y(), &[loss])?;
/// # let svg = std::fs::read_to_string(&path).unwrap();
/// # assert!(svg.contains("0.001") && svg.contains("0.1"));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) log_y: bool,
}

impl Axes {
    /// Linear axes with these labels.
    pub fn new(x: impl Into<String>, y: impl Into<String>) -> Self {
        Self { x: x.into(), y: y.into(), log_y: false }
    }

    /// A logarithmic y: for values above 0 that span several powers of ten.
    pub fn log_y(self) -> Self {
        Self { log_y: true, ..self }
    }
}

impl From<[&str; 2]> for Axes {
    fn from([x, y]: [&str; 2]) -> Self {
        Self::new(x, y)
    }
}

/// An axis: its visible range, from a smaller number to a larger, and its ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    range: Range<f64>,
    log: bool,
    /// Whether only whole numbers have ticks.
    whole: bool,
    ticks: Vec<Tick>,
}

impl Axis {
    pub(super) fn new(range: Range<f64>, log: bool, whole: bool) -> Self {
        Self { range, log, whole, ticks: Vec::new() }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        let Range { start, end } = self.range;
        let ratio = |value: f64, start: f64, end: f64| match end - start {
            width if width.is_finite() => (value - start) / width,
            _ => (value / 2.0 - start / 2.0) / (end / 2.0 - start / 2.0),
        };
        // The logarithms of close numbers can be the same.
        if self.log && start.ln() < end.ln() {
            return ratio(value.max(start).ln(), start.ln(), end.ln());
        }
        ratio(value, start, end)
    }

    fn with_ticks(mut self, most: usize) -> Self {
        self.ticks = match self.log {
            true => ticks::logarithmic(&self.range, most),
            false => ticks::linear(&self.range, most, self.whole),
        };
        self
    }

    fn longest_label(&self) -> usize {
        self.ticks.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(0)
    }

    /// As many ticks as have room side by side.
    fn across(self, width: usize) -> Self {
        let fits = |axis: &Self| axis.ticks.len() * (axis.longest_label() + 2) * DIGIT <= width;
        let axes = (1..=MOST).rev().map(|most| self.clone().with_ticks(most));
        axes.into_iter().find(fits).unwrap_or_else(|| self.clone().with_ticks(1))
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|tick| tick.at == *value).map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        // What lies far outside would overflow.
        let fraction = self.fraction(*value).clamp(-1.0, 2.0);
        (f64::from(low) + fraction * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Draws axes, and returns the chart between them.
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    [x, y]: [Axis; 2],
    [x_label, y_label]: [&str; 2],
) -> Result<Chart<'a, 'b>> {
    let (width, height) = area.dim_in_pixel();
    let y = y.with_ticks((height as usize / LINE).clamp(2, MOST));
    let left = DESCRIPTION + y.longest_label() * DIGIT;
    let x = x.across((width as usize).saturating_sub(left + 2 * MARGIN as usize));
    // The last tick's label is centred below the end of the axis.
    let right = MARGIN.max((x.longest_label() * DIGIT / 2) as u32);
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .margin_right(right)
        .x_label_area_size(BELOW)
        .y_label_area_size(left as u32)
        .build_cartesian_2d(x, y)
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc(x_label)
        .y_desc(y_label)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(drawing)?;
    Ok(chart)
}

/// From the smallest to the largest value; around it, if there is only one.
pub(super) fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if low < high {
        return low..high;
    }
    let half = if low == 0.0 { 0.5 } else { low.abs() / 2.0 };
    within((low - half).min(low.next_down()), (low + half).max(low.next_up()))
}

/// The range with a margin on both sides.
pub(super) fn wider(range: &Range<f64>, share: f64) -> Range<f64> {
    let margin = share * range.end - share * range.start;
    within(range.start - margin, range.end + margin)
}

/// The same on a logarithmic axis.
pub(super) fn wider_log(range: &Range<f64>, share: f64) -> Range<f64> {
    let [low, high] = [range.start, range.end].map(f64::ln);
    let margin = share * (high - low);
    // The smallest number above 0.
    let least = 0f64.next_up();
    (low - margin).exp().clamp(least, range.start.max(least))..(high + margin).exp().clamp(range.end, f64::MAX)
}

fn within(low: f64, high: f64) -> Range<f64> {
    low.max(f64::MIN)..high.min(f64::MAX)
}
