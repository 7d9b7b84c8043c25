//! Matrix products: `shaders/matmul.wgsl`.

mod merge;
mod plan;
mod reference;

use crate::device::{Constants, Kernel, Recording, Tensor, kernel};
use crate::error::{Error, Result};
use crate::ops::{Activation, bias, expect_shape, grid, size};
use crate::tape::{Tape, Var};

pub(crate) use merge::{is_matmul, with_activation, with_derivative, with_row_sums};
pub use plan::{Plan, Variant};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
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

/// [`Params::extra_is`]: the third input is a bias.
const BIAS: u32 = 1;
/// [`Params::extra_is`]: the third input is what the activation's derivative is taken at.
const DERIVATIVE: u32 = 2;

/// What all kernels are compiled for.
fn constants(params: &[u8]) -> Constants {
    constants_by(params, [false; 2])
}

/// `direct4` is also compiled for the way in which its factors lie in memory.
fn constants4(params: &[u8]) -> Constants {
    let Params { a_col, b_row, .. } = bytemuck::pod_read_unaligned(params);
    constants_by(params, [a_col == 1, b_row == 1])
}

fn constants_by(params: &[u8], [a_along_k, b_along_k]: [bool; 2]) -> Constants {
    let params: Params = bytemuck::pod_read_unaligned(params);
    // Parts are stored as they are: what comes after them is the business of `add_parts`.
    let in_parts = params.parts > 1;
    let last = |value: u32| if in_parts { 0.0 } else { value.into() };
    vec![
        ("extra_is", last(params.extra_is)),
        ("activation", last(params.activation)),
        ("keep", last(params.keep)),
        ("adds", last((params.beta != 0.0).into())),
        ("in_parts", u8::from(in_parts).into()),
        ("a4_along_k", u8::from(a_along_k).into()),
        ("b4_along_k", u8::from(b_along_k).into()),
    ]
}

/// A kernel of `matmul.wgsl`.
macro_rules! entry_point {
    ($entry:literal, $workgroup:expr, $reference:path, $constants:path) => {
        kernel!("matmul", $entry, $workgroup, Params, inputs: 3, outputs: 2, step: false, $reference, $constants)
    };
}

pub(crate) static SMALL: Kernel = entry_point!("small", [8, 8, 1], reference::product, constants);
pub(crate) static DIRECT: Kernel = entry_point!("direct", [8, 1, 1], reference::product, constants);
pub(crate) static DIRECT4: Kernel = entry_point!("direct4", [8, 1, 1], reference::product, constants4);
pub(crate) static TILED: Kernel = entry_point!("tiled", [256, 1, 1], reference::product, constants);
pub(crate) static WIDE: Kernel = entry_point!("wide", [256, 1, 1], reference::product, constants);
pub(crate) static ADD_PARTS: Kernel = entry_point!("add_parts", [64, 1, 1], reference::add_parts, constants);

/// A factor of a product: a tensor as it is (`&x`) or transposed (`x.t()`), which only changes how it is read.
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

/// What happens to a product before it is stored: `activation(alpha * product + beta * out + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Scales the product.
    pub alpha: f32,
    /// Scales what the output held before; with 0 it is not read.
    pub beta: f32,
    /// A row `[1, n]` added to each row.
    pub bias: Option<&'a Tensor>,
    /// Applied last.
    pub activation: Activation,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Self { alpha: 1.0, beta: 0.0, bias: None, activation: Activation::Identity }
    }
}

impl Epilogue<'_> {
    /// `out = product`, or `out += product` where gradients add up.
    pub fn accumulate(accumulate: bool) -> Self {
        Self { beta: f32::from(u8::from(accumulate)), ..Self::default() }
    }
}

/// `out = activation(alpha * a b + beta * out + bias)`, with a [m, k], b [k, n], bias [1, n], out [m, n].
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
    let plan = Plan::new(recording.device().capabilities(), a, b);
    matmul_by(recording, plan, a, b, out, epilogue)
}

