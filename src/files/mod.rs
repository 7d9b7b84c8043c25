//! How wgrad writes files, be they models, checkpoints or plots: atomically. At every moment the path holds either the
//! old contents or the new, even with other writers and after interruptions.
//!
//! The bytes go to a new file in the same folder, onto the disk, and then take the name. Only a regular file is
//! replaced; a symbolic link is followed, a file's mode and owner are kept.

mod disk;
#[cfg(test)]
mod tests;

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind as Io};
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use disk::{Disk, Real, temporary_name};

/// Links from link to link that are followed; as many as Linux follows.
const MAX_LINKS: usize = 40;

/// A file of another writer that has not grown for so long was left behind by a process that was killed. A writer that
/// only slept so long writes its file again.
const ABANDONED: Duration = Duration::from_secs(600);

/// Names that are tried for a temporary file, and times that a file is written that someone took away.
const ATTEMPTS: usize = 100;

/// Writes a file: afterwards it holds these bytes, or what it held before if this is an error. The operation is the
/// error's prefix.
pub(crate) fn write(operation: &str, path: &Path, bytes: &[u8]) -> Result<()> {
    write_to(&Real, path, bytes).map_err(|error| unwritable(operation, path, &error))
}

/// Whether [`write`] would find a regular file or none at the path, and a folder that takes new files.
#[cfg(any(feature = "plot", feature = "safetensors", test))]
pub(crate) fn check(operation: &str, path: &Path) -> Result<()> {
    let try_out = || {
        let (path, _) = destination(path)?;
        let (temporary, file) = create(&Real, &path)?;
        drop(file);
        Real.remove(&temporary)
    };
    try_out().map_err(|error| unwritable(operation, path, &error))
}

/// The size of the regular file at the path, before it is opened: a fifo would block, and some devices never end.
#[cfg(any(feature = "export", feature = "safetensors"))]
pub(crate) fn readable_len(path: &Path) -> io::Result<u64> {
    let about = fs::metadata(path)?;
    if about.is_file() { Ok(about.len()) } else { Err(irregular(&about)) }
}

fn unwritable(operation: &str, path: &Path, error: &io::Error) -> Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    let reason = match (misunderstood(path), folder) {
        (Some(reason), _) => reason.into(),
        (None, Some(folder)) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {
            format!("there is no folder {}; create it first", folder.display())
        }
        _ => error.to_string(),
    };
    Error::new(ErrorKind::Io, operation, format!("{} can't be written: {reason}", path.display()))
}

/// The error of a file that can't be read.
pub(crate) fn unreadable(operation: &str, path: &Path, error: &io::Error) -> Error {
    let reason = match (misunderstood(path), std::env::current_dir()) {
        (Some(reason), _) => reason.into(),
        _ if path.is_dir() => "it is a folder; give the path of a file".into(),
        (None, Ok(folder)) if error.kind() == Io::NotFound && path.is_relative() => {
            format!("{error}; the program runs in {}", folder.display())
        }
        _ => error.to_string(),
    };
    Error::new(ErrorKind::Io, operation, format!("{} can't be read: {reason}", path.display()))
}

/// What is wrong with a path that others would understand.
fn misunderstood(path: &Path) -> Option<&'static str> {
    let text = path.to_string_lossy();
    if text.is_empty() {
        Some("the path is empty")
    } else if text.contains("://") {
        Some("it is a web address; give the path of a file")
    } else if text.starts_with("~/") {
        Some("only a shell replaces ~; give the whole path")
    } else {
        None
    }
}

fn irregular(about: &Metadata) -> io::Error {
    let what = if about.is_dir() { "a folder" } else { "a device, pipe or socket" };
    io::Error::new(Io::InvalidInput, format!("it is {what}, not a regular file; give the path of a file"))
}

fn write_to(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, existing) = destination(path)?;
    disk::sweep(folder_of(&path), ABANDONED);
    let mut attempts = 0;
    loop {
        let (temporary, file) = create(disk, &path)?;
        let written =
            fill(disk, file, existing.as_ref(), bytes).and_then(|()| retried(|| disk.rename(&temporary, &path)));
        let Err(error) = written else { break };
        // Another process considered it abandoned and removed it.
        let taken = error.kind() == Io::NotFound && fs::symlink_metadata(&temporary).is_err();
        attempts += 1;
        if taken && attempts < ATTEMPTS && folder_of(&path).is_dir() {
            continue;
        }
        // There may be nothing to remove, and the first error says more than the second.
        let _ = retried(|| disk.remove(&temporary));
        return Err(error);
    }
    // The folder holds the name. Some file systems can't sync one, and the file itself is safe by now.
    let _ = disk.sync_folder(folder_of(&path));
    Ok(())
}

/// The regular file that the path leads to, or that would be made there.
fn destination(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    if path.as_os_str().as_encoded_bytes().last().is_some_and(|last| path::is_separator(char::from(*last))) {
        return Err(io::Error::new(Io::InvalidInput, "it is the path of a folder; give the path of a file"));
    }
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::metadata(&path) {
            Ok(about) if !about.is_file() => return Err(irregular(&about)),
            Ok(about) => {
                let is_link = fs::symlink_metadata(&path)?.is_symlink();
                return Ok((if is_link { fs::canonicalize(&path)? } else { path }, Some(about)));
            }
            Err(error) if error.kind() != Io::NotFound => return Err(error),
            Err(_) => {}
        }
        match fs::read_link(&path) {
            // A link to a file that is yet to be made.
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) if path.file_name().is_some() => return Ok((path, None)),
            Err(_) => return Err(io::Error::new(Io::InvalidInput, "it is not the name of a file")),
        }
    }
    Err(io::Error::new(Io::InvalidInput, "too many symbolic links"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file next to the path, under a name that nobody else has.
fn create<D: Disk>(disk: &D, path: &Path) -> io::Result<(PathBuf, D::File)> {
    let mut attempts = 0;
    loop {
        let temporary = folder_of(path).join(temporary_name());
        match retried(|| disk.create(&temporary)) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == Io::AlreadyExists && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

fn fill<D: Disk>(disk: &D, mut file: D::File, like: Option<&Metadata>, mut bytes: &[u8]) -> io::Result<()> {
    if let Some(like) = like {
        // First of all, so that nobody reads what the old file would not have shown.
        retried(|| disk.keep(&file, like))?;
    }
    while !bytes.is_empty() {
        match retried(|| disk.write(&mut file, bytes))? {
            0 => return Err(Io::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    // On the disk before it gets the name, or a power failure could leave the name with nothing behind it.
    retried(|| disk.sync(&file))
}

/// Does it again while a signal interrupts it.
fn retried<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == Io::Interrupted => {}
            result => return result,
        }
    }
}
