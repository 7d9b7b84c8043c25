// A row added to every row of a matrix, and its gradient: the sums of the columns.

struct Params {
    rows: u32,
    cols: u32,
    first_row: u32,     // of this launch: column sums take at most 524,288 rows at a time
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// y[r, c] = x[r, c] + bias[c]
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.rows * params.cols {
        y[i] = x[i] + bias[i % params.cols];
    }
}

@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

var<workgroup> partial: array<f32, 256>;

// sums[c] = sum over r of x[r, c]. A workgroup takes 16 columns; 16 invocations share a column, each summing every
// sixteenth row, and a tree of fixed shape adds the sixteen: the same order of additions on every run.
@compute @workgroup_size(16, 16)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let col = (group.y * groups.x + group.x) * 16u + local.x;
    let at = local.y * 16u + local.x;
    var sum = 0.0;
    if col < params.cols {
        for (var row = params.first_row + local.y; row < params.rows; row += 16u) {
            sum += x[row * params.cols + col];
        }
    }
    partial[at] = sum;
    workgroupBarrier();
    for (var half = 8u; half > 0u; half /= 2u) {
        if local.y < half {
            partial[at] += partial[at + half * 16u];
        }
        workgroupBarrier();
    }
    if local.y == 0u && col < params.cols {
        if params.accumulate != 0u {
            sums[col] += partial[at];
        } else {
            sums[col] = partial[at];
        }
    }
}
