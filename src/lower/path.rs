//! How a graph becomes dispatches.

/// How the steps of [`Fit`](crate::Fit), or a prediction, become dispatches. The results are the same up to rounding; each way
/// gives the same bits every time.
///
/// [`Session::path`](crate::Session::path) and [`Predictor::path`](crate::nn::Predictor::path) say which it is, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepPath {
    /// [`StepPath::Fused`] where it is possible and pays on the device, else [`StepPath::Layered`]. It depends on shapes and
    /// [`Capabilities`](crate::Capabilities) alone: the same training always takes the same path.
    #[default]
    Auto,
    /// One dispatch for many steps, in which a single workgroup trains the network ([`ops::mlp`](crate::ops::mlp)): for
    /// small networks, whose time goes into dispatches. It takes chains of [`Linear`](crate::nn::Linear) layers and
    /// activations with any of the losses, with weights of samples, too, and any of the optimizers. It does not take weights of
    /// classes, ignored classes, label smoothing, parameter groups, frozen or shared parameters, clipping by norm, dropout, or
    /// any other module: these are errors. The parameters' [gradients](crate::nn::Parameter::gradient) are not stored.
    ///
    /// Of a prediction: one dispatch, in which workgroups take some rows each through all layers.
    Fused,
    /// Some dispatches for each step, with neighbouring calls merged: see [`Lowering`](crate::Lowering).
    Layered,
    /// A dispatch for each call: to see what merging does.
    Unmerged,
}
