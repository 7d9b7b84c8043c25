//! How an epoch's steps become dispatches.

use crate::device::Recording;
use crate::error::{Error, Result};
use crate::graph::{Graph, Var};
use crate::lower::Lowering;
use crate::ops::mlp::recognise;
use crate::ops::{RULES, Reduction};

/// How the steps of [`Fit`](crate::Fit) become dispatches. The results are the same up to rounding; each way gives the same
/// bits every time.
///
/// [`Session::path`](crate::Session::path) says which it is, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepPath {
    /// [`StepPath::Fused`] where the training can be run that way and it pays on the device, else [`StepPath::Layered`]. It
    /// depends on shapes and [`Capabilities`](crate::Capabilities) alone: the same training always takes the same path.
    #[default]
    Auto,
    /// One dispatch for many steps, in which a single workgroup trains the network ([`ops::mlp`](crate::ops::mlp)): for
    /// small networks, whose time goes into dispatches. It takes chains of [`Linear`](crate::nn::Linear) layers and
    /// activations with any of the losses, with weights of samples, too, and any of the optimizers. It does not take weights of
    /// classes, ignored classes, label smoothing, parameter groups, frozen or shared parameters, clipping by norm, dropout, or
    /// any other module: these are errors. The parameters' [gradients](crate::nn::Parameter::gradient) are not stored.
    Fused,
    /// Some dispatches for each step, with neighbouring calls merged: see [`Lowering`].
    Layered,
    /// A dispatch for each call: to see what merging does.
    Unmerged,
}

impl StepPath {
    /// The dispatches of a step, and how and why they came about. `unweighted` is the step without the weights of samples, if
    /// its loss is known by that and its reduction; `unfit` is why it is none for one dispatch, if that is known.
    pub(super) fn record(
        self,
        (graph, wanted): &(Graph, Vec<Var>),
        unweighted: Option<(Graph, Vec<Var>, Reduction)>,
        unfit: Option<String>,
    ) -> Result<(Recording, String)> {
        let layered = |why: String| {
            let rules = if self == Self::Unmerged { &[] } else { RULES };
            let recording = Lowering::default().rules(rules).lower(graph, wanted)?.into_recording();
            let dispatches = recording.len();
            Ok((recording, format!("layered, {dispatches} dispatches a step: {why}")))
        };
        if matches!(self, Self::Layered | Self::Unmerged) {
            return layered("chosen by Fit::path".into());
        }
        if let Some(why) = unfit {
            let refused = || Error::input("fit", format!("one dispatch of many steps does not do this: {why}"));
            return if self == Self::Fused { Err(refused()) } else { layered(why) };
        }
        let found = match &unweighted {
            None => recognise(graph, wanted, None),
            Some((graph, wanted, reduction)) => recognise(graph, wanted, Some(*reduction)),
        };
        let found = found.and_then(|found| Ok((found.plan()?, found)));
        match found {
            Ok((plan, found)) => match plan.objection() {
                Some(why) if self == Self::Auto => layered(why.into()),
                _ => Ok((found.record()?, format!("fused, {plan}"))),
            },
            Err(why) if self == Self::Auto => layered(why.to_string()),
            Err(error) => Err(error),
        }
    }
}
