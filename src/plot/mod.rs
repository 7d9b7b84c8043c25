//! Pictures: curves of losses or accuracies, points and the line through them, what a model of two inputs has learnt,
//! and which classes a model confuses.
//!
//! The file's extension chooses the format: `.svg`, or `.png` (feature `png`) with two pixels to a unit of the SVG.
//! PNG files bring their own font, Noto Sans, which has Latin, Greek and Cyrillic letters; in SVG files the letters are
//! the viewer's.

mod confusion;
mod format;
mod plane;
#[cfg(feature = "png")]
mod png;

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::ConfusionMatrix;
use format::Format;
use plane::Plane;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Okabe and Ito's colours, which most colour-blind people can tell apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];
const FONT: &str = "sans-serif";
const GRID: RGBColor = RGBColor(225, 225, 225);

/// A line of a plot, with a band around it where it stands for several runs; or points of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    label: String,
    points: Vec<(f64, f64)>,
    /// Half the band's height at each point; empty without a band.
    deviations: Vec<f64>,
    /// Whether a line joins the points.
    joined: bool,
}

impl Curve {
    /// A line through these points (x, y).
    pub fn new(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { label: label.into(), points: points.into_iter().collect(), deviations: Vec::new(), joined: true }
    }

    /// These points (x, y), with no line through them.
    pub fn scatter(label: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { joined: false, ..Self::new(label, points) }
    }

    /// The mean of several runs, in a band of one standard deviation (of the sample: n - 1) to either side.
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
        Ok(Self { label, points, deviations, joined: true })
    }

    fn deviation(&self, i: usize) -> f64 {
        self.deviations.get(i).copied().unwrap_or(0.0)
    }

    fn check(&self) -> Result<()> {
        let fail = |detail: String| Err(Error::input("plot", format!("the curve '{}' {detail}", self.label)));
        match self.points.iter().find(|(x, y)| !x.is_finite() || !y.is_finite()) {
            Some((x, y)) => fail(format!("goes through ({x}, {y}); leave out what is not finite")),
            None if self.points.is_empty() => fail("has no points; give it at least one".into()),
            None => Ok(()),
        }
    }
}

/// Draws curves over one pair of axes into an SVG or PNG file. `axes` are the labels of x and y.
///
/// ```
/// use wgrad::plot::{Curve, curves};
/// # let folder = std::env::temp_dir().join("wgrad-doc-curves");
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("loss.svg");
///
/// let train = Curve::new("training", [(1.0, 0.9), (2.0, 0.5), (3.0, 0.3)]);
/// let runs = [[(1.0, 1.0), (2.0, 0.6), (3.0, 0.5)], [(1.0, 0.8), (2.0, 0.5), (3.0, 0.4)]];
/// let test = Curve::over_runs("test, two runs", runs)?;
/// curves(&path, "Disk", ["epoch", "loss"], &[train, test])?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("two runs"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// No curves, one without points, a NaN or an infinity; a file of another format, or one that can't be written.
pub fn curves(path: impl AsRef<Path>, title: &str, axes: [&str; 2], curves: &[Curve]) -> Result<()> {
    draw(path.as_ref(), (760, 490), title, |area| curves_panel(area, axes, curves))
}

/// Draws what a model of two inputs makes of the plane, with `points` on top, and curves beside it (none, if the list
/// is empty), into an SVG or PNG file.
///
/// `predict` is given points of the plane, row by row, and returns the model's outputs for them:
/// [`Trainer::predict`](crate::Trainer::predict). The plane is coloured by the predicted class, the paler the closer
/// the call; the points by their true class, those predicted wrong ringed. Class and margin are those of
/// [`Metrics::accuracy`](crate::Metrics::accuracy): the largest output, or the side of the targets' middle.
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::nn::{Linear, Mse};
/// use wgrad::optim::Sgd;
/// use wgrad::plot::decision_boundary;
/// use wgrad::{Device, Trainer};
/// # let folder = std::env::temp_dir().join("wgrad-doc-boundary");
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("untrained.svg");
///
/// let points = disk(100, 0, Labels::OneHot)?;
/// let trainer = Trainer::new(&Device::cpu(), Linear::new(2, 2), Mse::new(), Sgd::new(0.1), 0)?;
/// decision_boundary(&path, "Untrained", |xy| trainer.predict(xy, 2), &points, ["epoch", "loss"], &[])?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("100 points"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Points of other than two inputs, outputs of another width than the targets, what [`curves`] refuses; an error of
/// `predict`; a file that can't be written.
pub fn decision_boundary(
    path: impl AsRef<Path>,
    title: &str,
    predict: impl Fn(&[f32]) -> Result<Vec<f32>>,
    points: &Dataset,
    axes: [&str; 2],
    curves: &[Curve],
) -> Result<()> {
    let plane = Plane::new(predict, points)?;
    if curves.is_empty() {
        return draw(path.as_ref(), (585, 608), title, |area| plane.panel(area));
    }
    draw(path.as_ref(), (1190, 608), title, |area| {
        let (left, right) = area.split_horizontally(585);
        plane.panel(&left)?;
        curves_panel(&right, axes, curves)
    })
}

