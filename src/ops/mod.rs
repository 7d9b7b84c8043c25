//! The operations: one file for each shader, with its parameters, the functions that record its dispatches and its
//! reference implementations, along with the [`Operation`](crate::Operation)s that a [`Graph`](crate::Graph) calls.
//!
//! Such a function checks shapes and pushes one dispatch (rarely two or three) onto a [`Recording`](crate::Recording).
//! Outputs are overwritten unless it says otherwise, and must not share a buffer with an input.

pub mod activation;
pub mod bias;
pub mod broadcast;
pub mod chain;
pub mod copy;
pub mod cross_entropy;
pub mod dropout;
mod elementary;
pub mod embedding;
#[cfg(all(test, feature = "gpu"))]
mod estimates;
pub mod fill;
pub mod gather;
pub mod loss;
pub mod matmul;
pub mod metrics;
pub mod mlp;
pub mod one_hot;
pub mod optim;
pub mod reduce;
pub mod softmax;

use crate::device::{Kernel, MAX_WORKGROUPS, Tensor};
use crate::error::{Error, Result};
use crate::graph::{Rule, Shape};

pub use activation::Activation;
pub use broadcast::Binary;
pub use gather::gather;
pub use loss::Reduction;
pub use matmul::matmul;

/// Every rule by which [`lower`](crate::lower()) merges neighbouring calls, each in the file of the operation that
/// absorbs the other. If two match at the same call, the earlier one wins.
pub const RULES: &[Rule] = &[
    matmul::activation,
    matmul::derivative,
    matmul::addition,
    broadcast::addition,
    matmul::row_sums,
    loss::gradient,
    cross_entropy::gradient,
    loss::derivative,
    loss::history,
    cross_entropy::history,
    reduce::history,
    chain::chain,
];

/// Every kernel of the crate.
///
/// Tests walk this list and the `shaders/` folder, so a kernel that is in only one of them is found.
pub static KERNELS: &[&Kernel] = &[
    &activation::FORWARD,
    &activation::BACKWARD,
    &bias::FORWARD,
    &bias::BACKWARD,
    &broadcast::FORWARD,
    &chain::RUN,
    &copy::BLOCK,
    &cross_entropy::FORWARD,
    &cross_entropy::BACKWARD,
    &cross_entropy::BOTH,
    &dropout::APPLY,
    &embedding::FORWARD,
    &embedding::BACKWARD,
    &fill::FILL,
    &gather::ROWS,
    &loss::FORWARD,
    &loss::BACKWARD,
    &loss::BOTH,
    &matmul::SMALL,
    &matmul::DIRECT,
    &matmul::DIRECT4,
    &matmul::TILED,
    &matmul::WIDE,
    &matmul::ADD_PARTS,
    &metrics::COUNT_CORRECT,
    &mlp::PREDICT,
    &mlp::TRAIN,
    &one_hot::ROWS,
    &optim::SGD,
    &optim::MOMENTUM,
    &optim::ADAM,
    &optim::RMSPROP,
    &reduce::SUM,
    &reduce::ROWS,
    &softmax::FORWARD,
    &softmax::BACKWARD,
];

/// Invocations of a workgroup, where each works independently: `GROUP` of `shaders/common/grid.wgsl`.
pub(crate) const GROUP: usize = 64;

/// Software drivers silently end an invocation's loops after this many iterations in total.
const MAX_ROUNDS: usize = 65_535;

/// How many rounds a loop may have that an invocation goes through so often; whole thousands, which leaves some for the
/// ends of loops and for adding up.
const fn longest_loop(passes: usize) -> usize {
    MAX_ROUNDS / passes / 1000 * 1000
}

/// Workgroups for `items` things, `per_group` to a workgroup, folded into two dimensions when one does not reach:
/// kernels number their workgroup `y * num_workgroups.x + x` and ignore those past the end.
fn grid(items: usize, per_group: usize) -> [u32; 2] {
    let groups = items.div_ceil(per_group);
    let x = groups.clamp(1, MAX_WORKGROUPS);
    [x as u32, groups.div_ceil(x).max(1) as u32]
}

/// What a loop costs that loads a number in each round, in work: loads are dearer than arithmetic.
const LOAD: usize = 8;

/// Invocations that run in step, on most devices: 8 to 64.
const IN_STEP: usize = 32;

/// The work of a kernel whose invocations take a row each, of this work: an idle one costs as much as those it runs in
/// step with.
fn work_of_rows(rows: usize, each: usize) -> u64 {
    (rows.next_multiple_of(IN_STEP) as u64).saturating_mul(each as u64)
}

/// A size as the kernels take it; tensors have at most 2^31 elements.
fn size(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// An error unless all tensors have the shape of the first.
fn same_shape(operation: &str, tensors: &[(&str, &Tensor)]) -> Result<()> {
    let Some(((first_name, first), others)) = tensors.split_first() else { return Ok(()) };
    for (name, tensor) in others {
        if tensor.shape() != first.shape() {
            return Err(Error::shape(
                operation,
                format!(
                    "{first_name} is {} x {} but {name} is {} x {}; they must have the same shape",
                    first.rows(),
                    first.cols(),
                    tensor.rows(),
                    tensor.cols()
                ),
            ));
        }
    }
    Ok(())
}

/// An error unless the tensor has this shape; `because` says where the shape comes from.
fn expect_shape(operation: &str, name: &str, tensor: &Tensor, shape: [usize; 2], because: &str) -> Result<()> {
    if tensor.shape() == shape {
        return Ok(());
    }
    Err(Error::shape(
        operation,
        format!("{name} is {} x {}; it must be {} x {} {because}", tensor.rows(), tensor.cols(), shape[0], shape[1]),
    ))
}

/// Exactly `N` operands, or an error that says how many there are.
fn operands<const N: usize>(operation: &str, inputs: &[Shape]) -> Result<[Shape; N]> {
    inputs.try_into().map_err(|_| Error::input(operation, format!("{} operands; it takes {N}", inputs.len())))
}

/// An error unless two operands have one shape.
fn same_shapes(operation: &str, (one, a): (&str, Shape), (other, b): (&str, Shape)) -> Result<()> {
    if a == b {
        return Ok(());
    }
    let detail =
        format!("{one} is {} x {} but {other} is {} x {}; they must have the same shape", a[0], a[1], b[0], b[1]);
    Err(Error::shape(operation, detail))
}

/// `sink = value`, or `sink += value` when gradients add up.
fn put(sink: &mut f32, value: f32, accumulate: bool) {
    *sink = if accumulate { *sink + value } else { value };
}

#[cfg(test)]
mod tests {
    use super::{GROUP, grid};

    #[test]
    fn grids_reach_every_item_within_the_limits() {
        for items in [1, 63, 64, 65, 4_194_240, 4_194_241, 300_000_000, 1 << 31] {
            let [x, y] = grid(items, GROUP);
            assert!(x <= 65_535 && y <= 65_535, "{items}: {x} x {y}");
            assert!(u64::from(x) * u64::from(y) * 64 >= items as u64, "{items}: {x} x {y}");
        }
        assert_eq!(grid(1, GROUP), [1, 1]);
        assert_eq!(grid(65, GROUP), [2, 1]);
    }
}
