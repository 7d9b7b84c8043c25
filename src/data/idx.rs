//! IDX files, the format of MNIST.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind as IoKind, Read};
use std::path::Path;

use super::{Dataset, rows};
use crate::device::MAX_ELEMENTS;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// Images and their labels from two files of MNIST's format (IDX): each image becomes a row of inputs, its label the
/// target, a class number.
///
/// Unsigned bytes of images are divided by 255, as by torchvision's `ToTensor`; all other numbers stay what they are.
/// Labels are `[n]` or `[n, 1]`; of QMNIST's `[n, 8]` the first column is taken, which is the label. Files packed by gzip
/// are read with the feature `gz`.
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
/// Files that can't be read, are not IDX files, are truncated or do not fit in memory; packed files of over 256 MiB that
/// are a hundred times smaller than what they unpack to, as no images are; labels of another shape; other numbers of
/// images than of labels.
pub fn idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Dataset> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let (mut inputs, targets) = (read(images)?, read(labels)?.labels(labels)?);
    if inputs.kind == UNSIGNED_BYTE {
        inputs.values.iter_mut().for_each(|value| *value /= 255.0);
    }
    let count = inputs.dimensions[0];
    let cols = inputs.values.len() / count;
    if count != targets.len() {
        let detail = format!(
            "{count} images in {} and {} labels in {}; give a label for each image",
            images.display(),
            targets.len(),
            labels.display()
        );
        return Err(Error::shape("idx", detail));
    }
    rows("idx", "images", &inputs.values, cols)?;
    rows("idx", "labels", &targets, 1)?;
    Dataset::new(inputs.values, cols, targets, 1)
}

const UNSIGNED_BYTE: u8 = 0x08;
const INT: u8 = 0x0c;

/// Values of an IDX file, of which there is at least one.
struct Array {
    kind: u8,
    dimensions: Vec<usize>,
    values: Vec<f32>,
}

impl Array {
    fn labels(self, path: &Path) -> Result<Vec<f32>> {
        match (&self.dimensions[..], self.kind) {
            ([_] | [_, 1], _) => Ok(self.values),
            ([_, 8], INT) => Ok(self.values.into_iter().step_by(8).collect()),
            (dimensions, _) => {
                let detail = format!(
                    "{} is {dimensions:?}, but labels are [n], [n, 1], or [n, 8] of 32-bit integers; are the two files swapped?",
                    path.display()
                );
                Err(Error::shape("idx", detail))
            }
        }
    }
}

/// A packed file that unpacks to more bytes than this...
const LARGE: usize = 1 << 28;
/// ... and to more than this many times its own is not read: it could exhaust memory (a decompression bomb).
const RATIO: u64 = 100;

