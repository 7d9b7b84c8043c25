// C = activation(alpha * A B + beta * C + bias), with A [m, k], B [k, n], C [m, n] row-major, bias [n]; or in a
// backward pass C = (alpha * A B + beta * C) * activation'(extra), and the sums of A's rows along with it.
//
// A and B are read through strides, so the same kernel multiplies by a transpose: the forward pass, the input
// gradient and the weight gradient of a linear layer are three calls of it.
//
// The entry points in matmul/ multiply, each for other shapes: small, direct, direct4, tiled, wide. They add products of one
// output in the order of k; direct4 first adds four of them to each other. Where there are few outputs and a long k, k
// is cut into parts: the dispatch stores a product for each part, and add_parts adds them up. A part has a bounded length,
// as software drivers end loops after 65,535 rounds; longer sums continue in further dispatches with beta = 1.

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
    extra_is: u32,      // this and the next are read by the host, which compiles them in: see below
    activation: u32,
    activation_a: f32,
    alpha: f32,
    beta: f32,
    keep: u32,          // compiled in, too
    sums_at: u32,       // not 0: c[sums_at + i] gets the sum of A's row i, scaled and added like the product
    parts: u32,         // how many parts k is cut into; if not 1, c is [parts, m, n]
    part_k: u32,        // k of a part; the last may have less
}

// A pipeline is compiled for each set of values that a program uses.
override extra_is: u32 = 0u;        // `extra` is 0: nothing, 1: a bias, 2: where to take the activation's derivative
override activation: u32 = 0u;
override keep: bool = false;        // whether `kept` gets what the activation is applied to
override adds: bool = false;        // whether beta is not 0
override in_parts: bool = false;    // whether k is cut into parts

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> extra: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept: array<f32>;

// The end of an output: what is done with the sum of its products.
fn finish(row: u32, col: u32, sum: f32) {
    let at = row * params.n + col;
    var value = params.alpha * sum;
    if adds {
        value += params.beta * c[at];
    }
    if extra_is == 2u {
        c[at] = value * derivative(activation, params.activation_a, extra[at]);
        return;
    }
    if extra_is == 1u {
        value += extra[col];
    }
    if keep {
        kept[at] = value;
    }
    c[at] = activate(activation, params.activation_a, value);
}

fn store(part: u32, row: u32, col: u32, sum: f32) {
    if row >= params.m || col >= params.n {
        return;
    }
    if in_parts {
        c[(part * params.m + row) * params.n + col] = sum;
    } else {
        finish(row, col, sum);
    }
}

// What a workgroup computes: the block of the product from (row, col), over k from first to end.
struct Block {
    row: u32,
    col: u32,
    part: u32,
    first: u32,
    end: u32,
    beyond: u32,    // workgroups past the last block count from 0
}

fn block_of(group: vec3u, groups: vec3u, rows: u32, cols: u32) -> Block {
    let index = workgroup_index(group, groups);
    let across = (params.n + cols - 1u) / cols;
    let blocks = (params.m + rows - 1u) / rows * across;
    let part = index / blocks;
    let block = index % blocks;
    let first = part * params.part_k;
    let end = min(first + params.part_k, params.k);
    return Block(block / across * rows, block % across * cols, part, first, end, index - blocks * params.parts);
}

// Workgroups past the product's blocks sum the rows of A, a row to an invocation.
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
    store_sum(row, sum);
}

fn store_sum(row: u32, sum: f32) {
    let to = params.sums_at + row;
    var value = params.alpha * sum;
    if adds {
        value += params.beta * c[to];
    }
    c[to] = value;
}

// Adds up the parts of k, which lie in a, in order: one output per invocation.
@compute @workgroup_size(GROUP)
fn add_parts(here: Place) {
    let at = invocation_index(here.group, here.groups, here.lane);
    let outputs = params.m * params.n;
    if at >= outputs {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < params.k; part++) {
        sum += a[part * outputs + at];
    }
    finish(at / params.n, at % params.n, sum);
}
