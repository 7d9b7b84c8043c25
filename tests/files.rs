//! Files as wgrad writes them: the old one or the new one at every moment, whatever stands at the path, and no litter.
//! Every file goes through the same function; models and pictures are tried here.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use wgrad::data::{Labels, Standardize, disk};
use wgrad::nn::{Linear, Parameters, Sequential};
use wgrad::plot::{Curve, curves};
use wgrad::{Device, ErrorKind, Result};

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn parameters(seed: u64) -> Parameters {
    let model = Sequential::new().add(Linear::new(64, 64)).add(Linear::new(64, 1));
    Parameters::new(&Device::cpu(), &model, seed).unwrap()
}

/// What writes a file: its ending, and the call.
type Writer = (&'static str, Box<dyn Fn(&Path) -> Result<()>>);

fn writers() -> Vec<Writer> {
    let parameters = parameters(1);
    let draw = |path: &Path| curves(path, "title", ["x", "y"], &[Curve::new("line", [(0.0, 0.0), (1.0, 1.0)])]);
    let scale = Standardize::fit(&disk(9, 0, Labels::PlusMinusOne).unwrap());
    vec![
        ("safetensors", Box::new(move |path: &Path| parameters.save(path))),
        ("svg", Box::new(draw)),
        ("txt", Box::new(move |path: &Path| scale.save(path))),
    ]
}

#[test]
fn a_name_of_as_many_bytes_as_a_folder_takes_can_be_written() {
    let folder = folder("long-names");
    for (ending, write) in writers() {
        for len in [100, 250, 251, 254, 255] {
            let name = format!("{}.{ending}", "n".repeat(len - ending.len() - 1));
            write(&folder.join(&name)).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
            assert_eq!(names(&folder), BTreeSet::from([name.clone()]));
            fs::remove_file(folder.join(&name)).unwrap();
        }
        let error = write(&folder.join(format!("{}.{ending}", "n".repeat(255)))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(names(&folder).is_empty());
    }
}

#[test]
fn a_path_that_names_no_file_is_refused() {
    let folder = folder("no-file");
    fs::create_dir(folder.join("taken.svg")).unwrap();
    fs::create_dir(folder.join("taken.safetensors")).unwrap();
    fs::create_dir(folder.join("taken.txt")).unwrap();
    for (ending, write) in writers() {
        let taken = format!("taken.{ending}");
        let path = folder.join(&taken);
        for (path, part) in [
            (path.clone(), "folder"),
            (folder.join(format!("new.{ending}/")), "folder"),
            (folder.join(format!("nowhere/new.{ending}")), "no folder"),
            (format!("s3://bucket/new.{ending}").into(), "web address"),
            (format!("~/new.{ending}").into(), "only a shell replaces ~"),
        ] {
            let error = write(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert!(error.to_string().contains(part) && error.to_string().contains(ending), "{error}");
        }
        assert!(path.is_dir());
    }
    assert_eq!(names(&folder).len(), 3, "{:?}", names(&folder));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A fifo, and where one may be made, a device that takes everything.
    fn special(folder: &Path, ending: &str) -> Vec<PathBuf> {
        let made = |name: &str, program: &str, arguments: &[&str]| {
            let path = folder.join(format!("{name}.{ending}"));
            let mut command = Command::new(program);
            let status = command.arg(&path).args(arguments).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success()).then_some(path)
        };
        let fifo = made("fifo", "mkfifo", &[]).expect("mkfifo makes one");
        [Some(fifo), made("device", "mknod", &["c", "1", "3"])].into_iter().flatten().collect()
    }

    #[test]
    fn what_is_no_regular_file_stays_what_it_is() {
        let folder = folder("special");
        for (ending, write) in writers() {
            for path in special(&folder, ending) {
                let link = path.with_extension(format!("link.{ending}"));
                symlink(&path, &link).unwrap();
                let before = fs::symlink_metadata(&path).unwrap();
                for path in [&path, &link] {
                    let error = write(path).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Io);
                    assert!(error.to_string().contains("not a regular file"), "{error}");
                }
                let after = fs::symlink_metadata(&path).unwrap();
                assert!(after.file_type().is_fifo() || after.file_type().is_char_device());
                assert_eq!((after.ino(), after.rdev()), (before.ino(), before.rdev()));
                assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            }
            // Two special files at most, and their links.
            assert!(names(&folder).iter().all(|name| name.starts_with("fifo") || name.starts_with("device")));
        }
        let loaded = Sequential::load(folder.join("fifo.safetensors")).unwrap_err();
        assert!(loaded.to_string().contains("not a regular file"), "{loaded}");
    }

    #[test]
    fn a_symbolic_link_is_followed_and_stays() {
        for (ending, write) in writers() {
            let folder = folder(&format!("links-{ending}"));
            fs::create_dir(folder.join("elsewhere")).unwrap();
            let target = folder.join("elsewhere").join(format!("target.{ending}"));
            let [link, second] = ["link", "second"].map(|name| folder.join(format!("{name}.{ending}")));
            symlink(Path::new("elsewhere").join(format!("target.{ending}")), &link).unwrap();
            symlink(&link, &second).unwrap();
            // At first the target does not exist.
            for path in [&link, &second, &link] {
                write(path).unwrap();
                assert!(fs::symlink_metadata(&target).unwrap().is_file());
                assert!(fs::metadata(&target).unwrap().len() > 20);
                for link in [&link, &second] {
                    assert!(fs::symlink_metadata(link).unwrap().is_symlink());
                }
                fs::write(&target, "old").unwrap();
            }
            assert_eq!(names(&folder.join("elsewhere")).len(), 1);
            assert_eq!(names(&folder).len(), 3);

            let [here, there] = ["here", "there"].map(|name| folder.join(format!("{name}.{ending}")));
            symlink(&here, &there).unwrap();
            symlink(&there, &here).unwrap();
            assert_eq!(write(&here).unwrap_err().kind(), ErrorKind::Io);
        }
    }

    #[test]
    fn the_mode_of_a_file_is_kept() {
        let folder = folder("modes");
        for (ending, write) in writers() {
            let path = folder.join(format!("file.{ending}"));
            fs::write(folder.join("new"), "").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            write(&path).unwrap();
            assert_eq!(mode(&path), mode(&folder.join("new")), "a new file has the usual mode");
            for wanted in [0o600, 0o640, 0o666, 0o755] {
                fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
                write(&path).unwrap();
                assert_eq!(format!("{:o}", mode(&path)), format!("{wanted:o}"));
            }
        }
    }
}

/// Tells the processes of the test below what they are to write.
const TARGET: &str = "WGRAD_TEST_TARGET";

#[test]
fn writers_at_once_show_whole_files_and_do_not_fail_each_other() {
    if let Some(path) = std::env::var_os(TARGET) {
        write_from_two_threads(Path::new(&path));
        return;
    }
    let folder = folder("at-once");
    let path = folder.join("model.safetensors");
    parameters(0).save(&path).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !ended.load(Ordering::Relaxed) {
                Sequential::load(&path).unwrap_or_else(|error| panic!("read {reads}: {error}"));
                reads += 1;
            }
            reads
        });
        let writer = || {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "writers_at_once_show_whole_files_and_do_not_fail_each_other", "--nocapture"]);
            command.env(TARGET, &path).stdout(Stdio::null()).spawn().unwrap()
        };
        let mut writers = [writer(), writer()];
        write_from_two_threads(&path);
        let statuses = writers.each_mut().map(|writer| writer.wait().unwrap());
        ended.store(true, Ordering::Relaxed);
        let reads = reader.join().unwrap();
        assert!(statuses.iter().all(|status| status.success()), "{statuses:?}");
        assert!(reads > 50, "{reads} reads say little");
    });
    assert_eq!(names(&folder), BTreeSet::from(["model.safetensors".to_string()]));
}

fn write_from_two_threads(path: &Path) {
    std::thread::scope(|scope| {
        for seed in 0..2 {
            scope.spawn(move || {
                let parameters = parameters(seed);
                for i in 0..150 {
                    parameters.save(path).unwrap_or_else(|error| panic!("save {i}: {error}"));
                }
            });
        }
    });
}
