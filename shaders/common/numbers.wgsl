// NaN and infinity. WGSL lets drivers assume that there are none, so `max`, `min`, `clamp` and comparisons may hide a NaN;
// the bits of a number do not.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// A NaN. WGSL has no constant for it, and rejects an expression that is one: hence the argument, which may be any number.
fn not_a_number(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
}

fn infinity(x: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0u) | 0x7f800000u);
}

// The larger of two numbers; NaN if one of them is.
fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, a > b || is_nan(a));
}

// x between -bound and bound.
fn clip(x: f32, bound: f32) -> f32 {
    return select(clamp(x, -bound, bound), x, is_nan(x));
}
