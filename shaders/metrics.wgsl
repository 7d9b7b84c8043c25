// How many rows are classified right: the largest prediction stands where the largest target stands (of equals, the
// first); with a single column, both lie on the same side of their thresholds. A single column of
// targets for several of predictions holds class numbers.

struct Params {
    rows: u32,
    cols: u32,
    threshold: f32,
    target_cols: u32,
    target_threshold: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<f32>;

fn is_right(row: u32) -> bool {
    let first = row * params.cols;
    if params.cols == 1u {
        return (predictions[first] > params.threshold) == (targets[first] > params.target_threshold);
    }
    var best_prediction = first;
    var best_target = first;
    if params.target_cols == 1u {
        best_target = first + u32(max(targets[row], 0.0));
    }
    for (var i = first + 1u; i < first + params.cols; i++) {
        if predictions[i] > predictions[best_prediction] {
            best_prediction = i;
        }
        if params.target_cols > 1u && targets[i] > targets[best_target] {
            best_target = i;
        }
    }
    return best_prediction == best_target;
}

var<workgroup> partial: array<f32, 256>;

// counts[workgroup] = how many of the workgroup's 256 rows are right (whole numbers: exact in f32)
@compute @workgroup_size(256)
fn count_correct(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    let row = block * 256u + lane;
    var right = 0.0;
    if row < params.rows {
        if is_right(row) {
            right = 1.0;
        }
    }
    partial[lane] = right;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 256u < params.rows {
        counts[block] = partial[0];
    }
}
