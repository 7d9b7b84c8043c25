// Dropout: each element is kept with probability 1 - p, and scaled by 1 / (1 - p). Whether it is kept is a hash of a
// key, the number of the run and the element's place, so the backward pass finds the same mask again.

struct Params {
    len: u32,
    key: u32,
    threshold: u32,     // an element is kept when its hash is at least this: p * 2^32
    scale: f32,
    accumulate: u32,    // 1: add to the output, 0: overwrite it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> clock: array<u32>;     // runs before this one's step 0
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// The permutation of PCG-RXS-M-XS-32 (O'Neill 2014).
fn hash(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

@compute @workgroup_size(GROUP)
fn apply(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i >= params.len {
        return;
    }
    let bits = hash(i ^ hash(clock[0] + now.step + hash(params.key)));
    var value = select(0.0, params.scale * x[i], bits >= params.threshold);
    if params.accumulate != 0u {
        value += out[i];
    }
    out[i] = value;
}
