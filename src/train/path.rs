//! How an epoch's steps become dispatches.

use crate::device::Recording;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::lower::{Lowering, StepPath};
use crate::ops::mlp::recognise;
use crate::ops::{RULES, Reduction};

/// The dispatches of a step, and how and why they came about. `unweighted` is the step without the weights of samples, if
/// its loss is known by that and its reduction; `unfit` is why it is none for one dispatch, if that is known.
pub(super) fn record(
    path: StepPath,
    (graph, wanted): &(Graph, Vec<Var>),
    unweighted: Option<(Graph, Vec<Var>, Reduction)>,
    unfit: Option<String>,
) -> Result<(Recording, String)> {
    let layered = |why: String| {
        let rules = if path == StepPath::Unmerged { &[] } else { RULES };
        let recording = Lowering::default().rules(rules).lower(graph, wanted)?.into_recording();
        let dispatches = recording.len();
        Ok((recording, format!("layered, {dispatches} dispatches a step: {why}")))
    };
    if matches!(path, StepPath::Layered | StepPath::Unmerged) {
        return layered("chosen by Fit::path".into());
    }
    if let Some(why) = unfit {
        let refused = || Error::input("fit", format!("one dispatch of many steps does not do this: {why}"));
        return if path == StepPath::Fused { Err(refused()) } else { layered(why) };
    }
    let found = match &unweighted {
        None => recognise(graph, wanted, None),
        Some((graph, wanted, reduction)) => recognise(graph, wanted, Some(*reduction)),
    };
    let found = found.and_then(|found| Ok((found.plan()?, found)));
    match found {
        Ok((plan, found)) => match plan.objection() {
            Some(why) if path == StepPath::Auto => layered(why.into()),
            _ => Ok((found.record()?, format!("fused, {plan}"))),
        },
        Err(why) if path == StepPath::Auto => layered(why.to_string()),
        Err(error) => Err(error),
    }
}
