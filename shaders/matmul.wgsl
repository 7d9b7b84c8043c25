// C = activation(alpha * A B + beta * C + bias), with A [m, k], B [k, n], C [m, n] row-major, bias [n]; or in a
// backward pass C = (alpha * A B + beta * C) * activation'(extra), and the sums of A's rows beside it.
//
// A and B are read through strides, so the same kernel multiplies by a transpose: the forward pass, the input
// gradient and the weight gradient of a linear layer are three calls of it.
//
// Five entry points multiply, each for other shapes: small, direct, direct4, tiled, wide. They add the products of one
// output in the order of k; direct4 first adds four of them to each other. Where there are few outputs and a long k, k
// is cut into parts: the launch stores a product for each part, and add_parts adds them up. A part has at most 32,768
// of k, as software drivers stop a loop after 65,535 rounds; longer sums continue in further launches with beta = 1.

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
override a4_along_k: bool = false;  // direct4 only: whether neighbours along k are neighbours in A's memory
override b4_along_k: bool = false;

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

// The end of an output: what is done with the sum of its products.
fn finish(row: u32, col: u32, sum: f32) {
    let at = row * params.n + col;
    var value = params.alpha * sum;
    if adds {
        value += params.beta * c[at];
    }
    if extra_is == 2u {
        c[at] = value * derivative(activation, params.activation_a, extra[at], extra[at]);
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
    let index = group.y * groups.x + group.x;
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

// One output per invocation, an 8 x 8 block per workgroup: for small and narrow matrices.
@compute @workgroup_size(8, 8)
fn small(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let block = block_of(group, groups, 8u, 8u);
    if block.part >= params.parts {
        store_row_sum(block.beyond * 64u + local.y * 8u + local.x);
        return;
    }
    let row = block.row + local.y;
    let col = block.col + local.x;
    if row >= params.m || col >= params.n {
        return;
    }
    var sum = 0.0;
    var at_a = params.a_start + row * params.a_row + block.first * params.a_col;
    var at_b = params.b_start + col * params.b_col + block.first * params.b_row;
    for (var p = block.first; p < block.end; p++) {
        sum += a[at_a] * b[at_b];
        at_a += params.a_col;
        at_b += params.b_row;
    }
    store(block.part, row, col, sum);
}

// Adds up the parts of k, which lie in a, in order: one output per invocation.
@compute @workgroup_size(64)
fn add_parts(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * 64u + lane;
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

// Rows and columns from four neighbours each, as a product: entry [i][j] is rows[i] * cols[j].
fn outer(rows: vec4f, cols: vec4f) -> mat4x4f {
    return mat4x4f(rows.x * cols, rows.y * cols, rows.z * cols, rows.w * cols);
}

fn load_a(at: vec4u) -> vec4f {
    return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn load_b(at: vec4u) -> vec4f {
    return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

// 8 x 16 outputs per invocation, 16 x 64 per workgroup, straight from A and B: for drivers that run on the CPU, where
// a load costs ten times a multiplication, workgroup memory is no quicker, and eight invocations fill a vector.
@compute @workgroup_size(8)
fn direct(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = block_of(group, groups, 16u, 64u);
    if block.part >= params.parts {
        store_row_sum(block.beyond * 8u + lane);
        return;
    }
    let row = block.row + lane / 4u * 8u;
    let col = block.col + lane % 4u * 16u;
    if row >= params.m || col >= params.n {
        return;
    }
    // Rows and columns past the end are read as the last, and not stored.
    let four = vec4u(0u, 1u, 2u, 3u);
    let last_row = vec4u(params.m - 1u);
    let last_col = vec4u(params.n - 1u);
    let start_a = params.a_start + block.first * params.a_col;
    let start_b = params.b_start + block.first * params.b_row;
    var at_a0 = start_a + min(row + four, last_row) * params.a_row;
    var at_a1 = start_a + min(row + 4u + four, last_row) * params.a_row;
    var at_b0 = start_b + min(col + four, last_col) * params.b_col;
    var at_b1 = start_b + min(col + 4u + four, last_col) * params.b_col;
    var at_b2 = start_b + min(col + 8u + four, last_col) * params.b_col;
    var at_b3 = start_b + min(col + 12u + four, last_col) * params.b_col;
    var sum00 = mat4x4f();
    var sum01 = mat4x4f();
    var sum02 = mat4x4f();
    var sum03 = mat4x4f();
    var sum10 = mat4x4f();
    var sum11 = mat4x4f();
    var sum12 = mat4x4f();
    var sum13 = mat4x4f();
    for (var p = block.first; p < block.end; p++) {
        let a0 = load_a(at_a0);
        let a1 = load_a(at_a1);
        let b0 = load_b(at_b0);
        let b1 = load_b(at_b1);
        let b2 = load_b(at_b2);
        let b3 = load_b(at_b3);
        sum00 += outer(a0, b0);
        sum01 += outer(a0, b1);
        sum02 += outer(a0, b2);
        sum03 += outer(a0, b3);
        sum10 += outer(a1, b0);
        sum11 += outer(a1, b1);
        sum12 += outer(a1, b2);
        sum13 += outer(a1, b3);
        at_a0 += params.a_col;
        at_a1 += params.a_col;
        at_b0 += params.b_row;
        at_b1 += params.b_row;
        at_b2 += params.b_row;
        at_b3 += params.b_row;
    }
    store_block(block.part, row, col, array<mat4x4f, 8>(sum00, sum01, sum02, sum03, sum10, sum11, sum12, sum13));
}

// 8 x 16 outputs, as 2 x 4 blocks of which [i][j] is row i, column j.
fn store_block(part: u32, row: u32, col: u32, sums: array<mat4x4f, 8>) {
    var blocks = sums;
    let rows = min(8u, params.m - row);
    let cols = min(16u, params.n - col);
    for (var i = 0u; i < rows; i++) {
        for (var j = 0u; j < cols; j++) {
            store(part, row + i, col + j, blocks[i / 4u * 4u + j / 4u][i % 4u][j % 4u]);
        }
    }
}

// The same for matrices whose rows in memory, and k, are multiples of four. Such drivers load in a loop over the eight
// invocations, which a load of four numbers goes through once.
@group(0) @binding(1) var<storage, read> a4: array<vec4f>;
@group(0) @binding(2) var<storage, read> b4: array<vec4f>;

// Where in memory, in fours, the vectors of a 4 x 4 block lie: from `first` across k, and `p` along it.
fn block4(start: u32, first: u32, last: u32, across: u32, p: u32, along: u32, along_k: bool) -> vec4u {
    let four = vec4u(0u, 1u, 2u, 3u);
    if along_k {
        return (start + min(first + four, vec4u(last)) * across + p) / 4u;
    }
    return (start + min(first, last - 3u) + (p + four) * along) / 4u;
}

// Rows of A, with four of k each.
fn rows4(at: vec4u) -> mat4x4f {
    let block = mat4x4f(a4[at.x], a4[at.y], a4[at.z], a4[at.w]);
    if a4_along_k {
        return block;
    }
    return transpose(block);
}

// Four of k, with four columns of B each.
fn cols4(at: vec4u) -> mat4x4f {
    let block = mat4x4f(b4[at.x], b4[at.y], b4[at.z], b4[at.w]);
    if b4_along_k {
        return transpose(block);
    }
    return block;
}

fn store_row_sums4(row: u32) {
    if params.sums_at == 0u || row >= params.m {
        return;
    }
    var sums = vec4f();
    for (var p = 0u; p < params.k; p++) {
        sums += a4[(params.a_start + row + p * params.a_col) / 4u];
    }
    for (var i = 0u; i < 4u; i++) {
        store_sum(row + i, sums[i]);
    }
}

@compute @workgroup_size(8)
fn direct4(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = block_of(group, groups, 16u, 64u);
    if block.part >= params.parts {
        store_row_sums4((block.beyond * 8u + lane) * 4u);
        return;
    }
    let row = block.row + lane / 4u * 8u;
    let col = block.col + lane % 4u * 16u;
    if row >= params.m || col >= params.n {
        return;
    }
    let last_row = params.m - 1u;
    let last_col = params.n - 1u;
    let p = block.first;
    var at_a0 = block4(params.a_start, row, last_row, params.a_row, p, params.a_col, a4_along_k);
    var at_a1 = block4(params.a_start, row + 4u, last_row, params.a_row, p, params.a_col, a4_along_k);
    var at_b0 = block4(params.b_start, col, last_col, params.b_col, p, params.b_row, b4_along_k);
    var at_b1 = block4(params.b_start, col + 4u, last_col, params.b_col, p, params.b_row, b4_along_k);
    var at_b2 = block4(params.b_start, col + 8u, last_col, params.b_col, p, params.b_row, b4_along_k);
    var at_b3 = block4(params.b_start, col + 12u, last_col, params.b_col, p, params.b_row, b4_along_k);
    // Four steps along k are one vector, or as many rows of vectors.
    let next_a = select(params.a_col, 1u, a4_along_k);
    let next_b = select(params.b_row, 1u, b4_along_k);
    var sum00 = mat4x4f();
    var sum01 = mat4x4f();
    var sum02 = mat4x4f();
    var sum03 = mat4x4f();
    var sum10 = mat4x4f();
    var sum11 = mat4x4f();
    var sum12 = mat4x4f();
    var sum13 = mat4x4f();
    for (var at = block.first; at < block.end; at += 4u) {
        let a0 = rows4(at_a0);
        let a1 = rows4(at_a1);
        let b0 = cols4(at_b0);
        let b1 = cols4(at_b1);
        let b2 = cols4(at_b2);
        let b3 = cols4(at_b3);
        sum00 += b0 * a0;
        sum01 += b1 * a0;
        sum02 += b2 * a0;
        sum03 += b3 * a0;
        sum10 += b0 * a1;
        sum11 += b1 * a1;
        sum12 += b2 * a1;
        sum13 += b3 * a1;
        at_a0 += next_a;
        at_a1 += next_a;
        at_b0 += next_b;
        at_b1 += next_b;
        at_b2 += next_b;
        at_b3 += next_b;
    }
    store_block(block.part, row, col, array<mat4x4f, 8>(sum00, sum01, sum02, sum03, sum10, sum11, sum12, sum13));
}

// A 64 x 64 block per workgroup, 4 x 4 outputs per invocation; 16 columns of A and 16 rows of B at a time pass
// through workgroup memory (8.5 KiB of the 16 KiB that every adapter has; a line has 17 places for 16, so that
// neighbours along k fall into other banks).
var<workgroup> tile_a: array<vec4f, 272>;   // [16 of k][64 rows]
var<workgroup> tile_b: array<vec4f, 272>;   // [16 of k][64 columns]

fn tile_load_a(row: u32, p: u32, end: u32) -> f32 {
    if row < params.m && p < end {
        return a[params.a_start + row * params.a_row + p * params.a_col];
    }
    return 0.0;
}

fn tile_load_b(p: u32, col: u32, end: u32) -> f32 {
    if p < end && col < params.n {
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
    let block = block_of(group, groups, 64u, 64u);
    if block.part >= params.parts {
        store_row_sum(block.beyond * 256u + lane);
        return;
    }
    let x = lane % 16u;
    let y = lane / 16u;
    // Each invocation loads four neighbours of each tile; invocations go along what is contiguous in memory.
    let a_along_k = params.a_col == 1u;
    let b_along_k = params.b_row == 1u;
    let a_at = select(x, y, a_along_k);
    let a_p = select(y, x, a_along_k);
    let b_at = select(x, y, b_along_k);
    let b_p = select(y, x, b_along_k);
    let load_row = block.row + a_at * 4u;
    let load_col = block.col + b_at * 4u;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var first = block.first; first < block.end; first += 16u) {
        var p = first + a_p;
        tile_a[a_p * 17u + a_at] = vec4f(
            tile_load_a(load_row, p, block.end),
            tile_load_a(load_row + 1u, p, block.end),
            tile_load_a(load_row + 2u, p, block.end),
            tile_load_a(load_row + 3u, p, block.end),
        );
        p = first + b_p;
        tile_b[b_p * 17u + b_at] = vec4f(
            tile_load_b(p, load_col, block.end),
            tile_load_b(p, load_col + 1u, block.end),
            tile_load_b(p, load_col + 2u, block.end),
            tile_load_b(p, load_col + 3u, block.end),
        );
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let rows = tile_a[i * 17u + y];
            let cols = tile_b[i * 17u + x];
            sum0 += rows.x * cols;
            sum1 += rows.y * cols;
            sum2 += rows.z * cols;
            sum3 += rows.w * cols;
        }
        workgroupBarrier();
    }
    let row = block.row + y * 4u;
    let col = block.col + x * 4u;
    for (var j = 0u; j < 4u; j++) {
        store(block.part, row, col + j, sum0[j]);
        store(block.part, row + 1u, col + j, sum1[j]);
        store(block.part, row + 2u, col + j, sum2[j]);
        store(block.part, row + 3u, col + j, sum3[j]);
    }
}

// A 128 x 128 block per workgroup, 8 x 8 outputs per invocation, in all 16 KiB of workgroup memory that every adapter
// has: for large matrices whose rows in memory, and stretches of k, are multiples of four.
//
// The first half of the invocations loads A, the other half B: four vectors each, which lie along k or across it, and
// are turned so that a place of the tile holds four rows (columns) of one k. Places are swapped within a line by
// `wide_place`, so that invocations side by side write to, and read from, different banks.
var<workgroup> wide_a: array<vec4f, 512>;   // [16 of k][128 rows]
var<workgroup> wide_b: array<vec4f, 512>;   // [16 of k][128 columns]

fn wide_place(p: u32, four: u32) -> u32 {
    return p * 32u + (four ^ (p / 4u * 2u));
}

@compute @workgroup_size(256)
fn wide(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = block_of(group, groups, 128u, 128u);
    if block.part >= params.parts {
        return;
    }
    // What this invocation loads; a line is a row of A or a column of B.
    let of_b = lane >= 128u;
    let t = lane % 128u;
    let start = select(params.a_start, params.b_start, of_b);
    let line_step = select(params.a_row, params.b_col, of_b);
    let k_step = select(params.a_col, params.b_row, of_b);
    let lines = select(params.m, params.n, of_b);
    let along_k = k_step == 1u;
    let load_p = select(t / 32u, t % 4u, along_k) * 4u;
    let load_at = select(t % 32u, t / 4u, along_k);
    let line = select(block.row, block.col, of_b) + load_at * 4u;

    let x = lane % 16u;
    let y = lane / 16u;
    let four = vec4u(0u, 1u, 2u, 3u);
    var sum00 = mat4x4f();
    var sum01 = mat4x4f();
    var sum10 = mat4x4f();
    var sum11 = mat4x4f();
    for (var first = block.first; first < block.end; first += 16u) {
        // What lies past the end is read from within it, and zeroed.
        let p = first + load_p;
        let along = min(line + four, vec4u(lines - 1u)) * line_step + min(p, block.end - 4u);
        let across = min(p + four, vec4u(block.end - 1u)) * k_step + min(line, lines - 4u);
        let at = (start + select(across, along, along_k)) / 4u;
        var loaded: mat4x4f;
        if of_b {
            loaded = mat4x4f(b4[at.x], b4[at.y], b4[at.z], b4[at.w]);
        } else {
            loaded = mat4x4f(a4[at.x], a4[at.y], a4[at.z], a4[at.w]);
        }
        if along_k {
            loaded = transpose(loaded);
        }
        for (var i = 0u; i < 4u; i++) {
            let value = select(vec4f(), loaded[i], p + i < block.end);
            if of_b {
                wide_b[wide_place(load_p + i, load_at)] = value;
            } else {
                wide_a[wide_place(load_p + i, load_at)] = value;
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let rows0 = wide_a[wide_place(i, y)];
            let rows1 = wide_a[wide_place(i, y + 16u)];
            let cols0 = wide_b[wide_place(i, x)];
            let cols1 = wide_b[wide_place(i, x + 16u)];
            sum00 += outer(rows0, cols0);
            sum01 += outer(rows0, cols1);
            sum10 += outer(rows1, cols0);
            sum11 += outer(rows1, cols1);
        }
        workgroupBarrier();
    }
    var sums = array<mat4x4f, 4>(sum00, sum01, sum10, sum11);
    for (var i = 0u; i < 8u; i++) {
        let row = block.row + i / 4u * 64u + y * 4u + i % 4u;
        for (var j = 0u; j < 8u; j++) {
            let col = block.col + j / 4u * 64u + x * 4u + j % 4u;
            store(block.part, row, col, sums[i / 4u * 2u + j / 4u][i % 4u][j % 4u]);
        }
    }
}
