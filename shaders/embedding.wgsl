// Rows of a table by their numbers, and the table's gradient.

struct Params {
    rows: u32,          // of the table
    cols: u32,
    first: u32,         // of the numbers; backward goes through `end - first` of them
    end: u32,
    accumulate: u32,    // backward only; 1: add to the gradient, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> numbers: array<f32>;

@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out[i, col] = table[numbers[i], col]; NaN for a number that is no row.
@compute @workgroup_size(GROUP)
fn forward(here: Place) {
    let at = invocation_index(here.group, here.groups, here.lane);
    let i = at / params.cols;
    if i >= params.end {
        return;
    }
    let number = numbers[i];
    var value = not_a_number(number);
    if is_class(number, params.rows) {
        value = table[u32(number) * params.cols + at % params.cols];
    }
    out[at] = value;
}

@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> table_gradient: array<f32>;

// table_gradient[row, col] = sum of gradient[i, col] over the i whose number is the row, one after the other.
@compute @workgroup_size(GROUP)
fn backward(here: Place) {
    let at = invocation_index(here.group, here.groups, here.lane);
    let row = at / params.cols;
    let col = at % params.cols;
    if row >= params.rows {
        return;
    }
    var sum = 0.0;
    if params.accumulate != 0u {
        sum = table_gradient[at];
    }
    for (var i = params.first; i < params.end; i++) {
        if numbers[i] == f32(row) {
            sum += gradient[i * params.cols + col];
        }
    }
    table_gradient[at] = sum;
}
