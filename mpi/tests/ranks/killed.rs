//! A rank that dies, or hangs.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wgrad::data::{Labels, disk};
use wgrad::nn::{Linear, Mse, Sequential, Tanh};
use wgrad::optim::Adam;
use wgrad::{Device, Fit, Trainer};

use crate::launch::{folder, mpirun, rank, remove, turn};

fn trainer() -> Trainer {
    let model = Sequential::new().add(Linear::new(2, 64)).add(Tanh).add(Linear::new(64, 1));
    Trainer::new(&Device::cpu(), model, Mse::new(), Adam::new(0.01), 1).unwrap()
}

/// Trains without an end on three ranks, and sends rank 1 a signal once there is a checkpoint.
fn signalled(test: &str, signal: &str, options: &[&str]) {
    if let Some((world, folder)) = rank() {
        let mut world = world.timeout(Duration::from_secs(5));
        std::fs::write(folder.join(world.rank().to_string()), std::process::id().to_string()).unwrap();
        let data = world.part(&disk(90, 0, Labels::PlusMinusOne).unwrap()).unwrap();
        let fit = Fit::new(1_000_000, 10).checkpoint(folder.join("checkpoint"), 1);
        world.fit(&mut trainer(), &data, fit).unwrap();
        return;
    }
    let _turn = turn();
    let folder = folder(test);
    let mut command = Command::new("mpirun");
    let plain = mpirun(3, test, &folder);
    command.args(options).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = running.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let checkpoint = folder.join("checkpoint");
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let victim = std::fs::read_to_string(folder.join("1")).unwrap();
    // The shell's own: the program is not everywhere.
    let kill = |signal: &str| Command::new("sh").args(["-c", &format!("kill {signal} {victim}")]).output().unwrap();
    assert!(kill(signal).status.success());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = running.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(30) {
            running.kill().unwrap();
            panic!("the others did not end within 30 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // One that was stopped may still be there.
    kill("-9");
    let errors = errors.join().unwrap().unwrap();
    println!("{test}: after {:.1} s {status}\n{errors}", start.elapsed().as_secs_f64());
    assert!(!status.success() || !options.is_empty(), "{status}");
    match options {
        // The launcher sees that it is dead, ends the others at once, and says so.
        [] if signal == "-9" => assert!(errors.contains("rank 1") && errors.contains("signal 9"), "{errors}"),
        _ => assert!(
            errors.contains("rank 1 does not answer") && errors.contains("the last checkpoint is whole"),
            "{errors}"
        ),
    }
    // The checkpoint is whole.
    let mut resumed = trainer();
    resumed.resume(&checkpoint).unwrap();
    let epochs = resumed.history().epochs.len();
    assert!(epochs > 0);
    resumed.fit(&disk(90, 0, Labels::PlusMinusOne).unwrap(), Fit::until(epochs + 1, 10)).unwrap();
    remove(&folder);
}

#[test]
fn a_rank_that_dies_ends_all() {
    signalled("killed::a_rank_that_dies_ends_all", "-9", &[]);
}

/// Under a launcher that does not care.
#[test]
fn a_rank_that_dies_unseen_is_missed() {
    signalled("killed::a_rank_that_dies_unseen_is_missed", "-9", &["--enable-recovery"]);
}

#[test]
fn a_rank_that_hangs_is_missed() {
    signalled("killed::a_rank_that_hangs_is_missed", "-STOP", &[]);
}
