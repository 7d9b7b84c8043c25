// Optimiser updates over a stretch of the flat buffer that holds every parameter.

struct Params {
    len: u32,
    last_rate: u32,         // the last row of `rates`: step s takes row min(s, last_rate)
    rate_factor: f32,       // of this group of parameters
    decay: f32,             // added to the gradient, times the value
    decoupled_decay: f32,   // the value shrinks by rate * this
    shrink: f32,            // the value shrinks by this, whatever the rate
    clip_value: f32,        // gradients are clamped to +- this
    clip_norm: f32,         // gradients are scaled down to this norm over all parameters; 0: they are not
    momentum: f32,
    nesterov: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> rates: array<vec4f>;   // rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused
@group(0) @binding(3) var<storage, read> squared_norm: array<f32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> state1: array<f32>;
@group(0) @binding(6) var<storage, read_write> state2: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

fn rate_row() -> vec4f {
    let row = rates[min(now.step, params.last_rate)];
    return vec4f(row.x * params.rate_factor, row.yzw);
}

// The gradient of value i, clipped, with the weight decay that is added to it.
fn gradient(i: u32) -> f32 {
    var g = clamp(gradients[i], -params.clip_value, params.clip_value);
    if params.clip_norm > 0.0 {
        g *= min(1.0, params.clip_norm / (sqrt(squared_norm[0]) + 1e-6));
    }
    return g + params.decay * values[i];
}

fn decayed(i: u32, rate: f32) -> f32 {
    return values[i] * (1.0 - rate * params.decoupled_decay - params.shrink);
}

// value -= rate * gradient
@compute @workgroup_size(64)
fn sgd(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let rate = rate_row().x;
        let g = gradient(i);
        values[i] = decayed(i, rate) - rate * g;
    }
}

// velocity = momentum * velocity + gradient; value -= rate * velocity, or with Nesterov's look ahead
// value -= rate * (gradient + momentum * velocity)
@compute @workgroup_size(64)
fn momentum(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let rate = rate_row().x;
        let g = gradient(i);
        let velocity = params.momentum * state1[i] + g;
        state1[i] = velocity;
        values[i] = decayed(i, rate) - rate * select(velocity, g + params.momentum * velocity, params.nesterov != 0u);
    }
}

// Kingma & Ba 2015, bias corrected: value -= rate * m / (sqrt(v) + epsilon)
@compute @workgroup_size(64)
fn adam(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let row = rate_row();
        let g = gradient(i);
        let m = params.beta1 * state1[i] + (1.0 - params.beta1) * g;
        let v = params.beta2 * state2[i] + (1.0 - params.beta2) * g * g;
        state1[i] = m;
        state2[i] = v;
        values[i] = decayed(i, row.x) - row.x * (m * row.y) / (sqrt(v * row.z) + params.epsilon);
    }
}

// Hinton 2012: v = beta2 * v + (1 - beta2) * gradient^2; velocity = momentum * velocity + gradient / (sqrt(v) + epsilon);
// value -= rate * velocity
@compute @workgroup_size(64)
fn rmsprop(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let rate = rate_row().x;
        let g = gradient(i);
        let v = params.beta2 * state2[i] + (1.0 - params.beta2) * g * g;
        let velocity = params.momentum * state1[i] + g / (sqrt(v) + params.epsilon);
        state1[i] = velocity;
        state2[i] = v;
        values[i] = decayed(i, rate) - rate * velocity;
    }
}
