// The forward pass of a chain of linear layers for many rows: a workgroup takes some rows through all layers. Inputs and
// outputs of a layer lie in its memory, weights are read where they are.
//
// Everything is in cells of four rows. A workgroup has `tall` cells of rows, and `broad` invocations for each, which share
// the units of a layer. A row's sums are in order, whatever other rows there are.

struct Params {
    layers: array<vec4u, 8>,    // outputs; where the weights [outputs, inputs] and the bias begin; which function ends the layer
    depth: u32,                 // layers
    inputs: u32,                // of the first layer
    rows: u32,
    width: u32,                 // of the widest layer, or the input
    a0: f32,                    // the constants of the functions
    a1: f32,
    a2: f32,
    functions: u32,             // compiled in: the functions that end layers, eight bits each
    tall: u32,                  // compiled in, as the others
    broad: u32,
    lanes: u32,
    memory: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> inputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> outputs: array<f32>;

// Units that an invocation computes at a time.
const UNITS = 8u;

override tall: u32 = 8u;
override broad: u32 = 1u;
override lanes: u32 = 8u;       // tall * broad
override memory: u32 = 16u;     // 2 * width * tall
override function0: u32 = 0u;   // the functions that end layers; 15: none
override function1: u32 = 15u;
override function2: u32 = 15u;

// For each unit a row of cells, twice: what a layer takes and what it gives.
var<workgroup> cells: array<vec4f, memory>;

// Waits until the invocations that share rows are here.
fn meet_sharers() {
    if broad > 1u {
        workgroupBarrier();
    }
}

@compute @workgroup_size(lanes)
fn predict(here: Place) {
    let cell = here.lane % tall;
    let share = here.lane / tall;
    let first = (workgroup_index(here.group, here.groups) * tall + cell) * 4u;
    // Rows past the end repeat the last.
    let rows = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
    for (var k = share; k < params.inputs; k += broad) {
        let at = rows * params.inputs + k;
        cells[k * tall + cell] = vec4f(inputs[at.x], inputs[at.y], inputs[at.z], inputs[at.w]);
    }
    var taken = cell;
    var given = params.width * tall + cell;
    var units = params.inputs;
    for (var l = 0u; l < params.depth; l++) {
        meet_sharers();
        let layer = params.layers[l];
        for (var j = UNITS * share; j < layer.x; j += UNITS * broad) {
            eight_units(layer, units, j, taken, given);
        }
        let swapped = taken;
        taken = given;
        given = swapped;
        units = layer.x;
    }
    meet_sharers();
    for (var k = share; k < units; k += broad) {
        let y = cells[taken + k * tall];
        for (var n = 0u; n < 4u && first + n < params.rows; n++) {
            outputs[(first + n) * units + k] = y[n];
        }
    }
}

// From unit j on. Behind the last the last again, which is not stored.
fn eight_units(layer: vec4u, units: u32, j: u32, taken: u32, given: u32) {
    let last = layer.x - 1u;
    let at0 = layer.y + j * units;
    let at1 = layer.y + min(j + 1u, last) * units;
    let at2 = layer.y + min(j + 2u, last) * units;
    let at3 = layer.y + min(j + 3u, last) * units;
    let at4 = layer.y + min(j + 4u, last) * units;
    let at5 = layer.y + min(j + 5u, last) * units;
    let at6 = layer.y + min(j + 6u, last) * units;
    let at7 = layer.y + min(j + 7u, last) * units;
    var z0 = vec4f();
    var z1 = vec4f();
    var z2 = vec4f();
    var z3 = vec4f();
    var z4 = vec4f();
    var z5 = vec4f();
    var z6 = vec4f();
    var z7 = vec4f();
    for (var k = 0u; k < units; k++) {
        let x = cells[taken + k * tall];
        z0 += x * values[at0 + k];
        z1 += x * values[at1 + k];
        z2 += x * values[at2 + k];
        z3 += x * values[at3 + k];
        z4 += x * values[at4 + k];
        z5 += x * values[at5 + k];
        z6 += x * values[at6 + k];
        z7 += x * values[at7 + k];
    }
    put(layer, j, given, z0);
    put(layer, j + 1u, given, z1);
    put(layer, j + 2u, given, z2);
    put(layer, j + 3u, given, z3);
    put(layer, j + 4u, given, z4);
    put(layer, j + 5u, given, z5);
    put(layer, j + 6u, given, z6);
    put(layer, j + 7u, given, z7);
    // Not before they are stored: each of them would have the function's code.
    for (var unit = j; unit < min(j + UNITS, layer.x); unit++) {
        let at = given + unit * tall;
        cells[at] = activated(layer.w, cells[at] + values[layer.z + unit]);
    }
}

fn put(layer: vec4u, unit: u32, given: u32, z: vec4f) {
    if unit < layer.x {
        cells[given + unit * tall] = z;
    }
}
