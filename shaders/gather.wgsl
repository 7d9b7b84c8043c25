// A mini-batch: rows of the inputs and of the targets, picked by a list of row numbers. Step s of an epoch takes the
// list's entries from s * stride, so the same dispatch serves every step.

struct Params {
    rows: u32,          // of the mini-batch
    input_cols: u32,
    target_cols: u32,
    stride: u32,
    entries: u32,       // of the list, which wraps around
    last_row: u32,      // of the data; row numbers beyond it read this one
    first_row: u32,     // of the mini-batch, where a dispatch gathers a part of it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> inputs: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<f32>;
@group(0) @binding(4) var<storage, read_write> batch_inputs: array<f32>;
@group(0) @binding(5) var<storage, read_write> batch_targets: array<f32>;

@compute @workgroup_size(GROUP)
fn rows(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    let cols = params.input_cols + params.target_cols;
    let row = i / cols;
    let col = i % cols;
    if row >= params.rows {
        return;
    }
    let source = min(order[(now.step * params.stride + params.first_row + row) % params.entries], params.last_row);
    if col < params.input_cols {
        batch_inputs[row * params.input_cols + col] = inputs[source * params.input_cols + col];
    } else {
        let t = col - params.input_cols;
        batch_targets[row * params.target_cols + t] = targets[source * params.target_cols + t];
    }
}
