// The block of direct.wgsl for matrices whose rows in memory, and k, are multiples of four. Software drivers load in a loop
// over the eight invocations, which a load of four numbers goes through once.

// Of a workgroup.
const ROWS = 16u;
const COLS = 64u;

// Whether neighbours along k are neighbours in A's memory, and in B's.
override a4_along_k: bool = false;
override b4_along_k: bool = false;

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
fn direct4(here: Place) {
    let lane = here.lane;
    let block = block_of(here.group, here.groups, ROWS, COLS);
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
