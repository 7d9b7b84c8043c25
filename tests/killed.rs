//! A process that is killed at any moment while it trains and writes its files leaves old files or new ones, never a broken one,
//! and no litter; and what goes on from them is the training that was never interrupted, to the bit. As many kills as
//! `WGRAD_CASES` says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{assert_same_bits, assert_same_training, rng};
use rand::RngExt;
use wgrad::data::{Dataset, Labels, Table, disk};
use wgrad::nn::{Dropout, Linear, Mse, Parameters, Sequential, Tanh};
use wgrad::optim::Adam;
use wgrad::plot::curves;
use wgrad::{Device, Fit, Trainer};

/// Tells the processes of the test below where they are to write.
const FOLDER: &str = "WGRAD_TEST_KILLED";
const FILES: [&str; 4] = ["checkpoint.safetensors", "history.csv", "model.safetensors", "picture.svg"];

fn kills() -> usize {
    std::env::var("WGRAD_CASES").map_or(10, |cases| cases.parse().unwrap())
}

/// More than are trained in the time that the kills take.
fn epochs() -> usize {
    50 + 10 * kills()
}

fn data() -> (Dataset, Dataset) {
    (disk(60, 0, Labels::PlusMinusOne).unwrap(), disk(40, 1, Labels::PlusMinusOne).unwrap())
}

fn model() -> Sequential {
    Sequential::new().add(Linear::new(2, 9)).add(Tanh).add(Dropout::new(0.2)).add(Linear::new(9, 1)).add(Tanh)
}

fn trainer(seed: u64) -> Trainer {
    Trainer::new(&Device::cpu(), model(), Mse::new(), Adam::new(0.01), seed).unwrap()
}

/// Trains to the end from where it is, and calls this after each epoch.
fn train(trainer: &mut Trainer, checkpoint: Option<&Path>, mut after: impl FnMut(&Trainer)) {
    let (train, validation) = data();
    for epoch in trainer.history().epochs.len() + 1..=epochs() {
        let fit = Fit::until(epoch, 7).validation(&validation);
        let fit = if let Some(path) = checkpoint { fit.checkpoint(path, 1) } else { fit };
        trainer.fit(&train, fit).unwrap();
        after(trainer);
    }
}

/// What a process does that is to be killed: it goes on from its checkpoint, and writes all files anew after each epoch.
fn train_and_write(folder: &Path) {
    let checkpoint = folder.join(FILES[0]);
    let mut trainer = trainer(21);
    if checkpoint.exists() {
        trainer.resume(&checkpoint).unwrap();
    }
    train(&mut trainer, Some(&checkpoint), |trainer| write(trainer, folder));
}

/// Writes what is no checkpoint.
fn write(trainer: &Trainer, folder: &Path) {
    let [_, history, model, picture] = FILES.map(|name| folder.join(name));
    Table::read_from(trainer.history().to_csv().as_bytes()).unwrap().save(&history).unwrap();
    trainer.parameters().save(&model).unwrap();
    curves(&picture, "loss", ["epoch", "loss"], &trainer.history().loss_curves()).unwrap();
}

/// After how many epochs the checkpoint was written. All files are whole, the others of this epoch or of one before; `known` are
/// the parameters after each.
fn reached(folder: &Path, known: &[Vec<f32>]) -> usize {
    let [checkpoint, history, model, picture] = FILES.map(|name| folder.join(name));
    let mut reader = trainer(0);
    if !checkpoint.exists() {
        return 0;
    }
    reader.resume(&checkpoint).unwrap();
    let epochs = reader.history().epochs.len();
    assert_same_bits("checkpoint", &reader.parameters().read().unwrap(), &known[epochs]);
    if history.exists() {
        let rows = Table::read(&history).unwrap().len();
        assert!((1..=epochs).contains(&rows), "{rows} epochs of {epochs} in the history");
    }
    if model.exists() {
        let loaded = Sequential::load(&model).unwrap();
        let values = Parameters::new(&Device::cpu(), &loaded, 0).unwrap().read().unwrap();
        assert!(known[1..=epochs].contains(&values), "the model is of no epoch up to {epochs}");
    }
    if picture.exists() {
        let text = fs::read_to_string(&picture).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{} bytes", text.len());
    }
    epochs
}

/// What is in the folder besides the files: what a writer was killed in the middle of.
fn litter(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| !FILES.iter().any(|name| path.ends_with(name))).collect()
}

/// The test runs itself in processes that it kills at random moments, of which many lie within the writing of a file.
#[test]
fn processes_killed_again_and_again_leave_whole_files() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        train_and_write(Path::new(&folder));
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("killed");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut whole = trainer(21);
    let mut known = vec![whole.parameters().read().unwrap()];
    train(&mut whole, None, |trainer| known.push(trainer.parameters().read().unwrap()));

    let mut random = rng(5);
    let (mut last, mut further, mut within) = (0, 0, 0);
    for kill in 1..=kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes_killed_again_and_again_leave_whole_files"])
            .env(FOLDER, &folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Mostly after it has got further, which a checkpoint's length shows; sometimes before.
        let len = || fs::metadata(folder.join(FILES[0])).map_or(0, |about| about.len());
        let before = len();
        while random.random_bool(0.99) && len() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        assert_eq!(child.try_wait().unwrap(), None, "kill {kill}: the process ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();

        let now = reached(&folder, &known);
        assert!(now >= last, "kill {kill}: back from epoch {last} to {now}");
        further += usize::from(now > last);
        last = now;
        // One file at most is not whole, and has no one's name. The next writer removes it if it was left behind long ago.
        let litter = litter(&folder);
        assert!(litter.len() <= 1, "{litter:?}");
        for path in &litter {
            within += 1;
            let long_ago = SystemTime::now() - Duration::from_secs(3600);
            File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        }
    }
    println!("{} kills, {within} of them within the writing of a file, up to epoch {last}", kills());
    assert!(further >= kills() / 3, "only {further} of {} processes got further", kills());
    let mut resumed = trainer(0);
    resumed.resume(folder.join(FILES[0])).unwrap();
    train(&mut resumed, None, |_| ());
    write(&resumed, &folder);
    assert!(litter(&folder).is_empty(), "{:?}", litter(&folder));
    assert_same_training("killed", &resumed, &whole);
}
