//! `shaders/matmul.wgsl`

use wgrad::ops::Activation::{self, Identity, ReLU, Sigmoid, Tanh};
use wgrad::ops::matmul;
use wgrad::ops::matmul::Epilogue;

use crate::activation::{EPILOGUES, error};
use crate::case::Case;
use crate::common::{EPSILON, signed, small_integers};
use crate::matmul_fused as fused;

/// `out = activation(alpha * a b + beta * out + bias)`, with either factor stored as its transpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) transposed: [bool; 2],
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
}

/// The data of a product, and what f64 says it is.
pub(crate) struct Data {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) before: Option<Vec<f32>>,
}

impl Product {
    fn new([m, n, k]: [usize; 3]) -> Self {
        Self { m, n, k, transposed: [false; 2], alpha: 1.0, beta: 0.0, bias: false, activation: Identity }
    }

    /// Every transpose of this shape, each with another epilogue.
    fn all(shape: [usize; 3], first: usize) -> impl Iterator<Item = Self> {
        (0..4).map(move |t| {
            let product = Self { transposed: [t & 1 != 0, t & 2 != 0], ..Self::new(shape) };
            match (first + t) % 7 {
                0 => product,
                1 => Self { bias: true, ..product },
                2 => Self { alpha: -1.5, beta: 0.75, ..product },
                3 => Self { bias: true, activation: ReLU, ..product },
                4 => Self { bias: true, activation: Tanh, ..product },
                5 => Self { alpha: 0.5, bias: true, activation: Sigmoid, ..product },
                _ => Self { alpha: 2.0, beta: 1.0, bias: true, activation: ReLU, ..product },
            }
        })
    }

    pub(crate) fn data(&self, values: impl Fn(u64, usize) -> Vec<f32>) -> Data {
        let Self { m, n, k, .. } = *self;
        let before = (self.beta != 0.0).then(|| values(4, m * n));
        Data { a: values(1, m * k), b: values(2, k * n), bias: values(3, n), before }
    }

    /// In f64, element by element: what goes into the activation, and the magnitudes it is the sum of.
    pub(crate) fn sums(&self, data: &Data) -> Vec<(f64, f64)> {
        let Self { m, n, k, transposed: [a_transposed, b_transposed], .. } = *self;
        let a = |i: usize, p: usize| f64::from(data.a[if a_transposed { p * m + i } else { i * k + p }]);
        let b = |p: usize, j: usize| f64::from(data.b[if b_transposed { j * k + p } else { p * n + j }]);
        let mut sums = Vec::with_capacity(m * n);
        for i in 0..m {
            for j in 0..n {
                let (mut sum, mut magnitude) = (0.0, 0.0);
                let mut add = |term: f64| {
                    sum += term;
                    magnitude += term.abs();
                };
                (0..k).for_each(|p| add(f64::from(self.alpha) * a(i, p) * b(p, j)));
                if let Some(before) = &data.before {
                    add(f64::from(self.beta) * f64::from(before[i * n + j]));
                }
                if self.bias {
                    add(f64::from(data.bias[j]));
                }
                sums.push((sum, magnitude));
            }
        }
        sums
    }

    /// How far two f32 results may lie apart: sums of k products and a few terms, each in its own order, then an
    /// activation that stretches little.
    pub(crate) fn tolerances(&self, sums: &[(f64, f64)]) -> Vec<f64> {
        // No activation here is steeper than ELU's 1.5.
        let tolerance = |(sum, magnitude): &(f64, f64)| {
            1.5 * (self.k + 4) as f64 * EPSILON * magnitude + error(self.activation, *sum as f32)
        };
        sums.iter().map(tolerance).collect()
    }

