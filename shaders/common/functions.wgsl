// All functions of the table in src/ops/activation/function.rs, and their derivatives.

// `activate`, and the functions that no matmul applies at its end.
fn value(kind: u32, a: f32, b: f32, x: f32) -> f32 {
    switch kind {
        case 10u: { return select(exp(x), x, is_nan(x)); }
        case 11u: { return logarithm(x); }
        case 12u: { return power(x, a); }
        case 13u: { return a * x + b; }
        default: { return activate(kind, a, x); }
    }
}

// log(x) as IEEE has it: WGSL's is undefined unless x > 0.
fn logarithm(x: f32) -> f32 {
    if x > 0.0 && !is_nan(x) {
        return log(x);
    }
    return select(not_a_number(x), -infinity(x), x == 0.0);
}

// x^a as IEEE has it: WGSL's pow is undefined unless x > 0, so whole exponents take their sign from a's parity.
fn power(x: f32, a: f32) -> f32 {
    if a == 0.0 {
        return 1.0;
    }
    if is_nan(x) {
        return x;
    }
    if x == 0.0 {
        return select(infinity(x), 0.0, a > 0.0);
    }
    if x > 0.0 {
        return pow(x, a);
    }
    let half = a * 0.5;
    if x < 0.0 && a == floor(a) {
        let magnitude = pow(-x, a);
        return select(-magnitude, magnitude, half == floor(half));
    }
    return not_a_number(x);
}

// `derivative`, and those of the functions that no matmul applies at its end.
fn slope(kind: u32, a: f32, at: f32) -> f32 {
    switch kind {
        case 10u: { return at; }
        case 11u: { return 1.0 / at; }
        case 12u: { return a * power(at, a - 1.0); }
        case 13u: { return a; }
        default: { return derivative(kind, a, at); }
    }
}
