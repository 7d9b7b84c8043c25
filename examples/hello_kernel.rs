//! A custom kernel: upload, one dispatch, download, compare with the CPU.

use clap::Parser;
use wgrad::{Call, Device, Error, ErrorKind, Kernel, Recording, Result, Tensor};

/// out = a x + y. The last workgroup has invocations to spare, which must do nothing.
const WGSL: &str = "
@group(0) @binding(0) var<uniform> a: f32;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn axpy(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&out) {
        out[id.x] = a * x[id.x] + y[id.x];
    }
}";

static AXPY: Kernel = Kernel::new("hello.axpy", WGSL, "axpy", [64, 1, 1], axpy).params::<f32>().inputs(2);

/// The reference implementation, which the CPU path runs.
fn axpy(call: Call<'_>) {
    let a: f32 = call.params();
    let ([x, y, ..], [out, ..]) = (call.inputs, call.outputs);
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = a * x + y;
    }
}

fn run_on(device: &Device) -> Result<Vec<f32>> {
    let numbers: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let x = Tensor::new(device, 10, 100, &numbers)?;
    let y = Tensor::new(device, 10, 100, &[1.0; 1000])?;
    let out = Tensor::zeros(device, 10, 100)?;
    let mut recording = Recording::new(device);
    recording.dispatch(&AXPY, [1000u32.div_ceil(64), 1], 2f32, &[&x, &y], &[&out], 2000)?;
    recording.run()?;
    out.read()
}

/// Runs a kernel of its own on a device and on the CPU, and compares.
#[derive(Parser)]
struct Options {
    /// auto, cpu, gpu, vulkan, metal, dx12, gl, or a part of an adapter's name
    #[arg(long, default_value = "gpu")]
    device: String,
}

fn main() -> Result<()> {
    let device = match Device::named(&Options::parse().device) {
        Err(error) if error.kind() == ErrorKind::NoDevice => {
            println!("{error}\nSo this compares the CPU with itself.");
            Device::cpu()
        }
        found => found?,
    };
    let (gpu, cpu) = (run_on(&device)?, run_on(&Device::cpu())?);
    println!("{}: 2 x + 1 = {:?} ... {:?}", device.name(), &gpu[..3], &gpu[999]);
    // Whole numbers this small are exact in f32, so both must give the same bits.
    if let Some(i) = (0..1000).find(|i| gpu[*i] != cpu[*i]) {
        let detail = format!("element {i} is {} on {}, and {} on the CPU", gpu[i], device.name(), cpu[i]);
        return Err(Error::new(ErrorKind::DeviceLost, AXPY.name, detail));
    }
    println!("All 1000 results match the CPU's.");
    Ok(())
}
