// A row added to every row of a matrix, and its gradient: the sums of the columns.

struct Params {
    rows: u32,
    cols: u32,
    first_row: u32,     // of this dispatch: column sums take a bounded number of rows at a time
    accumulate: u32,    // 1: add to the output, 0: overwrite it
    part_rows: u32,     // of column sums: rows of which each makes a row of sums
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// y[r, c] = x[r, c] + bias[c]
@compute @workgroup_size(GROUP)
fn forward(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i < params.rows * params.cols {
        y[i] = x[i] + bias[i % params.cols];
    }
}

@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

// Columns of a workgroup, and invocations that share a column.
const COLS = 16u;
const SHARERS = 16u;

// sums[p, c] = sum over the rows r of part p of x[r, c]. Each of a column's invocations sums every sixteenth row, and a tree
// adds the sixteen.
@compute @workgroup_size(COLS, SHARERS)
fn backward(here: Place) {
    let blocks = (params.cols + COLS - 1u) / COLS;
    let block = workgroup_index(here.group, here.groups);
    let part = block / blocks;
    let col = block % blocks * COLS + here.lane % COLS;
    let first = params.first_row + part * params.part_rows;
    let end = min(params.rows, first + params.part_rows);
    var sum = 0.0;
    if col < params.cols {
        for (var row = first + here.lane / COLS; row < end; row += SHARERS) {
            sum += x[row * params.cols + col];
        }
    }
    sum = sum_lanes(here.lane, COLS * SHARERS, COLS, sum);
    if here.lane < COLS && col < params.cols && first < params.rows {
        let at = part * params.cols + col;
        if params.accumulate != 0u {
            sum += sums[at];
        }
        sums[at] = sum;
    }
}
