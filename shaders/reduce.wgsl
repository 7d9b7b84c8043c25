// The sum of all elements, in a fixed order: a workgroup adds 4,096 neighbours and writes one partial sum; a second
// launch adds the partial sums, and so on until one is left.

struct Params {
    len: u32,
    scale: f32,
    last_slot: u32,     // step s writes element min(s, last_slot): 0 for a single sum, more for a history of sums
    padding: u32,
}

struct Step {
    step: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(1) @binding(0) var<uniform> now: Step;

var<workgroup> partial: array<f32, 256>;

// sums[workgroup] = scale * (sum of the workgroup's elements of x)
@compute @workgroup_size(256)
fn sum(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) {
        let at = block * 4096u + i * 256u + lane;
        if at < params.len {
            total += x[at];
        }
    }
    partial[lane] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && block * 4096u < params.len {
        sums[block + min(now.step, params.last_slot)] = params.scale * partial[0];
    }
}
