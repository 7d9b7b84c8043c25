// C = activation(alpha * A B + beta * C + bias), with A [m, k], B [k, n], C [m, n] row-major, bias [n]; or in a
// backward pass C = (alpha * A B + beta * C) * activation'(extra), and the sums of A's rows beside it.
//
// A and B are read through strides, so the same kernel multiplies by a transpose: the forward pass, the input
// gradient and the weight gradient of a linear layer are three calls of it. A launch covers at most 32,768 of k
// (software drivers stop a loop after 65,535 rounds); longer sums continue in a second launch with beta = 1.
//
// Both entry points add the products of one output in the order of k.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_start: u32,   // index of A[0, 0]
    a_row: u32,     // distance between rows of A, in elements
    a_col: u32,     // distance between columns of A
    b_start: u32,
    b_row: u32,
    b_col: u32,
    extra_is: u32,      // what `extra` is; 0: nothing, 1: a bias, 2: where to take the activation's derivative
    activation: u32,
    activation_a: f32,
    alpha: f32,
    beta: f32,
    keep: u32,          // 1: `kept` gets what the activation is applied to
    sums_at: u32,       // not 0: c[sums_at + i] gets the sum of A's row i, scaled and added like the product
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> extra: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept: array<f32>;

// The next four are those of activation.wgsl, letter by letter (a test compares them).

fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

fn normal_cdf(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let tail = 0.5 * p * exp(-z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}

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

fn derivative(kind: u32, a: f32, x: f32, y: f32) -> f32 {
    switch kind {
        case 1u: { return select(0.0, 1.0, y > 0.0); }
        case 2u: { return 1.0 - y * y; }
        case 3u: { return y * (1.0 - y); }
        case 4u: { return select(a, 1.0, x > 0.0); }
        case 5u: { return select(y + a, 1.0, x > 0.0); }
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

fn store(row: u32, col: u32, sum: f32) {
    if row >= params.m || col >= params.n {
        return;
    }
    let at = row * params.n + col;
    var value = params.alpha * sum;
    if params.beta != 0.0 {
        value += params.beta * c[at];
    }
    if params.extra_is == 2u {
        c[at] = value * derivative(params.activation, params.activation_a, extra[at], extra[at]);
        return;
    }
    if params.extra_is == 1u {
        value += extra[col];
    }
    if params.keep != 0u {
        kept[at] = value;
    }
    c[at] = activate(params.activation, params.activation_a, value);
}

// Workgroups past the product's tiles sum the rows of A, a row to an invocation.
fn store_row_sum(row: u32) {
    if params.sums_at == 0u || row >= params.m {
        return;
    }
    var sum = 0.0;
    var at = params.a_start + row * params.a_row;
    for (var p = 0u; p < params.k; p++) {
        sum += a[at];
        at += params.a_col;
    }
    let to = params.sums_at + row;
    var value = params.alpha * sum;
    if params.beta != 0.0 {
        value += params.beta * c[to];
    }
    c[to] = value;
}

// One output per invocation, an 8 x 8 block per workgroup: for small and narrow matrices.
@compute @workgroup_size(8, 8)
fn small(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let tile = group.y * groups.x + group.x;
    let tiles_across = (params.n + 7u) / 8u;
    let tiles = tiles_across * ((params.m + 7u) / 8u);
    if tile >= tiles {
        store_row_sum((tile - tiles) * 64u + local.y * 8u + local.x);
        return;
    }
    let row = tile / tiles_across * 8u + local.y;
    let col = tile % tiles_across * 8u + local.x;
    if row >= params.m || col >= params.n {
        return;
    }
    var sum = 0.0;
    var at_a = params.a_start + row * params.a_row;
    var at_b = params.b_start + col * params.b_col;
    for (var p = 0u; p < params.k; p++) {
        sum += a[at_a] * b[at_b];
        at_a += params.a_col;
        at_b += params.b_row;
    }
    store(row, col, sum);
}

// A 64 x 64 block per workgroup, 4 x 4 outputs per invocation; 16 columns of A and 16 rows of B at a time pass
// through workgroup memory (8 KiB of the 16 KiB that every adapter has).
var<workgroup> tile_a: array<vec4f, 256>;   // [16 of k][64 rows]
var<workgroup> tile_b: array<vec4f, 256>;   // [16 of k][64 columns]

fn load_a(row: u32, p: u32) -> f32 {
    if row < params.m && p < params.k {
        return a[params.a_start + row * params.a_row + p * params.a_col];
    }
    return 0.0;
}

fn load_b(p: u32, col: u32) -> f32 {
    if p < params.k && col < params.n {
        return b[params.b_start + p * params.b_row + col * params.b_col];
    }
    return 0.0;
}

@compute @workgroup_size(256)
fn tiled(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = group.y * groups.x + group.x;
    let tiles_across = (params.n + 63u) / 64u;
    let first_row = tile / tiles_across * 64u;
    let first_col = tile % tiles_across * 64u;
    if first_row >= params.m {
        store_row_sum((tile - tiles_across * ((params.m + 63u) / 64u)) * 256u + lane);
        return;
    }
    let x = lane % 16u;
    let y = lane / 16u;
    // Each invocation loads four neighbours of each tile.
    let load_p = lane / 16u;
    let load_at = lane % 16u * 4u;

    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var p = 0u; p < params.k; p += 16u) {
        let row = first_row + load_at;
        let col = first_col + load_at;
        let q = p + load_p;
        tile_a[lane] = vec4f(load_a(row, q), load_a(row + 1u, q), load_a(row + 2u, q), load_a(row + 3u, q));
        tile_b[lane] = vec4f(load_b(q, col), load_b(q, col + 1u), load_b(q, col + 2u), load_b(q, col + 3u));
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let rows = tile_a[i * 16u + y];
            let cols = tile_b[i * 16u + x];
            sum0 += rows.x * cols;
            sum1 += rows.y * cols;
            sum2 += rows.z * cols;
            sum3 += rows.w * cols;
        }
        workgroupBarrier();
    }
    let row = first_row + y * 4u;
    let col = first_col + x * 4u;
    for (var j = 0u; j < 4u; j++) {
        store(row, col + j, sum0[j]);
        store(row + 1u, col + j, sum1[j]);
        store(row + 2u, col + j, sum2[j]);
        store(row + 3u, col + j, sum3[j]);
    }
}
