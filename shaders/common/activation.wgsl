// The functions that can end a product, and their derivatives. `kind` is the number in the table of
// src/ops/activation/function.rs, and `a` the function's constant there. A number that is not here gives NaN.

fn activate(kind: u32, a: f32, x: f32) -> f32 {
    var result: f32;
    switch kind {
        case 0u: { result = x; }
        case 1u: { result = max(x, 0.0); }
        case 2u: { result = hyperbolic_tangent(x); }
        case 3u: { result = sigmoid(x); }
        case 4u: { result = select(a * x, x, x > 0.0); }
        case 5u: { result = select(a * exp_m1(min(x, 0.0)), x, x > 0.0); }
        case 6u: { result = x * normal_cdf(x); }
        // (1 + tanh(u)) / 2 is the sigmoid of 2 u.
        case 7u: { result = x * sigmoid(2.0 * gelu_angle(x)); }
        case 8u: { result = x * sigmoid(x); }
        case 9u: { result = softplus(x); }
        default: { result = not_a_number(x); }
    }
    return select(result, x, is_nan(x));
}

fn gelu_angle(x: f32) -> f32 {
    return 0.79788456 * (x + 0.044715 * x * x * x);
}

// The derivative, computed from the function's input, or from its value where the table says so.
fn derivative(kind: u32, a: f32, at: f32) -> f32 {
    var result: f32;
    switch kind {
        case 0u: { result = 1.0; }
        case 1u: { result = select(0.0, 1.0, at > 0.0); }
        case 2u: { result = (1.0 - at) * (1.0 + at); }
        case 3u: { result = at * (1.0 - at); }
        case 4u: { result = select(a, 1.0, at > 0.0); }
        case 5u: { result = select(a * exp(min(at, 0.0)), 1.0, at > 0.0); }
        case 6u: { result = normal_cdf(at) + at * 0.39894228 * exp(-0.5 * at * at); }
        case 7u: {
            // s + x s (1 - s) (2 u)', which is 0 or 1 long before x^3 overflows.
            let x = clamp(at, -20.0, 20.0);
            let angle = 2.0 * gelu_angle(x);
            let e = exp(-abs(angle));
            let product = e / ((1.0 + e) * (1.0 + e));
            result = sigmoid(angle) + x * product * 1.5957691 * (1.0 + 0.134145 * x * x);
        }
        // 1 - s is the sigmoid of -x.
        case 8u: { result = sigmoid(at) * (1.0 + at * sigmoid(-at)); }
        case 9u: { result = sigmoid(at); }
        default: { result = not_a_number(at); }
    }
    return select(result, at, is_nan(at));
}
