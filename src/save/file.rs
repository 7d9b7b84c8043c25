//! safetensors files: the header is read and checked first, then only the requested tensors.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, View};

use super::numbers;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// Bytes of a header at most: some hundred thousand tensors.
const MAX_HEADER: u64 = 1 << 24;

/// What is to be written: tensors, and texts about them.
#[derive(Default)]
pub(crate) struct Contents {
    tensors: Vec<(String, Values)>,
    texts: Vec<(String, String)>,
}

/// A tensor's type, shape and little-endian bytes.
struct Values(Dtype, Vec<usize>, Vec<u8>);

impl View for Values {
    fn dtype(&self) -> Dtype {
        self.0
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.2)
    }

    fn data_len(&self) -> usize {
        self.2.len()
    }
}

impl Contents {
    pub(crate) fn push(&mut self, name: impl Into<String>, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push((name.into(), Values(Dtype::F32, shape.to_vec(), bytes)));
    }

    pub(crate) fn push_f64(&mut self, name: impl Into<String>, shape: &[usize], values: &[f64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push((name.into(), Values(Dtype::F64, shape.to_vec(), bytes)));
    }

    pub(crate) fn push_text(&mut self, name: impl Into<String>, text: impl ToString) {
        self.texts.push((name.into(), text.to_string()));
    }

    /// Writes the file: see [`files::write`].
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        files::write("save", path, &self.bytes()?)
    }

    /// The file's bytes.
    pub(crate) fn bytes(self) -> Result<Vec<u8>> {
        let texts = (!self.texts.is_empty()).then(|| self.texts.into_iter().collect());
        safetensors::serialize(self.tensors, texts).map_err(|error| Error::input("save", error.to_string()))
    }
}

trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// A file opened for reading.
pub(crate) struct Contained<'a> {
    path: PathBuf,
    header: Metadata,
    /// Where the tensors begin.
    start: u64,
    source: RefCell<Box<dyn Source + 'a>>,
}

impl Contained<'static> {
    /// The file at this path.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| files::unreadable("load", path, &error);
        let len = files::readable_len(path).map_err(unreadable)?;
        Self::new(File::open(path).map_err(unreadable)?, len, path)
    }
}

impl<'a> Contained<'a> {
    /// A file's bytes.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        Self::new(Cursor::new(bytes), bytes.len() as u64, Path::new("bytes"))
    }

    /// A source of `len` bytes; errors call it by the path.
    fn new(mut source: impl Source + 'a, len: u64, path: &Path) -> Result<Self> {
        let unreadable = |error| io_error(path, &error);
        let damaged = |detail: &dyn Display| io_error(path, &format!("{detail}; it is damaged or cut short"));
        if len == 0 {
            return Err(io_error(path, &"the file is empty; download or save it again"));
        }
        let mut first = [0; 8];
        let known = first.len().min(len as usize);
        source.read_exact(first.get_mut(..known).unwrap_or_default()).map_err(unreadable)?;
        let header_len = u64::from_le_bytes(first);
        let start = header_len.saturating_add(8);
        // The length of a header begins with the bytes of another format only by chance.
        if (start > len || header_len > MAX_HEADER)
            && let Some(other) = other_format(&first)
        {
            return Err(io_error(path, &other));
        }
        if start > len {
            let detail = "not a safetensors file, or one whose header is cut short";
            return Err(io_error(path, &format!("{detail}: {len} bytes, of which the first are {first:?}")));
        }
        if header_len > MAX_HEADER {
            return Err(damaged(&format!("a header of {header_len} bytes, of {MAX_HEADER} at most")));
        }
        let header = read(&mut source, header_len, path)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(&error))?;
        let (tensors, rest) = (header.data_len() as u64, len - start);
        if tensors != rest {
            return Err(damaged(&format!("{rest} bytes of tensor data, but the header describes {tensors}")));
        }
        Ok(Self { path: path.into(), header, start, source: RefCell::new(Box::new(source)) })
    }

    /// The names of all tensors, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort();
        names
    }

    /// Type and shape of the tensor of this name.
    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(name)
    }

    /// The values of the tensor of this name in single precision.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let (info, bytes) = self.read(name)?;
        numbers::to_f32(info.dtype, &bytes).map_err(|fault| self.error(format!("{name}: {fault}")))
    }

    /// The values of an F64 tensor.
    pub(crate) fn doubles(&self, name: &str) -> Result<Vec<f64>> {
        match self.read(name)? {
            (info, bytes) if info.dtype == Dtype::F64 => Ok(numbers::doubles(&bytes)),
            (info, _) => Err(self.error(format!("{name} is {}, not F64", info.dtype))),
        }
    }

    fn read(&self, name: &str) -> Result<(&TensorInfo, Vec<u8>)> {
        let info = self.tensor(name).ok_or_else(|| self.error(format!("{name} is missing")))?;
        let (start, end) = info.data_offsets;
        let mut source = self.source.borrow_mut();
        source.seek(SeekFrom::Start(self.start + start as u64)).map_err(|error| io_error(&self.path, &error))?;
        Ok((info, read(&mut **source, (end - start) as u64, &self.path)?))
    }

    /// A text about the tensors.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// An error that names the file.
    pub(crate) fn error(&self, detail: impl Display) -> Error {
        Error::input("load", format!("{}: {detail}", self.path.display()))
    }
}

/// The next bytes of a file that is known to have them.
fn read(source: &mut (impl Read + ?Sized), len: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let fits = usize::try_from(len).is_ok_and(|len| bytes.try_reserve_exact(len).is_ok());
    if !fits {
        let detail = format!("{}: no memory for {len} bytes", path.display());
        return Err(Error::new(ErrorKind::OutOfMemory, "load", detail));
    }
    let found = source.take(len).read_to_end(&mut bytes).map_err(|error| io_error(path, &error))?;
    if found as u64 == len { Ok(bytes) } else { Err(io_error(path, &"it became shorter while it was read")) }
}

fn io_error(path: &Path, error: &dyn Display) -> Error {
    Error::new(ErrorKind::Io, "load", format!("{}: {error}", path.display()))
}

/// What people take for a safetensors file, by its first bytes.
fn other_format(first: &[u8]) -> Option<&'static str> {
    let formats: [(&[u8], &str); 9] = [
        (b"version ", "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"),
        (b"PK\x03\x04", "a file of torch.save; in Python, write safetensors.torch.save_file(model.state_dict(), path)"),
        (b"\x80", "a pickle; in Python, write safetensors.torch.save_file(model.state_dict(), path)"),
        (b"\x89HDF", "an HDF5 file (Keras's), not a safetensors file"),
        (b"\x93NUMPY", "a NumPy array; in Python, write safetensors.numpy.save_file({name: array}, path)"),
        (b"GGUF", "a GGUF file (llama.cpp's), not a safetensors file"),
        (b"\x1f\x8b", "compressed with gzip; decompress it (gunzip)"),
        (b"{\"", "JSON, not a safetensors file"),
        (b"<", "a web page or XML, not a safetensors file; download the file itself"),
    ];
    formats.into_iter().find(|(start, _)| first.starts_with(start)).map(|(_, what)| what)
}
