// Softmax and its logarithm over each row, one workgroup per row.

struct Params {
    rows: u32,
    cols: u32,
    log: u32,           // 1: log_softmax, 0: softmax
    accumulate: u32,    // backward only; 1: add to dx, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn largest_of_lanes(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] = larger(partial[lane], partial[lane + half]);
        }
        workgroupBarrier();
    }
    let largest = partial[0];
    workgroupBarrier();
    return largest;
}

// out[j] = exp(x[j]) / (sum of exp(x)), or its logarithm, relative to the largest x so that nothing overflows. The
// largest, of equals one, counts as 1 apart from the others: their sum would lose its digits in 1 + it.
@compute @workgroup_size(GROUP)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup_index(group, groups);
    if row >= params.rows {
        return;
    }
    let first = row * params.cols;
    var largest = x[first];
    for (var j = lane; j < params.cols; j += GROUP) {
        largest = larger(largest, x[first + j]);
    }
    largest = largest_of_lanes(lane, largest);
    var others = 0.0;
    var equals = 0.0;
    for (var j = lane; j < params.cols; j += GROUP) {
        let shifted = x[first + j] - largest;
        others += select(exp(shifted), 0.0, shifted == 0.0);
        equals += select(0.0, 1.0, shifted == 0.0);
    }
    others = sum_lanes(lane, GROUP, 1u, others);
    workgroupBarrier();
    equals = sum_lanes(lane, GROUP, 1u, equals);
    let rest = (equals - 1.0) + others;
    let log_sum = log_1p(rest);
    for (var j = lane; j < params.cols; j += GROUP) {
        let shifted = x[first + j] - largest;
        let value = select(exp(shifted) / (1.0 + rest), shifted - log_sum, params.log != 0u);
        out[first + j] = select(value, largest, is_nan(largest));
    }
}

@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// softmax: dx = y (dy - sum of dy y); log_softmax: dx = dy - exp(y) (sum of dy)
@compute @workgroup_size(GROUP)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup_index(group, groups);
    if row >= params.rows {
        return;
    }
    let first = row * params.cols;
    var sum = 0.0;
    for (var j = lane; j < params.cols; j += GROUP) {
        let at = first + j;
        sum += select(dy[at] * y[at], dy[at], params.log != 0u);
    }
    sum = sum_lanes(lane, GROUP, 1u, sum);
    for (var j = lane; j < params.cols; j += GROUP) {
        let at = first + j;
        var gradient = select(y[at] * (dy[at] - sum), dy[at] - exp(y[at]) * sum, params.log != 0u);
        if params.accumulate != 0u {
            gradient += dx[at];
        }
        dx[at] = gradient;
    }
}
