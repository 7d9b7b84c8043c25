// A scaled copy between blocks of two matrices: transposes, slices, concatenations, and rows, columns or numbers
// that are repeated (a distance of 0 repeats); or one into a longer matrix, at another place in each step.

struct Params {
    rows: u32,      // of the block
    cols: u32,
    x_start: u32,   // index of the block's first element in x
    x_row: u32,     // distance between the block's rows in x, in elements
    x_col: u32,
    out_start: u32,
    out_row: u32,
    scale: f32,
    accumulate: u32,    // 1: add to the output, 0: overwrite it
    out_step: u32,      // distance between the blocks of one step and the next in the output
    last_step: u32,     // later steps write where this one does
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// out[r, c] = scale * x[r, c]
@compute @workgroup_size(GROUP)
fn block(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    let row = i / params.cols;
    let col = i % params.cols;
    if row >= params.rows {
        return;
    }
    var value = params.scale * x[params.x_start + row * params.x_row + col * params.x_col];
    let to = params.out_start + min(now.step, params.last_step) * params.out_step + row * params.out_row + col;
    if params.accumulate != 0u {
        value += out[to];
    }
    out[to] = value;
}
