//! `shaders/matmul.wgsl`

use wgrad::ops::Activation::{self, Identity, ReLU, Sigmoid, Tanh};
use wgrad::ops::matmul::{Epilogue, Plan, Variant, matmul_by};

use crate::activation::{EPILOGUES, error};
use crate::case::Case;
use crate::common::{EPSILON, signed, small_integers};
use crate::matmul_fused as fused;

/// `out = activation(alpha * a b + beta * out + bias)`, with either factor stored as its transpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) plan: Plan,
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
    fn new(plan: Plan, [m, n, k]: [usize; 3]) -> Self {
        Self { plan, m, n, k, transposed: [false; 2], alpha: 1.0, beta: 0.0, bias: false, activation: Identity }
    }

    /// Every transpose of this shape that the kernel takes, each with another epilogue.
    fn all(plan: Plan, shape: [usize; 3], first: usize) -> impl Iterator<Item = Self> {
        let (first, epilogues) = if has_all_epilogues(plan.variant) { (first, 7) } else { (0, 3) };
        let products = (0..4).map(move |t| {
            let product = Self { transposed: [t & 1 != 0, t & 2 != 0], ..Self::new(plan, shape) };
            match (first + t) % epilogues {
                0 => product,
                1 => Self { alpha: 2.0, beta: 1.0, bias: true, activation: ReLU, ..product },
                2 => Self { alpha: -1.5, beta: 0.75, ..product },
                3 => Self { bias: true, activation: ReLU, ..product },
                4 => Self { bias: true, activation: Tanh, ..product },
                5 => Self { alpha: 0.5, bias: true, activation: Sigmoid, ..product },
                _ => Self { bias: true, ..product },
            }
        });
        products.filter(Self::is_taken)
    }

    /// Whether the kernel takes factors that lie in memory like this.
    fn is_taken(&self) -> bool {
        let Self { m, n, k, transposed: [a_transposed, b_transposed], .. } = *self;
        let rows = [if a_transposed { m } else { k }, if b_transposed { k } else { n }];
        match self.plan.variant {
            Variant::Wide => rows.iter().all(|row| row.is_multiple_of(4)),
            Variant::Direct4 => k.is_multiple_of(4) && rows.iter().all(|row| row.is_multiple_of(4)),
            _ => true,
        }
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
                ..Epilogue::default()
            };
            let a = if a_transposed { inputs[0].t() } else { inputs[0].into() };
            let b = if b_transposed { inputs[1].t() } else { inputs[1].into() };
            matmul_by(recording, self.plan, a, b, outputs[0], epilogue)
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

