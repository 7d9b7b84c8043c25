//! Plots: curves of losses or accuracies, points with a line through them, the decision regions of a model of two
//! inputs, and confusion matrices.
//!
//! The file's extension chooses the format: `.svg`, or `.png` (feature `png`) with two pixels per SVG unit. PNG files
//! use a bundled font, Noto Sans, which has Latin, Greek and Cyrillic letters; SVG files use the viewer's fonts.

mod axis;
mod confusion;
mod curve;
mod format;
mod plane;
#[cfg(feature = "png")]
mod png;
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
    confusion::check(matrix)?;
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
