//! Plots: curves of losses or accuracies, points with a line through them, the decision regions of a model of two
//! inputs, confusion matrices and heat maps.
//!
//! The file's extension chooses the format: `.svg`, or `.png` (feature `png`) with two pixels per SVG unit. PNG files
//! use a bundled font, Noto Sans, which has Latin, Greek and Cyrillic letters; SVG files use the viewer's fonts.

mod axis;
mod curve;
mod format;
mod plane;
#[cfg(feature = "png")]
mod png;
mod table;
#[cfg(test)]
mod tests;
mod ticks;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{ConfusionMatrix, Decision};
pub use axis::Axes;
use axis::Axis;
pub use curve::Curve;
use format::Format;
pub use format::check_path;
use plane::Plane;
use table::Table;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Okabe and Ito's colours, which most colour-blind people can distinguish.
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

/// Draws curves over one pair of axes into an SVG or PNG file. `axes` are the descriptions of x and y, or
/// [`Axes`].
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
/// No curves, one without points, a NaN or an infinity, a value of 0 or less on a logarithmic axis; a file of another format, or one that can't be written.
pub fn curves(path: impl AsRef<Path>, title: &str, axes: impl Into<Axes>, curves: &[Curve]) -> Result<()> {
    let axes = axes.into();
    draw(path.as_ref(), (760, 490), title, |area| curve::panel(area, &axes, curves))
}

/// Draws the predictions of a model of two inputs over the plane, with `points` on top, and curves next to it (none, if
/// the list is empty), into an SVG or PNG file.
///
/// `predict` is given points of the plane, row by row, and returns the model's outputs for them:
/// [`Trainer::predict`](crate::Trainer::predict). The plane is coloured by the predicted class, paler where the model
/// is less certain; the points by their true class, with rings around misclassified ones. `decision` reads outputs and
/// targets as classes: [`Loss::decision`](crate::nn::Loss::decision) of the loss that the model was trained with.
///
/// ```
/// use wgrad::data::{Labels, disk};
/// use wgrad::metrics::Decision;
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
/// decision_boundary(&path, "Untrained", |xy| trainer.predict(xy, 2), Decision::Argmax, &points, ["epoch", "loss"], &[])?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("100 points"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Points of other than two inputs, outputs that are not whole rows or that `decision` gives no class for, what
/// [`curves`] refuses; an error of `predict`; a file that can't be written.
pub fn decision_boundary(
    path: impl AsRef<Path>,
    title: &str,
    predict: impl Fn(&[f32]) -> Result<Vec<f32>>,
    decision: Decision,
    points: &Dataset,
    axes: impl Into<Axes>,
    curves: &[Curve],
) -> Result<()> {
    let (plane, axes) = (Plane::new(predict, decision, points)?, axes.into());
    if curves.is_empty() {
        return draw(path.as_ref(), (585, 608), title, |area| plane.panel(area));
    }
    draw(path.as_ref(), (1190, 608), title, |area| {
        let (left, right) = area.split_horizontally(585);
        plane.panel(&left)?;
        curve::panel(&right, &axes, curves)
    })
}

/// Draws a confusion matrix into an SVG or PNG file: the darker a cell, the larger its share of the true class.
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
/// More than 100 classes; a file of another format, or one that can't be written.
pub fn confusion_matrix(path: impl AsRef<Path>, title: &str, matrix: &ConfusionMatrix) -> Result<()> {
    let cells = matrix.scores().into_iter().enumerate().flat_map(|(actual, scores)| {
        let share = move |count| count as f64 / scores.samples.max(1) as f64;
        (0..matrix.classes()).map(move |predicted| {
            let count = matrix.count(actual, predicted);
            (count.to_string(), share(count))
        })
    });
    let names = matrix.names().to_vec();
    let table = Table {
        rows: ("true class".into(), names.clone()),
        cols: ("predicted class".into(), names),
        cells: cells.collect(),
    };
    table.check("confusion_matrix")?;
    draw(path.as_ref(), table.size(), title, |area| table.panel(area))
}

/// Draws a table of numbers into an SVG or PNG file, such as the scores of a sweep over two settings: the larger a number,
/// the darker its cell. `rows` and `cols` are what they hold and the name of each; `values` has a number for each cell, row
/// by row. What is not finite is left white.
///
/// ```
/// use wgrad::plot::heat_map;
/// # let folder = std::env::temp_dir().join("wgrad-doc-heat-map");
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("sweep.svg");
///
/// let accuracies = [0.71, 0.94, 0.70, f64::NAN];
/// heat_map(&path, "Accuracy", ("rate", &["0.01", "0.1"]), ("decay", &["0", "0.001"]), &accuracies)?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("0.940"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Another number of values than cells, no cells, more than 100 rows or columns; a file of another format, or one that
/// can't be written.
pub fn heat_map<N: ToString>(
    path: impl AsRef<Path>,
    title: &str,
    (rows, row_names): (&str, &[N]),
    (cols, col_names): (&str, &[N]),
    values: &[f64],
) -> Result<()> {
    let [row_names, col_names] = [row_names, col_names].map(|names| names.iter().map(N::to_string).collect::<Vec<_>>());
    let cells = row_names.len() * col_names.len();
    if values.len() != cells || cells == 0 {
        let detail = format!(
            "{} values for {} rows and {} columns; give one for each cell",
            values.len(),
            row_names.len(),
            col_names.len()
        );
        return Err(Error::shape("heat_map", detail));
    }
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (least, greatest) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let cell = |value: &f64| match value.is_finite() {
        // Of equal numbers none is dark; differences beyond the range of f64 are drawn as equal.
        true => {
            (format!("{value:.3}"), Some((value - least) / (greatest - least)).filter(|x| x.is_finite()).unwrap_or(0.0))
        }
        false => (format!("{value}"), 0.0),
    };
    let table = Table {
        rows: (rows.into(), row_names),
        cols: (cols.into(), col_names),
        cells: values.iter().map(cell).collect(),
    };
    table.check("heat_map")?;
    draw(path.as_ref(), table.size(), title, |area| table.panel(area))
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
