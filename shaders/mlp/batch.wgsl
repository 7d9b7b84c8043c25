// The mini-batch, and its loss.

// The data's rows that are four rows of the mini-batch, whose order begins at `first`. Rows past its end repeat the last.
fn four_rows(first: u32, row: u32) -> vec4u {
    let at = first + min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
    let i = member * params.entries + select(at, at - params.entries, at >= vec4u(params.entries));
    return min(vec4u(order[i.x], order[i.y], order[i.z], order[i.w]), vec4u(params.last_row));
}

fn gather_inputs(lane: u32, first: u32) {
    for (var i = lane; i < params.inputs * blocks; i += lanes) {
        let at = data_at + four_rows(first, i % blocks * 4u) * params.inputs + i / blocks;
        set_cell(params.inputs_at + i, vec4f(data[at.x], data[at.y], data[at.z], data[at.w]));
    }
}

// A column of the targets of four rows.
fn four_targets(rows: vec4u, col: u32) -> vec4f {
    let at = data_at + params.targets_at + rows * (params.target_cols + min(weighted, 1u)) + col;
    return vec4f(data[at.x], data[at.y], data[at.z], data[at.w]);
}

// How much each of four rows counts.
fn four_weights(rows: vec4u) -> vec4f {
    if weighted == 0u {
        return vec4f(1.0);
    }
    return four_targets(rows, params.target_cols);
}

// This invocation's part of the weights of the mini-batch.
fn lane_weights(lane: u32, first: u32) -> f32 {
    var total = vec4f();
    for (var block = lane; block < blocks; block += lanes) {
        let weights = four_weights(four_rows(first, 4u * block));
        total += select(vec4f(), weights, are_there(max(params.rows, 4u * block) - 4u * block));
    }
    return total.x + total.y + total.z + total.w;
}

// This invocation's part of the loss, not yet scaled. The derivative of the last layer's function, which the gradient's
// cells hold, becomes the gradient.
fn lane_loss(lane: u32, here: Layer, first: u32) -> f32 {
    if loss == 4u {
        return lane_cross_entropy(lane, here, first);
    }
    var total = 0.0;
    for (var i = lane; i < here.outputs * blocks; i += lanes) {
        let row = i % blocks * 4u;
        let rows = four_rows(first, row);
        let t = four_targets(rows, i / blocks);
        let weights = four_weights(rows);
        let p = cell(here.y + i);
        let errors = vec4f(
            error(loss, params.constant, p.x, t.x),
            error(loss, params.constant, p.y, t.y),
            error(loss, params.constant, p.z, t.z),
            error(loss, params.constant, p.w, t.w),
        );
        let slopes = vec4f(
            error_derivative(loss, params.constant, p.x, t.x),
            error_derivative(loss, params.constant, p.y, t.y),
            error_derivative(loss, params.constant, p.z, t.z),
            error_derivative(loss, params.constant, p.w, t.w),
        );
        total += put_gradient(here.dy + i, row, weights * errors, weights * slopes);
    }
    return total;
}

// The gradient of four rows, 0 for those that are not there. The sum of their errors.
fn put_gradient(i: u32, row: u32, errors: vec4f, slopes: vec4f) -> f32 {
    let real = are_there(max(params.rows, row) - row);
    set_cell(i, select(vec4f(), scale * slopes * cell(i), real));
    let e = select(vec4f(), errors, real);
    return e.x + e.y + e.z + e.w;
}

// As in cross_entropy.wgsl, four rows at a time.
fn lane_cross_entropy(lane: u32, here: Layer, first: u32) -> f32 {
    var total = 0.0;
    for (var block = lane; block < blocks; block += lanes) {
        let rows = four_rows(first, 4u * block);
        let weights = four_weights(rows);
        let y = here.y + block;
        var largest = cell(y);
        var at = vec4u();
        for (var j = 1u; j < here.outputs; j++) {
            let z = cell(y + j * blocks);
            let above = (z > largest) | are_nan(z);
            largest = select(largest, z, above);
            at = select(at, vec4u(j), above);
        }
        var rest = vec4f();
        var sum_of_t = vec4f();
        for (var j = 0u; j < here.outputs; j++) {
            rest += select(exp(cell(y + j * blocks) - largest), vec4f(), at == vec4u(j));
            sum_of_t += four_probabilities(rows, j, here.outputs);
        }
        rest = select(rest, largest, are_nan(largest));
        let log_sum = vec4f(log_1p(rest.x), log_1p(rest.y), log_1p(rest.z), log_1p(rest.w));
        for (var j = 0u; j < here.outputs; j++) {
            let shifted = cell(y + j * blocks) - largest;
            let t = four_probabilities(rows, j, here.outputs);
            // 0 times an infinite logarithm counts as 0.
            var errors = select(vec4f(), t * (log_sum - shifted), (t != vec4f()) | are_nan(t));
            errors = select(errors, largest, are_nan(largest));
            let e = exp(shifted);
            let others = select(1.0 + rest - e, rest, at == vec4u(j));
            let slopes = (e * (sum_of_t - t) - others * t) / (1.0 + rest);
            total += put_gradient(here.dy + j * blocks + block, 4u * block, weights * errors, weights * slopes);
        }
    }
    return total;
}

// The targets of class j: probabilities, or whether it is the class with the target's number.
fn four_probabilities(rows: vec4u, j: u32, classes: u32) -> vec4f {
    if params.target_cols > 1u {
        return four_targets(rows, j);
    }
    let number = four_targets(rows, 0u);
    return vec4f(
        class_probability(number.x, j, classes),
        class_probability(number.y, j, classes),
        class_probability(number.z, j, classes),
        class_probability(number.w, j, classes),
    );
}

fn class_probability(number: f32, j: u32, classes: u32) -> f32 {
    return select(not_a_number(number), select(0.0, 1.0, u32(number) == j), is_class(number, classes));
}

fn are_nan(x: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}