/// Draws how often each class was taken for each other, into an SVG or PNG file: the darker, the larger the share of the true
/// class.
///
/// ```
/// use wgrad::data::Dataset;
/// use wgrad::metrics::{ConfusionMatrix, Decision};
/// use wgrad::plot::confusion_matrix;
/// # let folder = std::env::temp_dir().join("wgrad-doc-confusion");
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("pets.svg");
///
/// let pets = Dataset::from_rows(&[[1.0], [2.0], [3.0]], &[[0.0], [1.0], [1.0]])?.with_class_names(["cat", "dog"]);
/// let matrix = ConfusionMatrix::new(&[0.9, 0.1, 0.2, 0.8, 0.6, 0.4], &pets, Decision::Argmax)?;
/// confusion_matrix(&path, "Pets", &matrix)?;
/// # let svg = std::fs::read_to_string(&path).unwrap();
/// # assert_eq!(svg.matches("dog").count(), 2);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// A file of another format, or one that can't be written.
pub fn confusion_matrix(path: impl AsRef<Path>, title: &str, matrix: &ConfusionMatrix) -> Result<()> {
    draw(path.as_ref(), confusion::size(matrix), title, |area| confusion::panel(area, matrix))
}

/// Draws in memory, so that nothing half-drawn is left on disk.
fn draw(path: &Path, size: (u32, u32), title: &str, panels: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let format = Format::of(path)?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(drawing)?;
        let area = root.margin(8, 0, 0, 0).titled(title, (FONT, 22)).map_err(drawing)?;
        panels(&area)?;
        root.present().map_err(drawing)?;
    }
    format.write(path, svg)
}

fn drawing(error: impl std::error::Error) -> Error {
    Error::new(ErrorKind::Io, "plot", error.to_string())
}

fn curves_panel(area: &Area<'_>, axes: [&str; 2], curves: &[Curve]) -> Result<()> {
    if curves.is_empty() {
        return Err(Error::input("plot", "no curves; give at least one"));
    }
    for curve in curves {
        curve.check()?;
    }
    let points = || curves.iter().flat_map(|curve| curve.points.iter().enumerate().map(move |(i, p)| (curve, i, *p)));
    let x = range(points().map(|(_, _, (x, _))| x));
    let y = range(points().flat_map(|(curve, i, (_, y))| [y - curve.deviation(i), y + curve.deviation(i)]));
    let margin = 0.05 * (y.end - y.start);
    // Losses stand on zero; accuracies between 0.9 and 1 would be flat there.
    let low = if y.start >= 0.0 && y.start < 0.3 * y.end { 0.0 } else { y.start - margin };
    let high = y.end + margin;
    // The legend stands to the right, where most curves are flat, on the side that they leave free.
    let right = x.end - 0.2 * (x.end - x.start);
    let ends: Vec<f64> = points().filter(|(_, _, (x, _))| *x >= right).map(|(_, _, (_, y))| y).collect();
    let ends = ends.iter().sum::<f64>() / ends.len().max(1) as f64;
    let legend = match ends > (low + high) / 2.0 {
        true => SeriesLabelPosition::LowerRight,
        false => SeriesLabelPosition::UpperRight,
    };
    let mut chart = axes_on(area, x, low..high, axes)?;
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        if !curve.deviations.is_empty() {
            let edge = |i: usize, sign: f64| (curve.points[i].0, curve.points[i].1 + sign * curve.deviation(i));
            let n = curve.points.len();
            let outline: Vec<_> = (0..n).map(|i| edge(i, 1.0)).chain((0..n).rev().map(|i| edge(i, -1.0))).collect();
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
            continue;
        }
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
    chart
        .configure_series_labels()
        .position(legend)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .draw()
        .map_err(drawing)
}

fn axes_on<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    [x_label, y_label]: [&str; 2],
) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc(x_label)
        .y_desc(y_label)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(drawing)?;
    Ok(chart)
}

/// A tick's number without the noise of its computation.
fn number(value: f64) -> String {
    let text = format!("{value:.5}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// From the smallest to the largest value; never empty.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if low < high { low..high } else { low - 0.5..high + 0.5 }
}

#[cfg(test)]
mod tests {
    use super::{Curve, curves, number};
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

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.1 + 0.2, 20.0, -0.0, 1e-9].map(number), ["0.3", "20", "0", "0"]);
    }
}
