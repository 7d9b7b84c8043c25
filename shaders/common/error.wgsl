// The error of a prediction p with its target t, and its derivative. `kind` is `Elementwise::kind` in src/ops/loss.rs.

// Squared, absolute, Huber's; the cross-entropy of a logit p, in a form that stays finite and loses nothing; a quantile's.
fn error(kind: u32, constant: f32, p: f32, t: f32) -> f32 {
    let e = p - t;
    var result: f32;
    switch kind {
        case 0u: { result = e * e; }
        case 1u: { result = abs(e); }
        case 2u: { result = select(constant * (abs(e) - 0.5 * constant), 0.5 * e * e, abs(e) <= constant); }
        case 3u: { result = select(-p * t, p * (1.0 - t), p > 0.0) + log_1p(exp(-abs(p))); }
        case 5u: { result = select(1.0 - constant, -constant, e < 0.0) * e; }
        default: { result = not_a_number(e); }
    }
    return select(result, e, is_nan(e));
}

// The derivative of the error with respect to the prediction.
fn error_derivative(kind: u32, constant: f32, p: f32, t: f32) -> f32 {
    let e = p - t;
    var result: f32;
    switch kind {
        case 0u: { result = 2.0 * e; }
        case 1u: { result = sign(e); }
        case 2u: { result = clamp(e, -constant, constant); }
        // sigmoid(p) - t, where it is small, too
        case 3u: { result = sigmoid(p) * (1.0 - t) - sigmoid(-p) * t; }
        case 5u: { result = select(select(0.0, 1.0 - constant, e > 0.0), -constant, e < 0.0); }
        default: { result = not_a_number(e); }
    }
    return select(result, e, is_nan(e));
}
