//! Matrix products: `shaders/matmul.wgsl`.

#[cfg(test)]
mod agreement;
mod cut;
mod lanes;
mod operation;
mod plan;
mod quick;
mod reference;

use crate::device::{Constants, Kernel, Recording, Shader, Tensor, kernel, params, shader};
use crate::error::{Error, Result};
use crate::ops::{Activation, GROUP, bias, expect_shape, grid, size};
pub(crate) use operation::{Product, activation, addition, derivative, row_sums};
use plan::TILE_K;
pub use plan::{Plan, Variant};

params! {
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_start: u32,
    a_row: u32,
    a_col: u32,
    b_start: u32,
    b_row: u32,
    b_col: u32,
    extra_is: u32,
    activation: u32,
    activation_a: f32,
    alpha: f32,
    beta: f32,
    keep: u32,
    sums_at: u32,
    parts: u32,
    part_k: u32,
}
}

/// [`Params::extra_is`]: the third input is a bias.
const BIAS: u32 = 1;
/// [`Params::extra_is`]: the third input is what the activation's derivative is taken at.
const DERIVATIVE: u32 = 2;

/// What all kernels are compiled for.
fn constants(params: &[u8]) -> Constants {
    let params: Params = bytemuck::pod_read_unaligned(params);
    // Parts are stored unchanged: `add_parts` applies the epilogue.
    let in_parts = params.parts > 1;
    let last = |value: u32| if in_parts { 0.0 } else { value.into() };
    vec![
        ("extra_is", last(params.extra_is)),
        ("activation", last(params.activation)),
        ("keep", last(params.keep)),
        ("adds", last((params.beta != 0.0).into())),
        ("in_parts", u8::from(in_parts).into()),
    ]
}

/// `direct4` is also compiled for the way in which its factors lie in memory.
fn constants4(params: &[u8]) -> Constants {
    let Params { a_col, b_row, .. } = bytemuck::pod_read_unaligned(params);
    let mut constants = constants(params);
    constants.extend([("a4_along_k", u8::from(a_col == 1).into()), ("b4_along_k", u8::from(b_row == 1).into())]);
    constants
}

/// The module of `matmul.wgsl` with these files of `matmul/`, and what it shares with the host.
macro_rules! module {
    ([$($file:literal),*], shared: [$($shared:tt)*]) => {
        shader!(
            ["common/grid", "common/numbers", "common/elementary", "common/activation", "matmul" $(, $file)*],
            shared: [GROUP $($shared)*]
        )
    };
}

const ADDED: Shader = module!([], shared: []);
const BY_ONE: Shader =
    module!(["matmul/small"], shared: [, ROWS = Variant::Small.block()[0], COLS = Variant::Small.block()[1]]);
const BY_BLOCK: Shader = module!(
    ["matmul/blocks", "matmul/direct"],
    shared: [, ROWS = Variant::Direct.block()[0], COLS = Variant::Direct.block()[1]]
);
const BY_FOURS: Shader = module!(
    ["matmul/blocks", "matmul/direct4"],
    shared: [, ROWS = Variant::Direct4.block()[0], COLS = Variant::Direct4.block()[1]]
);
const BY_TILE: Shader =
    module!(["matmul/tiled"], shared: [, ROWS = Variant::Tiled.block()[0], COLS = Variant::Tiled.block()[1], TILE_K]);
const BY_WIDE_TILE: Shader = module!(
    ["matmul/blocks", "matmul/wide"],
    shared: [, ROWS = Variant::Wide.block()[0], COLS = Variant::Wide.block()[1], TILE_K]
);

/// A kernel of these modules.
macro_rules! entry_point {
    ($entry:literal, $shader:expr, $workgroup:expr, $function:ident, $constants:path) => {
        Kernel {
            cpu: quick::$function,
            cut: cut::$function,
            ..kernel!(
                "matmul", $entry, $shader, $workgroup, Params, inputs: 3, outputs: 2, step: false, reference::$function,
                $constants
            )
        }
    };
}

pub(crate) static SMALL: Kernel = entry_point!("small", BY_ONE, [8, 8, 1], product, constants).lanes(lanes::product);
pub(crate) static DIRECT: Kernel =
    entry_point!("direct", BY_BLOCK, [8, 1, 1], product, constants).lanes(lanes::product);
pub(crate) static DIRECT4: Kernel =
    entry_point!("direct4", BY_FOURS, [8, 1, 1], product, constants4).lanes(lanes::product);
pub(crate) static TILED: Kernel = entry_point!("tiled", BY_TILE, [256, 1, 1], product, constants).lanes(lanes::product);
pub(crate) static WIDE: Kernel =
    entry_point!("wide", BY_WIDE_TILE, [256, 1, 1], product, constants).lanes(lanes::product);
