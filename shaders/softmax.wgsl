// Softmax and its logarithm over each row, a workgroup to a row.

struct Params {
    rows: u32,
    cols: u32,
    log: u32,           // 1: log_softmax, 0: softmax
    accumulate: u32,    // backward only; 1: add to dx, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, 64>;

// The sum of the 64 invocations' values, in a tree of fixed shape.
fn sum_of_lanes(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    partial[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    return partial[0];
}

fn max_of_lanes(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    return partial[0];
}

// out[j] = exp(x[j]) / (sum of exp(x)), or its logarithm, relative to the largest x so that nothing overflows
@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * groups.x + group.x;
    if row >= params.rows {
        return;
    }
    let first = row * params.cols;
    var largest = x[first];
    for (var j = lane; j < params.cols; j += 64u) {
        largest = max(largest, x[first + j]);
    }
    largest = max_of_lanes(lane, largest);
    var sum = 0.0;
    for (var j = lane; j < params.cols; j += 64u) {
        sum += exp(x[first + j] - largest);
    }
    sum = sum_of_lanes(lane, sum);
    let log_sum = log(sum);
    for (var j = lane; j < params.cols; j += 64u) {
        let shifted = x[first + j] - largest;
        out[first + j] = select(exp(shifted) / sum, shifted - log_sum, params.log != 0u);
    }
}

@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// softmax: dx = y (dy - sum of dy y); log_softmax: dx = dy - exp(y) (sum of dy)
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * groups.x + group.x;
    if row >= params.rows {
        return;
    }
    let first = row * params.cols;
    var sum = 0.0;
    for (var j = lane; j < params.cols; j += 64u) {
        let at = first + j;
        sum += select(dy[at] * y[at], dy[at], params.log != 0u);
    }
    sum = sum_of_lanes(lane, sum);
    for (var j = lane; j < params.cols; j += 64u) {
        let at = first + j;
        let gradient = select(y[at] * (dy[at] - sum), dy[at] - exp(y[at]) * sum, params.log != 0u);
        if params.accumulate != 0u {
            dx[at] += gradient;
        } else {
            dx[at] = gradient;
        }
    }
}
