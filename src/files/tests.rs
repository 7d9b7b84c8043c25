//! Every call to the system fails once, in every way that it can.

use std::cell::Cell;
use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk::{Disk, Real, temporary_name};
use super::{ABANDONED, check, write, write_to};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// ENOSPC, EIO, EACCES, as the system numbers them.
    Error(i32),
    /// A signal: EINTR.
    Interrupted,
    /// As [`Fault::Error`], from that call on; only removing works.
    From(i32),
    /// Fewer bytes are written than were given.
    Short,
    /// None is.
    Nothing,
    /// The temporary file's name is taken.
    Taken,
    /// Someone else removes the temporary file.
    Removed,
}

/// The system's, with a fault at one of the calls, counted from 0.
struct Faulty {
    at: usize,
    fault: Fault,
    calls: Cell<usize>,
    /// Bytes to a call at most.
    chunk: usize,
}

impl Faulty {
    fn new(at: usize, fault: Fault, chunk: usize) -> Self {
        Self { at, fault, calls: Cell::new(0), chunk }
    }

    /// The fault, where it is this call's turn.
    fn turn(&self) -> io::Result<Option<Fault>> {
        let call = self.calls.replace(self.calls.get() + 1);
        match self.fault {
            Fault::From(code) if call >= self.at => Err(io::Error::from_raw_os_error(code)),
            Fault::Error(code) if call == self.at => Err(io::Error::from_raw_os_error(code)),
            Fault::Interrupted if call == self.at => Err(io::ErrorKind::Interrupted.into()),
            fault => Ok((call == self.at).then_some(fault)),
        }
    }
}

impl Disk for Faulty {
    type File = (File, PathBuf);

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        if self.turn()? == Some(Fault::Taken) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok((Real.create(path)?, path.into()))
    }

    fn keep(&self, file: &Self::File, like: &Metadata) -> io::Result<()> {
        self.turn()?;
        Real.keep(&file.0, like)
    }

    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(self.chunk);
        match self.turn()? {
            Some(Fault::Short) => Real.write(&mut file.0, &bytes[..most.div_ceil(3)]),
            Some(Fault::Nothing) => Ok(0),
            _ => Real.write(&mut file.0, &bytes[..most]),
        }
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        if self.turn()? == Some(Fault::Removed) {
            fs::remove_file(&file.1)?;
        }
        Real.sync(&file.0)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.turn()?;
        Real.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // It fails only where nothing else did.
        if !matches!(self.fault, Fault::From(_)) {
            self.turn()?;
        }
        Real.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.turn()?;
        Real.sync_folder(folder)
    }
}

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wgrad-files-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    folder
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn whatever_fails_the_file_is_the_old_or_the_new_one_and_there_is_no_litter() {
    // As Linux, macOS and Windows number some errors: no space, input or output, access.
    let [no_space, io, access] = if cfg!(unix) { [28, 5, 13] } else { [112, 1117, 5] };
    let faults = [no_space, io, access].into_iter().flat_map(|code| [Fault::Error(code), Fault::From(code)]);
    let harmless = [Fault::Interrupted, Fault::Short, Fault::Taken, Fault::Removed];
    let new: Vec<u8> = (0..1000).map(|i| (i % 251) as u8).collect();
    let folder = folder("faults");
    let path = folder.join("file");
    for fault in faults.chain(harmless).chain([Fault::Nothing]) {
        for old in [None, Some(&b"the old contents"[..])] {
            let mut failures = 0;
            for at in 0.. {
                let _ = fs::remove_file(&path);
                if let Some(old) = old {
                    fs::write(&path, old).unwrap();
                }
                let disk = Faulty::new(at, fault, 300);
                let result = write_to(&disk, &path, &new);
                let found = fs::read(&path).ok();
                let case = format!("{fault:?} at call {at}, {} bytes before: {result:?}", old.map_or(0, <[u8]>::len));
                match result {
                    Ok(()) => assert_eq!(found.as_deref(), Some(&new[..]), "{case}"),
                    Err(_) => assert_eq!(found.as_deref(), old, "{case}"),
                }
                failures += usize::from(result.is_err());
                assert_eq!(count(&folder), usize::from(found.is_some()), "{case}: litter");
                assert!(result.is_ok() || !harmless.contains(&fault), "{case}");
                if disk.calls.get() <= at {
                    // Create, four writes, sync, rename, sync of the folder; with an old file, its mode.
                    assert!(at >= 8 + usize::from(old.is_some()), "{case}");
                    break;
                }
            }
            let expected = match fault {
                Fault::Nothing => 4,
                _ if harmless.contains(&fault) => 0,
                // All but the folder's.
                _ => 7 + usize::from(old.is_some()),
            };
            assert_eq!(failures, expected, "{fault:?}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn taken_names_and_removed_files_are_not_tried_for_ever() {
    struct Always(Fault);
    impl Disk for Always {
        type File = (File, PathBuf);
        fn create(&self, path: &Path) -> io::Result<Self::File> {
            Faulty::new(0, self.0, 1).create(path)
        }
        fn keep(&self, _: &Self::File, _: &Metadata) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize> {
            Real.write(&mut file.0, bytes)
        }
        fn sync(&self, file: &Self::File) -> io::Result<()> {
            Faulty::new(0, self.0, 1).sync(file)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            Real.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            Real.remove(path)
        }
        fn sync_folder(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = folder("for-ever");
    for (fault, kind) in [(Fault::Taken, io::ErrorKind::AlreadyExists), (Fault::Removed, io::ErrorKind::NotFound)] {
        let error = write_to(&Always(fault), &folder.join("file"), b"new").unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(count(&folder), 0);
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_killed_processes_left_goes_and_nothing_else() {
    let folder = folder("abandoned");
    let age = |name: &str, age: Duration| {
        let file = File::create(folder.join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(SystemTime::now() - age)).unwrap();
    };
    let [old, young] = [temporary_name(), temporary_name()];
    age(&old, 2 * ABANDONED);
    age(&young, ABANDONED / 2);
    let others = [".wgrad-mine.tmp", ".wgrad-0123456789abcdeg.tmp", "wgrad-0123456789abcdef.tmp", ".other.tmp"];
    others.iter().for_each(|name| age(name, 2 * ABANDONED));
    write("test", &folder.join("file"), b"new").unwrap();
    assert!(!folder.join(old).exists());
    assert!(folder.join(young).exists());
    assert!(others.iter().all(|name| folder.join(name).exists()));
    assert_eq!(count(&folder), 2 + others.len());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_check_leaves_nothing_and_changes_nothing() {
    let folder = folder("check");
    let path = folder.join("file");
    check("test", &path).unwrap();
    assert_eq!(count(&folder), 0);
    fs::write(&path, "old").unwrap();
    check("test", &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(count(&folder), 1);
    for path in [folder.clone(), folder.join("none").join("file"), path.join("file"), PathBuf::new()] {
        check("test", &path).unwrap_err();
    }
    fs::remove_dir_all(folder).unwrap();
}