pub(crate) static ADD_PARTS: Kernel = entry_point!("add_parts", ADDED, [GROUP, 1, 1], add_parts, constants);

/// A factor of a product: a tensor (`&x`) or its transpose (`x.t()`), which only changes how it is read.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    tensor: &'a Tensor,
    transposed: bool,
}

impl<'a> From<&'a Tensor> for Factor<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: false }
    }
}

impl Tensor {
    /// The transpose, as a factor of [`matmul`]: nothing is moved.
    pub fn t(&self) -> Factor<'_> {
        Factor { tensor: self, transposed: true }
    }
}

impl Factor<'_> {
    fn shape(&self) -> [usize; 2] {
        let [rows, cols] = self.tensor.shape();
        if self.transposed { [cols, rows] } else { [rows, cols] }
    }

    /// Distances between rows and between columns, in elements.
    fn strides(&self) -> [u32; 2] {
        let cols = size(self.tensor.cols());
        if self.transposed { [1, cols] } else { [cols, 1] }
    }
}

/// What happens to a product before it is stored, and what else is stored.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Scales the product.
    pub alpha: f32,
    /// Scales what the output held before; with 0 it is not read.
    pub beta: f32,
    /// A row `[1, n]` added to each row. Not together with a derivative.
    pub bias: Option<&'a Tensor>,
    /// Applied last.
    pub activation: Activation,
    /// Multiplies the result by this function's derivative, which is computed from a tensor of the output's shape: the
    /// function's value or its argument. Not together with an activation.
    pub derivative: Option<(Activation, &'a Tensor)>,
    /// Where to store what the activation is applied to; of the output's shape.
    pub keep: Option<&'a Tensor>,
    /// Where to store the sums of the first factor's rows, `[1, m]`, scaled and added like the product. They cost no
    /// extra dispatch if they follow the output in the same buffer and the kernel supports it.
    pub row_sums: Option<&'a Tensor>,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 0.0,
            bias: None,
            activation: Activation::Identity,
            derivative: None,
            keep: None,
            row_sums: None,
        }
    }
}

impl Epilogue<'_> {
    /// An error unless the parts go together and have the shapes that they must have.
    fn check(&self, a: Factor<'_>, out: &Tensor) -> Result<()> {
        let [m, n] = out.shape();
        let whole = "as the product";
        if let Some(bias) = self.bias {
            expect_shape("matmul", "bias", bias, [1, n], "to have an entry for each column of the product")?;
        }
        if let Some((_, at)) = self.derivative {
            expect_shape("matmul", "where the derivative is taken", at, [m, n], whole)?;
        }
        if let Some(keep) = self.keep {
            expect_shape("matmul", "what is kept", keep, [m, n], whole)?;
        }
        if let Some(sums) = self.row_sums {
            expect_shape("matmul", "the row sums", sums, [1, m], "to have an entry for each row of the first factor")?;
            if !a.transposed || self.alpha != 1.0 || ![0.0, 1.0].contains(&self.beta) || self.bias.is_some() {
                let detail = "row sums go with a transposed first factor, alpha 1, beta 0 or 1 and no bias";
                return Err(Error::input("matmul", detail));
            }
        }
        let function = self.derivative.map_or(self.activation, |(function, _)| function);
        if !function.is_epilogue() {
            let detail = format!("{function:?} can't be an epilogue; apply it to the product with ops::activation");
            return Err(Error::input("matmul", detail));
        }
        if self.derivative.is_some()
            && (self.bias.is_some() || self.keep.is_some() || self.activation != Activation::Identity)
        {
            let detail = "a derivative goes with neither a bias, an activation nor keeping the argument";
            return Err(Error::input("matmul", detail));
        }
        Ok(())
    }
}

/// `out = activation(alpha * a b + beta * out + bias)`, with a [m, k], b [k, n], bias [1, n], out [m, n]; or with a
/// derivative `out = (alpha * a b + beta * out) * function'(at)`. See [`Epilogue`].
///
/// ```
/// use wgrad::ops::{matmul, matmul::Epilogue};
/// use wgrad::{Device, Recording, Tensor};
///
/// let device = Device::cpu();
/// let x = Tensor::new(&device, 1, 2, &[1.0, 2.0])?;
/// let w = Tensor::new(&device, 3, 2, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0])?;
/// let y = Tensor::zeros(&device, 1, 3)?;
/// let mut recording = Recording::new(&device);
/// matmul(&mut recording, &x, w.t(), &y, Epilogue::default())?;
/// recording.run()?;
/// assert_eq!(y.read()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// The kernel is chosen by [`Plan::new`].
///
/// # Errors
/// Shapes that do not fit.
pub fn matmul<'a>(
    recording: &mut Recording,
    a: impl Into<Factor<'a>>,
    b: impl Into<Factor<'a>>,
    out: &Tensor,
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let (a, b) = (a.into(), b.into());
    let capabilities = recording.device().capabilities();
    let plan = if recording.keeps_rows_apart() {
        Plan::for_any_rows(capabilities, a, b)
    } else {
        Plan::new(capabilities, a, b)
    };
    matmul_by(recording, plan, a, b, out, epilogue)
}

