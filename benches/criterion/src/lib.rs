//! What the benchmarks share.

use wgrad::{Device, Recording, Result, Tensor};

/// The device that WGRAD_DEVICE names, or the CPU path.
pub fn device() -> Result<Device> {
    Device::named(&std::env::var("WGRAD_DEVICE").unwrap_or_else(|_| "cpu".into()))
}

/// Numbers in [-1, 1), the same on every run.
pub fn numbers(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Runs a recording and waits for it.
pub fn finish(recording: &Recording, times: u32) -> Result<()> {
    recording.run_steps(0..times)?;
    recording.device().wait()
}

/// Checks a kernel before it is timed: what `record` records has to give on the device what it gives on the CPU path,
/// within `tolerance`. Returns the recording on the device.
pub fn checked(
    device: &Device,
    inputs: &[[usize; 2]],
    output: [usize; 2],
    tolerance: f32,
    record: impl Fn(&mut Recording, &[Tensor], &Tensor) -> Result<()>,
) -> Result<Recording> {
    let prepare = |device: &Device| -> Result<(Recording, Tensor)> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|[rows, cols]| Tensor::new(device, *rows, *cols, &numbers(rows * cols)))
            .collect::<Result<_>>()?;
        let out = Tensor::new(device, output[0], output[1], &vec![f32::NAN; output[0] * output[1]])?;
        let mut recording = Recording::new(device);
        record(&mut recording, &inputs, &out)?;
        recording.run()?;
        Ok((recording, out))
    };
    let (recording, out) = prepare(device)?;
    let (_, reference) = prepare(&Device::cpu())?;
    let (out, reference) = (out.read()?, reference.read()?);
    let is_close = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * (1.0 + b.abs());
    assert!(out.iter().zip(&reference).all(is_close), "the kernel is not what its reference is:\n{recording}");
    Ok(recording)
}
