//! Curves over one pair of axes.

use plotters::prelude::*;

use super::axis::{Axis, chart, range, wider, wider_log};
use super::{Area, Axes, COLOURS, FONT, GRID, drawing};
use crate::error::{Error, Result};

/// A line of a plot, with a band around it where it stands for several runs; or separate points.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    label: String,
    points: Vec<(f64, f64)>,
    /// Half the band's height at each point; empty without a band.
    deviations: Vec<f64>,
    /// Whether a line joins the points.
    joined: bool,
    /// The x of points that stand out.
    marked: Option<f64>,
}

impl Curve {
    /// A line through these points (x, y).
    pub fn new(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().collect();
        Self { label: label.into(), points, deviations: Vec::new(), joined: true, marked: None }
    }

    /// These points (x, y), with no line through them.
    pub fn scatter(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { joined: false, ..Self::new(label, points) }
    }

    /// The mean of several runs, with a band of one standard deviation (of the sample: n - 1) to either side.
    ///
    /// ```
    /// use wgrad::plot::Curve;
    ///
    /// let runs = [[(1.0, 0.8), (2.0, 0.5)], [(1.0, 0.6), (2.0, 0.3)]];
    /// let mean = Curve::over_runs("test", runs)?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// Runs that differ in their x.
    pub fn over_runs<R: IntoIterator<Item = (f64, f64)>>(
        label: impl Into<String>,
        runs: impl IntoIterator<Item = R>,
    ) -> Result<Self> {
        let label = label.into();
        let runs: Vec<Vec<_>> = runs.into_iter().map(|run| run.into_iter().collect()).collect();
        let first = runs.first().map_or(&[][..], Vec::as_slice);
        let same_x = |run: &Vec<(f64, f64)>| run.iter().map(|p| p.0).eq(first.iter().map(|p| p.0));
        if !runs.iter().all(same_x) {
            return Err(Error::input("plot", format!("the runs of '{label}' differ in their x; cut them to the same")));
        }
        let n = runs.len() as f64;
        let (mut points, mut deviations) = (Vec::new(), Vec::new());
        for (i, (x, _)) in first.iter().enumerate() {
            let mean = runs.iter().map(|run| run[i].1).sum::<f64>() / n;
            let squares = runs.iter().map(|run| (run[i].1 - mean).powi(2)).sum::<f64>();
            points.push((*x, mean));
            deviations.push((squares / (n - 1.0).max(1.0)).sqrt());
        }
        Ok(Self { label, points, deviations, joined: true, marked: None })
    }

    /// Highlights the point at this x: the best epoch, say.
    pub fn mark(mut self, x: f64) -> Self {
        self.marked = Some(x);
        self
    }

    fn deviation(&self, i: usize) -> f64 {
        self.deviations.get(i).copied().unwrap_or(0.0)
    }

    /// The lower and the upper edge of the band at a point, where that is.
    fn edges(&self) -> impl DoubleEndedIterator<Item = (f64, [f64; 2])> + Clone {
        self.points.iter().enumerate().map(|(i, (x, y))| (*x, [y - self.deviation(i), y + self.deviation(i)]))
    }

    fn check(&self, log: bool) -> Result<()> {
        let fail = |detail: String| Err(Error::input("plot", format!("the curve '{}' {detail}", self.label)));
        if self.points.is_empty() {
            return fail("has no points; give it at least one".into());
        }
        if let Some((x, y)) = self.points.iter().find(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return fail(format!("goes through ({x}, {y}); leave out what is not finite"));
        }
        if let Some((x, _)) = self.edges().find(|(_, edges)| edges.iter().any(|y| !y.is_finite())) {
            return fail(format!("has a band that is too wide at x = {x}; draw the runs by themselves"));
        }
        match self.points.iter().find(|(_, y)| log && *y <= 0.0) {
            Some((x, y)) => fail(format!("goes through ({x}, {y}); a logarithmic axis has values above 0 only")),
            None => Ok(()),
        }
    }
}

