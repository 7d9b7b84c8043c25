//! The models that are taken elsewhere: every module and activation there is, and a composition of a user's.

use wgrad::data::{Dataset, Standardize};
use wgrad::export::Export;
use wgrad::nn::{
    Activation, BatchNorm1d, Dropout, ELU, Embedding, GELU, Identity, LayerNorm, LeakyReLU, Linear, LogSoftmax, Module,
    Parameter, Predictor, ReLU, Residual, Sequential, SiLU, Sigmoid, Softmax, Softplus, Tanh, prefixed,
};
use wgrad::{Device, Graph, Result, Var};

use crate::common::signed;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) predictor: Predictor,
    pub(crate) input_cols: usize,
    pub(crate) export: Export,
}

/// Every activation of the same numbers, side by side. Those of positive numbers get exp(x).
struct Activations(Linear);

impl Module for Activations {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let x = self.0.forward(graph, x)?;
        let powers = graph.exp(x)?;
        let any = [
            Identity,
            ReLU,
            Tanh,
            Sigmoid,
            LeakyReLU { slope: 0.125 },
            ELU { alpha: 1.5 },
            GELU,
            Activation::GELUTanh,
            SiLU,
            Softplus,
            Activation::Exp,
            Activation::Affine { scale: -1.5, shift: 0.75 },
            Activation::Pow { exponent: 2.0 },
            Activation::Pow { exponent: 3.0 },
        ];
        let positive = [-1.0, -0.5, 0.5, 1.7].map(|exponent| Activation::Pow { exponent });
        let any = any.into_iter().map(|f| (f, x));
        let positive = positive.into_iter().chain([Activation::Log]).map(|f| (f, powers));
        let parts = any.chain(positive).map(|(f, x)| graph.activation(x, f)).collect::<Result<Vec<_>>>()?;
        graph.concat_cols(&parts)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        prefixed("first", &self.0)
    }
}

/// A category of 5, one of 3, and numbers; a layer used twice, sums, products with a parameter, a constant.
struct Columns {
    category: Embedding,
    layer: Linear,
    factor: Parameter,
    row: Parameter,
}

impl Module for Columns {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let (first, second, numbers) =
            (graph.slice_cols(x, 0, 1)?, graph.slice_cols(x, 1, 2)?, graph.slice_cols(x, 2, 4)?);
        let first = self.category.forward(graph, first)?;
        let second = graph.one_hot(second, 3)?;
        let all = graph.concat_cols(&[first, second, numbers])?;
        let once = self.layer.forward(graph, all)?;
        let twice = self.layer.forward(graph, once)?;
        let (factor, row) = (self.factor.var(graph)?, self.row.var(graph)?);
        let product = graph.matmul(twice, factor)?;
        let size = graph.sum_cols(once)?;
        let two = graph.constant(2.0);
        let four = graph.mul(two, two)?;
        let size = graph.div(size, four)?;
        let scaled = graph.mul(product, size)?;
        graph.sub(scaled, row)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let own = [("factor".to_string(), self.factor.clone()), ("row".to_string(), self.row.clone())];
        [prefixed("category", &self.category), prefixed("layer", &self.layer), own.to_vec()].concat()
    }
}

/// A layer with its weight transposed by hand: of parameters alone several rows are computed.
struct Transposed(Linear);

impl Module for Transposed {
    fn forward(&self, graph: &mut Graph, x: Var) -> Result<Var> {
        let weight = self.0.weight().var(graph)?;
        let weight = graph.transpose(weight)?;
        let y = graph.matmul(x, weight)?;
        let bias = self.0.bias().unwrap().var(graph)?;
        let column = graph.transpose(bias)?;
        let row = graph.transpose(column)?;
        graph.add(y, row)
    }

    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        self.0.named_parameters()
    }
}

pub(crate) fn layers() -> Sequential {
    let block = Sequential::new().add(LayerNorm::new(6)).add(Linear::new(6, 6)).add(SiLU);
    let inner = Residual::new(Residual::new(Linear::new(6, 6).without_bias()));
    Sequential::new()
        .add(Linear::new(4, 6).without_bias())
        .add(BatchNorm1d::new(6).eps(1e-3).momentum(0.25))
        .add(Tanh)
        .add(Residual::new(block))
        .add(inner)
        .add(Dropout::new(0.5))
        .add(GELU)
        .add(Linear::new(6, 5))
        .add(Softplus)
        .add(LeakyReLU { slope: 0.25 })
        .add(ELU { alpha: 0.5 })
        .add(Activation::GELUTanh)
        .add(Softmax)
        .add(Activation::Affine { scale: 2.0, shift: 0.5 })
        .add(Activation::Pow { exponent: 1.5 })
        .add(Activation::Log)
        .add(Activation::Exp)
        .add(Sigmoid)
        .add(Identity)
        .add(ReLU)
        .add(LogSoftmax)
}

pub(crate) fn embedding() -> Sequential {
    Sequential::new().add(Embedding::new(5, 3)).add(Linear::new(6, 2))
}

pub(crate) fn standardised() -> Sequential {
    Sequential::new().add(Linear::new(3, 4)).add(Tanh).add(Linear::new(4, 2))
}

/// The model with values that are the same everywhere, and variances above 0.
pub(crate) fn placed(model: impl Module + 'static, seed: u64) -> Predictor {
    let predictor = Predictor::new(&Device::cpu(), model).unwrap();
    for ((name, parameter), seed) in predictor.parameters().named().zip(seed..) {
        let mut values = signed(seed, parameter.shape().iter().product());
        if name.ends_with("var") {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
        parameter.value().unwrap().write(&values).unwrap();
    }
    predictor
}

fn case(name: &'static str, model: impl Module + 'static, input_cols: usize) -> Case {
    let predictor = placed(model, name.len() as u64 * 100);
    let export = Export::new(&predictor, input_cols).unwrap();
    Case { name, predictor, input_cols, export }
}

pub(crate) fn scales() -> [Standardize; 2] {
    let inputs = [[150.0, 0.25, -3.0], [170.0, 0.5, 1.0], [190.0, 1.5, 2.0]];
    let data = Dataset::from_rows(&inputs, &[[1e4, 0.0], [3e4, 1.0], [2e4, 4.0]]).unwrap();
    [Standardize::fit(&data), Standardize::fit_targets(&data)]
}

pub(crate) fn all() -> Vec<Case> {
    let columns = Columns {
        category: Embedding::new(5, 2),
        layer: Linear::new(7, 7),
        factor: Parameter::new(7, 3, wgrad::nn::Init::Linear),
        row: Parameter::vector(3, wgrad::nn::Init::Linear),
    };
    let [inputs, targets] = scales();
    let mut scaled = case("standardised", standardised(), 3);
    scaled.export = scaled.export.inputs(&inputs).unwrap().targets(&targets).unwrap().names("size", "price");
    scaled.export = scaled.export.metadata("unit", "cm").metadata("author", "Ångström");
    vec![
        case("activations", Activations(Linear::new(2, 3)), 2),
        case("layers", layers(), 4),
        case("embedding", embedding(), 2),
        case("columns", columns, 4),
        scaled,
        case("transposed", Transposed(Linear::new(3, 2)), 3),
    ]
}

/// What the model predicts; raw inputs are standardised.
pub(crate) fn predicted(case: &Case, inputs: &[f32]) -> Vec<f32> {
    if case.name != "standardised" {
        return case.predictor.predict(inputs, case.input_cols).unwrap();
    }
    let [scale, targets] = scales();
    targets.invert(&case.predictor.predict(&scale.apply(inputs).unwrap(), case.input_cols).unwrap()).unwrap()
}
