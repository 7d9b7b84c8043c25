//! Products that take over what the launches before or after them did: see [`crate::fuse`].

use super::{ADD_PARTS, DERIVATIVE, Params, Variant};
use crate::device::{Dispatch, Tensor};
use crate::ops::{Activation, grid, size};

impl Params {
    /// Whether the product is stored as it is, or added to what is there.
    fn is_plain(&self) -> bool {
        self.parts == 1 && self.activation == 0 && self.extra_is != DERIVATIVE && self.keep == 0 && self.sums_at == 0
    }
}

/// Whether a launch is a product, or the end of one.
pub(crate) fn is_matmul(dispatch: &Dispatch) -> bool {
    dispatch.is(&ADD_PARTS) || Variant::of(dispatch.kernel).is_some()
}

/// The product with an activation at its end, whose output is `y`; with `keep` what the activation is applied to is
/// stored, too, where the product was.
pub(crate) fn with_activation(matmul: &Dispatch, activation: Activation, y: &Tensor, keep: bool) -> Option<Dispatch> {
    let params: Params = matmul.params();
    if !params.is_plain() || !activation.is_epilogue() {
        return None;
    }
    let params = Params {
        activation: activation.kind(),
        activation_a: activation.constants()[0],
        keep: keep.into(),
        // What was there would have to be the product, not the activation's output.
        ..Some(params).filter(|params| params.beta == 0.0)?
    };
    let mut outputs = vec![y.clone()];
    if keep {
        outputs.push(matmul.outputs[0].clone());
    }
    Some(Dispatch { outputs, ..matmul.clone() }.with_params(params))
}

/// The product times an activation's derivative, which is taken at `at`; its output is `dx`.
pub(crate) fn with_derivative(matmul: &Dispatch, activation: Activation, at: &Tensor, dx: &Tensor) -> Option<Dispatch> {
    let params: Params = matmul.params();
    if !params.is_plain() || params.extra_is != 0 || params.beta != 0.0 || !activation.is_epilogue() {
        return None;
    }
    let params = Params {
        extra_is: DERIVATIVE,
        activation: activation.kind(),
        activation_a: activation.constants()[0],
        ..params
    };
    let inputs = matmul.inputs.iter().take(2).chain([at]).cloned().collect();
    Some(Dispatch { inputs, outputs: vec![dx.clone()], ..matmul.clone() }.with_params(params))
}

/// A product whose first factor is a transpose, with the sums of that factor's rows beside it: a linear layer's
/// weight gradient dYᵀ X with its bias gradient.
pub(crate) fn with_row_sums(matmul: &Dispatch, x: &Tensor, sums: &Tensor, accumulate: bool) -> Option<Dispatch> {
    let params: Params = matmul.params();
    let (m, n) = (params.m as usize, params.n as usize);
    let same_columns = params.a_row == 1 && params.a_col == params.m && matmul.inputs[0].is(x);
    let same_way = params.alpha == 1.0 && params.beta == f32::from(u8::from(accumulate));
    if !params.is_plain() || !same_columns || !same_way {
        return None;
    }
    let variant = Variant::of(matmul.kernel)?;
    let sums_of_group = variant.row_sums()?;
    let out = matmul.outputs[0].through(sums)?;
    let params = Params { sums_at: size(sums.offset - out.offset), ..params };
    let workgroups = grid(variant.blocks(m, n) + m.div_ceil(sums_of_group), 1);
    Some(Dispatch { outputs: vec![out], workgroups, ..matmul.clone() }.with_params(params))
}
