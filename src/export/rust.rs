//! Traces as Rust source.

mod functions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::trace::Constant;
use super::{Export, Formula, Step};
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::{Activation, Binary};

/// Characters of a line at most.
const WIDTH: usize = 110;

struct Writer<'a> {
    export: &'a Export,
    statics: Vec<String>,
    names: BTreeSet<String>,
    functions: BTreeSet<&'static str>,
    body: Vec<String>,
    /// What values are called: a row is an array, or a static array.
    rows: BTreeMap<Var, String>,
}

/// The text of a Rust file.
pub(super) fn write(export: &Export) -> Result<String> {
    let trace = &export.trace;
    if let Some(constant) = trace.constants.values().find(|constant| !constant.values.iter().all(|v| v.is_finite())) {
        let detail = format!("{} has values that are not finite; the model has diverged", constant.name);
        return Err(Error::input("export", detail));
    }
    let (statics, names, functions, body, rows) = Default::default();
    let mut writer = Writer { export, statics, names, functions, body, rows };
    let mut x = "*input".to_string();
    if let Some(scale) = &export.inputs {
        let [mean, std] = writer.scale("INPUT", scale.columns().unzip());
        x = format!("from_fn(|i| ((f64::from(input[i]) - {mean}[i]) / {std}[i]) as f32)");
    }
    writer.row(trace.input, &x);
    for step in &trace.steps {
        writer.step(step)?;
    }
    let mut y = writer.name(trace.output)?;
    if let Some(scale) = &export.targets {
        let [mean, std] = writer.scale("OUTPUT", scale.columns().unzip());
        y = format!("from_fn(|i| (f64::from({y}[i]) * {std}[i] + {mean}[i]) as f32)");
    }
    let Writer { statics, functions, body, .. } = writer;
    let functions: Vec<&str> = functions.into_iter().collect();
    let functions = functions::text(&functions)?;

    let [inputs, outputs] = trace.cols();
    let mut imports = String::new();
    for (name, import) in [
        ("from_fn", "use core::array::from_fn;\n"),
        ("FRAC_1_SQRT_2", "use core::f32::consts::FRAC_1_SQRT_2;\n"),
        ("LOG2_E", "use core::f32::consts::LOG2_E;\n"),
    ] {
        if functions.contains(name) || body.iter().chain([&y]).any(|line| line.contains(name)) {
            imports += import;
        }
    }
    let numbers: usize = trace.constants.values().map(|constant| constant.values.len()).sum();
    let mut text = format!(
        "// A model of {numbers} numbers, written by wgrad {}. It needs neither std nor an allocator.\n",
        env!("CARGO_PKG_VERSION")
    );
    for (key, value) in &export.metadata {
        text += &format!("// {}\n", format!("{key}: {value}").replace(['\n', '\r'], " "));
    }
    let body = body.join("\n");
    text += &format!(
        "\n{imports}\n/// Numbers that the model takes.\npub const INPUTS: usize = {inputs};\n/// Numbers that it gives.\n\
         pub const OUTPUTS: usize = {outputs};\n\n/// The model's outputs for one row of inputs.\n\
         pub fn predict(input: &[f32; INPUTS]) -> [f32; OUTPUTS] {{\n{body}\n    {y}\n}}\n\n{functions}{}",
        statics.join("\n")
    );
    Ok(text)
}