fn read(path: &Path) -> Result<Array> {
    let io = |error: std::io::Error| match error.kind() {
        IoKind::UnexpectedEof => {
            Error::new(ErrorKind::Io, "idx", format!("{} is truncated; download it again", path.display()))
        }
        _ => files::unreadable("idx", path, &error),
    };
    let fail = |detail: String| Error::input("idx", format!("{} {detail}", path.display()));
    let file = File::open(path).map_err(io)?;
    // Of a pipe nobody knows the length.
    let len = file.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let mut file = BufReader::new(file);
    let is_packed = file.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    let mut file: Box<dyn Read> = if is_packed { unpacked(file, path)? } else { Box::new(file) };

    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(io)?;
    let [0, 0, kind, rank @ (1..)] = magic else {
        return Err(fail(format!(
            "begins with {magic:02x?}, which no IDX file does; give the files as they were downloaded"
        )));
    };
    let (bytes, decode): (usize, fn(&[u8]) -> f32) = match kind {
        UNSIGNED_BYTE => (1, |b| f32::from(b[0])),
        0x09 => (1, |b| f32::from(b[0] as i8)),
        0x0b => (2, |b| f32::from(i16::from_be_bytes([b[0], b[1]]))),
        INT => (4, |b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]) as f32),
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
    if dimensions.contains(&0) {
        return Err(fail(format!(
            "has the dimensions {dimensions:?}, so there is nothing in it; give at least one row"
        )));
    }
    let count = dimensions.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
    let Some(count) = count.filter(|count| *count <= MAX_ELEMENTS) else {
        let detail = format!("has the dimensions {dimensions:?}; a dataset holds at most {MAX_ELEMENTS} values");
        return Err(fail(detail));
    };
    // What the file can't hold is refused before there is memory for it.
    let expected = count * bytes;
    let truncated = || fail(format!("is truncated: its dimensions are {dimensions:?}; download it again"));
    if let Some(len) = len {
        /// No packed byte gives more.
        const MOST: u64 = 1032;
        let most = if is_packed { len.saturating_mul(MOST) } else { len };
        if expected as u64 > most {
            return Err(truncated());
        }
        if is_packed && expected > LARGE && expected as u64 / len > RATIO {
            return Err(fail(format!(
                "has {len} bytes and decompresses to {expected}, which looks like a trap; if it is none, decompress it \
                 (gunzip)"
            )));
        }
    }
    let no_memory = |_| {
        let detail = format!("{} has {count} values, which do not fit in memory; give fewer images", path.display());
        Error::new(ErrorKind::OutOfMemory, "idx", detail)
    };
    let mut values: Vec<f32> = Vec::new();
    if len.is_some() {
        values.try_reserve_exact(count).map_err(no_memory)?;
    }
    let mut buffer = vec![0; 1 << 16];
    while values.len() < count {
        let wanted = (buffer.len() / bytes).min(count - values.len());
        let part = &mut buffer[..wanted * bytes];
        file.read_exact(part)
            .map_err(|error| if error.kind() == IoKind::UnexpectedEof { truncated() } else { io(error) })?;
        values.try_reserve(wanted).map_err(no_memory)?;
        values.extend(part.chunks_exact(bytes).map(decode));
    }
    // Also has the checksum of a packed file compared.
    if file.read(&mut buffer[..1]).map_err(io)? > 0 {
        return Err(fail(format!(
            "continues past its last value: its dimensions are {dimensions:?}; download it again"
        )));
    }
    Ok(Array { kind, dimensions, values })
}

#[cfg(feature = "gz")]
fn unpacked(file: BufReader<File>, _: &Path) -> Result<Box<dyn Read>> {
    Ok(Box::new(Members(Some(flate2::bufread::GzDecoder::new(file)))))
}

#[cfg(not(feature = "gz"))]
fn unpacked(_: BufReader<File>, path: &Path) -> Result<Box<dyn Read>> {
    Err(Error::input(
        "idx",
        format!("{} is compressed by gzip; decompress it, or use wgrad's feature gz", path.display()),
    ))
}

/// The members of a gzip file, one after the other, with zeros between and behind them as tapes and blocks leave them.
#[cfg(feature = "gz")]
struct Members<R>(Option<flate2::bufread::GzDecoder<R>>);

#[cfg(feature = "gz")]
impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(mut member) = self.0.take() {
            let count = member.read(buffer)?;
            if count > 0 {
                self.0 = Some(member);
                return Ok(count);
            }
            let mut rest = member.into_inner();
            loop {
                let next = rest.fill_buf()?;
                let zeros = next.iter().take_while(|byte| **byte == 0).count();
                if zeros == 0 {
                    break;
                }
                rest.consume(zeros);
            }
            match rest.fill_buf()?.first() {
                None => {}
                Some(0x1f) => self.0 = Some(flate2::bufread::GzDecoder::new(rest)),
                Some(_) => {
                    let detail = "what follows its compressed data is not gzip; download it again";
                    return Err(std::io::Error::new(IoKind::InvalidData, detail));
                }
            }
        }
        Ok(0)
    }
}
