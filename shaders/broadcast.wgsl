// Arithmetic on two matrices, either of which may be a row, a column or a number that is repeated: a distance of 0
// between rows or columns repeats. `kind` is `Binary::kind` in src/ops/broadcast.rs.

struct Params {
    rows: u32,
    cols: u32,
    kind: u32,
    a_row: u32,     // distance between rows of a, in elements; 0 repeats
    a_col: u32,
    b_row: u32,
    b_col: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out[r, c] = a[r, c] (+ - * /) b[r, c]
@compute @workgroup_size(GROUP)
fn forward(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    let row = i / params.cols;
    let col = i % params.cols;
    if row >= params.rows {
        return;
    }
    let x = a[row * params.a_row + col * params.a_col];
    let y = b[row * params.b_row + col * params.b_col];
    switch params.kind {
        case 0u: { out[i] = x + y; }
        case 1u: { out[i] = x - y; }
        case 2u: { out[i] = x * y; }
        default: { out[i] = x / y; }
    }
}
