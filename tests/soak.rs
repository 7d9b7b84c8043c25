//! What a process holds stays flat over thousands of devices, trainings, predictions, files and failed calls.
//!
//! `WGRAD_SECONDS=3600 cargo test --release --test soak -- --ignored --nocapture` runs for an hour on the CPU and for an hour
//! on each GPU adapter, and prints memory, threads and open files as it goes. It counts as flat what has grown by less than a
//! hundredth between the second third of the time and the last.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop at the first fault")]
#![allow(unsafe_code, reason = "the C library is asked how much is allocated")]

mod common;

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::{gpus, opened_anew};
use wgrad::data::{Labels, disk};
use wgrad::nn::{Dropout, Linear, Mse, Predictor, Sequential, Tanh};
use wgrad::optim::{Adam, Sgd};
use wgrad::{Device, DeviceKind, Ensemble, ErrorKind, Fit, StepPath, Tensor, Trainer};

/// What this process holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// By whoever calls the C library, drivers included. What is resident is more: the library keeps what was freed.
    allocated_kib: u64,
    resident_kib: u64,
    threads: u64,
    files: u64,
}

impl Held {
    fn raise_to(&mut self, other: Self) {
        self.allocated_kib = self.allocated_kib.max(other.allocated_kib);
        self.resident_kib = self.resident_kib.max(other.resident_kib);
        self.threads = self.threads.max(other.threads);
        self.files = self.files.max(other.files);
    }
}

/// The C library's `struct mallinfo2`.
#[repr(C)]
struct Allocated {
    _of_arenas: [usize; 4],
    mapped: usize,
    _more: [usize; 2],
    in_arenas: usize,
    _free: [usize; 2],
}

// SAFETY: glibc's declaration; it takes nothing, and any thread may call it.
unsafe extern "C" {
    safe fn mallinfo2() -> Allocated;
}

fn held() -> Held {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let allocated = mallinfo2();
    Held {
        allocated_kib: (allocated.mapped + allocated.in_arenas) as u64 / 1024,
        resident_kib: number("VmRSS:"),
        threads: number("Threads:"),
        files: fs::read_dir("/proc/self/fd").unwrap().count() as u64,
    }
}

fn model(width: usize) -> Sequential {
    Sequential::new().add(Linear::new(2, width)).add(Tanh).add(Dropout::new(0.1)).add(Linear::new(width, 1))
}

fn trainer(device: &Device, width: usize) -> Trainer {
    Trainer::new(device, model(width), Mse::new(), Adam::new(0.01), width as u64).unwrap()
}

/// Trainings of every kind and calls that fail, on one device.
fn cycle(device: &Device, number: usize, file: &Path) {
    let data = disk(50, number as u64, Labels::PlusMinusOne).unwrap();
    let width = 3 + number % 14;
    let path = [StepPath::Auto, StepPath::Layered][number % 2];
    let mut one = trainer(device, width);
    one.fit(&data, Fit::new(3, 8).path(path).checkpoint(file, 1)).unwrap();
    for rows in [1, 1 + number % 37, 300] {
        one.predict(&vec![0.5; rows * 2], 2).unwrap();
    }
    let mut again = trainer(device, width);
    again.resume(file).unwrap();
    let chain = Sequential::new().add(Linear::new(2, width)).add(Tanh).add(Linear::new(width, 1));
    Predictor::new(device, chain).unwrap().predict(&[0.1, 0.2], 2).unwrap();
    let member = |seed| Trainer::new(device, model(width), Mse::new(), Adam::new(0.01), seed);
    let mut members = Ensemble::new((0..3).map(member)).unwrap();
    drop(members.fit(&data, |_| Fit::new(1, 10)).unwrap());

    // What fails: a loss that is not finite, shapes, files, sizes, a future that is given up.
    let mut diverging = Trainer::new(device, model(width), Mse::new(), Sgd::new(1e30), 0).unwrap();
    assert_eq!(diverging.fit(&data, Fit::new(3, 8)).unwrap_err().kind(), ErrorKind::NotFinite);
    one.predict(&[1.0; 3], 2).unwrap_err();
    again.resume("/no such folder/model.safetensors").unwrap_err();
    Tensor::zeros(device, 1 << 40, 3).unwrap_err();
    let mut session = wgrad::Session::new(device, model(width), Mse::new(), Adam::new(0.01), 1).unwrap();
    let _ = pin!(session.fit(&data, Fit::new(2, 8))).poll(&mut Context::from_waker(Waker::noop()));
}

fn soak(device: &Device, seconds: u64) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("soak-{}.safetensors", std::process::id()));
    let label = device.describe().to_string();
    let start = Instant::now();
    let (mut thirds, mut cycles, mut devices) = ([Held::default(); 3], 0, 1);
    let mut own = device.clone();
    while start.elapsed() < Duration::from_secs(seconds) {
        if cycles % 20 == 19 {
            own = match device.describe().kind {
                DeviceKind::Cpu => Device::cpu(),
                _ => opened_anew(device, |options| options).unwrap(),
            };
            devices += 1;
        }
        cycle(&own, cycles, &file);
        cycles += 1;
        let third = (3 * start.elapsed().as_secs() / seconds).min(2);
        thirds[third as usize].raise_to(held());
        if cycles.is_power_of_two() || cycles % 500 == 0 {
            println!(
                "{label}: {cycles} cycles, {devices} devices, {:.0} s: {:?}",
                start.elapsed().as_secs_f64(),
                held()
            );
        }
    }
    let _ = fs::remove_file(&file);
    println!("{label}: {cycles} cycles, {devices} devices in {seconds} s: {:?} at the end", held());
    let [_, second, last] = thirds;
    println!("{label}: at the most {second:?} in the second third, {last:?} in the last");
    // Of each device that was opened, Vulkan's loader keeps some 200 bytes (as it does of wgpu's alone).
    for (second, last, more) in [
        (second.allocated_kib, last.allocated_kib, 2 + devices / 4),
        (second.threads, last.threads, 2),
        (second.files, last.files, 2),
    ] {
        assert!(last <= second + second / 100 + more, "{label}: {second} became {last}");
    }
}

fn seconds() -> u64 {
    std::env::var("WGRAD_SECONDS").map_or(60, |seconds| seconds.parse().unwrap())
}

#[test]
#[ignore = "takes as long as it is told"]
fn on_the_cpu() {
    soak(&Device::cpu(), seconds());
}

#[test]
#[ignore = "takes as long as it is told"]
fn on_gpus() {
    for gpu in gpus().iter().filter(|gpu| !gpu.checked_shaders) {
        soak(&gpu.device, seconds());
    }
}
