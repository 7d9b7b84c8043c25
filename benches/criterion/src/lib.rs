//! What the benchmarks share.

use wgrad::{Device, Kernel, Recording, Result, Tensor};

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

/// The simplest product there is, to measure the others by: an output to each invocation, a workgroup of 16 x 16.
pub static NAIVE: Kernel = Kernel::new(
    "naive.matmul",
    "
        struct Params { m: u32, n: u32, k: u32, padding: u32 }
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> a: array<f32>;
        @group(0) @binding(2) var<storage, read> b: array<f32>;
        @group(0) @binding(3) var<storage, read_write> c: array<f32>;
        @compute @workgroup_size(16, 16)
        fn matmul(@builtin(global_invocation_id) at: vec3u) {
            if at.x >= params.n || at.y >= params.m { return; }
            var sum = 0.0;
            for (var p = 0u; p < params.k; p++) { sum += a[at.y * params.k + p] * b[p * params.n + at.x]; }
            c[at.y * params.n + at.x] = sum;
        }
    ",
    "matmul",
    [16, 16, 1],
    |call| {
        let [m, n, k, _] = call.params::<[u32; 4]>().map(|size| size as usize);
        let [a, b, ..] = call.inputs;
        let [c, ..] = call.outputs;
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
            }
        }
    },
)
.params::<[u32; 4]>()
.inputs(2);

/// Records `c = a b` by [`NAIVE`].
pub fn naive(recording: &mut Recording, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<()> {
    let [m, n, k] = [a.rows(), b.cols(), a.cols()].map(|size| size as u32);
    let work = 2 * u64::from(m) * u64::from(n) * u64::from(k);
    recording.dispatch(&NAIVE, [n.div_ceil(16), m.div_ceil(16)], [m, n, k, 0], &[a, b], &[c], work)
}
