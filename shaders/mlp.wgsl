// A workgroup trains a network, a chain of linear layers, for many steps: gather, forward pass, loss, backward pass,
// update. Weights and activations stay where the workgroup has them; nothing else is dispatched between two steps.
//
// Everything lies in cells of four numbers. An activation or its gradient is a row of cells for each unit, a cell for each
// four rows of the mini-batch. A weight matrix is a row of cells for each input, a cell for each four outputs, with the
// bias as the row of one more input, which is 1. So no product needs a transpose.

struct Params {
    layers: array<vec4u, 8>,    // outputs; the first cells of the weights, of the activation, and of its gradient
    depth: u32,                 // layers
    inputs: u32,                // of the first layer
    inputs_at: u32,             // their first cell: all before it are weights
    cells: u32,                 // in all
    slots: u32,                 // which function ends each layer: two bits each
    a0: f32,                    // the constants of these functions
    a1: f32,
    a2: f32,
    rows: u32,                  // of a mini-batch
    stride: u32,                // from the first row of a mini-batch to that of the next one
    entries: u32,               // of a member's order, which wraps around; at least as many as rows
    last_row: u32,              // of the data; row numbers beyond it read this one
    targets_at: u32,            // where the targets begin in the data
    target_cols: u32,           // without the weights of samples
    scale: f32,                 // of the loss
    constant: f32,                 // of Huber's error
    last_slot: u32,             // of a member's losses: step s writes number min(s, last_slot)
    last_rate: u32,             // of a member's rates: step s takes row min(s, last_rate)
    len: u32,                   // of a member's values
    data_len: u32,              // of a member's data, if each has its own
    own_cells: u32,             // of a member's scratch
    functions: u32,             // compiled in: the functions that end layers, eight bits each
    how: u32,                   // compiled in: see `Params::how` in src/ops/mlp.rs
    lanes: u32,                 // compiled in
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<f32>;              // inputs, and behind them targets
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> rates: array<vec4f>;           // rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t), unused
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> scratch: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> state1: array<f32>;
@group(0) @binding(8) var<storage, read_write> state2: array<f32>;

// A pipeline is compiled for each set of values that a program uses.
override lanes: u32 = 8u;       // invocations: a power of two
override blocks: u32 = 2u;      // cells for the rows of a mini-batch: a multiple of `high`
override high: u32 = 2u;        // cells of rows in a tile: 1 or 2
override wide: u32 = 1u;        // cells of outputs in a tile: 1, or 2 if `high` is 2
override placement: u32 = 0u;   // in the workgroup's memory are 0: all cells, 1: weights, 2: none; the others in `scratch`
override memory: u32 = 1u;      // cells in the workgroup's memory
override states: u32 = 0u;      // numbers that the optimizer keeps for each weight
override rule: u32 = 0u;        // 0: SGD, 1: momentum, 2: Adam, 3: RMSProp
override clips: bool = false;
override loss: u32 = 0u;        // 0 to 3: `error`, 4: cross-entropy
override weighted: u32 = 0u;    // 1: behind a row's targets is its weight, 2: and the loss is divided by the sum of those
override function0: u32 = 0u;   // the functions that end layers; 15: none
override function1: u32 = 15u;
override function2: u32 = 15u;
override from_input: u32 = 0u;  // a bit for each: its derivative is computed from its input

// Which of the networks this workgroup trains.
var<private> member: u32;
// Where the member's data begins.
var<private> data_at: u32;
// The constants of the member's updates.
var<private> update: Update;
// What the loss's sum is multiplied by in this step.
var<private> scale: f32;
// The member's row of rates in this step, and what is left of a value after its decay.
var<private> rate: vec4f;
var<private> kept: f32;

// Waits until all invocations are here, and see what the others wrote.
fn meet() {
    if placement > 0u {
        storageBarrier();
    }
    workgroupBarrier();
}

@compute @workgroup_size(lanes)
fn train(here: Place) {
    let lane = here.lane;
    member = here.group.x;
    // Data as long as one member's is that of all.
    data_at = select(0u, member * params.data_len, arrayLength(&data) > params.data_len);
    update = own_update();
    clear(lane);
    meet();
    load_values(lane);
    storageBarrier();
    for (var step = now.step; step <= last.step; step++) {
        rate = rates[member * (params.last_rate + 1u) + min(step, params.last_rate)];
        rate.x *= update.rate_factor;
        kept = 1.0 - rate.x * update.decoupled_decay - update.shrink;
        let first = step * params.stride % params.entries;
        gather_inputs(lane, first);
        scale = params.scale;
        if weighted == 2u {
            // Where nothing counts, the mean is 0, not NaN.
            scale /= max(sum_lanes(lane, lanes, 1u, lane_weights(lane, first)), 1e-30);
        }
        meet();
        for (var l = 0u; l < params.depth; l++) {
            forward_tiles(lane, layer(l));
            meet();
            apply_function(lane, layer(l));
            meet();
        }
        let sum = sum_lanes(lane, lanes, 1u, lane_loss(lane, layer(params.depth - 1u), first));
        if lane == 0u {
            losses[member * (params.last_slot + 1u) + min(step, params.last_slot)] = scale * sum;
        }
        meet();
        for (var l = params.depth; l > 0u; l--) {
            // A layer's weights change once their layer's gradient has gone through them.
            backward_tiles(lane, layer(l - 1u), l > 1u);
            meet();
            update_tiles(lane, layer(l - 1u));
        }
        meet();
    }
    storageBarrier();
    store_values(lane);
}
