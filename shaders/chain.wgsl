// A chain of elementwise operations in one dispatch: each step takes two of the inputs and of the results before it.
// Which steps there are is compiled in; only constants, sizes and distances are parameters. An input may be a row, a
// column or a number that is repeated: a distance of 0 repeats.

struct Params {
    rows: u32,
    cols: u32,
    inputs: u32,        // compiled in, like `broadcasts` and each step's `code`, `left` and `right`
    broadcasts: u32,
    row0: u32,
    col0: u32,
    row1: u32,
    col1: u32,
    row2: u32,
    col2: u32,
    row3: u32,
    col3: u32,
    row4: u32,
    col4: u32,
    code0: u32,
    left0: u32,
    right0: u32,
    a0: f32,
    b0: f32,
    code1: u32,
    left1: u32,
    right1: u32,
    a1: f32,
    b1: f32,
    code2: u32,
    left2: u32,
    right2: u32,
    a2: f32,
    b2: f32,
    code3: u32,
    left3: u32,
    right3: u32,
    a3: f32,
    b3: f32,
    code4: u32,
    left4: u32,
    right4: u32,
    a4: f32,
    b4: f32,
    code5: u32,
    left5: u32,
    right5: u32,
    a5: f32,
    b5: f32,
    code6: u32,
    left6: u32,
    right6: u32,
    a6: f32,
    b6: f32,
    code7: u32,
    left7: u32,
    right7: u32,
    a7: f32,
    b7: f32,
}

override inputs: u32 = 1u;
override broadcasts: bool = false;
override code0: u32 = 0u;
override left0: u32 = 0u;
override right0: u32 = 0u;
override code1: u32 = 0u;
override left1: u32 = 0u;
override right1: u32 = 0u;
override code2: u32 = 0u;
override left2: u32 = 0u;
override right2: u32 = 0u;
override code3: u32 = 0u;
override left3: u32 = 0u;
override right3: u32 = 0u;
override code4: u32 = 0u;
override left4: u32 = 0u;
override right4: u32 = 0u;
override code5: u32 = 0u;
override left5: u32 = 0u;
override right5: u32 = 0u;
override code6: u32 = 0u;
override left6: u32 = 0u;
override right6: u32 = 0u;
override code7: u32 = 0u;
override left7: u32 = 0u;
override right7: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input0: array<f32>;
@group(0) @binding(2) var<storage, read> input1: array<f32>;
@group(0) @binding(3) var<storage, read> input2: array<f32>;
@group(0) @binding(4) var<storage, read> input3: array<f32>;
@group(0) @binding(5) var<storage, read> input4: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// Codes are those of src/ops/chain.rs: 1 to 4 are arithmetic; from 64 on functions, from 128 on their derivatives at x
// times y.
fn step(code: u32, x: f32, y: f32, a: f32, b: f32) -> f32 {
    switch code {
        case 1u: { return x + y; }
        case 2u: { return x - y; }
        case 3u: { return x * y; }
        case 4u: { return x / y; }
        default: {
            if code >= 128u {
                return y * slope(code - 128u, a, x);
            }
            return value(code - 64u, a, b, x);
        }
    }
}

fn place(i: u32, row: u32, col: u32) -> u32 {
    if broadcasts {
        return i / params.cols * row + i % params.cols * col;
    }
    return i;
}

// out = the last step
@compute @workgroup_size(GROUP)
fn run(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i >= params.rows * params.cols {
        return;
    }
    // The inputs, then the results.
    var values: array<f32, 13>;
    values[0] = input0[place(i, params.row0, params.col0)];
    if inputs > 1u {
        values[1] = input1[place(i, params.row1, params.col1)];
    }
    if inputs > 2u {
        values[2] = input2[place(i, params.row2, params.col2)];
    }
    if inputs > 3u {
        values[3] = input3[place(i, params.row3, params.col3)];
    }
    if inputs > 4u {
        values[4] = input4[place(i, params.row4, params.col4)];
    }
    values[5] = step(code0, values[left0], values[right0], params.a0, params.b0);
    var result = values[5];
    if code1 != 0u {
        result = step(code1, values[left1], values[right1], params.a1, params.b1);
        values[6] = result;
    }
    if code2 != 0u {
        result = step(code2, values[left2], values[right2], params.a2, params.b2);
        values[7] = result;
    }
    if code3 != 0u {
        result = step(code3, values[left3], values[right3], params.a3, params.b3);
        values[8] = result;
    }
    if code4 != 0u {
        result = step(code4, values[left4], values[right4], params.a4, params.b4);
        values[9] = result;
    }
    if code5 != 0u {
        result = step(code5, values[left5], values[right5], params.a5, params.b5);
        values[10] = result;
    }
    if code6 != 0u {
        result = step(code6, values[left6], values[right6], params.a6, params.b6);
        values[11] = result;
    }
    if code7 != 0u {
        result = step(code7, values[left7], values[right7], params.a7, params.b7);
        values[12] = result;
    }
    out[i] = result;
}
