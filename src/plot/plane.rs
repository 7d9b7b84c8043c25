//! The predictions of a model of two inputs over the plane.

use std::ops::Range;

use plotters::prelude::*;

use super::axis::{Axis, chart, range, wider};
use super::{Area, COLOURS, drawing};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::metrics::Decision;
use crate::ops::metrics::argmax;

/// Cells along a side of the plane.
const CELLS: usize = 110;
/// Shades of a class's colour: few, so that equal neighbours can be drawn as one.
const SHADES: f32 = 6.0;

/// The predictions for a grid of cells, and for the points.
pub(super) struct Plane<'a> {
    x: Range<f64>,
    y: Range<f64>,
    /// Row by row from the top: class, and shade from 0 (undecided) to [`SHADES`].
    cells: Vec<(usize, u8)>,
    points: &'a Dataset,
    /// The true class of each point.
    classes: Vec<usize>,
    right: Vec<bool>,
}

impl<'a> Plane<'a> {
    pub(super) fn new(
        predict: impl Fn(&[f32]) -> Result<Vec<f32>>,
        decision: Decision,
        points: &'a Dataset,
    ) -> Result<Self> {
        if points.input_cols() != 2 {
            let detail = format!("points of {} inputs; a plane has 2", points.input_cols());
            return Err(Error::shape("decision_boundary", detail));
        }
        let checked = |inputs: &[f32]| -> Result<(Vec<f32>, usize)> {
            let (predicted, rows) = (predict(inputs)?, inputs.len() / 2);
            let outputs = predicted.len() / rows;
            if outputs > 0 && predicted.len() == outputs * rows {
                return Ok((predicted, outputs));
            }
            let detail = format!("{} predicted values for {rows} points; give as many for each", predicted.len());
            Err(Error::shape("decision_boundary", detail))
        };
        let (x, y) = (extent(points, 0), extent(points, 1));
        let at = |range: &Range<f64>, i: usize| {
            (range.start + (range.end - range.start) * (i as f64 + 0.5) / CELLS as f64) as f32
        };
        let centres: Vec<f32> =
            (0..CELLS * CELLS).flat_map(|cell| [at(&x, cell % CELLS), at(&y, CELLS - 1 - cell / CELLS)]).collect();
        let class = |row: &[f32]| {
            decision.class_of(row).ok_or_else(|| {
                let detail = format!(
                    "{decision:?} reads no class from the outputs {row:?}; a picture of classes takes Decision::Argmax, or a \
                     threshold for one output, and no NaN"
                );
                Error::input("decision_boundary", detail)
            })
        };
        let (centres, outputs) = checked(&centres)?;
        let rows = || centres.chunks_exact(outputs);
        // The margin of most cells is full certainty: what that is depends on the scale of the outputs.
        let mut margins: Vec<f32> = rows().map(|row| margin(row, decision)).collect();
        margins.sort_by(f32::total_cmp);
        let full = margins[margins.len() * 3 / 4].max(f32::MIN_POSITIVE);
        let cell = |row: &[f32]| {
            let certainty = (margin(row, decision) / full).clamp(0.0, 1.0);
            Ok((class(row)?, (certainty * SHADES).round() as u8))
        };
        let cells = rows().map(cell).collect::<Result<_>>()?;
        let classes = points
            .targets()
            .chunks_exact(points.target_cols())
            .map(|target| decision.class_of_target(target).unwrap_or_default())
            .collect::<Vec<_>>();
        let (predicted, outputs) = checked(points.inputs())?;
        let is_right = |(row, target): (&[f32], &usize)| Ok(class(row)? == *target);
        let right = predicted.chunks_exact(outputs).zip(&classes).map(is_right).collect::<Result<_>>()?;
        Ok(Self { x, y, cells, points, classes, right })
    }

    pub(super) fn panel(&self, area: &Area<'_>) -> Result<()> {
        let wrong = self.right.iter().filter(|right| !**right).count();
        let caption = format!("predicted classes, and {} points ({wrong} predicted wrong, ringed)", self.points.len());
        let mut chart =
            chart(area, [&self.x, &self.y].map(|range| Axis::new(range.clone(), false, false)), [&caption, ""])?;
        let plane = chart.plotting_area().strip_coord_spec();
        let (width, height) = plane.dim_in_pixel();
        let pixel = |cell: usize, size: u32| (cell * size as usize / CELLS) as i32;
        for (row, cells) in self.cells.chunks_exact(CELLS).enumerate() {
            let mut first = 0;
            for run in cells.chunk_by(|a, b| a == b) {
                let end = first + run.len();
                // One pixel over the next cells, which cover it again: without it, scaled pictures show seams.
                let corner =
                    [(end, width), (row + 1, height)].map(|(cell, size)| (pixel(cell, size) + 1).min(size as i32));
                let corners = [(pixel(first, width), pixel(row, height)), (corner[0], corner[1])];
                plane.draw(&Rectangle::new(corners, tint(run[0]).filled())).map_err(drawing)?;
                first = end;
            }
        }
        let points = self.points.inputs().chunks_exact(2).zip(&self.classes).zip(&self.right);
        for ((point, class), right) in points {
            let at = (f64::from(point[0]), f64::from(point[1]));
            let colour = COLOURS[class % COLOURS.len()];
            chart.draw_series([Circle::new(at, 2, colour.filled())]).map_err(drawing)?;
            if !right {
                chart.draw_series([Circle::new(at, 5, BLACK.stroke_width(1))]).map_err(drawing)?;
            }
        }
        Ok(())
    }
}

/// The range of an input: the unit interval if that holds all of it, else a little more than its own.
fn extent(points: &Dataset, column: usize) -> Range<f64> {
    let own = range(points.inputs().iter().skip(column).step_by(2).map(|v| f64::from(*v)));
    if own.start >= 0.0 && own.end <= 1.0 && own.end - own.start > 0.5 {
        return 0.0..1.0;
    }
    // The model takes f32.
    let Range { start, end } = wider(&own, 0.04);
    start.max(f64::from(f32::MIN))..end.min(f64::from(f32::MAX))
}

/// How far the prediction is from another class: half the distance to the runner-up, or the distance to the threshold.
fn margin(row: &[f32], decision: Decision) -> f32 {
    if let (Decision::Threshold { output, .. }, [value]) = (decision, row) {
        return (value - output).abs();
    }
    let best = argmax(row);
    let others = row.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, v)| *v);
    (row[best] - others.fold(f32::NEG_INFINITY, f32::max)) / 2.0
}

/// A pale colour for a cell: white where the model is undecided.
fn tint((class, shade): (usize, u8)) -> RGBColor {
    let RGBColor(r, g, b) = COLOURS[class % COLOURS.len()];
    let strength = 0.06 + 0.30 * f32::from(shade) / SHADES;
    let mix = |c: u8| (255.0 - (255.0 - f32::from(c)) * strength).round() as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

#[cfg(test)]
mod tests {
    use super::margin;
    use crate::metrics::Decision;

    #[test]
    fn margins_follow_the_decision() {
        assert_eq!(margin(&[-1.0], Decision::logits()), 1.0);
        assert_eq!(margin(&[1.0, -1.0, 0.5], Decision::Argmax), 0.25);
    }
}
