use std::process::Command;

use wgrad::{Call, ErrorKind, Kernel, Recording, Tensor};

use crate::common::{cpu_and_gpus, gpus, opened_anew, signed};
use crate::{CHILD, is_child, printed};

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn uploads_do_not_pile_up() {
    for gpu in gpus().iter().filter(|gpu| !gpu.checked_shaders) {
        let device = opened_anew(&gpu.device, |options| options).unwrap();
        let submits = || device.counters().submits;
        let mebibyte = Tensor::zeros(&device, 1, 1 << 18).unwrap();
        for i in 0..100 {
            mebibyte.write(&[i as f32; 1 << 18]).unwrap();
        }
        // At most 16 MiB wait for a submit.
        assert!((5..=7).contains(&submits()), "{}: {}", gpu.label, submits());
        let before = submits();
        for _ in 0..3000 {
            Tensor::new(&device, 1, 1, &[1.0]).unwrap();
        }
        assert!((1..=4).contains(&(submits() - before)), "{}: {}", gpu.label, submits() - before);
        let before = submits();
        device.wait().unwrap();
        assert_eq!(submits() - before, 1, "{}: waiting hands over what was uploaded", gpu.label);
        device.wait().unwrap();
        assert_eq!(submits() - before, 1, "{}: and nothing twice", gpu.label);
        assert_eq!(mebibyte.read().unwrap()[..2], [99.0; 2], "{}", gpu.label);
        // One upload of many pieces.
        let values = signed(1, 10 << 20);
        let large = Tensor::new(&device, 10, 1 << 20, &values).unwrap();
        assert!(large.read().unwrap() == values, "{}", gpu.label);
    }
}

/// Fills the address space with tensors of this many elements.
fn fill(device: &wgrad::Device, elements: usize, tensors: &mut Vec<Tensor>) {
    loop {
        match Tensor::zeros(device, 1, elements) {
            Ok(tensor) => tensors.push(tensor),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                break;
            }
        }
    }
}

/// In a process with a bounded address space.
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_device_outlives_an_upload_that_memory_does_not_suffice_for() {
    if is_child() {
        let device = &gpus()[0].device;
        let values = vec![1.0; 12 << 20];
        let large = Tensor::new(device, 1, values.len(), &values).unwrap();
        // Until then staging buffers may hold memory, and give it back later.
        device.wait().unwrap();
        let mut tensors = Vec::new();
        fill(device, 64 << 20, &mut tensors);
        fill(device, 2 << 20, &mut tensors);
        let error = large.write(&values).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        let error = large.read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        drop(tensors);
        device.wait().unwrap();
        large.write(&signed(1, values.len())).unwrap();
        assert!(large.read().unwrap() == signed(1, values.len()));
        println!("outlived");
        return;
    }
    if gpus()[0].device.describe().kind.is_hardware() {
        // Its memory is not the process's.
        return;
    }
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -v 4000000 && exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    // Vulkan's validation layer waits for ever where memory ends. Where it is installed, wgpu loads it in a debug build.
    command.env("VK_LOADER_LAYERS_DISABLE", "*validation*").env_remove("VK_INSTANCE_LAYERS");
    // A panic waits for ever, too, if memory does not suffice for its backtrace.
    command.env("RUST_BACKTRACE", "0");
    let test = "memory::a_device_outlives_an_upload_that_memory_does_not_suffice_for";
    let output = command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let text = printed(&output);
    assert!(text.contains("outlived"), "{text}");
}

fn count(call: Call<'_>) {
    let [out, ..] = call.outputs;
    out[0] += 1.0;
}

static COUNT: Kernel = Kernel::new(
    "user.count",
    "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
     @compute @workgroup_size(1) fn main() { out[0] += 1.0; }",
    "main",
    [1, 1, 1],
    count,
);

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_recording_may_have_more_dispatches_than_a_uniform_buffer_has_parameters() {
    // 70,000 parameter blocks of 256 bytes: two buffers, and a step that takes several submits.
    for (name, device) in cpu_and_gpus() {
        let out = Tensor::zeros(&device, 1, 1).unwrap();
        let mut recording = Recording::new(&device);
        for _ in 0..70_000 {
            recording.dispatch(&COUNT, [1, 1], (), &[], &[&out], 1).unwrap();
        }
        recording.run().unwrap();
        assert_eq!(out.read().unwrap(), [70_000.0], "{name}");
    }
}
