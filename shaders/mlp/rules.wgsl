// The derivatives of the functions that end layers, and the optimizers' rules, on cells.

// From the function's input z, or from its value y.
fn derivatives(function: u32, z: vec4f, y: vec4f) -> vec4f {
    var slope = derivative4(function0, params.a0, select(y, z, (from_input & 1u) != 0u));
    if function1 != 15u && function == 1u {
        slope = derivative4(function1, params.a1, select(y, z, (from_input & 2u) != 0u));
    }
    if function2 != 15u && function == 2u {
        slope = derivative4(function2, params.a2, select(y, z, (from_input & 4u) != 0u));
    }
    return slope;
}

fn derivative4(kind: u32, a: f32, at: vec4f) -> vec4f {
    return vec4f(
        derivative(kind, a, at.x),
        derivative(kind, a, at.y),
        derivative(kind, a, at.z),
        derivative(kind, a, at.w),
    );
}

// The rules of optim.wgsl, for the four weights from input k to the outputs from 4 * four on. Weights behind the last
// output stay 0.
fn update_weights(here: Layer, k: u32, four: u32, gradient: vec4f) {
    if k > here.inputs || four >= here.fours {
        return;
    }
    let i = here.weights + k * here.fours + four;
    let value = weight(i);
    var g = gradient;
    if clips {
        let bound = update.clip_value;
        g = vec4f(clip(g.x, bound), clip(g.y, bound), clip(g.z, bound), clip(g.w, bound));
    }
    g += update.decay * value;
    var direction = g;
    if rule == 1u {
        let velocity = update.momentum * scratch[state_cell(0u, i)] + g;
        scratch[state_cell(0u, i)] = velocity;
        direction = select(velocity, g + update.momentum * velocity, update.nesterov != 0.0);
    }
    if rule == 2u {
        let m = update.beta1 * scratch[state_cell(0u, i)] + (1.0 - update.beta1) * g;
        let v = update.beta2 * scratch[state_cell(1u, i)] + (1.0 - update.beta2) * g * g;
        scratch[state_cell(0u, i)] = m;
        scratch[state_cell(1u, i)] = v;
        direction = m * rate.y / (sqrt(v * rate.z) + update.epsilon);
    }
    if rule == 3u {
        let v = update.beta2 * scratch[state_cell(1u, i)] + (1.0 - update.beta2) * g * g;
        let velocity = update.momentum * scratch[state_cell(0u, i)] + g / (sqrt(v) + update.epsilon);
        scratch[state_cell(0u, i)] = velocity;
        scratch[state_cell(1u, i)] = v;
        direction = velocity;
    }
    set_weight(i, select(vec4f(), value * kept - rate.x * direction, are_there(here.outputs - 4u * four)));
}
