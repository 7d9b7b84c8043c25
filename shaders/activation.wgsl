// Functions of one variable, element by element: the activations, and exp, log, powers and affine maps.
// `kind`, `a` and `b` are those of the table in src/ops/activation/function.rs.

struct Params {
    len: u32,
    kind: u32,          // compiled in: see below
    a: f32,
    b: f32,
    accumulate: u32,    // backward only; 1: add to dx, 0: overwrite it
}

// A pipeline is compiled for each kind that a program uses.
override kind: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// out = function(x)
@compute @workgroup_size(GROUP)
fn forward(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i < params.len {
        out[i] = value(kind, params.a, params.b, x[i]);
    }
}

@group(0) @binding(1) var<storage, read> at: array<f32>;    // x, or y where the table says so
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// dx = dy * function'
@compute @workgroup_size(GROUP)
fn backward(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i < params.len {
        var gradient = dy[i] * slope(kind, params.a, at[i]);
        if params.accumulate != 0u {
            gradient += dx[i];
        }
        dx[i] = gradient;
    }
}
