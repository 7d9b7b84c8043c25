//! How a test comes to run on several ranks: started by cargo it starts itself by `mpirun`, as often as there are to be
//! ranks; started by `mpirun` it is one of them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wgrad_mpi::World;

/// Set for those that `mpirun` has started, to a folder of their own.
const FOLDER: &str = "WGRAD_MPI_TEST";

/// A command that starts this test on so many ranks.
pub(crate) fn mpirun(ranks: usize, test: &str, folder: &Path) -> Command {
    // Of its own: two that begin and end in the same one at once get in each other's way.
    let session = folder.join("session");
    std::fs::create_dir_all(&session).unwrap();
    let mut command = Command::new("mpirun");
    command.arg("--mca").arg("orte_tmpdir_base").arg(session);
    // In a container, as root, with fewer processors than ranks; nothing listens on another interface than this machine's
    // own.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--tag-output"]);
    for (name, value) in [
        ("btl", "self,vader"),
        ("btl_vader_single_copy_mechanism", "none"),
        ("oob_tcp_if_include", "lo"),
        ("plm", "isolated"),
        ("orte_abort_timeout", "5"),
    ] {
        command.args(["--mca", name, value]);
    }
    command.arg("-n").arg(ranks.to_string()).arg(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env("PMIX_MCA_ptl_tcp_if_include", "lo").stdin(Stdio::null());
    command
}

/// The world and the folder of a process that `mpirun` has started.
pub(crate) fn rank() -> Option<(World, PathBuf)> {
    let folder = PathBuf::from(env::var_os(FOLDER)?);
    Some((World::new().unwrap().timeout(Duration::from_secs(20)), folder))
}

/// A new folder for a test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = env::temp_dir().join(format!("wgrad-mpi-{}-{}", std::process::id(), test.replace("::", "-")));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Removes the folder of a test, from which processes that are about to end may still take their files.
pub(crate) fn remove(folder: &Path) {
    for _ in 0..100 {
        if std::fs::remove_dir_all(folder).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} can't be removed", folder.display());
}

/// One test at a time starts ranks, which share the machine.
pub(crate) fn turn() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` on each rank, with that many ranks after each other. All must succeed. Gives what each rank has returned,
/// run by run.
pub(crate) fn on_ranks(sizes: &[usize], test: &str, body: impl Fn(&mut World, &Path) -> String) -> Vec<Vec<String>> {
    if let Some((mut world, folder)) = rank() {
        let said = body(&mut world, &folder);
        std::fs::write(folder.join(world.rank().to_string()), said).unwrap();
        return Vec::new();
    }
    let _turn = turn();
    let folder = folder(test);
    let run = |size: &usize| {
        let output = mpirun(*size, test, &folder).output().unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{test} on {size} ranks: {}\n{stdout}\n{stderr}", output.status);
        // That of a rank that did not run, or ran as another, is missing.
        let said = |rank: usize| {
            let path = folder.join(rank.to_string());
            let said = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("rank {rank} of {size}: {error}"));
            std::fs::remove_file(&path).unwrap();
            said
        };
        (0..*size).map(said).collect()
    };
    let all = sizes.iter().map(run).collect();
    remove(&folder);
    all
}