pub(crate) fn products(plan: Plan, shapes: &[[usize; 3]]) -> impl Iterator<Item = Product> {
    shapes.iter().enumerate().flat_map(move |(i, shape)| Product::all(plan, *shape, i))
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

/// Around the block of 16 x 64, of which an invocation computes 8 x 16.
pub(crate) const DIRECT: &[[usize; 3]] =
    &[[1, 1, 1], [7, 15, 3], [8, 16, 1], [9, 17, 25], [16, 64, 16], [17, 63, 17], [15, 65, 31], [131, 193, 67]];

/// Around the same block, by fours; where the other sides are not, of those transposes alone that the kernel takes.
pub(crate) const DIRECT4: &[[usize; 3]] =
    &[[4, 4, 4], [1, 1, 8], [8, 16, 4], [12, 20, 28], [16, 64, 16], [17, 63, 20], [15, 68, 32], [132, 196, 68]];

/// Around the block of 64 x 64 x 16.
pub(crate) const TILED: &[[usize; 3]] =
    &[[1, 1, 1], [64, 64, 16], [64, 65, 17], [65, 64, 31], [127, 129, 64], [131, 67, 97], [64, 321, 16], [321, 64, 33]];

/// Around the block of 128 x 128 x 16, with rows of fours in memory; where the other sides are not, of those transposes
/// alone that the kernel takes.
pub(crate) const WIDE: &[[usize; 3]] = &[
    [4, 4, 4],
    [128, 128, 16],
    [124, 132, 20],
    [132, 124, 12],
    [64, 260, 36],
    [129, 128, 64],
    [127, 131, 60],
    [128, 132, 33],
    [1, 4, 8],
];

/// Of which k is cut into parts, the last of them shorter.
pub(crate) const SUMS: &[[usize; 3]] = &[[20, 12, 17], [8, 68, 100], [132, 4, 1000]];

/// More than 65,535 rounds of the loop over k, in three dispatches: the activation comes with the last.
const LONG: usize = 70_001;

/// The end of an output is the same code in all kernels, recompiled for each activation, and on a software driver that
/// takes a second for the large ones: only the smallest kernel meets all activations.
pub(crate) fn has_all_epilogues(variant: Variant) -> bool {
    variant == Variant::Small
}

/// Every shape by a kernel, in one part: close with numbers of any size, exact with whole numbers. Then every
/// activation at its end, and what it can take over from the dispatches beside it.
fn cases(variant: Variant, shapes: &'static [[usize; 3]]) -> Vec<Case> {
    let plan = Plan { variant, parts: 1 };
    let close = products(plan, shapes).map(Product::close);
    let activated = |activation| Product { bias: true, activation, ..Product::new(plan, [21, 68, 36]) }.close();
    let whole = products(plan, shapes).filter(stays_whole).map(Product::exact);
    let activations = EPILOGUES.into_iter().filter(|activation| has_all_epilogues(variant) || *activation == ReLU);
    let mut cases: Vec<_> = close.chain(whole).chain(activations.map(activated)).collect();
    cases.extend(fused::cases(plan, [68, 132, 20]));
    cases.extend(fused::cases(plan, [8, 4, 132]));
    cases
}

/// More of k than a dispatch sums.
fn long(variant: Variant, [m, n, k]: [usize; 3]) -> Case {
    let product = Product::new(Plan { variant, parts: 1 }, [m, n, k]);
    Product { transposed: [true, false], bias: true, beta: 2.0, activation: ReLU, ..product }.exact()
}

pub(crate) fn small() -> Vec<Case> {
    let mut cases = cases(Variant::Small, SMALL);
    let plan = Plan { variant: Variant::Small, parts: 1 };
    cases.extend((0..4).flat_map(|i| Product::all(plan, [3, 5, LONG], i)).filter(stays_whole).map(Product::exact));
    // More than 65,535 workgroups.
    cases.push(Product { bias: true, ..Product::new(plan, [65_537 * 8, 1, 2]) }.exact());
    cases
}

pub(crate) fn direct() -> Vec<Case> {
    let mut cases = cases(Variant::Direct, DIRECT);
    cases.push(long(Variant::Direct, [17, 65, LONG]));
    cases
}

pub(crate) fn direct4() -> Vec<Case> {
    let mut cases = cases(Variant::Direct4, DIRECT4);
    // By pipelines that are there already: this kernel takes longest to compile.
    let plan = Plan { variant: Variant::Direct4, parts: 1 };
    cases.push(Product { transposed: [true, false], ..Product::new(plan, [20, 68, LONG - 1]) }.exact());
    cases
}

pub(crate) fn tiled() -> Vec<Case> {
    let mut cases = cases(Variant::Tiled, TILED);
    cases.push(long(Variant::Tiled, [64, 64, LONG]));
    cases
}

pub(crate) fn wide() -> Vec<Case> {
    let mut cases = cases(Variant::Wide, WIDE);
    cases.push(long(Variant::Wide, [4, 8, LONG - 1]));
    cases
}

/// Every kernel with k in parts, and with more of k than one dispatch of parts sums.
pub(crate) fn add_parts() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, variant) in Variant::ALL.into_iter().enumerate() {
        for (parts, shape) in [2, 3, 16].into_iter().zip(SUMS) {
            let plan = Plan { variant, parts };
            cases.extend(Product::all(plan, *shape, i + parts).map(Product::close));
            cases.extend((0..3).flat_map(|j| Product::all(plan, *shape, j)).filter(stays_whole).map(Product::exact));
        }
        let plan = Plan { variant, parts: 2 };
        let long = Product {
            transposed: [true, false],
            bias: true,
            beta: 2.0,
            activation: ReLU,
            ..Product::new(plan, [0; 3])
        };
        cases.push(Product { m: 4, n: 8, k: LONG - 1, ..long }.exact());
    }
    cases
}

/// Whether whole numbers stay whole.
fn stays_whole(product: &Product) -> bool {
    matches!(product.activation, Identity | ReLU)
}
