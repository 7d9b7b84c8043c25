//! What a picture is written as, by the file's extension.

use std::path::Path;

#[cfg(feature = "png")]
use super::png;
use crate::error::{Error, ErrorKind, Result};

/// What a picture is written as.
pub(super) enum Format {
    Svg,
    #[cfg(feature = "png")]
    Png,
}

impl Format {
    /// The format that a file's extension names.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let advice = match extension.as_str() {
            "svg" => return Ok(Self::Svg),
            #[cfg(feature = "png")]
            "png" => return Ok(Self::Png),
            #[cfg(not(feature = "png"))]
            "png" => "PNG needs wgrad's feature 'png'; turn it on, or give a file that ends in .svg",
            _ => "give a file that ends in .svg or .png",
        };
        Err(Error::input("plot", format!("{} names no format; {advice}", path.display())))
    }

    pub(super) fn write(self, path: &Path, svg: String) -> Result<()> {
        let written = match self {
            Self::Svg => std::fs::write(path, svg),
            #[cfg(feature = "png")]
            Self::Png => std::fs::write(path, png::painted(&svg)?),
        };
        written.map_err(|error| {
            let detail = format!("{} can't be written: {error}; give another path", path.display());
            Error::new(ErrorKind::Io, "plot", detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, curves};
    use crate::error::ErrorKind;

    #[test]
    fn the_extension_chooses_the_format() {
        let draw = |name: &str| {
            let path = std::env::temp_dir().join("no such folder").join(name);
            curves(&path, "title", ["x", "y"], &[Curve::new("one point", [(0.0, 0.0)])]).unwrap_err()
        };
        let known = if cfg!(feature = "png") { &["x.svg", "x.SVG", "x.png", "x.Png"][..] } else { &["x.svg", "x.SVG"] };
        for name in known {
            assert_eq!(draw(name).kind(), ErrorKind::Io, "{name}");
        }
        for name in ["x.jpg", "x", "svg", "x.svg.gz", "x."] {
            let error = draw(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
            assert!(
                error.to_string().ends_with(&format!("{name} names no format; give a file that ends in .svg or .png"))
            );
        }
        if cfg!(not(feature = "png")) {
            assert!(draw("x.png").to_string().contains("feature 'png'"));
        }
    }
}
