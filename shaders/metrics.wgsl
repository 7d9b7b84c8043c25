// How many rows are classified correctly: the largest prediction is in the column of the largest target (of equals, the
// first); with a single column, both lie on the same side of their thresholds. A single column of targets for several
// of predictions holds class numbers. A row with a NaN, or with the number of no class, is not right. Where samples have
// weights, a row counts as much as its weight.

struct Params {
    rows: u32,
    cols: u32,
    threshold: f32,
    target_cols: u32,
    target_threshold: f32,
    weighted: u32,      // compiled in, too
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<f32>;

override weighted: bool = false;

// Rows of a workgroup.
const BLOCK = 256u;

fn is_right(row: u32) -> bool {
    let first = row * params.cols;
    if params.cols == 1u {
        let prediction = predictions[first];
        let wanted = targets[first];
        let same_side = (prediction > params.threshold) == (wanted > params.target_threshold);
        return same_side && !is_nan(prediction) && !is_nan(wanted);
    }
    var best_prediction = first;
    var best_target = first;
    var valid = true;
    if params.target_cols == 1u {
        let number = targets[row];
        valid = is_class(number, params.cols);
        best_target = first + select(0u, u32(number), valid);
    }
    for (var i = first; i < first + params.cols; i++) {
        valid = valid && !is_nan(predictions[i]);
        if predictions[i] > predictions[best_prediction] {
            best_prediction = i;
        }
        if params.target_cols > 1u {
            valid = valid && !is_nan(targets[i]);
            if targets[i] > targets[best_target] {
                best_target = i;
            }
        }
    }
    return valid && best_prediction == best_target;
}

// counts[workgroup] = how many of the workgroup's rows are right (without weights whole numbers: exact in f32)
@compute @workgroup_size(BLOCK)
fn count_correct(here: Place) {
    let block = workgroup_index(here.group, here.groups);
    let row = block * BLOCK + here.lane;
    var right = 0.0;
    if row < params.rows {
        right = select(0.0, 1.0, is_right(row));
        if weighted {
            right *= weights[row];
        }
    }
    let sum = sum_lanes(here.lane, BLOCK, 1u, right);
    if here.lane == 0u && row < params.rows {
        counts[block] = sum;
    }
}
