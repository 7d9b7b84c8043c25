//! The house plan of ARCHITECTURE.md: rooms import rooms below them, no two modules import each other, and a type's
//! methods are in its own room.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the ground up. Rooms of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["error", "random", "simd"],
    &["files"],
    &["device"],
    &["graph"],
    &["ops"],
    &["gradient"],
    &["lower"],
    &["data"],
    &["metrics"],
    &["nn"],
    &["optim"],
    &["export", "save", "plot"],
    &["train"],
    &["table"],
];

/// Rooms of many files, none of which may import one that imports it. A file and the folder of its name are one module.
const ROOMS_OF_MODULES: &[&str] = &["ops", "nn", "optim", "train", "table"];

/// Methods outside of their type's room: (type, its room, where they are), and why.
const GUESTS: &[(&str, &str, &str)] = &[
    // Each operation adds its own method, so that the graph knows none of them.
    ("Graph", "graph", "ops"),
    // `t` gives a factor of a product, which is matmul's.
    ("Tensor", "device", "ops"),
    // Files are a feature, and the modules below can be built without them.
    ("Parameters", "nn", "save"),
    ("Sequential", "nn", "save"),
];

/// A source file: the path of its module, and its code without comments and tests.
struct File {
    module: Vec<String>,
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let module = path.trim_end_matches(".rs").split('/').map(String::from).filter(|part| part != "mod");
        let text = text.split("#[cfg(test)]").next().unwrap();
        let lines = text.lines().map(|line| line.split("//").next().unwrap());
        Self { module: module.collect(), code: lines.collect::<Vec<_>>().join("\n") }
    }

    fn room(&self) -> &str {
        &self.module[0]
    }

    /// The module within the room: the first file or folder; the room's own `mod.rs` is "mod".
    fn stem(&self) -> &str {
        self.module.get(1).map_or("mod", String::as_str)
    }

    /// The paths from the crate's root of what the code names by `crate::` or `super::`.
    fn named(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (root, keep) in [("crate::", 0), ("super::", self.module.len())] {
            for (at, _) in self.code.match_indices(root) {
                let before = &self.code[..at];
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let mut rest = &self.code[at..];
                let mut base = self.module[..keep].to_vec();
                while let Some(above) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = above;
                }
                expand(rest.trim_start_matches("crate::"), base, &mut found);
            }
        }
        found
    }
}

/// The paths of `a::{b, c::d}` behind a prefix.
fn expand(text: &str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.is_empty() {
        if name != "self" {
            path.push(name.into());
        }
        match rest.strip_prefix("::") {
            Some(rest) => expand(rest, path, found),
            None => found.push(path),
        }
        return;
    }
    let Some(group) = text.strip_prefix('{') else { return found.push(path) };
    let (mut depth, mut start) = (0, 0);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !group[start..i].trim().is_empty() {
                    expand(&group[start..i], path.clone(), found);
                }
                start = i + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// What a `lib.rs` or `mod.rs` passes on from its modules: name, module.
fn passed_on(code: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (at, marker) in ["pub use ", "pub(crate) use "].iter().flat_map(|m| code.match_indices(m)) {
        let mut found = Vec::new();
        expand(&code[at + marker.len()..], Vec::new(), &mut found);
        for path in found {
            if let [module, .., name] = &path[..] {
                names.insert(name.clone(), module.clone());
            }
        }
    }
    names
}

/// What is wrong with the house that these files make (paths within `src`, and texts).
fn faults(sources: &[(String, String)]) -> Vec<String> {
    let (lib, sources): (Vec<_>, Vec<_>) = sources.iter().partition(|(path, _)| path == "lib.rs");
    let root = passed_on(&lib[0].1);
    let files: Vec<File> = sources.iter().map(|(path, text)| File::new(path, text)).collect();
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut faults = BTreeSet::new();
    let mut imports: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let own = file.room();
        let Some(own_floor) = floor(own) else {
            faults.insert(format!("{own} is on no floor"));
            continue;
        };
        for path in file.named() {
            let Some(first) = path.first() else { continue };
            let other = root.get(first).filter(|_| floor(first).is_none()).unwrap_or(first);
            if floor(other).is_some_and(|floor| floor >= own_floor) && other != own {
                faults.insert(format!("{} imports {other}, which is not below it", file.module.join("::")));
            }
            if other != own || !ROOMS_OF_MODULES.contains(&own) || path.len() < 2 {
                continue;
            }
            let is_module = |stem: &String| files.iter().any(|f| f.room() == own && f.stem() == stem);
            let facade = files.iter().find(|f| f.module == [own]).map(|f| passed_on(&f.code)).unwrap_or_default();
            let stem = Some(&path[1]).filter(|stem| is_module(stem)).or_else(|| facade.get(&path[1]));
            // What the room passes on from below is no module of its own.
            let stem = stem.filter(|stem| is_module(stem)).map_or("mod", String::as_str);
            // A room's mod.rs knows all of its modules.
            if stem != file.stem() && file.stem() != "mod" {
                imports.entry((own.into(), file.stem().into())).or_default().insert(stem.into());
            }
        }
    }
    for (room, one) in imports.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![one.clone()]);
        while let Some(stem) = next.pop() {
            let further = imports.get(&(room.clone(), stem)).into_iter().flatten();
            next.extend(further.filter(|stem| seen.insert((*stem).clone())).cloned().collect::<Vec<_>>());
        }
        if seen.contains(one) {
            let others = &imports[&(room.clone(), one.clone())];
            faults.insert(format!("{room}::{one} imports {others:?}, which lead back to it"));
        }
    }
    faults.extend(guests(&files));
    faults.into_iter().collect()
}

