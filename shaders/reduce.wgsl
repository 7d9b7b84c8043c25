// Sums in a fixed order. Of all elements: a workgroup adds a block of neighbours and writes one partial sum; a second
// dispatch adds the partial sums, and so on until one is left.

struct Params {
    len: u32,
    scale: f32,
    last_slot: u32,     // step s writes element min(s, last_slot): 0 for a single sum, more for a history of sums
    square: u32,        // 1: sum the squares
    clip: f32,          // of elements clamped to +- this
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

// Elements that a workgroup of LANES adds up.
const BLOCK = 4096u;
const LANES = 256u;

// sums[workgroup] = scale * (sum of the workgroup's elements of x)
@compute @workgroup_size(LANES)
fn sum(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    var total = 0.0;
    let end = min(params.len, (block + 1u) * BLOCK);
    for (var at = block * BLOCK + here.lane; at < end; at += LANES) {
        let term = clip(x[at], params.clip);
        total += select(term, term * term, params.square != 0u);
    }
    total = sum_lanes(here.lane, LANES, 1u, total);
    if here.lane == 0u && block * BLOCK < params.len {
        let slot = block + min(now.step, params.last_slot);
        var value = params.scale * total;
        if params.accumulate != 0u {
            value += sums[slot];
        }
        sums[slot] = value;
    }
}

struct RowParams {
    rows: u32,
    cols: u32,
    scale: f32,
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

@group(0) @binding(0) var<uniform> row_params: RowParams;

// sums[r] = scale * (sum over c of x[r, c]): one workgroup per row.
@compute @workgroup_size(GROUP)
fn rows(here: Place) {
    let row = workgroup_index(here.group, here.groups);
    var total = 0.0;
    if row < row_params.rows {
        for (var col = here.lane; col < row_params.cols; col += GROUP) {
            total += x[row * row_params.cols + col];
        }
    }
    total = sum_lanes(here.lane, GROUP, 1u, total);
    if here.lane == 0u && row < row_params.rows {
        var value = row_params.scale * total;
        if row_params.accumulate != 0u {
            value += sums[row];
        }
        sums[row] = value;
    }
}
