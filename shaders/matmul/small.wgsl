// One output per invocation, a block of 8 x 8 per workgroup: for small and narrow matrices.

// Of a workgroup.
const ROWS = 8u;
const COLS = 8u;

@compute @workgroup_size(COLS, ROWS)
fn small(here: Place) {
    let block = block_of(here.group, here.groups, ROWS, COLS);
    if block.part >= params.parts {
        store_row_sum(block.beyond * ROWS * COLS + here.lane);
        return;
    }
    let row = block.row + here.lane / COLS;
    let col = block.col + here.lane % COLS;
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