/// Inherent methods outside of their type's room.
fn guests(files: &[File]) -> Vec<String> {
    let name = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut homes: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        for kind in ["struct ", "enum "] {
            for (at, _) in file.code.match_indices(kind) {
                homes.entry(name(&file.code[at + kind.len()..])).or_default().insert(file.room());
            }
        }
    }
    let mut faults = Vec::new();
    for file in files {
        for line in file.code.lines().filter(|line| line.starts_with("impl") && !line.contains(" for ")) {
            let after = line.trim_start_matches("impl");
            let after = if after.starts_with('<') { after.split_once("> ").unwrap().1 } else { after };
            let this = name(after.trim_start());
            let Some(rooms) = homes.get(&this) else { continue };
            let is_guest = |room: &&str| GUESTS.contains(&(this.as_str(), room, file.room()));
            if !rooms.contains(file.room()) && !rooms.iter().any(is_guest) {
                faults.push(format!("methods of {this}, which is of {rooms:?}, in {}", file.module.join("::")));
            }
        }
    }
    faults
}

/// All files below `src` but tests, by their paths within it.
fn sources(folder: &Path, within: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{within}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            found.extend(sources(&path, &format!("{name}/")));
        } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn the_house_stands_as_planned() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    assert!(sources.len() > 60, "{} files", sources.len());
    let faults = faults(&sources);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn planted_faults_are_found() {
    let lib = "pub use device::{Device, Tensor};\npub use train::Trainer;";
    let check = |files: &[(&str, &str)]| {
        let lib = [("lib.rs", lib)];
        let files = lib.iter().chain(files);
        faults(&files.map(|(path, text)| (path.to_string(), text.to_string())).collect::<Vec<_>>())
    };
    let nothing: [&str; 0] = [];
    assert_eq!(check(&[("nn/linear.rs", "use crate::ops::{self, matmul::{Factor}};\nuse crate::Tensor;")]), nothing);
    assert_eq!(check(&[("ops/a.rs", "// use crate::nn;\n#[cfg(test)]\nmod tests { use crate::nn; }")]), nothing);
    let up = ["ops::a imports nn, which is not below it"];
    assert_eq!(check(&[("ops/a.rs", "use crate::{error::Error, nn::Linear};")]), up);
    assert_eq!(check(&[("ops/a.rs", "fn f() { crate::nn::f(); }")]), up);
    assert_eq!(check(&[("device/mod.rs", "use crate::Trainer;")]), ["device imports train, which is not below it"]);
    assert_eq!(check(&[("save/mod.rs", "use crate::plot::f;")]), ["save imports plot, which is not below it"]);
    assert_eq!(check(&[("cellar.rs", "")]), ["cellar is on no floor"]);

    let facade = ("nn/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use crate::ops::Reduction;\npub trait Module {}");
    let fine = [facade, ("nn/a.rs", "use crate::nn::{Module, Reduction};"), ("nn/b.rs", "use super::{A, Module};")];
    assert_eq!(check(&fine), nothing);
    let circle = [facade, ("nn/a.rs", "use super::b::B;"), ("nn/b.rs", "use crate::nn::A;")];
    let found = check(&circle);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "nn::a imports {\"b\"}, which lead back to it");
    let of_three =
        [("ops/a.rs", "use super::b;"), ("ops/b.rs", "use super::c::f;"), ("ops/c.rs", "use crate::ops::a::g;")];
    assert_eq!(check(&of_three).len(), 3);
    // A file and the folder of its name are one module.
    assert_eq!(check(&[("ops/a.rs", "use plan::P;"), ("ops/a/plan.rs", "use super::A;")]), nothing);

    let graph = ("graph/mod.rs", "pub struct Graph {}");
    assert_eq!(check(&[graph, ("ops/a.rs", "impl Graph {}\nimpl Operation for Graph {}")]), nothing);
    let stranger = check(&[graph, ("nn/a.rs", "impl Graph {}")]);
    assert_eq!(stranger, ["methods of Graph, which is of {\"graph\"}, in nn::a"]);
    let generic = check(&[("train/fit.rs", "pub struct Fit<'a>(&'a u8);"), ("data/a.rs", "impl<'a> Fit<'a> {}")]);
    assert_eq!(generic.len(), 1);
}