/// [`matmul`] by a plan of the caller's, for tests and measurements.
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
    if let Some(bias) = epilogue.bias {
        expect_shape("matmul", "bias", bias, [1, n], "to have an entry for each column of the product")?;
    }
    if !epilogue.activation.is_epilogue() {
        return Err(Error::input(
            "matmul",
            format!("{:?} is no epilogue; apply it to the product with ops::activation", epilogue.activation),
        ));
    }
    plan.check(a, b)?;
    let ([a_row, a_col], [b_row, b_col]) = (a.strides(), b.strides());
    for start in (0..k).step_by(plan.longest()) {
        let end = k.min(start + plan.longest());
        let cut = plan.cut(end - start);
        // The bias and the activation come with the last stretch of k.
        let bias = epilogue.bias.filter(|_| end == k);
        let activation = if end == k { epilogue.activation } else { Activation::Identity };
        let params = Params {
            m: size(m),
            n: size(n),
            k: size(end - start),
            a_start: size(start) * a_col,
            a_row,
            a_col,
            b_start: size(start) * b_row,
            b_row,
            b_col,
            extra_is: if bias.is_some() { BIAS } else { 0 },
            activation: activation.kind(),
            activation_a: activation.constants()[0],
            alpha: epilogue.alpha,
            beta: if start == 0 { epilogue.beta } else { 1.0 },
            keep: 0,
            sums_at: 0,
            parts: size(cut.parts),
            part_k: size(cut.part_k),
        };
        let blocks = grid(plan.variant.blocks(m, n) * cut.parts, 1);
        let work = 2 * m as u64 * n as u64 * (end - start) as u64;
        let kernel = plan.variant.kernel();
        if cut.parts == 1 {
            let inputs: Vec<_> = [a.tensor, b.tensor].into_iter().chain(bias).collect();
            recording.push(kernel, blocks, params, &inputs, &[out], work)?;
            continue;
        }
        let parts = Tensor::zeros(recording.device(), cut.parts, m * n)?;
        recording.push(kernel, blocks, params, &[a.tensor, b.tensor], &[&parts], work)?;
        let params = Params { k: size(cut.parts), parts: 1, ..params };
        // The second place is b's, which adding up does not read.
        let inputs: Vec<_> = [&parts, &parts].into_iter().chain(bias).collect();
        recording.push(&ADD_PARTS, grid(m * n, 64), params, &inputs, &[out], parts.len() as u64)?;
    }
    Ok(())
}

impl Tape {
    /// `a b`, with a [m, k] and b [k, n].
    ///
    /// # Errors
    /// Other shapes; a value of another tape.
    pub fn matmul(&mut self, a: Var, b: Var) -> Result<Var> {
        let (left, right) = (self.tensor(a)?, self.tensor(b)?);
        let out = self.zeros(left.rows(), right.cols())?;
        matmul(self.recording(), &left, &right, &out, Epilogue::default())?;
        self.push(out, &[a, b], move |backward_pass, dy| {
            // dA = dY Bᵀ, dB = Aᵀ dY
            if let Some(da) = backward_pass.sink(a)? {
                let epilogue = Epilogue::accumulate(da.accumulate);
                matmul(backward_pass.recording(), dy, right.t(), &da.tensor, epilogue)?;
            }
            if let Some(db) = backward_pass.sink(b)? {
                let epilogue = Epilogue::accumulate(db.accumulate);
                matmul(backward_pass.recording(), left.t(), dy, &db.tensor, epilogue)?;
            }
            Ok(())
        })
    }

    /// A linear layer: `x wᵀ + bias`, with x [n, in], w [out, in], bias [1, out], in one launch.
    ///
    /// # Errors
    /// Other shapes; a value of another tape.
    pub fn linear(&mut self, x: Var, w: Var, bias: Var) -> Result<Var> {
        let (input, weight, row) = (self.tensor(x)?, self.tensor(w)?, self.tensor(bias)?);
        if input.cols() != weight.cols() {
            return Err(Error::shape(
                "linear",
                format!(
                    "the input is {} x {}, but the layer takes {} columns",
                    input.rows(),
                    input.cols(),
                    weight.cols()
                ),
            ));
        }
        let out = self.zeros(input.rows(), weight.rows())?;
        let epilogue = Epilogue { bias: Some(&row), ..Epilogue::default() };
        matmul(self.recording(), &input, weight.t(), &out, epilogue)?;
        self.push(out, &[x, w, bias], move |backward_pass, dy| {
            // dW = dYᵀ X, db = sum of dY's rows, dX = dY W
            if let Some(dw) = backward_pass.sink(w)? {
                let epilogue = Epilogue::accumulate(dw.accumulate);
                matmul(backward_pass.recording(), dy.t(), &input, &dw.tensor, epilogue)?;
            }
            if let Some(db) = backward_pass.sink(bias)? {
                bias::backward(backward_pass.recording(), dy, &db.tensor, db.accumulate)?;
            }
            if let Some(dx) = backward_pass.sink(x)? {
                let epilogue = Epilogue::accumulate(dx.accumulate);
                matmul(backward_pass.recording(), dy, &weight, &dx.tensor, epilogue)?;
            }
            Ok(())
        })
    }
}
