// 8 x 16 outputs per invocation, 16 x 64 per workgroup, straight from A and B: for drivers that run on the CPU, where
// a load costs ten times a multiplication, workgroup memory is no quicker, and eight invocations fill a vector.

// Of a workgroup.
const ROWS = 16u;
const COLS = 64u;

fn load_a(at: vec4u) -> vec4f {
    return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn load_b(at: vec4u) -> vec4f {
    return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

@compute @workgroup_size(8)
fn direct(here: Place) {
    let lane = here.lane;
    let block = block_of(here.group, here.groups, ROWS, COLS);
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
