//! The functions that a Rust file may need. What the CPU path has, the file gets as it stands there.

use crate::error::{Error, Result};

const ELEMENTARY: &str = include_str!("../../ops/elementary.rs");
const FUNCTION: &str = include_str!("../../ops/activation/function.rs");

enum Text {
    /// The item that begins so in a file of the CPU path.
    Own(&'static str, &'static str),
    Here(&'static str),
}

use Text::{Here, Own};

/// A name, the names that it needs, and its text. What needs others stands behind them.
const ITEMS: &[(&str, &[&str], Text)] = &[
    ("LN_2", &[], Own(ELEMENTARY, "const LN_2:")),
    ("ROUND", &[], Own(ELEMENTARY, "const ROUND:")),
    ("EXP", &[], Own(ELEMENTARY, "const EXP:")),
    ("SQRT_HALF", &[], Own(ELEMENTARY, "const SQRT_HALF:")),
    ("TANH", &[], Own(ELEMENTARY, "const TANH:")),
    ("at_least", &[], Own(ELEMENTARY, "fn at_least(")),
    ("at_most", &[], Own(ELEMENTARY, "fn at_most(")),
    ("parts", &["LN_2", "ROUND", "EXP"], Own(ELEMENTARY, "fn parts(")),
    ("power_of_2", &[], Own(ELEMENTARY, "fn power_of_2(")),
    ("exp", &["at_least", "at_most", "parts", "power_of_2"], Own(ELEMENTARY, "fn exp(")),
    ("exp_m1", &["at_least", "at_most", "parts", "power_of_2"], Own(ELEMENTARY, "fn exp_m1(")),
    ("tanh", &["TANH", "at_least", "at_most"], Own(ELEMENTARY, "fn tanh(")),
    ("ln_1p", &["LN_2", "SQRT_HALF", "power_of_2"], Own(ELEMENTARY, "fn ln_1p(")),
    ("sigmoid", &["exp"], Own(FUNCTION, "fn sigmoid(")),
    ("softplus", &["exp", "ln_1p"], Own(FUNCTION, "fn softplus(")),
    ("normal_cdf", &["exp"], Own(FUNCTION, "fn normal_cdf(")),
    (
        "relu",
        &[],
        Here(
            "\
/// max(x, 0); NaN of a NaN.
fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}",
        ),
    ),
    (
        "leaky_relu",
        &[],
        Here(
            "\
fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}",
        ),
    ),
    (
        "elu",
        &["exp_m1"],
        Here(
            "\
fn elu(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { x } else { alpha * exp_m1(x) }
}",
        ),
    ),
    (
        "silu",
        &["sigmoid"],
        Here(
            "\
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}",
        ),
    ),
    (
        "gelu",
        &["normal_cdf"],
        Here(
            "\
fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}",
        ),
    ),
    (
        "gelu_tanh",
        &["sigmoid"],
        Here(
            "\
/// (1 + tanh(u)) / 2 is the sigmoid of 2 u, with u = √(2/π) (x + 0.044715 x³).
fn gelu_tanh(x: f32) -> f32 {
    x * sigmoid(2.0 * (0.797_884_6 * (x + 0.044715 * x * x * x)))
}",
        ),
    ),
    (
        "sqrt",
        &[],
        Here(
            "\
/// √x, to the last place: Newton's method in f64, from a guess that halves the exponent.
fn sqrt(x: f32) -> f32 {
    if x == 0.0 || x == f32::INFINITY {
        return x;
    }
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    let x = f64::from(x);
    let mut root = f64::from_bits((x.to_bits() >> 1) + (1023 << 51));
    for _ in 0..4 {
        root = 0.5 * (root + x / root);
    }
    root as f32
}",
        ),
    ),
    (
        "ln",
        &[],
        Here(
            "\
/// log(x) in f64, to some 1e-13: -infinity at 0, NaN for negative x. With x = 2^e m and s = (m - 1) / (m + 1) it is
/// e log(2) + 2 artanh(s).
fn ln(x: f32) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 || x == f32::INFINITY {
        return if x > 0.0 { f64::INFINITY } else { f64::NAN };
    }
    let bits = f64::from(x).to_bits();
    let mut e = (bits >> 52) as f64 - 1023.0;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > core::f64::consts::SQRT_2 {
        (e, m) = (e + 1.0, 0.5 * m);
    }
    let s = (m - 1.0) / (m + 1.0);
    let mut sum = 0.0;
    let mut k = 15;
    while k >= 1 {
        sum = sum * s * s + 1.0 / k as f64;
        k -= 2;
    }
    e * core::f64::consts::LN_2 + 2.0 * s * sum
}",
        ),
    ),
    (
        "pow",
        &["exp", "ln"],
        Here(
            "\
/// x to the power p, to 3 units in the last place: NaN for negative x, unless p is a whole number.
fn pow(x: f32, p: f32) -> f32 {
    let whole = p as i32 as f32 == p;
    if x < 0.0 && !whole {
        return f32::NAN;
    }
    let exponent = f64::from(p) * ln(x.abs());
    let rounded = exponent as f32;
    let rest = if rounded.is_finite() { (exponent - f64::from(rounded)) as f32 } else { 0.0 };
    let size = exp(rounded) * (1.0 + rest);
    if x < 0.0 && p as i32 % 2 != 0 { -size } else { size }
}",
        ),
    ),
    (
        "product",
        &[],
        Here(
            "\
/// W x, of a weight [O, I] and a row.
fn product<const I: usize, const O: usize>(x: &[f32; I], weight: &[[f32; I]; O]) -> [f32; O] {
    from_fn(|o| x.iter().zip(&weight[o]).map(|(x, w)| x * w).sum())
}",
        ),
    ),
    (
        "linear",
        &["product"],
        Here(
            "\
/// W x + b.
fn linear<const I: usize, const O: usize>(x: &[f32; I], weight: &[[f32; I]; O], bias: &[f32; O]) -> [f32; O] {
    let y = product(x, weight);
    from_fn(|o| y[o] + bias[o])
}",
        ),
    ),
    (
        "layer_norm",
        &["sqrt"],
        Here(
            "\
fn layer_norm<const N: usize>(x: &[f32; N], weight: &[f32; N], bias: &[f32; N], eps: f32) -> [f32; N] {
    let mean = x.iter().sum::<f32>() / N as f32;
    let centred = x.map(|x| x - mean);
    let variance = centred.iter().map(|c| c * c).sum::<f32>() / N as f32;
    let inverse = 1.0 / sqrt(variance + eps);
    from_fn(|i| centred[i] * inverse * weight[i] + bias[i])
}",
        ),
    ),
    (
        "largest",
        &[],
        Here(
            "\
fn largest<const N: usize>(x: &[f32; N]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |a, b| if a > *b || a.is_nan() { a } else { *b })
}",
        ),
    ),
    (
        "softmax",
        &["exp", "largest"],
        Here(
            "\
fn softmax<const N: usize>(x: &[f32; N]) -> [f32; N] {
    let top = largest(x);
    let powers = x.map(|x| exp(x - top));
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}",
        ),
    ),
    (
        "log_softmax",
        &["exp", "ln", "largest"],
        Here(
            "\
fn log_softmax<const N: usize>(x: &[f32; N]) -> [f32; N] {
    let top = largest(x);
    let sum: f32 = x.iter().map(|x| exp(x - top)).sum();
    let log = ln(sum) as f32;
    x.map(|x| x - top - log)
}",
        ),
    ),
    (
        "look_up",
        &[],
        Here(
            "\
/// An element of the row of this number; NaN for a number that is no row.
fn look_up<const R: usize, const C: usize>(table: &[[f32; C]; R], number: f32, col: usize) -> f32 {
    let row = number as usize;
    if row as f32 == number && row < R { table[row][col] } else { f32::NAN }
}",
        ),
    ),
    (
        "one_hot",
        &[],
        Here(
            "\
/// `off` with an `on` in the column of this number; NaN for a number that is no column.
fn one_hot<const N: usize>(number: f32, on: f32, off: f32) -> [f32; N] {
    let class = number as usize;
    let is_class = class as f32 == number && class < N;
    from_fn(|i| if !is_class { f32::NAN } else if i == class { on } else { off })
}",
        ),
    ),
];

