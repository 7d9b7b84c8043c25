//! PyTorch's numbers, from the JSON files next to the scripts that made them: see `tests/oracle/README.md`.

use serde_json::Value;

/// A file of `tests/oracle`.
pub(crate) fn oracle(name: &str) -> Value {
    let path = format!("{}/tests/oracle/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A list of objects.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list, not {value}"))
}

#[track_caller]
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"))
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}"))
}

#[track_caller]
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

/// Numbers that are exact in f32, or print as the shortest text that reads back as one.
#[track_caller]
pub(crate) fn floats(value: &Value) -> Vec<f32> {
    list(value).iter().map(|v| number(v) as f32).collect()
}

/// `[rows, cols]`; a single number is the columns of a row.
#[track_caller]
pub(crate) fn shape(value: &Value) -> [usize; 2] {
    match numbers(value)[..] {
        [cols] => [1, cols as usize],
        [rows, cols] => [rows as usize, cols as usize],
        _ => panic!("a shape of one or two numbers, not {value}"),
    }
}
