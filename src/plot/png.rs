//! Plots as PNG: the SVG, rendered with a bundled font, so that they look the same on every machine.

use resvg::{render, tiny_skia, usvg};

use super::drawing;
use crate::error::{Error, ErrorKind, Result};

/// Pixels per SVG unit: sharp on dense screens and in print.
const SCALE: f32 = 2.0;

pub(super) fn painted(svg: &str) -> Result<Vec<u8>> {
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
    fonts.set_sans_serif_family("Noto Sans");
    let tree = usvg::Tree::from_str(svg, &options).map_err(drawing)?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (SCALE * side).ceil() as u32);
    let mut pixels = tiny_skia::Pixmap::new(width, height).ok_or_else(|| {
        Error::new(ErrorKind::OutOfMemory, "plot", format!("no memory for {width} x {height} pixels; use .svg"))
    })?;
    render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(drawing)
}

#[cfg(test)]
mod tests {
    use resvg::tiny_skia::{Pixmap, PremultipliedColorU8};

    use super::super::{Curve, curves};

    /// The curves' picture, read back.
    fn drawn(title: &str) -> Pixmap {
        let name = format!("wgrad-png-{}-{}.PNG", std::process::id(), title.len());
        let path = std::env::temp_dir().join(name);
        let runs = [[(1.0, 1.0), (2.0, 0.6), (3.0, 0.5)], [(1.0, 0.8), (2.0, 0.5), (3.0, 0.4)]];
        let list = [Curve::new("training", [(1.0, 0.9), (3.0, 0.2)]), Curve::over_runs("test", runs).unwrap()];
        curves(&path, title, ["epoch", "loss"], &list).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
        let picture = Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((picture.width(), picture.height()), (1520, 980));
        picture
    }

    fn rgb(pixel: &PremultipliedColorU8) -> [u8; 3] {
        assert_eq!(pixel.alpha(), 255);
        [pixel.red(), pixel.green(), pixel.blue()]
    }

    #[test]
    fn a_picture_has_its_title_axes_and_curves() {
        let (picture, untitled) = (drawn("Loss"), drawn(""));
        let dark = |picture: &Pixmap, rows: std::ops::Range<usize>| {
            let pixels = &picture.pixels()[rows.start * 1520..rows.end * 1520];
            pixels.iter().filter(|pixel| rgb(pixel).iter().all(|c| *c < 100)).count()
        };
        // The title's letters lie in the first 80 rows; below are ticks, axes and a legend.
        assert!(dark(&picture, 0..80) > 200);
        assert_eq!(dark(&untitled, 0..40), 0);
        assert!(dark(&picture, 880..980) > 200, "no label below the axis");
        let count = |colour: [u8; 3]| picture.pixels().iter().filter(|pixel| rgb(pixel) == colour).count();
        // Okabe and Ito's first two colours, and the second's band: a fifth of it on white.
        let counts = [[0, 114, 178], [213, 94, 0], [247, 223, 204]].map(count);
        assert!(counts[0] > 1000 && counts[1] > 1000 && counts[2] > 10_000, "{counts:?}");
        assert!(count([255; 3]) > 1520 * 980 / 2);
    }
}
