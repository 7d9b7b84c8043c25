// Functions that lose their digits when written with `exp` and `log`, here to a few units in the last place beyond the
// driver's error of `exp`. Only numbers that are not positive go into `exp`, so nothing overflows.

// exp(x) - 1, for x <= 0.
fn exp_m1(x: f32) -> f32 {
    // Taylor's series to x^8 / 8!, of which the next term is below 1e-8 of the sum.
    let p = 1.0 / 720.0 + x * (1.0 / 5040.0 + x * (1.0 / 40320.0));
    let series = x + x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * p))));
    return select(exp(x) - 1.0, series, x > -0.5);
}

// log(1 + x), for x >= 0.
fn log_1p(x: f32) -> f32 {
    // 2 artanh(s): the next term of the series is below 2e-8 of the sum up to s = 1 / 3.
    let s = x / (2.0 + x);
    let q = s * s;
    let p = 1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0)));
    let series = 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * p)));
    return select(log(1.0 + x), series, x <= 1.0);
}

fn hyperbolic_tangent(x: f32) -> f32 {
    // Near 0 a polynomial (Cephes, tanhf), to one unit.
    let q = x * x;
    let p = ((-5.70498872745e-3 * q + 2.06390887954e-2) * q - 5.37397155531e-2) * q + 1.33314422036e-1;
    let near = x + x * q * (p * q - 3.33332819422e-1);
    let e = exp(-2.0 * abs(x));
    let far = 1.0 - 2.0 * e / (1.0 + e);
    return select(select(-far, far, x > 0.0), near, abs(x) < 0.625);
}

// 1 / (1 + exp(-x))
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// log(1 + exp(x))
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log_1p(exp(-abs(x)));
}

// The normal distribution function: half of erfc(-x / sqrt 2), by Chebyshev's fit of its logarithm (Press et al., erfcc),
// to 1.2e-7 of the value also where it is small.
fn normal_cdf(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.5 * z);
    let q = 0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)));
    let p = 1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * q)));
    let tail = 0.5 * t * exp(t * p - 1.26551223 - z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}
