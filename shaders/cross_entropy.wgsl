// Cross-entropy of logits z with targets t, row by row: -sum over j of t[j] * log_softmax(z)[j]. With a single column
// of targets each is the number of a class, which stands for 1 there and 0 elsewhere.
//
// Everything is relative to the largest logit, whose exponential is 1, and `rest` is the sum of the others: what is left
// of a confident row's loss and gradient would be lost in 1 + rest.

struct Params {
    rows: u32,
    cols: u32,          // classes
    target_cols: u32,   // 1: class numbers, otherwise probabilities
    scale: f32,
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
    last_slot: u32,     // step s writes the sum number min(s, last_slot): 0 for one sum, more for a history
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

// Rows of a workgroup that adds them up.
const BLOCK = 256u;

struct Row {
    first: u32,     // index of its first logit
    largest: f32,
    at: u32,        // where the largest stands; of equals, the first
    rest: f32,      // sum of exp(z - largest) over the others
}

fn row_of(row: u32) -> Row {
    let first = row * params.cols;
    var largest = logits[first];
    var at = 0u;
    for (var j = 1u; j < params.cols; j++) {
        let z = logits[first + j];
        if z > largest || is_nan(z) {
            largest = z;
            at = j;
        }
    }
    var rest = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        rest += select(exp(logits[first + j] - largest), 0.0, j == at);
    }
    // A NaN that is the largest is not among the rest.
    return Row(first, largest, at, select(rest, largest, is_nan(largest)));
}

fn target_at(row: u32, j: u32) -> f32 {
    if params.target_cols > 1u {
        return targets[row * params.cols + j];
    }
    let number = targets[row];
    return select(not_a_number(number), select(0.0, 1.0, u32(number) == j), is_class(number, params.cols));
}

fn row_loss(row: u32, shifted: Row) -> f32 {
    let log_sum = log_1p(shifted.rest);
    var total = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        let t = target_at(row, j);
        // 0 times an infinite logarithm counts as 0.
        if t != 0.0 || is_nan(t) {
            total += t * (log_sum - (logits[shifted.first + j] - shifted.largest));
        }
    }
    return select(total, shifted.largest, is_nan(shifted.largest));
}

fn sum_of_targets(row: u32) -> f32 {
    var total = 0.0;
    for (var j = 0u; j < params.cols; j++) {
        total += target_at(row, j);
    }
    return total;
}

// softmax(z)[j] * (sum of t) - t[j]. Subtracted are the shares of the others, which are exact where they are small.
fn row_gradient(row: u32, shifted: Row, sum_of_t: f32, j: u32) -> f32 {
    let t = target_at(row, j);
    let e = exp(logits[shifted.first + j] - shifted.largest);
    let others = select(1.0 + shifted.rest - e, shifted.rest, j == shifted.at);
    return (e * (sum_of_t - t) - others * t) / (1.0 + shifted.rest);
}

// sums[workgroup] = scale * (sum of the workgroup's rows' cross-entropies)
@compute @workgroup_size(BLOCK)
fn forward(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    let row = block * BLOCK + here.lane;
    var loss = 0.0;
    if row < params.rows {
        loss = row_loss(row, row_of(row));
    }
    let sum = sum_lanes(here.lane, BLOCK, 1u, loss);
    if here.lane == 0u && row < params.rows {
        sums[block + min(now.step, params.last_slot)] = params.scale * sum;
    }
}

@group(0) @binding(3) var<storage, read> d_loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

// gradient = d_loss * scale * row_gradient, one row per invocation
@compute @workgroup_size(GROUP)
fn backward(here: Place) {
    let row = invocation_index(here.group, here.groups, here.lane);
    if row >= params.rows {
        return;
    }
    let shifted = row_of(row);
    let sum_of_t = sum_of_targets(row);
    for (var j = 0u; j < params.cols; j++) {
        let at = shifted.first + j;
        var value = d_loss[0] * params.scale * row_gradient(row, shifted, sum_of_t, j);
        if params.accumulate != 0u {
            value += gradient[at];
        }
        gradient[at] = value;
    }
}

@group(0) @binding(4) var<storage, read_write> sums_of_both: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient_of_both: array<f32>;

// Both in one dispatch: sums as in `forward`, gradient as in `backward`, always overwritten.
@compute @workgroup_size(BLOCK)
fn both(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    let row = block * BLOCK + here.lane;
    var loss = 0.0;
    if row < params.rows {
        let shifted = row_of(row);
        loss = row_loss(row, shifted);
        let sum_of_t = sum_of_targets(row);
        for (var j = 0u; j < params.cols; j++) {
            gradient_of_both[shifted.first + j] = d_loss[0] * params.scale * row_gradient(row, shifted, sum_of_t, j);
        }
    }
    let sum = sum_lanes(here.lane, BLOCK, 1u, loss);
    if here.lane == 0u && row < params.rows {
        sums_of_both[block + min(now.step, params.last_slot)] = params.scale * sum;
    }
}
