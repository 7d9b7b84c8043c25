// Losses that add up errors element by element: scale * sum of error(prediction, target), and their gradients.
// `kind` is `Elementwise::kind` in src/ops/loss.rs.

struct Params {
    len: u32,
    kind: u32,
    delta: f32,         // where Huber's error turns from a parabola into a line
    scale: f32,
    by_target: u32,     // backward only; 1: the gradient of the targets, 0: of the predictions
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// Squared, absolute, Huber's; and the cross-entropy of a logit p, in the form that stays finite.
fn error(kind: u32, delta: f32, p: f32, t: f32) -> f32 {
    let e = p - t;
    switch kind {
        case 1u: { return abs(e); }
        case 2u: { return select(delta * (abs(e) - 0.5 * delta), 0.5 * e * e, abs(e) <= delta); }
        case 3u: { return max(p, 0.0) - p * t + log(1.0 + exp(-abs(p))); }
        default: { return e * e; }
    }
}

// The derivative of the error by the prediction.
fn derivative(kind: u32, delta: f32, p: f32, t: f32) -> f32 {
    let e = p - t;
    switch kind {
        case 1u: { return sign(e); }
        case 2u: { return clamp(e, -delta, delta); }
        case 3u: { return sigmoid(p) - t; }
        default: { return 2.0 * e; }
    }
}

var<workgroup> partial: array<f32, 256>;

// sums[workgroup] = scale * (sum of the workgroup's 4,096 errors), added in the order of reduce.wgsl
@compute @workgroup_size(256)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) {
        let at = block * 4096u + i * 256u + lane;
        if at < params.len {
            total += error(params.kind, params.delta, predictions[at], targets[at]);
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

// gradient = d_loss * scale * derivative(prediction, target)
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i >= params.len {
        return;
    }
    var slope = derivative(params.kind, params.delta, predictions[i], targets[i]);
    if params.by_target != 0u {
        // The others depend on the difference alone.
        slope = select(-slope, -predictions[i], params.kind == 3u);
    }
    let value = d_loss[0] * params.scale * slope;
    if params.accumulate != 0u {
        gradient[i] += value;
    } else {
        gradient[i] = value;
    }
}
