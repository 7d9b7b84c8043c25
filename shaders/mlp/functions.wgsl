// The functions that end layers, on cells.

fn activated(function: u32, z: vec4f) -> vec4f {
    var y = activate4(function0, params.a0, z);
    if function1 != 15u && function == 1u {
        y = activate4(function1, params.a1, z);
    }
    if function2 != 15u && function == 2u {
        y = activate4(function2, params.a2, z);
    }
    return y;
}

fn activate4(kind: u32, a: f32, z: vec4f) -> vec4f {
    return vec4f(activate(kind, a, z.x), activate(kind, a, z.y), activate(kind, a, z.z), activate(kind, a, z.w));
}
