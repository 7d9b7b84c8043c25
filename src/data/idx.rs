//! IDX files, the format of MNIST.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

/// Images and their labels from two files of MNIST's format (IDX): each image becomes a row of inputs, its label the
/// target, a class number.
///
/// Unsigned bytes of images are divided by 255, as by torchvision's `ToTensor`; all other numbers stay what they are.
/// Files packed by gzip are read with the feature `gz`.
///
/// ```no_run
/// use wgrad::data::idx;
///
/// let train = idx("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")?;
/// assert_eq!((train.len(), train.input_cols(), train.target_cols()), (60_000, 28 * 28, 1));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Files that can't be read, are no IDX files or end early; labels that are no single numbers; other numbers of images
/// than of labels.
pub fn idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Dataset> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let (mut inputs, targets) = (read(images)?, read(labels)?);
    if targets.dimensions.len() != 1 {
        let detail = format!(
            "{} has {} dimensions, labels have 1; are the two files swapped?",
            labels.display(),
            targets.dimensions.len()
        );
        return Err(Error::shape("idx", detail));
    }
    if inputs.of_bytes {
        inputs.values.iter_mut().for_each(|value| *value /= 255.0);
    }
    let cols = inputs.dimensions[1..].iter().product();
    Dataset::new(inputs.values, cols, targets.values, 1)
}

struct Array {
    dimensions: Vec<usize>,
    values: Vec<f32>,
    of_bytes: bool,
}

fn read(path: &Path) -> Result<Array> {
    let io = |error: std::io::Error| {
        let detail = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => format!("{} ends early; get it anew", path.display()),
            _ => format!("{} can't be read: {error}", path.display()),
        };
        Error::new(ErrorKind::Io, "idx", detail)
    };
    let fail = |detail: String| Error::input("idx", format!("{} {detail}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut start = [0; 2];
    file.read_exact(&mut start).map_err(io)?;
    let file = std::io::Cursor::new(start).chain(file);
    let mut file = if start == [0x1f, 0x8b] { unpacked(file, path)? } else { Box::new(file) };

    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(io)?;
    let [0, 0, kind, rank @ (1..)] = magic else {
        return Err(fail(format!("begins with {magic:02x?}, which no IDX file does")));
    };
    let (bytes, decode): (usize, fn(&[u8]) -> f32) = match kind {
        0x08 => (1, |b| f32::from(b[0])),
        0x09 => (1, |b| f32::from(b[0] as i8)),
        0x0b => (2, |b| f32::from(i16::from_be_bytes([b[0], b[1]]))),
        0x0c => (4, |b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]) as f32),
        0x0d => (4, |b| f32::from_be_bytes([b[0], b[1], b[2], b[3]])),
        0x0e => (8, |b| f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32),
        other => return Err(fail(format!("holds numbers of the type {other:#04x}, which IDX does not have"))),
    };
    let mut dimensions = Vec::new();
    for _ in 0..rank {
        let mut size = [0; 4];
        file.read_exact(&mut size).map_err(io)?;
        dimensions.push(u32::from_be_bytes(size) as usize);
    }
    let expected = dimensions.iter().try_fold(bytes, |all, size| all.checked_mul(*size));
    let Some(expected) = expected else {
        return Err(fail(format!("has the dimensions {dimensions:?}, which no memory holds")));
    };
    // Grows with what is there, whatever the header promises; a byte more shows that there is too much.
    let mut data = Vec::new();
    file.take(expected as u64 + 1).read_to_end(&mut data).map_err(io)?;
    if data.len() != expected {
        let found = if data.len() < expected { "ends early" } else { "goes on behind its last value" };
        return Err(fail(format!("{found}: its dimensions are {dimensions:?}; get it anew")));
    }
    Ok(Array { dimensions, values: data.chunks_exact(bytes).map(decode).collect(), of_bytes: kind == 0x08 })
}

#[cfg(feature = "gz")]
fn unpacked(file: impl Read + 'static, _: &Path) -> Result<Box<dyn Read>> {
    Ok(Box::new(flate2::read::MultiGzDecoder::new(file)))
}

#[cfg(not(feature = "gz"))]
fn unpacked(_: impl Read + 'static, path: &Path) -> Result<Box<dyn Read>> {
    Err(Error::input("idx", format!("{} is packed by gzip; unpack it, or use wgrad's feature gz", path.display())))
}
