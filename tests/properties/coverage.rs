//! Every public function is called by some case: a search of the source for functions, and of these files for their calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What no case can call: by `Type::function`, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("predict", "of the Rust source that is exported"),
    ("Merge::new", "for merging rules: tests/rules"),
    ("Program::", "for merging rules: tests/rules"),
    ("Kernel::", "const, for statics: tests/devices/safety.rs"),
    ("Call::params", "within a kernel: tests/devices/safety.rs"),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The name that an `impl` is for.
fn type_of(line: &str) -> Option<String> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    let rest = rest.split(" for ").last()?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

/// The public functions, with their types, and whether they take one.
fn functions() -> Vec<(String, String, bool)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let mut owner = String::new();
        for (number, line) in text.lines().enumerate() {
            match type_of(line) {
                Some(own) => owner = own,
                None if line.starts_with('}') => owner.clear(),
                None => {}
            }
            let code = line.trim_start();
            let code = ["const ", "async "].iter().fold(code.strip_prefix("pub ").unwrap_or_default(), |code, word| {
                code.strip_prefix(word).unwrap_or(code)
            });
            let Some(code) = code.strip_prefix("fn ") else { continue };
            let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // In a macro that names its functions.
            if name.is_empty() {
                continue;
            }
            let signature: String = text.lines().skip(number).take(3).collect();
            let of = signature.split_once('(').map_or("", |(_, arguments)| arguments.trim_start());
            let is_method = ["self", "&self", "&mut self", "mut self"].iter().any(|own| of.starts_with(own));
            found.push((owner.clone(), name, is_method));
        }
    }
    found
}

#[test]
fn every_public_function_is_called() {
    let tests = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/properties"));
    let tests = tests.iter().filter(|path| !path.ends_with("coverage.rs"));
    let tests: String = tests.map(|path| fs::read_to_string(path).unwrap()).collect();
    // A line break may stand before a call's dot or its brackets.
    let calls: String = tests.chars().filter(|c| !c.is_whitespace()).collect();
    let functions = functions();
    assert!(functions.len() > 400, "only {} public functions were found", functions.len());
    let mut missing = BTreeMap::new();
    for (owner, name, is_method) in &functions {
        let full = if owner.is_empty() { name.clone() } else { format!("{owner}::{name}") };
        let is_called = if *is_method {
            calls.contains(&format!(".{name}("))
                || calls.contains(&format!("::{name})"))
                || calls.contains(&format!("::{name}("))
                || calls.contains(&format!(".{name}::<"))
        } else if owner.is_empty() || owner.starts_with('$') {
            calls.contains(&format!("{name}("))
        } else {
            calls.contains(&format!("{owner}::{name}"))
        };
        let is_exception = EXCEPTIONS
            .iter()
            .any(|(exception, _)| full == *exception || (exception.ends_with(':') && full.starts_with(exception)));
        if !is_called && !is_exception {
            missing.insert(full, ());
        }
    }
    assert!(missing.is_empty(), "no case calls {:?}", missing.keys());
}
