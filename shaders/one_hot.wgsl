// Class numbers as rows: `on` in the class's column, `off` elsewhere.

struct Params {
    rows: u32,
    cols: u32,          // classes
    on: f32,
    off: f32,
    ignored: f32,       // a number whose row is 0; NaN where there is none
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> numbers: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// A number that is neither ignored nor a class gives NaN.
@compute @workgroup_size(GROUP)
fn rows(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    let row = i / params.cols;
    let col = i % params.cols;
    if row >= params.rows {
        return;
    }
    let number = numbers[row];
    var value = not_a_number(number);
    if is_class(number, params.cols) {
        value = select(params.off, params.on, u32(number) == col);
    }
    let is_ignored = number == params.ignored && !is_nan(number) && !is_nan(params.ignored);
    out[i] = select(value, 0.0, is_ignored);
}
