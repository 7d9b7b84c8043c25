//! The confusion matrix.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, COLOURS, FONT, GRID, drawing};
use crate::error::{Error, Result};
use crate::metrics::ConfusionMatrix;

/// The title above the panel.
const TITLE: i32 = 40;
const GAP: i32 = 12;
/// A line of text, and the width of a letter at most.
const LINE: i32 = 22;
const LETTER: i32 = 9;
const CELL_HEIGHT: i32 = 56;
/// Nobody reads a larger table, and its cells are a square of that.
const MAX_CLASSES: usize = 100;
/// Longer names are cut.
const MAX_LETTERS: usize = 24;

fn shown(name: &str) -> String {
    if name.chars().count() <= MAX_LETTERS {
        return name.into();
    }
    name.chars().take(MAX_LETTERS - 1).chain(['…']).collect()
}

pub(super) fn check(matrix: &ConfusionMatrix) -> Result<()> {
    if matrix.classes() <= MAX_CLASSES {
        return Ok(());
    }
    let detail = format!("{} classes; at most {MAX_CLASSES} fit in a table", matrix.classes());
    Err(Error::input("confusion_matrix", detail))
}

/// Where the cells begin, and how wide they are.
struct Layout {
    left: i32,
    top: i32,
    cell_width: i32,
}

impl Layout {
    fn new(matrix: &ConfusionMatrix) -> Self {
        let letters =
            matrix.names().iter().map(|name| shown(name).chars().count()).fold("true class".len(), usize::max) as i32;
        let names = letters * LETTER;
        Self { left: GAP + names + GAP, top: LINE + GAP, cell_width: names.max(CELL_HEIGHT) + GAP }
    }
}

pub(super) fn size(matrix: &ConfusionMatrix) -> (u32, u32) {
    let (layout, classes) = (Layout::new(matrix), matrix.classes() as i32);
    let width = layout.left + classes * layout.cell_width + GAP;
    let height = TITLE + layout.top + classes * CELL_HEIGHT + 2 * LINE + 2 * GAP;
    (width.max(400) as u32, height as u32)
}

pub(super) fn panel(area: &Area<'_>, matrix: &ConfusionMatrix) -> Result<()> {
    let (layout, classes) = (Layout::new(matrix), matrix.classes());
    let x = |class: usize| layout.left + class as i32 * layout.cell_width;
    let y = |class: usize| layout.top + class as i32 * CELL_HEIGHT;
    let write = |text: &str, at: (i32, i32), size: u32, colour: &RGBColor, side: HPos| {
        let style = TextStyle::from((FONT, size).into_font()).color(colour).pos(Pos::new(side, VPos::Center));
        area.draw(&Text::new(text.to_string(), at, style)).map_err(drawing)
    };
    let RGBColor(red, green, blue) = COLOURS[0];
    for (actual, scores) in matrix.scores().iter().enumerate() {
        for predicted in 0..classes {
            let count = matrix.count(actual, predicted);
            let share = count as f64 / scores.samples.max(1) as f64;
            let mix = |c: u8| (255.0 - (255.0 - f64::from(c)) * share).round() as u8;
            let corners = [(x(predicted), y(actual)), (x(predicted + 1), y(actual + 1))];
            area.draw(&Rectangle::new(corners, RGBColor(mix(red), mix(green), mix(blue)).filled())).map_err(drawing)?;
            area.draw(&Rectangle::new(corners, GRID.stroke_width(1))).map_err(drawing)?;
            let colour = if share > 0.5 { &WHITE } else { &BLACK };
            let middle = (x(predicted) + layout.cell_width / 2, y(actual) + CELL_HEIGHT / 2);
            write(&count.to_string(), middle, 18, colour, HPos::Center)?;
        }
    }
    let below = y(classes) + GAP;
    for (class, name) in matrix.names().iter().map(|name| shown(name)).enumerate() {
        write(&name, (layout.left - GAP, y(class) + CELL_HEIGHT / 2), 15, &BLACK, HPos::Right)?;
        write(&name, (x(class) + layout.cell_width / 2, below), 15, &BLACK, HPos::Center)?;
    }
    write("true class", (layout.left - GAP, layout.top - GAP), 16, &BLACK, HPos::Right)?;
    write("predicted class", ((x(0) + x(classes)) / 2, below + LINE), 16, &BLACK, HPos::Center)
}
