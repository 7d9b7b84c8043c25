//! Whether the kernels' tests notice a mistake in a shader: small changes of the WGSL, one at a time, each of which must make
//! a case of a kernel that uses the file fail.
//!
//! `cargo test --test kernels -- --ignored --nocapture mutants` tries all of them; `WGRAD_MUTANTS=softmax` those of files
//! of that name, `WGRAD_MUTANTS=softmax.wgsl:12` those of a line. It prints the changes that no case has noticed;
//! `equivalent.txt` says which of these make no difference, and why.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use wgrad::{Device, KERNELS, Kernel};

use crate::case::Case;
use crate::common::{gpus, opened_anew};
use crate::{ROWS, Row};

/// What is replaced by what, wherever it stands in a line.
const CHANGES: &[(&str, &str)] = &[
    // Arithmetic.
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " + "),
    (" / ", " * "),
    (" % ", " / "),
    (" += ", " = "),
    (" += ", " -= "),
    ("min(", "max("),
    ("max(", "min("),
    // Bounds, one too many or too few, and conditions.
    (" < ", " <= "),
    (" <= ", " < "),
    (" > ", " >= "),
    (" >= ", " > "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    // Numbers and strides.
    ("0u", "1u"),
    ("1u", "2u"),
    ("2u", "3u"),
    ("0.0", "1.0"),
    ("1.0", "2.0"),
    ("rows", "cols"),
    ("cols", "rows"),
    (".x", ".y"),
    (".y", ".x"),
    // Whole statements.
    ("workgroupBarrier();", ""),
    ("return;", ""),
    ("continue;", ""),
    ("break;", ""),
];

/// Lines with a change that no case can notice, each behind its file.
fn equivalent() -> HashSet<&'static str> {
    include_str!("equivalent.txt").lines().filter(|line| !line.starts_with('#')).collect()
}

struct File {
    name: String,
    text: String,
}

struct Mutant {
    line: usize,
    /// The line as it is then, for the report.
    becomes: String,
    text: String,
    /// The function that the change is in.
    function: Option<String>,
}

fn files() -> Vec<File> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    paths.iter().map(|path| File { name: name(path), text: std::fs::read_to_string(path).unwrap() }).collect()
}

/// Whether `found` at `at` is a whole word or number there: `0u` of `10u` is not.
fn stands_alone(line: &str, at: usize, found: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    let of_number = |c: char| of_word(c) || c == '.' && found.starts_with(|c: char| c.is_ascii_digit());
    let begins_within = found.starts_with(of_word) && line[..at].ends_with(of_number);
    let ends_within = found.ends_with(of_word) && line[at + found.len()..].starts_with(of_word);
    !begins_within && !ends_within
}

fn mutants(file: &File) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut function = None;
    let lines: Vec<_> = file.text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if let Some(declared) = line.strip_prefix("fn ") {
            function = declared.split('(').next().map(String::from);
        } else if line.starts_with('}') {
            function = None;
        }
        let code = line.split("//").next().unwrap();
        // Bindings and fields can't be changed without the host.
        if code.starts_with("@group") || code.starts_with("struct") || code.starts_with("override") {
            continue;
        }
        for (from, to) in CHANGES {
            for (at, _) in code.match_indices(from).filter(|(at, _)| stands_alone(code, *at, from)) {
                let becomes = format!("{}{to}{}", &line[..at], &line[at + from.len()..]);
                let mut text = lines.clone();
                text[number] = &becomes;
                let text = text.join("\n") + "\n";
                all.push(Mutant {
                    line: number + 1,
                    becomes: becomes.trim().to_string(),
                    text,
                    function: function.clone(),
                });
            }
        }
    }
    all
}

/// A kernel with the cases that dispatch it, and what they give on the CPU.
struct Tested<'a> {
    kernel: &'static Kernel,
    cases: Vec<(&'a Case, Vec<Vec<f32>>)>,
}

/// The cases of rows. What only a large case shows, the end of a loop of thousands of rounds, is not looked for: it takes a
/// minute each.
fn small_cases(rows: &[Row]) -> Vec<Case> {
    rows.iter().flat_map(|(_, cases)| cases()).filter(|case| case.elements() <= 50_000).collect()
}

