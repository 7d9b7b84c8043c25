//! The calls to the system on the way to a written file, and the names of files that are not yet whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

const PREFIX: &str = ".wgrad-";
const SUFFIX: &str = ".tmp";

/// What can fail while a file is written. Tests have one that fails.
pub(super) trait Disk {
    type File;

    /// Makes a file where there is none, not even a link.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives it the mode of another, and its owner where that is allowed.
    fn keep(&self, file: &Self::File, like: &Metadata) -> io::Result<()>;

    /// Writes some of the bytes, and returns how many.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when the contents are on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The system's.
pub(super) struct Real;

impl Disk for Real {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn keep(&self, file: &File, like: &Metadata) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            // Only root may give a file away; anyone else's stays the writer's own. Changing it can clear bits of the
            // mode, so that comes after it.
            let _ = fchown(file, Some(like.uid()), Some(like.gid()));
        }
        file.set_permissions(like.permissions())
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere a folder can't be opened.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

/// A random name, short whatever the file's own is.
pub(super) fn temporary_name() -> String {
    format!("{PREFIX}{:016x}{SUFFIX}", RandomState::new().hash_one(0))
}

fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes temporary files that have not been written to for this long. That some can't be looked at or removed is no
/// reason not to write another file.
pub(super) fn sweep(folder: &Path, age: Duration) {
    let is_old = |about: Metadata| {
        let unchanged = about.modified().ok().and_then(|time| time.elapsed().ok());
        about.is_file() && unchanged.is_some_and(|unchanged| unchanged >= age)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_temporary) && entry.metadata().is_ok_and(is_old) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