    pub(crate) fn case(self, data: Data, tolerances: Option<Vec<f64>>) -> Case {
        let Self { m, n, k, transposed: [a_transposed, b_transposed], .. } = self;
        let case = Case::new(format!("{self:?}"), move |recording, inputs, outputs| {
            let epilogue = Epilogue {
                alpha: self.alpha,
                beta: self.beta,
                bias: self.bias.then_some(inputs[2]),
                activation: self.activation,
            };
            let a = if a_transposed { inputs[0].t() } else { inputs[0].into() };
            let b = if b_transposed { inputs[1].t() } else { inputs[1].into() };
            matmul(recording, a, b, outputs[0], epilogue)
        });
        let turned = |[rows, cols]: [usize; 2], turn| if turn { [cols, rows] } else { [rows, cols] };
        let case = case.input(turned([m, k], a_transposed), data.a).input(turned([k, n], b_transposed), data.b);
        let case = case.input([1, n], data.bias);
        match tolerances {
            Some(tolerances) => case.close([m, n], move |i, _| tolerances[i]).before(data.before),
            None => case.exact([m, n]).before(data.before),
        }
    }

    fn close(self) -> Case {
        let data = self.data(signed);
        let tolerances = self.tolerances(&self.sums(&data));
        self.case(data, Some(tolerances))
    }

    /// With whole numbers, whose products and sums are exact in any order, so that a lost one shows.
    fn exact(self) -> Case {
        self.case(self.data(|seed, len| small_integers(seed, len, 4)), None)
    }
}

pub(crate) fn products(shapes: &[[usize; 3]]) -> impl Iterator<Item = Product> {
    shapes.iter().enumerate().flat_map(|(i, shape)| Product::all(*shape, i))
}

/// Around the block of 8 x 8; narrow ones of every kind; a prime of everything.
pub(crate) const SMALL: &[[usize; 3]] = &[
    [1, 1, 1],
    [7, 9, 8],
    [8, 8, 7],
    [9, 7, 9],
    [13, 17, 67],
    [1, 257, 31],
    [257, 1, 31],
    [63, 65, 64],
    [64, 64, 15],
    [1000, 2, 25],
    [25, 2, 1000],
    [2, 3, 1009],
];

/// Around the block of 64 x 64 x 16.
pub(crate) const TILED: &[[usize; 3]] =
    &[[64, 64, 16], [64, 65, 17], [65, 64, 31], [127, 129, 64], [131, 67, 97], [64, 321, 16], [321, 64, 33]];

/// More than 65,535 rounds of the loop over k, in three launches: the activation comes with the last.
const LONG: usize = 70_001;

/// Every activation at the end of a product of this shape.
fn activated(shape: [usize; 3]) -> impl Iterator<Item = Case> {
    EPILOGUES.into_iter().map(move |activation| Product { bias: true, activation, ..Product::new(shape) }.close())
}

pub(crate) fn small() -> Vec<Case> {
    let mut cases: Vec<_> = products(SMALL).map(Product::close).collect();
    cases.extend(activated([13, 17, 67]));
    cases.extend(fused::cases([33, 25, 19]));
    cases.extend(fused::cases([7, 9, 130]));
    cases.extend(products(SMALL).filter(|p| p.activation == Identity || p.activation == ReLU).map(Product::exact));
    cases.extend((0..4).flat_map(|first| Product::all([3, 5, LONG], first)).filter(long).map(Product::exact));
    // More than 65,535 workgroups.
    cases.push(Product { bias: true, ..Product::new([65_537 * 8, 1, 2]) }.exact());
    cases
}

pub(crate) fn tiled() -> Vec<Case> {
    let mut cases: Vec<_> = products(TILED).map(Product::close).collect();
    cases.extend(activated([65, 67, 33]));
    cases.extend(fused::cases([67, 65, 130]));
    cases.extend(products(TILED).filter(|p| p.activation == Identity || p.activation == ReLU).map(Product::exact));
    let long = Product { transposed: [true, false], bias: true, beta: 2.0, activation: ReLU, ..Product::new([0; 3]) };
    cases.push(Product { m: 64, n: 64, k: LONG, ..long }.exact());
    cases
}

/// Whether whole numbers stay whole.
fn long(product: &Product) -> bool {
    matches!(product.activation, Identity | ReLU)
}
