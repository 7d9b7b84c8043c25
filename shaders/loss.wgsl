// Mean squared error: scale * sum of (prediction - target)^2, and its gradient.

struct Params {
    len: u32,
    scale: f32,
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<f32, 256>;

// sums[workgroup] = scale * (sum of the workgroup's 4,096 squared errors), added in the order of reduce.wgsl
@compute @workgroup_size(256)
fn mse_forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) {
        let at = block * 4096u + i * 256u + lane;
        if at < params.len {
            let error = predictions[at] - targets[at];
            total += error * error;
        }
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 4096u < params.len {
        sums[block] = params.scale * partial[0];
    }
}

@group(0) @binding(3) var<storage, read> d_loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

// gradient = d_loss * 2 * scale * (prediction - target)
@compute @workgroup_size(64)
fn mse_backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let value = d_loss[0] * (2.0 * params.scale) * (predictions[i] - targets[i]);
        if params.accumulate != 0u {
            gradient[i] += value;
        } else {
            gradient[i] = value;
        }
    }
}
