//! Every public function, called with whatever there is: shapes, values from NaN to nothing, settings, orders of calls. It gives
//! a result or an error; it does not panic, abort, hang, or take memory that nobody asked for. A test drawn from a number,
//! which a failure prints with what was drawn; more of them by
//!
//! ```sh
//! WGRAD_CASES=10000 WGRAD_SEED=1 cargo test --test properties
//! ```
//!
//! `coverage` fails where a public function is called by none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]
#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "../common/mod.rs"]
mod common;
mod coverage;
mod data;
mod device;
mod draw;
mod export;
mod graph;
#[path = "../hostile/memory.rs"]
mod memory;
mod metrics;
mod nn;
mod ops;
mod optim;
mod plot;
mod table;
mod tables_of_text;
mod train;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use draw::Draw;

/// What a case may take at once: more than any of the sizes that are taken needs.
const ROOM: usize = 1 << 30;
/// A case that takes longer hangs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls of functions that belong together, with what is drawn.
type Case = (&'static str, fn(&mut Draw));

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is '{value}'")))
}

/// A file of this thread's own.
pub(crate) fn path(name: &str) -> PathBuf {
    let thread = format!("{:?}", thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("properties-{thread}-{name}"))
}

fn run_one(name: &str, number: u64, case: fn(&mut Draw)) -> Draw {
    let mut draw = Draw::new(number);
    let (result, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| case(&mut draw))));
    if result.is_err() || peak > ROOM {
        let what = if peak > ROOM { format!("took {peak} bytes of memory") } else { "panicked".to_string() };
        panic!("{name} {number} {what}; drawn: {}", draw.drawn.join(", "));
    }
    draw
}

/// Each case so many times, or as often as `WGRAD_CASES` says.
fn run(room: &'static str, cases: &'static [Case], times: u64) {
    let (said, heard) = channel();
    let runner = thread::spawn(move || {
        let first = 1_000_000_000 * env("WGRAD_SEED", 0);
        // Where an abort leaves no message, this says which it was.
        let last = path(room);
        for (name, case) in cases {
            let (start, mut taken, mut refused) = (Instant::now(), 0, 0);
            for number in first..first + env("WGRAD_CASES", times) {
                let _ = said.send((*name, number));
                fs::write(&last, format!("{name} {number}")).unwrap();
                let draw = run_one(name, number, *case);
                (taken, refused) = (taken + draw.taken, refused + draw.refused);
            }
            println!("{room}: {name}: {taken} results, {refused} errors, {:.1} s", start.elapsed().as_secs_f64());
        }
    });
    let mut last = ("", 0);
    loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(now) => last = now,
            Err(RecvTimeoutError::Disconnected) => break,
            // The thread can't be stopped.
            Err(RecvTimeoutError::Timeout) => panic!("{} {} takes more than {PATIENCE:?}", last.0, last.1),
        }
    }
    if let Err(fault) = runner.join() {
        std::panic::resume_unwind(fault);
    }
}

macro_rules! rooms {
    ($($room:ident: $times:literal),+ $(,)?) => {
        $(
            #[test]
            fn $room() {
                run(stringify!($room), $room::CASES, $times);
            }
        )+
    };
}
rooms!(
    data: 300,
    device: 200,
    export: 50,
    graph: 300,
    metrics: 300,
    nn: 200,
    ops: 300,
    optim: 200,
    plot: 30,
    table: 15,
    tables_of_text: 300,
    train: 100,
);
