// A scaled copy between blocks of two matrices: transposes, slices, concatenations, and rows, columns or numbers
// that are repeated (a distance of 0 repeats).

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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// out[r, c] = scale * x[r, c]
@compute @workgroup_size(64)
fn block(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    let row = i / params.cols;
    let col = i % params.cols;
    if row >= params.rows {
        return;
    }
    let value = params.scale * x[params.x_start + row * params.x_row + col * params.x_col];
    let to = params.out_start + row * params.out_row + col;
    if params.accumulate != 0u {
        out[to] += value;
    } else {
        out[to] = value;
    }
}
