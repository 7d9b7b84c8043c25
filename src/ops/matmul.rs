//! Matrix products: `shaders/matmul.wgsl`.

use crate::error::{Error, Result};
use crate::kernel::{Call, Kernel, kernel};
use crate::ops::{Activation, bias, expect_shape, grid, size};
use crate::recording::{Dispatch, Recording};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

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
}

/// [`Params::extra_is`]: the third input is a bias.
const BIAS: u32 = 1;
/// [`Params::extra_is`]: the third input is what the activation's derivative is taken at.
const DERIVATIVE: u32 = 2;

pub(crate) static SMALL: Kernel =
    kernel!("matmul", "small", [8, 8, 1], Params, inputs: 3, outputs: 2, step: false, reference);
pub(crate) static TILED: Kernel =
    kernel!("matmul", "tiled", [256, 1, 1], Params, inputs: 3, outputs: 2, step: false, reference);

/// The longest sum of one launch: some drivers end a loop silently after 65,535 rounds.
const MAX_K: usize = 32_768;

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
    let ([a_row, a_col], [b_row, b_col]) = (a.strides(), b.strides());
    let kernel = choose(m, n, k);
    let workgroups = grid(tiles(kernel, m, n), 1);
    for start in (0..k).step_by(MAX_K) {
        let end = k.min(start + MAX_K);
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
        };
        let inputs: Vec<_> = [a.tensor, b.tensor].into_iter().chain(bias).collect();
        let work = 2 * m as u64 * n as u64 * (end - start) as u64;
        recording.push(kernel, workgroups, params, &inputs, &[out], work)?;
    }
    Ok(())
}

impl Params {
    /// Whether the product is stored as it is, or added to what is there.
    fn is_plain(&self) -> bool {
        self.activation == 0 && self.extra_is != DERIVATIVE && self.keep == 0 && self.sums_at == 0
    }
}

pub(crate) fn is_matmul(dispatch: &Dispatch) -> bool {
    dispatch.is(&SMALL) || dispatch.is(&TILED)
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
    let out = matmul.outputs[0].through(sums)?;
    let params = Params { sums_at: size(sums.offset - out.offset), ..params };
    let lanes = matmul.kernel.workgroup_size.iter().product::<u32>() as usize;
    let workgroups = grid(tiles(matmul.kernel, m, n) + m.div_ceil(lanes), 1);
    Some(Dispatch { outputs: vec![out], workgroups, ..matmul.clone() }.with_params(params))
}

/// How many blocks of the product a kernel's workgroups compute.
fn tiles(kernel: &Kernel, m: usize, n: usize) -> usize {
    let side = if std::ptr::eq(kernel, &TILED) { 64 } else { 8 };
    m.div_ceil(side) * n.div_ceil(side)
}

/// The entry point for a product of this shape.
fn choose(m: usize, n: usize, k: usize) -> &'static Kernel {
    if m >= 64 && n >= 64 && k >= 16 { &TILED } else { &SMALL }
}

#[expect(unsafe_code, reason = "matrixmultiply takes pointers")]
fn reference(call: Call<'_>) {
    let params: Params = call.params();
    let [a, b, extra, ..] = call.inputs;
    let [out, kept, ..] = call.outputs;
    let (m, n, k) = (params.m as usize, params.n as usize, params.k as usize);
    let (a, b) = (&a[params.a_start as usize..], &b[params.b_start as usize..]);
    let last = |rows: usize, row: u32, cols: usize, col: u32| (rows - 1) * row as usize + (cols - 1) * col as usize;
    let fits = last(m, params.a_row, k, params.a_col) < a.len()
        && last(k, params.b_row, n, params.b_col) < b.len()
        && out.len() >= m * n;
    assert!(fits, "matmul checks its shapes before it records");
    let (c, sums) = out.split_at_mut(m * n);
    if params.sums_at != 0 {
        row_sums(&params, a, &mut sums[params.sums_at as usize - m * n..][..m]);
    }
    // SAFETY: the elements that sgemm reaches through the strides lie within the slices, as just checked; c overlaps
    // neither a nor b, being borrowed mutably. With beta = 0 sgemm does not read c.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            params.alpha,
            a.as_ptr(),
            params.a_row as isize,
            params.a_col as isize,
            b.as_ptr(),
            params.b_row as isize,
            params.b_col as isize,
            params.beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
    let activation = Activation::from_kind(params.activation, [params.activation_a, 0.0]);
    if params.extra_is == DERIVATIVE {
        activation.multiply_by_derivative(c, extra);
        return;
    }
    if params.extra_is == BIAS {
        for row in c.chunks_exact_mut(n) {
            for (c, bias) in row.iter_mut().zip(extra) {
                *c += bias;
            }
        }
    }
    if params.keep != 0 {
        kept.copy_from_slice(c);
    }
    if activation != Activation::Identity {
        activation.apply_to(c);
    }
}

/// The sums of A's rows, scaled and added like the product.
fn row_sums(params: &Params, a: &[f32], sums: &mut [f32]) {
    let (row, col) = (params.a_row as usize, params.a_col as usize);
    for sum in sums.iter_mut() {
        *sum = if params.beta == 0.0 { 0.0 } else { params.beta * *sum };
    }
    for p in 0..params.k as usize {
        // Column by column: neighbours in memory where A is a transpose, as it is in a backward pass.
        let column = &a[p * col..];
        if row == 1 {
            sums.iter_mut().zip(column).for_each(|(sum, a)| *sum += params.alpha * a);
        } else {
            sums.iter_mut().zip(column.iter().step_by(row)).for_each(|(sum, a)| *sum += params.alpha * a);
        }
    }
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
