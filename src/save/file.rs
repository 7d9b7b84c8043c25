//! safetensors files: read whole, written at once or not at all.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};

use crate::error::{Error, ErrorKind, Result};

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

    /// Writes a file beside `path`, which then takes the place of what was there: whatever happens meanwhile, `path`
    /// holds the old contents or the new.
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        let texts = (!self.texts.is_empty()).then(|| self.texts.into_iter().collect());
        let bytes = safetensors::serialize(self.tensors, texts)
            .map_err(|error| Error::input("save", format!("{}: {error}", path.display())))?;
        let temporary = temporary(path)?;
        let written = replace(path, &temporary, &bytes);
        written.map_err(|error| {
            // What could not be written is of no use, and there may be nothing to remove.
            let _ = fs::remove_file(&temporary);
            io_error("save", path, &error)
        })
    }
}

/// One name for each file, so that what a killed process leaves behind is overwritten the next time.
fn temporary(path: &Path) -> Result<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| io_error("save", path, &"not the name of a file"))?);
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    // On the disk before it gets the name, or a power failure could leave the name with nothing behind it.
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // The folder holds the name. Some file systems can't sync one, and the file itself is safe by now.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn io_error(operation: &str, path: &Path, error: &dyn Display) -> Error {
    Error::new(ErrorKind::Io, operation, format!("{}: {error}", path.display()))
}

/// A file's bytes, in memory.
pub(crate) struct Bytes(Vec<u8>);

/// A file that was read.
pub(crate) struct Contained<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    texts: Vec<(String, String)>,
}

impl Bytes {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        fs::read(path).map(Self).map_err(|error| io_error("load", path, &error))
    }

    pub(crate) fn parse(&self, path: &Path) -> Result<Contained<'_>> {
        Contained::parse(&self.0, path)
    }
}

impl<'a> Contained<'a> {
    /// What the bytes hold; errors call them by the path.
    pub(crate) fn parse(bytes: &'a [u8], path: &Path) -> Result<Self> {
        let damaged =
            |error| io_error("load", path, &format!("{error}; it is damaged, cut short, or no safetensors file"));
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let texts = header.metadata().iter().flatten().map(|(name, text)| (name.clone(), text.clone())).collect();
        Ok(Self { path: path.into(), tensors, texts })
    }

    /// The names of all tensors, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.names().into_iter().map(str::to_string).collect();
        names.sort();
        names
    }

    /// The tensor of this name.
    pub(crate) fn tensor(&self, name: &str) -> Option<TensorView<'a>> {
        self.tensors.tensor(name).ok()
    }

    /// A text about the tensors.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// An error that names the file.
    pub(crate) fn error(&self, detail: impl Display) -> Error {
        Error::input("load", format!("{}: {detail}", self.path.display()))
    }
}

/// The values of an F32 tensor.
pub(crate) fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    tensor.data().chunks_exact(4).filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes)).collect()
}

/// The values of an F64 tensor.
pub(crate) fn doubles(tensor: &TensorView<'_>) -> Vec<f64> {
    tensor.data().chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(f64::from_le_bytes)).collect()
}
