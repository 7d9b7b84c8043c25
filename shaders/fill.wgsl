// out = value, everywhere.

struct Params {
    len: u32,
    value: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(GROUP)
fn fill(here: Place) {
    let i = invocation_index(here.group, here.groups, here.lane);
    if i < params.len {
        out[i] = params.value;
    }
}
