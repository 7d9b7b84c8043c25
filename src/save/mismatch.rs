//! Which tensors of a file are which parameters of a model.

use std::collections::BTreeMap;
use std::fmt;

use super::CHECKPOINT;
use super::file::Contained;
use super::numbers::is_convertible;
use crate::error::Result;
use crate::nn::Parameter;

/// How a file's tensors differ from a model's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it lists the parameters that were not loaded, which may be all of them"]
pub struct Mismatch {
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// The file's tensors that are no parameters of the model.
    pub unexpected: Vec<String>,
    /// Parameters that the file has in another shape or type, with both: `0.weight [3, 2] (the model's is [25, 2])`.
    pub misshapen: Vec<String>,
    /// The call that loads the file, where only a prefix of the names differs.
    pub advice: Option<String>,
}

impl Mismatch {
    /// Whether file and model fit.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("missing", &self.missing), ("unexpected", &self.unexpected), ("misshapen", &self.misshapen)];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        let lists = lists.map(|(what, names)| format!("{what}: {}", names.join(", ")));
        let parts: Vec<_> = lists.chain(self.advice.clone()).collect();
        f.write_str(&parts.join("; "))
    }
}

/// The values that a file has for each parameter, where they fit. A parameter that several modules share has a name in
/// each; the file may have it under any of them, or under several with the same values. If `strict`, what does not fit
/// is an error.
pub(super) fn compare(
    parameters: &[(Vec<&str>, &Parameter)],
    file: &Contained<'_>,
    strict: bool,
    rename: &dyn Fn(&str) -> String,
) -> Result<(Vec<Option<Vec<f32>>>, Mismatch)> {
    // From the model's names to the file's.
    let mut renamed = BTreeMap::new();
    for name in file.names().into_iter().filter(|name| !name.starts_with(CHECKPOINT)) {
        let new = rename(&name);
        if let Some(other) = renamed.insert(new.clone(), name.clone()) {
            return Err(file.error(format!("{other} and {name} are both renamed to {new}; give each its own name")));
        }
    }
    let mut mismatch = Mismatch::default();
    let mut sources = Vec::new();
    for (names, parameter) in parameters {
        let found: Vec<_> = names.iter().filter_map(|name| Some((*name, renamed.remove(*name)?))).collect();
        if found.is_empty() {
            mismatch.missing.extend(names.first().map(|name| name.to_string()));
        }
        let faults = found.iter().filter_map(|(name, source)| misshapen(name, file, source, parameter));
        let faults: Vec<_> = faults.collect();
        sources.push(if faults.is_empty() { found } else { Vec::new() });
        mismatch.misshapen.extend(faults);
    }
    // PyTorch counts a normalisation's batches, for which nothing here has a use.
    let has = |name: &str| parameters.iter().any(|(names, _)| names.contains(&name));
    let is_counter = |name: &str| {
        name.strip_suffix("num_batches_tracked").is_some_and(|prefix| has(&format!("{prefix}running_mean")))
    };
    mismatch.unexpected = renamed.into_keys().filter(|name| !is_counter(name)).collect();
    mismatch.advice = advice(&mismatch);
    if strict && !mismatch.is_empty() {
        return Err(file.error(format!("it does not fit the model; {mismatch}")));
    }
    let values = sources.iter().map(|sources| values(file, sources)).collect::<Result<_>>()?;
    Ok((values, mismatch))
}

fn misshapen(name: &str, file: &Contained<'_>, source: &str, parameter: &Parameter) -> Option<String> {
    let tensor = file.tensor(source)?;
    let (theirs, ours) = (&tensor.shape, parameter.file_shape());
    match is_convertible(tensor.dtype) {
        true if theirs == ours => None,
        true => Some(format!("{name} {theirs:?} (the model's is {ours:?})")),
        false => Some(format!(
            "{name} {theirs:?} of {} (the model's is {ours:?}; F32, F16, BF16 and F64 can be loaded)",
            tensor.dtype
        )),
    }
}

/// What all the tensors of a parameter hold.
fn values(file: &Contained<'_>, sources: &[(&str, String)]) -> Result<Option<Vec<f32>>> {
    let Some(((first, source), others)) = sources.split_first() else { return Ok(None) };
    let values = file.floats(source)?;
    for (name, source) in others {
        let same = file.floats(source)?.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits()));
        if !same {
            let detail = format!("{first} and {name} are one parameter in this model, and differ in the file");
            return Err(file.error(detail));
        }
    }
    Ok(Some(values))
}

/// A call that makes the names fit, where all that are missing are there with more in front, or with less.
fn advice(mismatch: &Mismatch) -> Option<String> {
    let Mismatch { missing, unexpected, .. } = mismatch;
    let (first, other) = (missing.first()?, unexpected.first()?);
    let fits = |rename: &dyn Fn(&str) -> String| {
        let renamed: Vec<_> = unexpected.iter().map(|name| rename(name)).collect();
        missing.iter().all(|name| renamed.contains(name))
    };
    let called = |what: &str, closure: String| Some(format!("{what}; load it with load_renamed(path, {closure})"));
    let writer = |prefix: &str| match (prefix.contains("module."), prefix.contains("_orig_mod.")) {
        (false, false) => "",
        (true, false) => " (added by PyTorch's DataParallel)",
        (_, true) => " (added by torch.compile)",
    };
    for prefix in unexpected.iter().filter_map(|name| name.strip_suffix(first.as_str())) {
        if !prefix.is_empty() && fits(&|name| name.strip_prefix(prefix).unwrap_or(name).to_string()) {
            let what = format!("the file's names have the prefix '{prefix}'{}", writer(prefix));
            return called(&what, format!("|name| name.replacen({prefix:?}, \"\", 1)"));
        }
    }
    // A part of the model that was compiled: encoder._orig_mod.weight.
    for part in ["_orig_mod.", "module."] {
        if other.contains(part) && fits(&|name| name.replace(part, "")) {
            let what = format!("the file's names contain '{part}'{}", writer(part));
            return called(&what, format!("|name| name.replace({part:?}, \"\")"));
        }
    }
    let prefix = missing.iter().find_map(|name| name.strip_suffix(other.as_str()))?;
    if !fits(&|name| format!("{prefix}{name}")) {
        return None;
    }
    called(&format!("the file's names lack the prefix '{prefix}'"), format!("|name| format!(\"{prefix}{{name}}\")"))
}
