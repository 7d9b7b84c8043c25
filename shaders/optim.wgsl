// Optimiser updates over the flat buffer that holds every parameter.

struct Params {
    len: u32,
    last_rate: u32,     // the last entry of `rates`: step s takes rates[min(s, last_rate)]
}

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read> rates: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

// values -= rate * gradients
@compute @workgroup_size(64)
fn sgd(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if i < params.len {
        values[i] -= rates[min(now.step, params.last_rate)] * gradients[i];
    }
}
