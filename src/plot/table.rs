//! Tables whose cells are shaded by their values: confusion matrices, heat maps.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, COLOURS, FONT, GRID, drawing};
use crate::error::{Error, Result};

/// The title above the panel.
const TITLE: i32 = 40;
const GAP: i32 = 12;
/// A line of text, and the width of a letter at most.
const LINE: i32 = 22;
const LETTER: i32 = 9;
const CELL_HEIGHT: i32 = 56;
/// Nobody reads a larger table.
const MAX_LINES: usize = 100;
/// Longer names are cut.
const MAX_LETTERS: usize = 24;

fn shown(name: &str) -> String {
    if name.chars().count() <= MAX_LETTERS {
        return name.into();
    }
    name.chars().take(MAX_LETTERS - 1).chain(['…']).collect()
}

/// A row or column: its name.
pub(super) type Names = Vec<String>;

/// A table to draw.
pub(super) struct Table {
    /// What the rows are, and their names; the same of the columns.
    pub(super) rows: (String, Names),
    pub(super) cols: (String, Names),
    /// Row by row: a text, and how dark the cell is, from 0 to 1.
    pub(super) cells: Vec<(String, f64)>,
}

/// Where the cells begin, and how wide they are.
struct Layout {
    left: i32,
    top: i32,
    cell_width: i32,
}

impl Table {
    /// An error if it is too large to be drawn.
    pub(super) fn check(&self, operation: &str) -> Result<()> {
        let [rows, cols] = self.lines();
        if rows.max(cols) <= MAX_LINES {
            return Ok(());
        }
        let detail = format!("a table of {rows} x {cols}; at most {MAX_LINES} in each direction are legible");
        Err(Error::input(operation, detail))
    }

    fn lines(&self) -> [usize; 2] {
        [self.rows.1.len(), self.cols.1.len()]
    }

    fn layout(&self) -> Layout {
        let longest = |names: &Names| names.iter().map(|name| shown(name).chars().count()).max().unwrap_or(0);
        let left = longest(&self.rows.1).max(self.rows.0.chars().count()) as i32 * LETTER;
        let cells = self.cells.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0);
        let cell_width = (longest(&self.cols.1).max(cells) as i32 * LETTER).max(CELL_HEIGHT) + GAP;
        Layout { left: GAP + left + GAP, top: LINE + GAP, cell_width }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        let (layout, [rows, cols]) = (self.layout(), self.lines());
        let width = layout.left + cols as i32 * layout.cell_width + GAP;
        let height = TITLE + layout.top + rows as i32 * CELL_HEIGHT + 2 * LINE + 2 * GAP;
        (width.max(400) as u32, height as u32)
    }

    pub(super) fn panel(&self, area: &Area<'_>) -> Result<()> {
        let (layout, [rows, cols]) = (self.layout(), self.lines());
        let x = |col: usize| layout.left + col as i32 * layout.cell_width;
        let y = |row: usize| layout.top + row as i32 * CELL_HEIGHT;
        let write = |text: &str, at: (i32, i32), size: u32, colour: &RGBColor, side: HPos| {
            let style = TextStyle::from((FONT, size).into_font()).color(colour).pos(Pos::new(side, VPos::Center));
            area.draw(&Text::new(text.to_string(), at, style)).map_err(drawing)
        };
        let RGBColor(red, green, blue) = COLOURS[0];
        for (number, (text, share)) in self.cells.iter().enumerate() {
            let (row, col) = (number / cols, number % cols);
            let mix = |c: u8| (255.0 - (255.0 - f64::from(c)) * share).round() as u8;
            let corners = [(x(col), y(row)), (x(col + 1), y(row + 1))];
            area.draw(&Rectangle::new(corners, RGBColor(mix(red), mix(green), mix(blue)).filled())).map_err(drawing)?;
            area.draw(&Rectangle::new(corners, GRID.stroke_width(1))).map_err(drawing)?;
            let colour = if *share > 0.5 { &WHITE } else { &BLACK };
            write(text, (x(col) + layout.cell_width / 2, y(row) + CELL_HEIGHT / 2), 18, colour, HPos::Center)?;
        }
        let below = y(rows) + GAP;
        for (row, name) in self.rows.1.iter().enumerate() {
            write(&shown(name), (layout.left - GAP, y(row) + CELL_HEIGHT / 2), 15, &BLACK, HPos::Right)?;
        }
        for (col, name) in self.cols.1.iter().enumerate() {
            write(&shown(name), (x(col) + layout.cell_width / 2, below), 15, &BLACK, HPos::Center)?;
        }
        write(&self.rows.0, (layout.left - GAP, layout.top - GAP), 16, &BLACK, HPos::Right)?;
        write(&self.cols.0, ((x(0) + x(cols)) / 2, below + LINE), 16, &BLACK, HPos::Center)
    }
}
