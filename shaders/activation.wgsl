// Functions of one variable, element by element: the activations, and exp, log, powers and affine maps.
// `kind` is `Activation::kind` in src/ops/activation/function.rs; `a` and `b` are the function's constants.

struct Params {
    len: u32,
    kind: u32,          // compiled in: see below
    a: f32,
    b: f32,
    accumulate: u32,    // backward only; 1: add to dx, 0: overwrite it
    infinity: f32,      // WGSL has no way to write these two, and need not compute them
    nan: f32,
}

// A pipeline is compiled for each kind that a program uses.
override kind: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// The normal distribution function: 1/2 + erf(x / sqrt 2) / 2, with erf by Abramowitz & Stegun 7.1.26 (to 1.5e-7).
fn normal_cdf(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = 0.5 * p * exp(-z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}

// Every branch stays finite: tanh is flat in f32 beyond 15, and exp only sees numbers that are not positive.
fn activate(kind: u32, a: f32, x: f32) -> f32 {
    switch kind {
        case 1u: { return max(x, 0.0); }
        case 2u: { return tanh(clamp(x, -15.0, 15.0)); }
        case 3u: { return sigmoid(x); }
        case 4u: { return select(a * x, x, x > 0.0); }
        case 5u: { return select(a * (exp(min(x, 0.0)) - 1.0), x, x > 0.0); }
        case 6u: { return x * normal_cdf(x); }
        case 7u: { return 0.5 * x * (1.0 + tanh(clamp(0.79788456 * (x + 0.044715 * x * x * x), -15.0, 15.0))); }
        case 8u: { return x * sigmoid(x); }
        case 9u: { return max(x, 0.0) + log(1.0 + exp(-abs(x))); }
        default: { return x; }
    }
}

// `activate`, and the functions that no matmul applies at its end.
fn value(kind: u32, a: f32, b: f32, x: f32) -> f32 {
    switch kind {
        case 10u: { return exp(x); }
        case 11u: { return logarithm(x); }
        case 12u: { return power(x, a); }
        case 13u: { return a * x + b; }
        default: { return activate(kind, a, x); }
    }
}

// log(x) as IEEE has it: WGSL's is undefined unless x > 0.
fn logarithm(x: f32) -> f32 {
    if x > 0.0 {
        return log(x);
    }
    return select(params.nan, -params.infinity, x == 0.0);
}

// x^a as IEEE has it: WGSL's pow is undefined unless x > 0, so whole exponents take their sign from a's parity.
fn power(x: f32, a: f32) -> f32 {
    if a == 0.0 {
        return 1.0;
    }
    if x == 0.0 {
        return select(params.infinity, 0.0, a > 0.0);
    }
    if x > 0.0 {
        return pow(x, a);
    }
    let half = a * 0.5;
    if x < 0.0 && a == floor(a) {
        let magnitude = pow(-x, a);
        return select(-magnitude, magnitude, half == floor(half));
    }
    return params.nan;
}

// out = function(x)
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        out[i] = value(kind, params.a, params.b, x[i]);
    }
}

@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

// The derivative at input x, where the function has the value y. Kinds below 6 get by with y in both places.
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

// `derivative`, and those of the functions that no matmul applies at its end.
fn slope(kind: u32, a: f32, x: f32, y: f32) -> f32 {
    switch kind {
        case 10u: { return y; }
        case 11u: { return 1.0 / x; }
        case 12u: { return a * power(x, a - 1.0); }
        case 13u: { return a; }
        default: { return derivative(kind, a, x, y); }
    }
}

// dx = dy * function'(x)
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let gradient = dy[i] * slope(kind, params.a, x[i], y[i]);
        if params.accumulate != 0u {
            dx[i] += gradient;
        } else {
            dx[i] = gradient;
        }
    }
}
