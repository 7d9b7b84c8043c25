use wgrad::{Call, Device, ErrorKind, KERNELS, Kernel, Recording, Tensor, ops};

use crate::common::{Devices, on_every_device, signed};

on_every_device!(sizes_do_not_wrap, kernels_of_wgrad_with_any_parameters, a_refused_dispatch_is_not_a_lost_device,);

fn sizes_do_not_wrap(devices: &Devices) {
    for (name, device) in devices {
        for (rows, cols) in [(1, (1 << 62) + 64), (1, (1 << 31) + 1), (1 << 31, 1 << 31), (1 << 30, 3)] {
            let error = Tensor::zeros(device, rows, cols).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{name}: {error}");
            assert!(error.to_string().contains(device.name()), "{name}: {error}");
        }
        let error = Tensor::zeros(device, usize::MAX, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{name}: {error}");
    }
}

fn kernels_of_wgrad_with_any_parameters(devices: &Devices) {
    let fill = KERNELS.iter().find(|kernel| kernel.name == "fill.fill").unwrap();
    for (name, device) in devices {
        let rows = Tensor::new(device, 3, 64, &[1.0; 192]).unwrap();
        let out = rows.view(64, 1, 64).unwrap();
        let mut recording = Recording::new(device);
        // More elements than there are, and more invocations.
        recording.dispatch(fill, [100, 1], [u32::MAX, 7f32.to_bits()], &[], &[&out], 1).unwrap();
        // Whatever it does, it does it within the tensor it was given, and the device goes on.
        if let Err(error) = recording.run().and_then(|()| device.wait()) {
            assert_eq!(error.kind(), ErrorKind::Kernel, "{name}: {error}");
            assert!(error.to_string().starts_with("fill.fill: "), "{name}: {error}");
        }
        let values = rows.read().unwrap();
        assert_eq!(values.len(), 192, "{name}");
        assert_eq!((&values[..64], &values[128..]), (&[1.0; 64][..], &[1.0; 64][..]), "{name}");
    }
}

/// More inputs than the descriptor says, which a bind group then lacks.
static LACKING: Kernel = Kernel::new(
    "user.lacking",
    "@group(0) @binding(1) var<storage, read_write> out: array<vec4f, 1000>;
     @compute @workgroup_size(1) fn main() { out[999] = vec4f(1.0); }",
    "main",
    [1, 1, 1],
    |call| {
        let [out, ..] = call.outputs;
        out[3999] = 1.0;
    },
);

fn a_refused_dispatch_is_not_a_lost_device(devices: &Devices) {
    for (name, device) in devices {
        let short = Tensor::new(device, 1, 4, &[1.0; 4]).unwrap();
        let mut recording = Recording::new(device);
        recording.dispatch(&LACKING, [1, 1], (), &[], &[&short], 1).unwrap();
        let error = recording.run().and_then(|()| device.wait()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Kernel, "{name}: {error}");
        assert_eq!(short.read().unwrap(), [1.0; 4], "{name}");
        assert_eq!(Tensor::new(device, 1, 1, &[5.0]).unwrap().read().unwrap(), [5.0], "{name}");
    }
}

static PANICS: Kernel = Kernel::new("user.panics", "", "main", [1, 1, 1], |call: Call<'_>| {
    let [out, ..] = call.outputs;
    out[0] = 7.0;
    assert!(out.len() > 1000, "only {} elements", out.len());
});

#[test]
fn a_reference_that_panics_is_an_error_and_loses_nothing() {
    let device = Device::cpu();
    let x = Tensor::new(&device, 1, 3, &[1.0, 2.0, 3.0]).unwrap();
    let y = Tensor::zeros(&device, 1, 3).unwrap();
    let mut recording = Recording::new(&device);
    ops::activation::forward(&mut recording, ops::Activation::Identity, &x, &y).unwrap();
    recording.dispatch(&PANICS, [1, 1], (), &[], &[&x], 1).unwrap();
    for _ in 0..2 {
        let error = recording.run_steps(3..5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Kernel);
        let message = error.to_string();
        for words in ["user.panics: ", "dispatch 1 of step 3", "only 3 elements"] {
            assert!(message.contains(words), "{message}");
        }
    }
    assert_eq!((x.read().unwrap(), y.read().unwrap()), (vec![7.0, 2.0, 3.0], vec![7.0, 2.0, 3.0]));
    x.write(&[4.0; 3]).unwrap();
    assert_eq!(x.read().unwrap(), [4.0; 3]);
}

#[test]
fn a_part_of_what_a_dispatch_takes_is_not_rebound_in_silence() {
    let device = Device::cpu();
    let x = Tensor::new(&device, 2, 64, &signed(1, 128)).unwrap();
    let both = Tensor::zeros(&device, 2, 64).unwrap();
    let mut recording = Recording::new(&device);
    ops::activation::forward(&mut recording, ops::Activation::Identity, &x, &both).unwrap();
    // As a weight's gradient is a part of what a dispatch writes that gives the bias's, too.
    let [first, second] = [0, 64].map(|start| both.view(start, 1, 64).unwrap());
    let other = Tensor::zeros(&device, 1, 64).unwrap();
    for part in [&first, &second] {
        let error = recording.rebound(&[(part, &other)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for words in ["rebound: ", "as a whole", "1 x 64", "2 x 64"] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn views_of_what_is_rebound_follow() {
    let device = Device::cpu();
    let old = Tensor::new(&device, 2, 64, &signed(1, 128)).unwrap();
    let new = Tensor::new(&device, 4, 64, &signed(2, 256)).unwrap();
    let out = Tensor::zeros(&device, 1, 64).unwrap();
    let mut recording = Recording::new(&device);
    let second = old.view(64, 1, 64).unwrap();
    ops::activation::forward(&mut recording, ops::Activation::Identity, &second, &out).unwrap();
    recording.rebound(&[(&old, &new)]).unwrap().run().unwrap();
    assert_eq!(out.read().unwrap(), signed(2, 256)[64..128]);
    let error = recording.rebound(&[(&new, &old)]).map(drop).unwrap_err();
    assert!(error.to_string().contains("at least as long"), "{error}");
}