pub(super) fn panel(area: &Area<'_>, axes: &Axes, curves: &[Curve]) -> Result<()> {
    if curves.is_empty() {
        return Err(Error::input("plot", "no curves; give at least one"));
    }
    for curve in curves {
        curve.check(axes.log_y)?;
    }
    let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let whole = points().all(|(x, _)| x.fract() == 0.0);
    let x = Axis::new(range(points().map(|(x, _)| x)), false, whole);
    let edges = curves.iter().flat_map(Curve::edges).flat_map(|(_, edges)| edges);
    let y = if axes.log_y {
        // A band can reach below 0, where the axis does not.
        let values = range(points().map(|(_, y)| y).chain(edges.filter(|y| *y > 0.0)));
        Axis::new(wider_log(&values, 0.05), true, false)
    } else {
        let values = range(edges);
        let mut seen = wider(&values, 0.05);
        // The axis of losses starts at zero; accuracies between 0.9 and 1 would be flat there.
        if values.start >= 0.0 && values.start < 0.3 * values.end {
            seen.start = 0.0;
        }
        Axis::new(seen, false, false)
    };
    // The legend stands to the right, where most curves are flat, on the side that they leave free.
    let ends: Vec<f64> = points().filter(|point| x.fraction(point.0) >= 0.7).map(|(_, at)| y.fraction(at)).collect();
    let legend = match ends.iter().sum::<f64>() / ends.len().max(1) as f64 {
        height if height > 0.5 => SeriesLabelPosition::LowerRight,
        _ => SeriesLabelPosition::UpperRight,
    };
    let mut chart = chart(area, [x, y], [&axes.x, &axes.y])?;
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        if !curve.deviations.is_empty() {
            let upper = curve.edges().map(|(x, [_, high])| (x, high));
            let outline: Vec<_> = upper.chain(curve.edges().rev().map(|(x, [low, _])| (x, low))).collect();
            chart.draw_series([Polygon::new(outline, colour.mix(0.2))]).map_err(drawing)?;
        }
        if !curve.joined {
            // Pale, so that a line in front of many points is seen.
            let dot = move |at| Circle::new(at, 2, colour.mix(0.5).filled());
            chart
                .draw_series(curve.points.iter().copied().map(dot))
                .map_err(drawing)?
                .label(&curve.label)
                .legend(move |(x, y)| Circle::new((x + 9, y), 3, colour.filled()));
        } else {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), style))
                .map_err(drawing)?
                .label(&curve.label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            if let [point] = curve.points[..] {
                chart.draw_series([Circle::new(point, 3, colour.filled())]).map_err(drawing)?;
            }
        }
    }
    // Before all lines.
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let marked = curve.points.iter().filter(|(x, _)| curve.marked == Some(*x));
        for at in marked {
            chart.draw_series([Circle::new(*at, 6, WHITE.filled())]).map_err(drawing)?;
            chart.draw_series([Circle::new(*at, 4, colour.filled())]).map_err(drawing)?;
        }
    }
    chart
        .configure_series_labels()
        .position(legend)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .draw()
        .map_err(drawing)
}

#[cfg(test)]
mod tests {
    use super::super::curves;
    use super::Curve;
    use crate::error::ErrorKind;

    #[test]
    fn a_band_is_the_mean_and_the_sample_deviation() {
        let curve = Curve::over_runs("runs", [[(1.0, 1.0)], [(1.0, 2.0)], [(1.0, 6.0)]]).unwrap();
        assert_eq!(curve.points, [(1.0, 3.0)]);
        // √((4 + 1 + 9) / 2)
        assert_eq!(curve.deviations, [7f64.sqrt()]);
        let error = Curve::over_runs("runs", [vec![(1.0, 1.0)], vec![(1.0, 2.0), (2.0, 2.0)]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let nowhere = std::env::temp_dir().join("no such folder").join("x.svg");
        let draw = |list: &[Curve]| curves(&nowhere, "title", ["x", "y"], list).unwrap_err().kind();
        assert_eq!(draw(&[]), ErrorKind::InvalidInput);
        assert_eq!(draw(&[Curve::new("empty", [])]), ErrorKind::InvalidInput);
        assert_eq!(draw(&[Curve::new("infinite", [(0.0, f64::INFINITY)])]), ErrorKind::InvalidInput);
        assert_eq!(draw(&[Curve::new("one point", [(0.0, 0.0)])]), ErrorKind::Io);
    }

    #[test]
    fn points_of_their_own_are_not_joined() {
        let path = std::env::temp_dir().join(format!("wgrad-scatter-{}.svg", std::process::id()));
        let points = [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0)];
        let drawn = |curve: Curve| {
            curves(&path, "title", ["x", "y"], &[curve]).unwrap();
            let svg = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let of_first_colour =
                |shape: &str| svg.lines().filter(|line| line.starts_with(shape) && line.contains("#0072B2")).count();
            (of_first_colour("<circle"), of_first_colour("<polyline"))
        };
        // The line and the dots each have one more in the legend.
        assert_eq!(drawn(Curve::scatter("points", points)), (4, 0));
        assert_eq!(drawn(Curve::new("line", points)), (0, 2));
    }
}