impl Writer<'_> {
    fn step(&mut self, step: &Step) -> Result<()> {
        let refused = |why: &str| {
            let detail = format!("{:?} {why}; Rust source computes one row at a time", step.formula);
            Err(Error::input("export", detail))
        };
        let shape = |var: Var| self.export.trace.shape(var);
        // One row, of which each value is an array; a constant can have more.
        let is_row = |var: &Var| shape(*var)[0] == 1;
        let takes_table = matches!(step.formula, Formula::Product { .. } | Formula::Embedding);
        let rows = step.inputs.iter().enumerate().all(|(i, var)| is_row(var) || (takes_table && i == 1));
        let [_, cols] = shape(step.output);
        if !matches!(step.formula, Formula::Unknown(_)) && (!rows || !is_row(&step.output)) {
            return refused("is of several rows");
        }
        let value = match &step.formula {
            Formula::Product { transposed: [false, by_output], bias } => {
                let x = self.name(step.inputs[0])?;
                let Some(constant) = self.export.trace.constants.get(&step.inputs[1]) else {
                    return refused("multiplies by what is no parameter");
                };
                let weight = self.table(step.inputs[1], constant, *by_output);
                if *bias {
                    let bias = self.name(step.inputs[2])?;
                    self.call("linear", &format!("&{x}, &{weight}, &{bias}"))
                } else {
                    self.call("product", &format!("&{x}, &{weight}"))
                }
            }
            Formula::Function(Activation::Identity) => self.name(step.inputs[0])?,
            Formula::Function(function) => {
                let x = self.name(step.inputs[0])?;
                let f = self.function(*function);
                format!("{x}.map({f})")
            }
            Formula::Softmax { log } => {
                let x = self.name(step.inputs[0])?;
                self.call(if *log { "log_softmax" } else { "softmax" }, &format!("&{x}"))
            }
            Formula::Arithmetic(binary) => {
                let sign = match binary {
                    Binary::Add => "+",
                    Binary::Sub => "-",
                    Binary::Mul => "*",
                    Binary::Div => "/",
                };
                let mut operand = |var: Var| -> Result<String> {
                    let name = self.name(var)?;
                    let [_, own] = self.export.trace.shape(var);
                    Ok(format!("{name}[{}]", if own == 1 { "0" } else { "i" }))
                };
                let [a, b] = [operand(step.inputs[0])?, operand(step.inputs[1])?];
                // Of one column the index is not used.
                let index = if cols == 1 { "_" } else { "i" };
                format!("from_fn(|{index}| {a} {sign} {b})")
            }
            Formula::Sum { over: crate::ops::reduce::Over::Rows, scale, square } => {
                let x = self.name(step.inputs[0])?;
                let square = if *square { " * x" } else { "" };
                format!("{x}.map(|x| {scale:?} * x{square})")
            }
            Formula::Sum { scale, square, .. } => {
                let x = self.name(step.inputs[0])?;
                let square = if *square { ".map(|x| x * x)" } else { "" };
                format!("[{scale:?} * {x}.iter(){square}.sum::<f32>()]")
            }
            Formula::SliceCols { first, .. } => {
                format!("from_fn(|i| {}[{first} + i])", self.name(step.inputs[0])?)
            }
            Formula::ConcatCols => {
                let parts = step.inputs.iter().map(|part| self.name(*part)).collect::<Result<Vec<_>>>()?;
                let parts = parts.iter().map(|part| format!("&{part}[..]")).collect::<Vec<_>>().join(", ");
                format!(
                    "{{\n        let mut parts = [{parts}].into_iter().flatten();\n        \
                         from_fn(|_| parts.next().copied().unwrap_or(f32::NAN))\n    }}"
                )
            }
            Formula::Embedding => {
                let x = self.name(step.inputs[0])?;
                let Some(constant) = self.export.trace.constants.get(&step.inputs[1]) else {
                    return refused("looks up rows of what is no parameter");
                };
                let table = self.table(step.inputs[1], constant, true);
                let [_, width] = self.export.trace.shape(step.inputs[1]);
                let row = self.call("look_up", &format!("&{table}, {x}[i / {width}], i % {width}"));
                format!("from_fn(|i| {row})")
            }
            Formula::OneHot { on, off, .. } => {
                let x = self.name(step.inputs[0])?;
                self.call("one_hot", &format!("{x}[0], {on:?}, {off:?}"))
            }
            Formula::BatchNorm { eps, .. } => {
                let [x, weight, bias, mean, variance] = step.inputs[..] else { return refused("lacks operands") };
                let values = |var: &Var| self.export.trace.constants.get(var).map(|constant| &constant.values);
                let (Some(weights), Some(variances)) = (values(&weight), values(&variance)) else {
                    return refused("has parameters that are computed");
                };
                let scales = weights.iter().zip(variances).map(|(w, v)| (v + eps).powf(-0.5) * w);
                let name = self.export.trace.constants.get(&weight).map_or("weight", |constant| &constant.name);
                let scale = self.vector(&name.replace("weight", "scale"), &scales.collect::<Vec<_>>(), "f32");
                let [x, bias, mean] = [self.name(x)?, self.name(bias)?, self.name(mean)?];
                format!("from_fn(|i| ({x}[i] - {mean}[i]) * {scale}[i] + {bias}[i])")
            }
            Formula::LayerNorm { eps } => {
                let [x, weight, bias] = step.inputs[..] else { return refused("lacks operands") };
                let [x, weight, bias] = [self.name(x)?, self.name(weight)?, self.name(bias)?];
                self.call("layer_norm", &format!("&{x}, &{weight}, &{bias}, {eps:?}"))
            }
            Formula::Product { .. } => return refused("transposes what is no parameter"),
            Formula::Transpose => return refused("mixes rows and columns"),
            Formula::Unknown(operation) => {
                let detail = format!(
                    "there is no Rust source of {operation}; compose it of other operations, or have Operation::expand do so"
                );
                return Err(Error::input("export", detail));
            }
        };
        self.row(step.output, &value);
        Ok(())
    }

    /// A function of one number, or a closure.
    fn function(&mut self, function: Activation) -> String {
        let mut of = |name: &'static str| {
            self.functions.insert(name);
            name
        };
        match function {
            Activation::Identity => "|x| x".into(),
            Activation::ReLU => of("relu").into(),
            Activation::Tanh => of("tanh").into(),
            Activation::Sigmoid => of("sigmoid").into(),
            Activation::LeakyReLU { slope } => format!("|x| {}(x, {slope:?})", of("leaky_relu")),
            Activation::ELU { alpha } => format!("|x| {}(x, {alpha:?})", of("elu")),
            Activation::GELU => of("gelu").into(),
            Activation::GELUTanh => of("gelu_tanh").into(),
            Activation::SiLU => of("silu").into(),
            Activation::Softplus => of("softplus").into(),
            Activation::Exp => of("exp").into(),
            Activation::Log => format!("|x| {}(x) as f32", of("ln")),
            Activation::Pow { exponent: 0.0 } => "|_| 1.0".into(),
            Activation::Pow { exponent: 2.0 } => "|x| x * x".into(),
            Activation::Pow { exponent: -1.0 } => "|x| 1.0 / x".into(),
            Activation::Pow { exponent: 0.5 } => of("sqrt").into(),
            Activation::Pow { exponent: -0.5 } => format!("|x| 1.0 / {}(x)", of("sqrt")),
            Activation::Pow { exponent } => format!("|x| {}(x, {exponent:?})", of("pow")),
            Activation::Affine { scale, shift } => format!("|x| {scale:?} * x + {shift:?}"),
        }
    }

    fn call(&mut self, function: &'static str, arguments: &str) -> String {
        self.functions.insert(function);
        format!("{function}({arguments})")
    }

    /// Adds a line that gives a value its name.
    fn row(&mut self, var: Var, value: &str) {
        let (name, [_, cols]) = (format!("x{}", self.body.len()), self.export.trace.shape(var));
        self.body.push(format!("    let {name}: [f32; {cols}] = {value};"));
        self.rows.insert(var, name);
    }

    /// What a row is called.
    fn name(&mut self, var: Var) -> Result<String> {
        if let Some(name) = self.rows.get(&var) {
            return Ok(name.clone());
        }
        let constant = self.export.trace.constants.get(&var);
        let constant = constant.ok_or_else(|| Error::input("export", "a value that nothing in the graph computes"))?;
        let name = self.vector(&constant.name, &constant.values, "f32");
        self.rows.insert(var, name.clone());
        Ok(name)
    }

    /// A static matrix of the constant's rows, or of its columns.
    fn table(&mut self, var: Var, constant: &Constant, by_rows: bool) -> String {
        let [rows, cols] = self.export.trace.shape(var);
        let row = |row: usize| -> Vec<f32> {
            match by_rows {
                true => constant.values[row * cols..][..cols].to_vec(),
                false => constant.values.iter().skip(row).step_by(cols).copied().collect(),
            }
        };
        let (count, len) = if by_rows { (rows, cols) } else { (cols, rows) };
        let lines: String = (0..count).map(|i| format!("    [\n{}    ],\n", wrapped(&row(i), 8))).collect();
        // A parameter can be used both ways.
        let name = self.fresh(&constant.name);
        self.add_static(&name, &format!("[[f32; {len}]; {count}]"), &lines);
        name
    }

    fn vector<T: Copy + Debug>(&mut self, name: &str, values: &[T], of: &str) -> String {
        let name = self.fresh(name);
        self.add_static(&name, &format!("[{of}; {}]", values.len()), &wrapped(values, 4));
        name
    }

    fn add_static(&mut self, name: &str, kind: &str, lines: &str) {
        self.statics.push(format!(
            "#[allow(clippy::approx_constant)]\n#[rustfmt::skip]\nstatic {name}: {kind} = [\n{lines}];\n"
        ));
    }

    fn scale(&mut self, of: &str, (mean, std): (Vec<f64>, Vec<f64>)) -> [String; 2] {
        [self.vector(&format!("{of}_MEAN"), &mean, "f64"), self.vector(&format!("{of}_STD"), &std, "f64")]
    }

    /// A name for a static: `0.weight` is `LAYER_0_WEIGHT`.
    fn fresh(&mut self, name: &str) -> String {
        let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        let mut name: String = letters.collect();
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            name = format!("LAYER_{name}");
        }
        // Names of other items.
        if name == "INPUTS" || name == "OUTPUTS" || name.len() < 6 {
            name += "_VALUES";
        }
        let numbered = (2..).map(|i| format!("{name}_{i}"));
        let fresh = [name.clone()].into_iter().chain(numbered).find(|name| !self.names.contains(name));
        let fresh = fresh.unwrap_or_default();
        self.names.insert(fresh.clone());
        fresh
    }
}

/// Numbers with commas, in lines: with the fewest digits that read back as the same bits.
fn wrapped<T: Copy + Debug>(values: &[T], indent: usize) -> String {
    let indent = " ".repeat(indent);
    let (mut text, mut line) = (String::new(), indent.clone());
    for value in values {
        let number = format!("{value:?},");
        if line.len() > indent.len() && line.len() + 1 + number.len() > WIDTH {
            text += &format!("{line}\n");
            line = indent.clone();
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line += &number;
    }
    text + &line + "\n"
}
