// Cross-entropy of logits z with targets t, row by row: -sum over j of t[j] * log_softmax(z)[j]. With a single column
// of targets each is the number of a class, which stands for 1 there and 0 elsewhere.

struct Params {
    rows: u32,
    cols: u32,          // classes
    target_cols: u32,   // 1: class numbers, otherwise probabilities
    scale: f32,
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
    nan: f32,           // what a class number that is none gives
    last_slot: u32,     // step s writes the sum number min(s, last_slot): 0 for one sum, more for a history
}

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

// log(sum of exp(z)), taken relative to the largest z so that nothing overflows.
fn log_sum_exp(first: u32) -> f32 {
    var largest = logits[first];
    for (var j = 1u; j < params.cols; j++) {
        largest = max(largest, logits[first + j]);
    }
    var sum = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        sum += exp(logits[first + j] - largest);
    }
    return largest + log(sum);
}

fn target_at(row: u32, j: u32) -> f32 {
    if params.target_cols > 1u {
        return targets[row * params.cols + j];
    }
    let class_number = targets[row];
    // Comparisons with NaN are false.
    let is_class = class_number >= 0.0 && class_number < f32(params.cols) && class_number == floor(class_number);
    if !is_class {
        return params.nan;
    }
    return select(0.0, 1.0, u32(class_number) == j);
}

fn row_loss(row: u32, normaliser: f32) -> f32 {
    var total = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        let t = target_at(row, j);
        // 0 times an infinite logarithm counts as 0. NaN is not to be left out, and `t != 0.0` may do so.
        if !(t == 0.0) {
            total += t * (normaliser - logits[row * params.cols + j]);
        }
    }
    return total;
}

fn sum_of_targets(row: u32) -> f32 {
    var total = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        total += target_at(row, j);
    }
    return total;
}

var<workgroup> partial: array<f32, 256>;

// sums[workgroup] = scale * (sum of the workgroup's 256 rows' cross-entropies)
@compute @workgroup_size(256)
fn forward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    let row = block * 256u + lane;
    var total = 0.0;
    if row < params.rows {
        total = row_loss(row, log_sum_exp(row * params.cols));
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 256u < params.rows {
        sums[block + min(now.step, params.last_slot)] = params.scale * partial[0];
    }
}

@group(0) @binding(3) var<storage, read> d_loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

// gradient[j] = d_loss * scale * (softmax(z)[j] * (sum of t) - t[j]), a row to an invocation
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.y * groups.x + group.x) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let first = row * params.cols;
    let normaliser = log_sum_exp(first);
    let total = sum_of_targets(row);
    for (var j = 0u; j < params.cols; j++) {
        let at = first + j;
        let slope = exp(logits[at] - normaliser) * total - target_at(row, j);
        let value = d_loss[0] * params.scale * slope;
        if params.accumulate != 0u {
            gradient[at] += value;
        } else {
            gradient[at] = value;
        }
    }
}

@group(0) @binding(4) var<storage, read_write> sums_of_both: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient_of_both: array<f32>;

// Both in one launch: sums as in `forward`, gradient as in `backward`, always overwritten.
@compute @workgroup_size(256)
fn both(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    let row = block * 256u + lane;
    var loss = 0.0;
    if row < params.rows {
        let first = row * params.cols;
        let normaliser = log_sum_exp(first);
        loss = row_loss(row, normaliser);
        let total = sum_of_targets(row);
        for (var j = 0u; j < params.cols; j++) {
            let slope = exp(logits[first + j] - normaliser) * total - target_at(row, j);
            gradient_of_both[first + j] = d_loss[0] * params.scale * slope;
        }
    }
    partial[lane] = loss;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 256u < params.rows {
        sums_of_both[block + min(now.step, params.last_slot)] = params.scale * partial[0];
    }
}
