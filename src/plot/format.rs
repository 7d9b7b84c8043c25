//! The format of a plot, by the file's extension.

use std::path::Path;

#[cfg(feature = "png")]
use super::png;
use crate::error::{Error, Result};
use crate::files;

/// Checks that a plot can be written there: the file's extension names a format, and its folder is writable. Call it
/// before a training run whose plot would otherwise be lost.
///
/// ```
/// use wgrad::plot::check_path;
///
/// # let folder = std::env::temp_dir();
/// check_path(folder.join("loss.svg"))?;
/// assert!(check_path(folder.join("loss.jpg")).is_err());
/// assert!(check_path(folder.join("no such folder/loss.svg")).is_err());
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// What the plotting functions would refuse later: a file of another format, or one that can't be written.
pub fn check_path(path: impl AsRef<Path>) -> Result<()> {
    Format::of(path.as_ref())?;
    files::check("plot", path.as_ref())
}

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
        match self {
            Self::Svg => files::write("plot", path, svg.as_bytes()),
            #[cfg(feature = "png")]
            Self::Png => files::write("plot", path, &png::painted(&svg)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Curve, check_path, curves};
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
            check_path(std::env::temp_dir().join(name)).unwrap();
        }
        for name in ["x.jpg", "x", "svg", "x.svg.gz", "x."] {
            let error = draw(name);
            assert_eq!(check_path(std::env::temp_dir().join(name)).unwrap_err().kind(), ErrorKind::InvalidInput);
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
