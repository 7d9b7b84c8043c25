//! The Markdown pages: their links lead somewhere, and the messages that they explain are those that one gets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first fault")]

use std::fs;
use std::path::{Path, PathBuf};

use wgrad::data::{Csv, Dataset, Labels, disk};
use wgrad::nn::{CrossEntropy, Linear, Loss, Module, Mse, Parameter, Parameters, ReLU, Sequential};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Device, EarlyStopping, Error, Fit, Graph, Result, Tensor, Trainer, gradients};

/// All Markdown files below a folder, without what is built, installed or hidden.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules"].contains(&&*name) && !name.starts_with('.') {
            found.extend(pages(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// The lines of a page outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What GitHub calls the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let mut names: Vec<String> = Vec::new();
    for heading in headings {
        let letters = heading.to_lowercase().replace(' ', "-");
        let name: String = letters.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let again = names.iter().filter(|known| **known == name).count();
        names.push(if again == 0 { name } else { format!("{name}-{again}") });
    }
    names
}

/// The targets of the links of a page: `[text](target)`, pictures, and `[text]: target`.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Code between backticks holds no links.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        found.extend(line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_string())));
        if let Some((_, target)) = line.split_once("]: ").filter(|_| line.starts_with('[')) {
            found.push(target.trim().to_string());
        }
    }
    found
}

/// The links of a page that lead nowhere in this repository.
fn broken(page: &Path, text: &str) -> Vec<String> {
    let leads_somewhere = |link: &String| {
        if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
            return true;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = page.parent().unwrap().join(file);
        let is_here = target.canonicalize().is_ok_and(|path| path.starts_with(env!("CARGO_MANIFEST_DIR")));
        let headings = || if file.is_empty() { text.into() } else { fs::read_to_string(&target).unwrap_or_default() };
        is_here && (anchor.is_empty() || anchors(&headings()).iter().any(|name| name == anchor))
    };
    links(text).into_iter().filter(|link| !leads_somewhere(link)).collect()
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = pages(root);
    assert!(pages.len() > 5 && pages.contains(&root.join("README.md")), "{pages:?}");
    for page in pages {
        let broken = broken(&page, &fs::read_to_string(&page).unwrap());
        assert!(broken.is_empty(), "{} has links that lead nowhere: {broken:?}", page.display());
    }
}

#[test]
fn planted_links_that_lead_nowhere_are_found() {
    let planted = "# A `b`, c\n[1](README.md#use-it) [2](nothing.md) ![3](docs/disk.svg)\n[4](#a-b-c) [5](#a-b)\n\
                   `[6](no.md)`\n```\n[7](no.md)\n```\n[8](README.md#no-such-heading)\n[9](/etc/hostname)\n[10]: no.svg";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("PAGE.md");
    let expected = ["nothing.md", "#a-b", "README.md#no-such-heading", "/etc/hostname", "no.svg"];
    assert_eq!(broken(&page, planted), expected);
}

const TROUBLESHOOTING: &str = include_str!("../docs/TROUBLESHOOTING.md");

#[test]
fn every_kind_of_error_is_explained() {
    let (_, kinds) = include_str!("../src/error.rs").split_once("pub enum ErrorKind {").unwrap();
    let (kinds, _) = kinds.split_once('}').unwrap();
    let kinds: Vec<_> = kinds.lines().map(str::trim).filter_map(|line| line.strip_suffix(',')).collect();
    assert!(kinds.contains(&"Shape"), "{kinds:?}");
    for kind in kinds {
        assert!(TROUBLESHOOTING.contains(&format!("| `{kind}` |")), "{kind}");
    }
}

/// A module that forgets to name its parameter.
struct Forgetful(Parameter);

impl Module for Forgetful {
    fn forward(&self, graph: &mut Graph, x: wgrad::Var) -> Result<wgrad::Var> {
        let weight = self.0.var(graph)?;
        graph.matmul(x, weight)
    }
}

#[test]
fn messages_are_explained_as_they_are() {
    let device = Device::cpu();
    let points = disk(10, 0, Labels::ZeroOne).unwrap();
    let mlp = |inputs, outputs| Sequential::new().add(Linear::new(inputs, 4)).add(ReLU).add(Linear::new(4, outputs));
    fn fit(model: impl Module + 'static, loss: impl Loss + 'static, points: &Dataset, fit: Fit<'_>) -> Result<()> {
        Trainer::new(&Device::cpu(), model, loss, Sgd::new(0.1), 0)?.fit(points, fit).map(drop)
    }
    let csv = |table: &str| Csv::values(["price"]).read_from(table.as_bytes()).map(drop);
    let unreduced = || {
        let mut graph = Graph::new(&device);
        let x = graph.input(&Tensor::zeros(&device, 4, 1)?)?;
        gradients(&mut graph, x, &[x]).map(drop)
    };
    let trained_twice = || {
        let layer = Linear::new(2, 1);
        let model = || Sequential::new().add(layer.clone());
        let trainer = || Trainer::new(&device, model(), Mse::new(), Sgd::new(0.1), 0);
        let (mut first, mut second) = (trainer()?, trainer()?);
        let mut result = Ok(());
        let inner = |_: &_| result = second.fit(&points, Fit::new(1, 10)).map(drop);
        first.fit(&points, Fit::new(1, 10).on_epoch(inner))?;
        result
    };
    let placed_twice = |second: &Device, seed| {
        let layer = Linear::new(2, 1);
        Parameters::new(&device, &layer, 0)?;
        Parameters::new(second, &layer, seed)
    };
    let stop = || Fit::new(1, 10).early_stopping(EarlyStopping::new(3));
    let forgetful = || Forgetful(Parameter::new(2, 2, wgrad::nn::Init::HeNormal));
    let messages: Vec<Option<Error>> = vec![
        fit(mlp(3, 1), Mse::new(), &points, Fit::new(1, 10)).err(),
        fit(mlp(2, 2), Mse::new(), &points, Fit::new(1, 10)).err(),
        fit(mlp(2, 1), CrossEntropy::new(), &points, Fit::new(1, 10)).err(),
        fit(mlp(2, 1), Mse::new(), &points, Fit::new(1, 64)).err(),
        fit(mlp(2, 1), Mse::new(), &points, stop()).err(),
        Dataset::new(vec![0.0; 3], 2, vec![0.0], 1).err(),
        Dataset::new(vec![0.0, f32::NAN], 2, vec![0.0], 1).err(),
        csv("age,price\n,1").err(),
        csv("fruit,price\napple,1").err(),
        csv("age;price\n1;2").err(),
        Csv::values([1]).read_from("2019,2020\n1,2".as_bytes()).err(),
        csv("time,price\n1700000000,1\n1700000001,2").err(),
        Parameters::new(&device, &forgetful(), 0).err(),
        fit(Sequential::new().add(Linear::new(2, 2)).add(forgetful()), Mse::new(), &points, Fit::new(1, 10)).err(),
        Graph::new(&device).input(&Tensor::zeros(&Device::cpu(), 1, 1).unwrap()).err(),
        unreduced().err(),
        placed_twice(&device, 1).err(),
        placed_twice(&Device::cpu(), 0).err(),
        trained_twice().err(),
        Optimizer::new(&Parameters::new(&device, &mlp(2, 1), 0).unwrap(), Sgd::new(0.1).nesterov(true)).err(),
    ];
    for message in messages {
        let message = message.unwrap().to_string();
        let message = message.strip_prefix("sequential, module 1: ").unwrap_or(&message);
        assert!(TROUBLESHOOTING.contains(&format!("| `{message}` |")), "not in docs/TROUBLESHOOTING.md: {message}");
    }
}