fn tested<'a>(name: &str, cases: &'a [Case]) -> Tested<'a> {
    let kernel = KERNELS.iter().copied().find(|kernel| kernel.name == name).unwrap();
    // The others do not dispatch it.
    let cases = cases.iter().filter_map(|case| Some((case, case.run(name, &Device::cpu()).ok()?)));
    Tested { kernel, cases: cases.collect() }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    Refused,
    Noticed,
    Survived,
}

fn fate(mutant: &Mutant, file: &File, kernels: &[&Tested<'_>], device: &Device) -> Fate {
    for Tested { kernel, cases } in kernels {
        let module = kernel.wgsl.replacen(&file.text, &mutant.text, 1);
        let changed: &'static Kernel = Box::leak(Box::new(kernel.with_wgsl(module.leak())));
        for (case, expected) in cases {
            match case.run_changed(kernel.name, device, |recording| recording.replacing(kernel, changed)) {
                Err(error) if error.contains("does not compile") => return Fate::Refused,
                Err(_) => return Fate::Noticed,
                Ok(actual) if case.compare(&actual, expected).is_err() => return Fate::Noticed,
                Ok(_) => {}
            }
        }
    }
    Fate::Survived
}

/// The guards around tensors tell: without them, drivers hide it.
#[test]
#[cfg_attr(any(skip_gpu_tests, not(feature = "gpu")), ignore = "no GPU: see tests/common/devices.rs")]
fn a_kernel_that_does_not_know_where_to_stop_is_noticed() {
    let files = files();
    for (row, file, bound) in [
        ("activation.forward", "activation.wgsl", "i < params.len"),
        ("bias.forward", "bias.wgsl", "i < params.rows * params.cols"),
    ] {
        let row = ROWS.iter().find(|(name, _)| *name == row).unwrap();
        let cases = small_cases(std::slice::from_ref(row));
        let tested = tested(row.0, &cases);
        let file = files.iter().find(|other| other.name == file).unwrap();
        assert!(file.text.contains(bound), "{} has another bound by now", row.0);
        let text = file.text.replace(bound, &bound.replace('<', "<="));
        let mutant = Mutant { line: 0, becomes: String::new(), text, function: None };
        for gpu in gpus().iter().filter(|gpu| gpu.checked_shaders) {
            assert_eq!(fate(&mutant, file, &[&tested], &gpu.device), Fate::Noticed, "{} on {}", row.0, gpu.label);
        }
    }
}

#[test]
#[ignore = "takes long: every change of a shader runs the kernels that use it"]
fn mutants_of_shaders_are_noticed() {
    let only = std::env::var("WGRAD_MUTANTS").unwrap_or_default();
    let (name, line) = only.split_once(':').unwrap_or((&only, ""));
    let line: Option<usize> = line.parse().ok();
    let gpu = gpus().iter().find(|gpu| gpu.checked_shaders).unwrap();
    let (equivalent, mut counts, mut survivors) = (equivalent(), BTreeMap::new(), Vec::new());
    let cases = small_cases(ROWS);
    for file in files().iter().filter(|file| file.name.contains(name)) {
        let used_by = ROWS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| KERNELS.iter().any(|kernel| kernel.name == *name && kernel.wgsl.contains(&file.text)));
        let tested: Vec<_> = used_by.map(|name| tested(name, &cases)).collect();
        for mutant in mutants(file).into_iter().filter(|mutant| line.is_none_or(|line| line == mutant.line)) {
            let own = |t: &&Tested| mutant.function.as_deref() == Some(t.kernel.entry_point);
            let mut kernels: Vec<_> = tested.iter().filter(own).collect();
            if kernels.is_empty() {
                kernels = tested.iter().collect();
            }
            // A device of its own: a mutant may take it down, and pipelines pile up.
            let device = opened_anew(&gpu.device, |options| options.checked_shaders(true)).unwrap();
            let fate = fate(&mutant, file, &kernels, &device);
            *counts.entry(fate).or_insert(0) += 1;
            if fate == Fate::Survived {
                let Mutant { line, becomes, .. } = mutant;
                let known = equivalent.contains(format!("{}: {becomes}", file.name).trim_end());
                let survivor =
                    format!("{}:{line}: {becomes}{}", file.name, if known { "    (equivalent)" } else { "" });
                println!("{survivor}");
                survivors.extend((!known).then_some(survivor));
            }
        }
        println!("{}: so far {counts:?}", file.name);
    }
    assert!(survivors.is_empty(), "{} changes that no test has noticed", survivors.len());
}
