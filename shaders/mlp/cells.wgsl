// Where the cells lie, and what is in them before the first step.

var<workgroup> cells: array<vec4f, memory>;

// A cell of an activation, or of its gradient.
fn cell(i: u32) -> vec4f {
    if placement == 0u {
        return cells[i];
    }
    return scratch[own_scratch() + i];
}

fn set_cell(i: u32, four: vec4f) {
    if placement == 0u {
        cells[i] = four;
    } else {
        scratch[own_scratch() + i] = four;
    }
}

// A cell of weights.
fn weight(i: u32) -> vec4f {
    if placement < 2u {
        return cells[i];
    }
    return scratch[own_scratch() + i];
}

fn set_weight(i: u32, four: vec4f) {
    if placement < 2u {
        cells[i] = four;
    } else {
        scratch[own_scratch() + i] = four;
    }
}

// A member's scratch: the constants of its updates, its cells as far as they are not in the workgroup's memory, and what the
// optimizer keeps for its weights.
const UPDATE_CELLS = 3u;

fn own_scratch() -> u32 {
    return member * params.own_cells + UPDATE_CELLS;
}

// What the optimizer keeps for a cell of weights, its first or second number.
fn state_cell(which: u32, i: u32) -> u32 {
    return own_scratch() + select(0u, params.cells, placement > 0u) + which * params.inputs_at + i;
}

// As in optim.wgsl.
struct Update {
    rate_factor: f32,
    decay: f32,
    decoupled_decay: f32,
    shrink: f32,
    clip_value: f32,
    momentum: f32,
    nesterov: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

fn own_update() -> Update {
    let at = member * params.own_cells;
    let a = scratch[at];
    let b = scratch[at + 1u];
    let c = scratch[at + 2u];
    return Update(a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w, c.x, c.y);
}

struct Layer {
    inputs: u32,
    outputs: u32,
    fours: u32,         // cells of a row of weights
    function: u32,      // which of the functions ends it
    // first cells
    weights: u32,
    x: u32,             // what it takes; the row of one more input is 1
    y: u32,             // what it gives
    dx: u32,            // the gradient of x; before that, the derivative that it is multiplied by
    dy: u32,
}

fn layer(l: u32) -> Layer {
    let own = params.layers[l];
    let before = params.layers[max(l, 1u) - 1u];
    let first = l == 0u;
    return Layer(
        select(before.x, params.inputs, first),
        own.x,
        (own.x + 3u) / 4u,
        (params.slots >> (2u * l)) & 3u,
        own.y,
        select(before.z, params.inputs_at, first),
        own.z,
        before.w,
        own.w,
    );
}

// Zeros, also where nothing is written later: behind a layer's last output. And the input that is 1.
fn clear(lane: u32) {
    for (var i = params.inputs_at + lane; i < params.cells; i += lanes) {
        set_cell(i, vec4f());
    }
    meet();
    for (var l = 0u; l < params.depth; l++) {
        let here = layer(l);
        for (var i = lane; i < blocks; i += lanes) {
            set_cell(here.x + here.inputs * blocks + i, vec4f(1.0));
        }
    }
}

// Where the (up to) four numbers of a cell of weights lie among the member's values.
struct Four {
    first: u32,
    distance: u32,
    count: u32,
}

// `flat` is where the layer's weights begin: [outputs, inputs], then at a multiple of 64 the bias.
fn four_of(here: Layer, flat: u32, i: u32) -> Four {
    let k = i / here.fours;
    let j = i % here.fours * 4u;
    let count = min(4u, here.outputs - j);
    if k == here.inputs {
        return Four(flat + whole_64(here.inputs * here.outputs) + j, 1u, count);
    }
    return Four(flat + j * here.inputs + k, here.inputs, count);
}

fn whole_64(n: u32) -> u32 {
    return (n + 63u) / 64u * 64u;
}

// The four numbers' places; a number that is not there has the place of the first.
fn places(four: Four) -> vec4u {
    return four.first + select(vec4u(), vec4u(0u, 1u, 2u, 3u) * four.distance, are_there(four.count));
}

// Which of four are among the first `count`.
fn are_there(count: u32) -> vec4<bool> {
    return vec4u(0u, 1u, 2u, 3u) < vec4u(count);
}

fn load_values(lane: u32) {
    var flat = member * params.len;
    for (var l = 0u; l < params.depth; l++) {
        let here = layer(l);
        for (var i = lane; i < (here.inputs + 1u) * here.fours; i += lanes) {
            let four = four_of(here, flat, i);
            let at = places(four);
            let real = are_there(four.count);
            let w = vec4f(values[at.x], values[at.y], values[at.z], values[at.w]);
            set_weight(here.weights + i, select(vec4f(), w, real));
            if states > 0u {
                let s = vec4f(state1[at.x], state1[at.y], state1[at.z], state1[at.w]);
                scratch[state_cell(0u, here.weights + i)] = select(vec4f(), s, real);
            }
            if states > 1u {
                let s = vec4f(state2[at.x], state2[at.y], state2[at.z], state2[at.w]);
                scratch[state_cell(1u, here.weights + i)] = select(vec4f(), s, real);
            }
        }
        flat += whole_64(here.inputs * here.outputs) + whole_64(here.outputs);
    }
}

fn store_values(lane: u32) {
    var flat = member * params.len;
    for (var l = 0u; l < params.depth; l++) {
        let here = layer(l);
        for (var i = lane; i < (here.inputs + 1u) * here.fours; i += lanes) {
            let four = four_of(here, flat, i);
            let w = weight(here.weights + i);
            for (var n = 0u; n < four.count; n++) {
                values[four.first + n * four.distance] = w[n];
            }
            if states > 0u {
                let s = scratch[state_cell(0u, here.weights + i)];
                for (var n = 0u; n < four.count; n++) {
                    state1[four.first + n * four.distance] = s[n];
                }
            }
            if states > 1u {
                let s = scratch[state_cell(1u, here.weights + i)];
                for (var n = 0u; n < four.count; n++) {
                    state2[four.first + n * four.distance] = s[n];
                }
            }
        }
        flat += whole_64(here.inputs * here.outputs) + whole_64(here.outputs);
    }
}
