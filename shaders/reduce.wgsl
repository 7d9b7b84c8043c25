// Sums in a fixed order. Of all elements: a workgroup adds 4,096 neighbours and writes one partial sum; a second
// launch adds the partial sums, and so on until one is left.

struct Params {
    len: u32,
    scale: f32,
    last_slot: u32,     // step s writes element min(s, last_slot): 0 for a single sum, more for a history of sums
    square: u32,        // 1: sum the squares
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

var<workgroup> partial: array<f32, 256>;

// sums[workgroup] = scale * (sum of the workgroup's elements of x)
@compute @workgroup_size(256)
fn sum(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    var total = 0.0;
    let end = min(params.len, (block + 1u) * 4096u);
    for (var at = block * 4096u + lane; at < end; at += 256u) {
        total += select(x[at], x[at] * x[at], params.square != 0u);
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 4096u < params.len {
        let slot = block + min(now.step, params.last_slot);
        let value = params.scale * partial[0];
        if params.accumulate != 0u {
            sums[slot] += value;
        } else {
            sums[slot] = value;
        }
    }
}

struct RowParams {
    rows: u32,
    cols: u32,
    scale: f32,
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

@group(0) @binding(0) var<uniform> row_params: RowParams;

// sums[r] = scale * (sum over c of x[r, c]): a workgroup to a row.
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * groups.x + group.x;
    var total = 0.0;
    if row < row_params.rows {
        for (var col = lane; col < row_params.cols; col += 64u) {
            total += x[row * row_params.cols + col];
        }
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && row < row_params.rows {
        let value = row_params.scale * partial[0];
        if row_params.accumulate != 0u {
            sums[row] += value;
        } else {
            sums[row] = value;
        }
    }
}