/// The text of these functions and of those that they need.
pub(super) fn text(names: &[&str]) -> Result<String> {
    let mut needed: Vec<&str> = names.to_vec();
    for (name, needs, _) in ITEMS.iter().rev() {
        if needed.contains(name) {
            needed.extend(*needs);
        }
    }
    let mut text = String::new();
    for (name, _, item) in ITEMS.iter().filter(|(name, ..)| needed.contains(name)) {
        let own = match item {
            Here(text) => text.to_string(),
            Own(file, begins) => excerpt(file, begins).ok_or_else(|| {
                Error::input("export", format!("the source of {name} was not found; please report this"))
            })?,
        };
        text += &format!("{own}\n\n");
    }
    Ok(text)
}

/// An item of a file with the comment and the attributes before it, without its visibility.
fn excerpt(file: &str, begins: &str) -> Option<String> {
    let lines: Vec<&str> = file.lines().collect();
    let bare = |line: &str| {
        let stripped = ["pub(crate) ", "pub(super) "].iter().find_map(|visibility| line.strip_prefix(visibility));
        stripped.unwrap_or(line).to_string()
    };
    let at = lines.iter().position(|line| bare(line).starts_with(begins))?;
    let is_about = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
    let above = lines[..at].iter().rev().take_while(is_about).count();
    let is_end = |line: &&str| !line.starts_with(' ') && (line.ends_with('}') || line.ends_with(';'));
    let end = at + lines[at..].iter().position(is_end)?;
    Some(lines[at - above..=end].iter().map(|line| bare(line)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{ITEMS, text};

    #[test]
    fn every_function_stands_behind_what_it_needs() {
        for (i, (name, needs, _)) in ITEMS.iter().enumerate() {
            for need in *needs {
                assert!(ITEMS[..i].iter().any(|(other, ..)| other == need), "{name} needs {need}");
            }
            assert!(text(&[name]).unwrap().contains(name), "{name}");
        }
    }
}
