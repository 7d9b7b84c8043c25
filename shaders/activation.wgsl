// Activations, element by element. `kind` is the discriminant of `Activation` in src/ops/activation.rs.

struct Params {
    len: u32,
    kind: u32,
    slope: f32,
    accumulate: u32,    // backward only; 1: add to dx, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// The same function as in matmul.wgsl. Each branch stays finite: tanh is flat in f32 beyond 15, and exp only sees
// numbers that are not positive.
fn activate(kind: u32, slope: f32, x: f32) -> f32 {
    switch kind {
        case 1u: { return max(x, 0.0); }
        case 2u: { return tanh(clamp(x, -15.0, 15.0)); }
        case 3u: {
            let e = exp(-abs(x));
            return select(e, 1.0, x >= 0.0) / (1.0 + e);
        }
        default: { return x; }
    }
}

// out = activation(x)
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        out[i] = activate(params.kind, params.slope, x[i]);
    }
}

@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

// The derivative at input x, where the activation had the value y.
fn derivative(kind: u32, slope: f32, x: f32, y: f32) -> f32 {
    switch kind {
        case 1u: { return select(0.0, 1.0, y > 0.0); }
        case 2u: { return 1.0 - y * y; }
        case 3u: { return y * (1.0 - y); }
        default: { return 1.0; }
    }
}

// dx = dy * activation'(x)
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        let gradient = dy[i] * derivative(params.kind, params.slope, x[i], y[i]);
        if params.accumulate != 0u {
            dx[i] += gradient;
        } else {
            dx[i] = gradient;
        }
    }
}
