// Elementwise losses: scale * sum of error(prediction, target), and their gradients.
// `kind` is `Elementwise::kind` in src/ops/loss.rs.

struct Params {
    len: u32,
    kind: u32,          // compiled in: see below
    constant: f32,      // where Huber's error turns from a parabola into a line; the quantile
    scale: f32,
    by_target: u32,     // backward only; 1: the gradient of the targets, 0: of the predictions
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
    last_slot: u32,     // step s writes the sum number min(s, last_slot): 0 for one sum, more for a history
    activation: u32,    // both only, compiled in
    activation_a: f32,
    has_before: u32,    // both only, compiled in
    block: u32,         // elements that a workgroup of LANES adds up
}

// A pipeline is compiled for each set of values that a program uses.
override kind: u32 = 0u;
override activation: u32 = 0u;          // what the predictions come out of
override has_before: bool = false;      // whether its derivative is computed from `before`, not from the predictions

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

const LANES = 256u;

// sums[workgroup] = scale * (sum of the workgroup's errors)
@compute @workgroup_size(LANES)
fn forward(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    var total = 0.0;
    let end = min(params.len, (block + 1u) * params.block);
    for (var i = block * params.block + here.lane; i < end; i += LANES) {
        total += error(kind, params.constant, predictions[i], targets[i]);
    }
    let sum = sum_lanes(here.lane, LANES, 1u, total);
    if here.lane == 0u && block * params.block < params.len {
        sums[block + min(now.step, params.last_slot)] = params.scale * sum;
    }
}

@group(0) @binding(3) var<storage, read> d_loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

// gradient = d_loss * scale * derivative(prediction, target)
@compute @workgroup_size(GROUP)
fn backward(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i >= params.len {
        return;
    }
    var slope = error_derivative(kind, params.constant, predictions[i], targets[i]);
    if params.by_target != 0u {
        // The others depend on the difference alone.
        slope = select(-slope, -predictions[i], kind == 3u);
    }
    var value = d_loss[0] * params.scale * slope;
    if params.accumulate != 0u {
        value += gradient[i];
    }
    gradient[i] = value;
}

@group(0) @binding(4) var<storage, read> before: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums_of_both: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient_of_both: array<f32>;

// Both in one dispatch, with the derivative of the activation that gave the predictions: sums as in `forward`,
// gradient = d_loss * scale * derivative(prediction, target) * activation'
@compute @workgroup_size(LANES)
fn both(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    var total = 0.0;
    let end = min(params.len, (block + 1u) * params.block);
    for (var i = block * params.block + here.lane; i < end; i += LANES) {
        let p = predictions[i];
        let t = targets[i];
        total += error(kind, params.constant, p, t);
        var at = p;
        if has_before {
            at = before[i];
        }
        let slope = error_derivative(kind, params.constant, p, t);
        gradient_of_both[i] = d_loss[0] * params.scale * slope * derivative(activation, params.activation_a, at);
    }
    let sum = sum_lanes(here.lane, LANES, 1u, total);
    if here.lane == 0u && block * params.block < params.len {
        sums_of_both[block + min(now.step, params.last_slot)] = params.scale * sum;
    }
}
