//! Devices, tensors and recordings.

use std::time::Duration;

use wgrad::ops::{fill, reduce};
use wgrad::{Device, DeviceKind, DeviceOptions, Error, ErrorKind, KERNELS, Recording, Tensor};

use crate::Case;
use crate::draw::Draw;

pub(crate) const CASES: &[Case] =
    &[("tensors", tensors), ("recordings", recordings), ("kernels", kernels), ("devices", devices)];

pub(crate) fn tensor(d: &mut Draw, device: &Device, rows: usize, cols: usize) -> Option<Tensor> {
    if rows.saturating_mul(cols) > 1 << 20 {
        let tensor = Tensor::zeros(device, rows, cols);
        return d.see(tensor);
    }
    let values = d.reals(rows * cols);
    let tensor = Tensor::new(device, rows, cols, &values);
    d.see(tensor)
}

fn tensors(d: &mut Draw) {
    let device = Device::cpu();
    let (rows, cols, len) = (d.size(), d.size(), d.small());
    let values = d.reals(len);
    let other = Tensor::new(&device, rows, cols, &values);
    d.see(other);
    let Some(tensor) = tensor(d, &device, rows, cols) else { return };
    assert_eq!((tensor.rows(), tensor.cols(), tensor.shape(), tensor.len()), (rows, cols, [rows, cols], rows * cols));
    assert!(tensor.device() == &device);
    let start = if d.chance(0.5) { 64 * d.small() } else { d.size() };
    let view = tensor.view(start, d.size(), d.size());
    let view = d.see(view);
    for tensor in view.into_iter().chain([tensor]) {
        let len = d.near(tensor.len()).min(1 << 20);
        let values = d.reals(len);
        let written = tensor.write(&values);
        d.see(written);
        let read = tensor.read();
        d.see(read);
        let read = tensor.read_async().and_then(|pending| pending.wait());
        d.see(read);
    }
}

fn recordings(d: &mut Draw) {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let mut tensors = Vec::new();
    for _ in 0..3 {
        let (rows, cols) = (d.small(), d.small());
        tensors.extend(tensor(d, &device, rows, cols));
    }
    let elsewhere = Device::cpu();
    if d.chance(0.2) {
        tensors.extend(tensor(d, &elsewhere, 2, 2));
    }
    if tensors.is_empty() {
        return;
    }
    for _ in 0..d.below(5) {
        let (x, out) = (d.below(tensors.len()), d.below(tensors.len()));
        let (x, out) = (&tensors[x], &tensors[out]);
        let done = match d.below(4) {
            0 => fill::fill(&mut recording, d.real(), out),
            1 => reduce::sum(&mut recording, x, d.real(), out),
            2 => {
                let other = recording.split();
                other.iter().try_for_each(|part| recording.append(part))
            }
            _ => recording.append(&Recording::new(&elsewhere)),
        };
        d.see(done);
    }
    assert!(recording.device() == &device && recording.to_string().lines().count() >= recording.len());
    let (a, b) = (d.below(tensors.len()), d.below(tensors.len()));
    let rebound = recording.rebound(&[(&tensors[a], &tensors[b])]);
    let rebound = d.see(rebound);
    let (from, to) = (d.below(KERNELS.len()), d.below(KERNELS.len()));
    // Not run: another kernel may do anything with what it is given.
    let replaced = recording.replacing(KERNELS[from], KERNELS[to]);
    d.see(replaced);
    for recording in rebound.iter().chain([&recording]) {
        let prepared = pollster::block_on(recording.prepare());
        d.see(prepared);
        let run = recording.run();
        d.see(run);
        let first = d.small() as u32;
        // Some four thousand millions of steps are a matter of patience.
        let end = if d.chance(0.2) && recording.is_empty() { u32::MAX } else { d.small() as u32 };
        let run = recording.run_steps(first..end);
        d.see(run);
        let run = pollster::block_on(recording.run_steps_async(first..first.saturating_add(2)));
        d.see(run);
    }
}

/// Any kernel with anything: what does not fit its descriptor is refused, and a reference that panics is an error.
fn kernels(d: &mut Draw) {
    let device = Device::cpu();
    let mut recording = Recording::new(&device);
    let kernel = d.below(KERNELS.len());
    let kernel = KERNELS[kernel];
    let mut made: Vec<Tensor> = Vec::new();
    for _ in 0..8 {
        let (rows, cols) = (1 + d.below(4), 1 + d.below(4));
        made.extend(tensor(d, &device, rows, cols));
    }
    let (inputs, outputs) = (d.below(6), d.below(4));
    let (inputs, outputs): (Vec<&Tensor>, Vec<&Tensor>) =
        (made.iter().take(inputs).collect(), made.iter().rev().take(outputs).collect());
    let workgroups = [d.size() as u32, d.size() as u32];
    let pushed = match d.below(3) {
        0 => recording.dispatch(kernel, workgroups, [0_u32; 4], &inputs, &outputs, d.seed()),
        1 => recording.dispatch(kernel, workgroups, [d.size() as u32; 12], &inputs, &outputs, d.seed()),
        _ => recording.dispatch(kernel, workgroups, (), &inputs, &outputs, 1),
    };
    if d.see(pushed).is_some() {
        let run = recording.run();
        d.see(run);
    }
    assert!(!format!("{recording:?}").is_empty());
}

fn devices(d: &mut Draw) {
    let options = if d.chance(0.5) { DeviceOptions::new(d.text()) } else { DeviceOptions::new("cpu") };
    let timeout = d.pick(&[Duration::ZERO, Duration::MAX, Duration::from_secs(9)]);
    let options = options.checked_shaders(d.chance(0.5)).default_limits(d.chance(0.5)).timeout(timeout);
    // Looking for adapters takes its time.
    if d.chance(0.03) {
        let opened = [options.open(), pollster::block_on(options.open_async())];
        let named = [Device::named(&d.text()), pollster::block_on(Device::named_async(&d.text()))];
        let auto =
            [Device::auto(), pollster::block_on(Device::auto_async()), DeviceOptions::auto().open(), Device::gpu()];
        for device in opened.into_iter().chain(named).chain(auto) {
            d.see(device);
        }
        assert_eq!(Device::list().len(), pollster::block_on(Device::list_async()).len());
    }
    let device = Device::cpu();
    let _ = (device.name(), device.describe(), device.capabilities().max_tensor_bytes, device.counters());
    assert!(!device.describe().kind.is_hardware() && DeviceKind::Other.is_hardware());
    let waited = [device.wait(), pollster::block_on(device.wait_async())];
    for waited in waited {
        d.see(waited);
    }
    let error = Error::new(ErrorKind::Io, d.text(), d.text());
    assert_eq!(error.kind(), ErrorKind::Io);
}