/// [`matmul`] with a given plan, for tests and benchmarks.
///
/// # Errors
/// Shapes that do not fit each other, or that the plan's kernel does not take.
pub fn matmul_by<'a>(
    recording: &mut Recording,
    plan: Plan,
    a: impl Into<Factor<'a>>,
    b: impl Into<Factor<'a>>,
    out: &Tensor,
    epilogue: Epilogue<'_>,
) -> Result<()> {
    let (a, b) = (a.into(), b.into());
    let ([m, k], [inner, n]) = (a.shape(), b.shape());
    if k != inner {
        return Err(Error::shape(
            "matmul",
            format!("{m} x {k} times {inner} x {n}: the first's columns must be the second's rows"),
        ));
    }
    expect_shape("matmul", "out", out, [m, n], "to hold the product")?;
    epilogue.check(a, out)?;
    plan.check(a, b)?;
    let stretches = k.div_ceil(plan.longest());
    let mut summed = false;
    for (i, start) in (0..k).step_by(plan.longest()).enumerate() {
        let (length, last) = (plan.longest().min(k - start), i + 1 == stretches);
        let cut = plan.cut(length);
        // The epilogue comes with the last stretch of k.
        let end = if last { epilogue } else { Epilogue { alpha: epilogue.alpha, ..Epilogue::default() } };
        let extra = end.bias.or(end.derivative.map(|(_, at)| at));
        let function = end.derivative.map_or(end.activation, |(function, _)| function);
        // Row sums along with the product, where the kernel can: it sums in one stretch and one part.
        let per_group = plan.variant.row_sums().filter(|_| stretches == 1 && cut.parts == 1);
        let joined = end.row_sums.zip(per_group).and_then(|(sums, each)| Some((sums, each, out.through(sums)?)));
        summed |= joined.is_some();
        let ([a_row, a_col], [b_row, b_col]) = (a.strides(), b.strides());
        let params = Params {
            m: size(m),
            n: size(n),
            k: size(length),
            a_start: size(start) * a_col,
            a_row,
            a_col,
            b_start: size(start) * b_row,
            b_row,
            b_col,
            extra_is: match end.derivative {
                Some(_) => DERIVATIVE,
                None if end.bias.is_some() => BIAS,
                None => 0,
            },
            activation: function.kind(),
            activation_a: function.constants()[0],
            alpha: epilogue.alpha,
            beta: if i == 0 { epilogue.beta } else { 1.0 },
            keep: end.keep.is_some().into(),
            sums_at: joined.as_ref().map_or(0, |(sums, _, _)| size(sums.offset - out.offset)),
            parts: size(cut.parts),
            part_k: size(cut.part_k),
        };
        let sum_blocks = joined.as_ref().map_or(0, |(_, each, _)| m.div_ceil(*each));
        let blocks = grid(plan.variant.blocks(m, n) * cut.parts + sum_blocks, 1);
        let work = plan.variant.work(m, n, length);
        let kernel = plan.variant.kernel();
        let inputs: Vec<_> = [a.tensor, b.tensor].into_iter().chain(extra).collect();
        let target = joined.as_ref().map_or(out, |(_, _, both)| both);
        let outputs: Vec<_> = [target].into_iter().chain(end.keep).collect();
        if cut.parts == 1 {
            recording.push(kernel, blocks, params, &inputs, &outputs, work)?;
            continue;
        }
        let parts = Tensor::zeros(recording.device(), cut.parts, m * n)?;
        recording.push(kernel, blocks, params, &inputs[..2], &[&parts], work)?;
        let params = Params { k: size(cut.parts), parts: 1, ..params };
        // The second place is b's, which adding up does not read.
        let inputs: Vec<_> = [&parts, &parts].into_iter().chain(extra).collect();
        recording.push(&ADD_PARTS, grid(m * n, GROUP), params, &inputs, &outputs, parts.len() as u64)?;
    }
    match epilogue.row_sums {
        Some(sums) if !summed => bias::backward(recording, a.tensor, sums, epilogue.beta != 0.0),
        _ => Ok(()),
    }
}
