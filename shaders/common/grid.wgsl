// The position of an invocation. A grid has at most 65,535 workgroups in a dimension; more are folded into two
// dimensions.

struct Place {
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
}

// Invocations of a workgroup, where each works independently.
const GROUP = 64u;

// These take a place in pieces: on Direct3D the number of workgroups is only known where an entry point reads it.

fn workgroup_index(group: vec3u, groups: vec3u) -> u32 {
    return group.y * groups.x + group.x;
}

fn invocation_index(group: vec3u, groups: vec3u, lane: u32) -> u32 {
    return workgroup_index(group, groups) * GROUP + lane;
}
