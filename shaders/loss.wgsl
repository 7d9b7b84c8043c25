// Losses that add up errors element by element: scale * sum of error(prediction, target), and their gradients.
// `kind` is `Elementwise::kind` in src/ops/loss.rs.

struct Params {
    len: u32,
    kind: u32,          // compiled in: see below
    delta: f32,         // where Huber's error turns from a parabola into a line
    scale: f32,
    by_target: u32,     // backward only; 1: the gradient of the targets, 0: of the predictions
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
    last_slot: u32,     // step s writes the sum number min(s, last_slot): 0 for one sum, more for a history
    activation: u32,    // both only, compiled in
    activation_a: f32,
    has_before: u32,    // both only, compiled in
}

// A pipeline is compiled for each set of values that a program uses.
override kind: u32 = 0u;
override activation: u32 = 0u;          // what the predictions come out of
override has_before: bool = false;      // whether `before` holds what the activation was applied to

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

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
fn error_derivative(kind: u32, delta: f32, p: f32, t: f32) -> f32 {
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
    let end = min(params.len, (block + 1u) * 4096u);
    for (var at = block * 4096u + lane; at < end; at += 256u) {
        total += error(kind, params.delta, predictions[at], targets[at]);
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
        sums[block + min(now.step, params.last_slot)] = params.scale * partial[0];
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
    var slope = error_derivative(kind, params.delta, predictions[i], targets[i]);
    if params.by_target != 0u {
        // The others depend on the difference alone.
        slope = select(-slope, -predictions[i], kind == 3u);
    }
    let value = d_loss[0] * params.scale * slope;
    if params.accumulate != 0u {
        gradient[i] += value;
    } else {
        gradient[i] = value;
    }
}

@group(0) @binding(4) var<storage, read> before: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums_of_both: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient_of_both: array<f32>;

// The next three are those of activation.wgsl, letter by letter (a test compares them).

fn normal_cdf(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = 0.5 * p * exp(-z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}

fn derivative(kind: u32, a: f32, x: f32, y: f32) -> f32 {
    switch kind {
        case 1u: { return select(0.0, 1.0, y > 0.0); }
        case 2u: { return 1.0 - y * y; }
        case 3u: { return y * (1.0 - y); }
        case 4u: { return select(a, 1.0, x > 0.0); }
        case 5u: { return select(select(y + a, a * exp(min(x, 0.0)), a < 0.0), 1.0, x > 0.0); }
        case 6u: { return normal_cdf(x) + x * 0.39894228 * exp(-0.5 * x * x); }
        case 7u: {
            let angle = 0.79788456 * (x + 0.044715 * x * x * x);
            let t = tanh(clamp(angle, -15.0, 15.0));
            // 1 - t^2, in a form whose error vanishes with it: what follows grows with the cube of x.
            let e = exp(-2.0 * abs(angle));
            let slope = 4.0 * e / ((1.0 + e) * (1.0 + e));
            return 0.5 * (1.0 + t) + 0.5 * x * slope * 0.79788456 * (1.0 + 0.134145 * x * x);
        }
        case 8u: {
            let s = sigmoid(x);
            return s * (1.0 + x * (1.0 - s));
        }
        case 9u: { return sigmoid(x); }
        default: { return 1.0; }
    }
}

// Both in one launch, with the derivative of the activation that gave the predictions: sums as in `forward`,
// gradient = d_loss * scale * derivative(prediction, target) * activation'(before)
@compute @workgroup_size(256)
fn both(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    var total = 0.0;
    let end = min(params.len, (block + 1u) * 4096u);
    for (var at = block * 4096u + lane; at < end; at += 256u) {
        let p = predictions[at];
        let t = targets[at];
        total += error(kind, params.delta, p, t);
        var x = p;
        if has_before {
            x = before[at];
        }
        let slope = error_derivative(kind, params.delta, p, t);
        gradient_of_both[at] =
            d_loss[0] * params.scale * slope * derivative(activation, params.activation_a, x, p);
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
        sums_of_both[block + min(now.step, params.last_slot)] = params.scale * partial[0];
    }
}
