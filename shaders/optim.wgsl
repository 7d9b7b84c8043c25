// Optimizer updates over a stretch of the flat buffer that holds every parameter.

struct Params {
    len: u32,
    last_rate: u32,         // the last row of `rates`: step s takes row min(s, last_rate)
    rate_factor: f32,       // of this group of parameters
    decay: f32,             // added to the gradient, times the value
    decoupled_decay: f32,   // the value shrinks by rate * this
    shrink: f32,            // the value shrinks by this, whatever the rate
    clip_value: f32,        // gradients are clamped to +- this
    clip_norm: f32,         // clamped gradients are scaled down to this norm over all parameters; 0: they are not
    momentum: f32,
    nesterov: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> rates: array<vec4f>;   // rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused
@group(0) @binding(3) var<storage, read> squared_norm: array<f32>;      // of the clamped gradients
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> state1: array<f32>;
@group(0) @binding(6) var<storage, read_write> state2: array<f32>;

// There may be fewer invocations than values: each strides by their number.
fn stride(groups: vec3u) -> u32 {
    return groups.x * groups.y * GROUP;
}

// What holds for all values in a step.
struct ThisStep {
    rate: f32,
    correct1: f32,      // 1 / (1 - beta1^t)
    correct2: f32,      // 1 / (1 - beta2^t)
    kept: f32,          // what is left of a value after its decay
    norm_scale: f32,
}

fn this_step() -> ThisStep {
    let row = rates[min(now.step, params.last_rate)];
    let rate = row.x * params.rate_factor;
    var norm_scale = 1.0;
    if params.clip_norm > 0.0 {
        let scale = params.clip_norm / (sqrt(squared_norm[0]) + 1e-6);
        norm_scale = select(min(1.0, scale), scale, is_nan(scale));
    }
    return ThisStep(rate, row.y, row.z, 1.0 - rate * params.decoupled_decay - params.shrink, norm_scale);
}

// The gradient of a value, clipped, with the weight decay that is added to it.
fn gradient(i: u32, value: f32, norm_scale: f32) -> f32 {
    return clip(gradients[i], params.clip_value) * norm_scale + params.decay * value;
}

// value -= rate * gradient
@compute @workgroup_size(GROUP)
fn sgd(here: Place) {
    let step = this_step();
    let first = invocation_index(here.group, here.groups, here.lane);
    for (var i = first; i < params.len; i += stride(here.groups)) {
        let value = values[i];
        let g = gradient(i, value, step.norm_scale);
        values[i] = value * step.kept - step.rate * g;
    }
}

// velocity = momentum * velocity + gradient; value -= rate * velocity, or with Nesterov's look ahead
// value -= rate * (gradient + momentum * velocity)
@compute @workgroup_size(GROUP)
fn momentum(here: Place) {
    let step = this_step();
    let first = invocation_index(here.group, here.groups, here.lane);
    for (var i = first; i < params.len; i += stride(here.groups)) {
        let value = values[i];
        let g = gradient(i, value, step.norm_scale);
        let velocity = params.momentum * state1[i] + g;
        state1[i] = velocity;
        let direction = select(velocity, g + params.momentum * velocity, params.nesterov != 0u);
        values[i] = value * step.kept - step.rate * direction;
    }
}

// Kingma & Ba 2015, bias corrected: value -= rate * m / (sqrt(v) + epsilon)
@compute @workgroup_size(GROUP)
fn adam(here: Place) {
    let step = this_step();
    let first = invocation_index(here.group, here.groups, here.lane);
    for (var i = first; i < params.len; i += stride(here.groups)) {
        let value = values[i];
        let g = gradient(i, value, step.norm_scale);
        let m = params.beta1 * state1[i] + (1.0 - params.beta1) * g;
        let v = params.beta2 * state2[i] + (1.0 - params.beta2) * g * g;
        state1[i] = m;
        state2[i] = v;
        values[i] = value * step.kept - step.rate * (m * step.correct1) / (sqrt(v * step.correct2) + params.epsilon);
    }
}

// Hinton 2012: v = beta2 * v + (1 - beta2) * gradient^2; velocity = momentum * velocity + gradient / (sqrt(v) + epsilon);
// value -= rate * velocity
@compute @workgroup_size(GROUP)
fn rmsprop(here: Place) {
    let step = this_step();
    let first = invocation_index(here.group, here.groups, here.lane);
    for (var i = first; i < params.len; i += stride(here.groups)) {
        let value = values[i];
        let g = gradient(i, value, step.norm_scale);
        let v = params.beta2 * state2[i] + (1.0 - params.beta2) * g * g;
        let velocity = params.momentum * state1[i] + g / (sqrt(v) + params.epsilon);
        state1[i] = velocity;
        state2[i] = v;
        values[i] = value * step.kept - step.rate * velocity;
    }
}
