//! Dispatches folded into two dimensions, with workgroups to spare that must do nothing. Kernels that would need
//! huge matrices, or minutes on a software driver, for 65,536 real workgroups are dispatched here with a fold that their
//! size does not need.

use wgrad::{Device, KERNELS, Kernel, Recording};

use crate::common::{EPSILON, Guarded, compare, gpus, signed, small_integers};

fn kernel(name: &str) -> &'static Kernel {
    KERNELS.iter().find(|kernel| kernel.name == name).unwrap()
}

/// `groups` workgroups, three to a row, and a row more.
fn fold(groups: usize) -> [u32; 2] {
    [3, groups.div_ceil(3) as u32 + 1]
}

fn run<const P: usize>(
    device: &Device,
    name: &str,
    workgroups: [u32; 2],
    params: [u32; P],
    inputs: &[&Guarded],
    out: [usize; 2],
) -> Result<Vec<f32>, String> {
    let output = Guarded::poisoned(device, out);
    let mut recording = Recording::new(device);
    let inputs: Vec<_> = inputs.iter().map(|input| input.tensor()).collect();
    recording.dispatch(kernel(name), workgroups, params, &inputs, &[output.tensor()], 1).unwrap();
    recording.run().unwrap();
    output.read()
}

fn matmul_tiled(device: &Device) -> Result<Vec<f32>, String> {
    let (m, n, k) = (130, 200, 40);
    let a = Guarded::input(device, [m, k], &small_integers(1, m * k, 4));
    let b = Guarded::input(device, [k, n], &small_integers(2, k * n, 4));
    let bias = Guarded::input(device, [1, n], &small_integers(3, n, 4));
    let [m32, n32, k32] = [m as u32, n as u32, k as u32];
    let (alpha, beta) = (1f32.to_bits(), 0f32.to_bits());
    let params = [m32, n32, k32, 0, k32, 1, 0, n32, 1, 1, 1, 0, alpha, beta, 0, 0, 1, k32];
    run(device, "matmul.tiled", fold(3 * 4), params, &[&a, &b, &bias], [m, n])
}

fn column_sums(device: &Device) -> Result<Vec<f32>, String> {
    let (rows, cols) = (37, 16 * 7 + 5);
    let x = Guarded::input(device, [rows, cols], &small_integers(9, rows * cols, 4));
    // In two parts.
    run(device, "bias.backward", fold(2 * 8), [rows as u32, cols as u32, 0, 0, 20], &[&x], [2, cols])
}

fn reduce_sum(device: &Device) -> Result<Vec<f32>, String> {
    let len = 4096 * 7 + 13;
    let x = Guarded::input(device, [1, len], &small_integers(4, len, 4));
    run(device, "reduce.sum", fold(8), [len as u32, 0.5f32.to_bits(), 0, 0, f32::INFINITY.to_bits(), 0], &[&x], [1, 8])
}

fn squared_errors(device: &Device) -> Result<Vec<f32>, String> {
    let len = 4096 * 7 + 13;
    let p = Guarded::input(device, [1, len], &small_integers(5, len, 2));
    let t = Guarded::input(device, [1, len], &small_integers(6, len, 2));
    // Squared errors, scaled by a quarter.
    let params = [len as u32, 0, 0, 0.25f32.to_bits(), 0, 0, 0, 0, 0, 0, 4096];
    run(device, "loss.forward", fold(8), params, &[&p, &t], [1, 8])
}

fn count_correct(device: &Device) -> Result<Vec<f32>, String> {
    let (rows, cols) = (256 * 7 + 3, 3);
    let p = Guarded::input(device, [rows, cols], &signed(7, rows * cols));
    let t = Guarded::input(device, [rows, cols], &signed(8, rows * cols));
    run(device, "metrics.count_correct", fold(8), [rows as u32, cols as u32, 0, cols as u32, 0, 0], &[&p, &t], [1, 8])
}

fn row_sums(device: &Device) -> Result<Vec<f32>, String> {
    let (rows, cols) = (7, 5);
    let x = Guarded::input(device, [rows, cols], &small_integers(11, rows * cols, 4));
    run(device, "reduce.rows", fold(rows), [rows as u32, cols as u32, 0.5f32.to_bits(), 0], &[&x], [rows, 1])
}

/// Equal numbers, each of which gets a quarter.
fn softmax(device: &Device) -> Result<Vec<f32>, String> {
    let (rows, cols) = (7, 4);
    let x = Guarded::input(device, [rows, cols], &vec![-2.0; rows * cols]);
    run(device, "softmax.forward", fold(rows), [rows as u32, cols as u32, 0, 0], &[&x], [rows, cols])
}

fn softmax_backward(device: &Device) -> Result<Vec<f32>, String> {
    let (rows, cols) = (7, 4);
    let y = Guarded::input(device, [rows, cols], &vec![0.25; rows * cols]);
    let dy = Guarded::input(device, [rows, cols], &small_integers(12, rows * cols, 4));
    run(device, "softmax.backward", fold(rows), [rows as u32, cols as u32, 0, 0], &[&y, &dy], [rows, cols])
}

/// Equal logits of two classes: every row's loss is log 2.
fn cross_entropy(device: &Device) -> Result<Vec<f32>, String> {
    let rows = 256 * 7 + 3;
    let z = Guarded::input(device, [rows, 2], &vec![0.5; 2 * rows]);
    let t = Guarded::input(device, [rows, 1], &small_integers(10, rows, 1).iter().map(|t| t.abs()).collect::<Vec<_>>());
    let params = [rows as u32, 2, 1, 1f32.to_bits(), 0, 0];
    run(device, "cross_entropy.forward", fold(8), params, &[&z, &t], [1, 8])
}

#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn folded_dispatches_reach_every_workgroup_and_no_further() {
    let dispatches = [
        ("matmul.tiled", matmul_tiled as fn(&Device) -> Result<Vec<f32>, String>, 0.0),
        ("bias.backward", column_sums, 0.0),
        ("reduce.sum", reduce_sum, 0.0),
        ("loss.forward", squared_errors, 0.0),
        ("metrics.count_correct", count_correct, 0.0),
        ("reduce.rows", row_sums, 0.0),
        // A quotient.
        ("softmax.forward", softmax, 3.0 * EPSILON),
        ("softmax.backward", softmax_backward, 0.0),
        // Logarithms by a series, 256 of them added up.
        ("cross_entropy.forward", cross_entropy, 264.0 * EPSILON),
    ];
    for (name, record, tolerance) in dispatches {
        let expected = record(&Device::cpu()).unwrap();
        for gpu in gpus() {
            let actual = record(&gpu.device).unwrap_or_else(|fault| panic!("{name} on {}: {fault}", gpu.label));
            let verdict = compare(name, &actual, &expected, tolerance, |_| 0.0);
            assert!(verdict.is_ok(), "{} on {}", verdict.unwrap_err(), gpu.label);
        }
    }
}
