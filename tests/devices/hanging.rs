//! A device that gives no answer.

use std::time::{Duration, Instant};

use wgrad::{Call, Device, ErrorKind, Kernel, Recording, Tensor};

use crate::common::{Gpu, gpus, opened_anew};
use crate::{child, is_child, printed};

fn nothing(_: Call<'_>) {}

/// Busy for long: as many rounds as a software driver's loops have, in many invocations.
static BUSY: Kernel = Kernel::new(
    "user.busy",
    "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
         var x = f32(id.x);
         for (var i = 0; i < 65000; i++) { x = sin(x) + out[i % 64]; }
         out[id.x % 64] = x;
     }",
    "main",
    [64, 1, 1],
    nothing,
);

const TIMEOUT: Duration = Duration::from_millis(300);

/// Fails unless everything comes to an end at once, with an error that says what happened.
fn is_given_up(device: Device) {
    let out = Tensor::zeros(&device, 1, 64).unwrap();
    let mut recording = Recording::new(&device);
    recording.dispatch(&BUSY, [10_000, 1], (), &[], &[&out], 1).unwrap();
    let start = Instant::now();
    recording.run().unwrap();
    let error = out.read().unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    for words in ["no answer within 0.3 s", "timeout"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_secs(3), "{took:?}");
    let start = Instant::now();
    let again = [
        out.read().err(),
        device.wait().err(),
        recording.run().err(),
        out.write(&[1.0; 64]).err(),
        Tensor::zeros(&device, 1, 1).err(),
    ];
    assert_eq!(again, [(); 5].map(|()| Some(error.clone())));
    drop((out, recording, device));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    println!("given up");
}

/// A software driver that does the work of a submit in threads of its own, so that it can be left: llvmpipe does it in
/// the submit. A real GPU is too quick for this kernel, and a desktop may hang on it.
fn patient() -> Option<&'static Gpu> {
    gpus().iter().find(|gpu| gpu.device.name().contains("SwiftShader") && !gpu.checked_shaders)
}

/// As a separate process, since a driver goes on with what it has begun.
#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_device_that_hangs_is_given_up() {
    let Some(gpu) = patient() else {
        println!("no SwiftShader; src/device/gpu/reply.rs tests what follows from a device that hangs");
        return;
    };
    if is_child() {
        is_given_up(opened_anew(&gpu.device, |options| options.timeout(TIMEOUT)).unwrap());
        // Who waits for the driver's threads waits for its work.
        std::process::exit(0);
    }
    let text = printed(&child("hanging::a_device_that_hangs_is_given_up", |_| {}));
    assert!(text.contains("given up"), "{text}");
}
