//! A table's model in one file: the network as [`Parameters::save`](crate::nn::Parameters::save) writes it, and a text in
//! JSON about everything else. Numbers in it are texts, of which every bit comes back.

use std::path::Path;

use serde_json::{Value, json};

use super::columns::{Column, Treatment};
use super::fitted::Fitted;
use super::preprocess::{Preprocessor, Unknown};
use crate::device::Device;
use crate::error::Result;
use crate::nn::{Predictor, Sequential, summary};
use crate::save::Contained;

/// The name of the text.
const TABLE: &str = "table";
/// What this version writes and reads.
const VERSION: u64 = 1;

impl Fitted {
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let parameters = self.predictor.parameters();
        let mut contents = parameters.device().block_on("save", "Session::save_checkpoint", parameters.contents())?;
        contents.push_text(TABLE, self.to_json());
        contents.write(path)
    }

    pub(super) fn load(device: &Device, path: &Path, is_classifier: bool) -> Result<Self> {
        Self::from_file(device, &Contained::open(path)?, is_classifier)
    }

    pub(super) fn from_bytes(device: &Device, bytes: &[u8], is_classifier: bool) -> Result<Self> {
        Self::from_file(device, &Contained::from_bytes(bytes)?, is_classifier)
    }

    fn from_file(device: &Device, file: &Contained<'_>, is_classifier: bool) -> Result<Self> {
        let text = file.text(TABLE).ok_or_else(|| {
            file.error("it holds no table's columns; give a file that Classifier::save or Regressor::save wrote")
        })?;
        let table = Described::parse(text).map_err(|fault| file.error(format!("{fault}; the file is damaged")))?;
        match (is_classifier, table.classes.is_empty()) {
            (true, true) => return Err(file.error("it holds a Regressor; load it with Regressor::load")),
            (false, false) => return Err(file.error("it holds a Classifier; load it with Classifier::load")),
            _ => {}
        }
        let model = Sequential::from_contents(file)?;
        let inputs = table.columns.input_cols();
        let shapes = summary(&model, inputs).map_err(|error| {
            file.error(format!("its network does not fit its columns: {error}; the file is damaged"))
        })?;
        let (outputs, expected) = (shapes.rows()[0].output_cols, table.classes.len().max(1));
        if outputs != expected {
            let detail =
                format!("its network gives {outputs} outputs for {expected} classes or numbers; it is damaged");
            return Err(file.error(detail));
        }
        Ok(Self {
            target: table.target,
            classes: table.classes,
            scale: table.scale,
            columns: table.columns,
            predictor: Predictor::new(device, model)?,
            histories: Vec::new(),
            rows: table.rows,
            unknown: Unknown::Refuse,
        })
    }

    fn to_json(&self) -> String {
        let column = |Column { name, treatment }: &Column| match treatment {
            Treatment::Number { fill, mean, std, missing } => json!({
                "name": name, "kind": "number", "fill": fill.to_string(), "mean": mean.to_string(),
                "std": std.to_string(), "missing": missing,
            }),
            Treatment::Category { values, rare, missing } => json!({
                "name": name, "kind": "category", "values": values, "rare": rare, "missing": missing,
            }),
            Treatment::LeftOut { why } => json!({ "name": name, "kind": "left out", "why": why }),
        };
        let columns: Vec<_> = self.columns.columns.iter().map(column).collect();
        let scale = self.scale.map(|number| number.to_string());
        let table = json!({
            "version": VERSION, "target": self.target, "classes": self.classes, "scale": scale, "rows": self.rows,
            "columns": columns,
        });
        table.to_string()
    }
}

/// What the text says.
struct Described {
    target: String,
    classes: Vec<String>,
    scale: [f64; 2],
    rows: usize,
    columns: Preprocessor,
}

impl Described {
    fn parse(text: &str) -> Result<Self, String> {
        let table: Value =
            serde_json::from_str(text).map_err(|error| format!("its description is no JSON: {error}"))?;
        match table.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => return Err(format!("its description is of version {other}, this is for {VERSION}")),
            None => return Err("its description has no version".into()),
        }
        let scale = table.get("scale").and_then(Value::as_array).map(Vec::as_slice);
        let Some([mean, std]) = scale else { return Err("its description has no scale of two numbers".into()) };
        let columns = array(&table, "columns")?.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let described = Self {
            target: text_of(&table, "target")?,
            classes: texts(&table, "classes")?,
            scale: [finite(mean, "scale")?, positive(std, "scale")?],
            rows: count(&table, "rows")?,
            columns: Preprocessor { columns },
        };
        if described.classes.len() == 1 {
            return Err("its description has a single class".into());
        }
        if described.columns.input_cols() == 0 {
            return Err("its description has no columns to predict from".into());
        }
        Ok(described)
    }
}

fn column(value: &Value) -> Result<Column, String> {
    let number = |key: &str| value.get(key).ok_or_else(|| format!("a column has no {key}"));
    let treatment = match value.get("kind").and_then(Value::as_str) {
        Some("number") => Treatment::Number {
            fill: finite(number("fill")?, "fill")?,
            mean: finite(number("mean")?, "mean")?,
            std: positive(number("std")?, "std")?,
            missing: count(value, "missing")?,
        },
        Some("category") => Treatment::Category {
            values: texts(value, "values")?,
            rare: count(value, "rare")?,
            missing: count(value, "missing")?,
        },
        Some("left out") => Treatment::LeftOut { why: text_of(value, "why")? },
        other => return Err(format!("a column is of the kind {other:?}")),
    };
    Ok(Column { name: text_of(value, "name")?, treatment })
}

fn array<'v>(value: &'v Value, key: &str) -> Result<&'v [Value], String> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| format!("its description has no list {key}"))
}

fn texts(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let texts: Option<Vec<_>> = array(value, key)?.iter().map(|text| text.as_str().map(String::from)).collect();
    let texts = texts.ok_or_else(|| format!("{key} holds something else than text"))?;
    let mut sorted = texts.clone();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{key} has '{}' twice", pair[0])),
        None => Ok(texts),
    }
}

fn text_of(value: &Value, key: &str) -> Result<String, String> {
    value.get(key).and_then(Value::as_str).map(String::from).ok_or_else(|| format!("its description has no text {key}"))
}

fn count(value: &Value, key: &str) -> Result<usize, String> {
    let count = value.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| format!("its description has no number {key}"))
}

fn finite(value: &Value, key: &str) -> Result<f64, String> {
    let number = value.as_str().and_then(|text| text.parse().ok()).filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{key} is {value}, no number"))
}

fn positive(value: &Value, key: &str) -> Result<f64, String> {
    let number = finite(value, key)?;
    if number > 0.0 { Ok(number) } else { Err(format!("{key} is {number}, not above 0")) }
}
